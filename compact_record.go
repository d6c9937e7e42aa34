package famfs

// The compaction record: in the superblock's area, in two places that are used in turn, it
// says that the log is being rewritten, or which files may lie in memory that another file
// had before. Here are its codec, which of the two places counts, how one is written, and what
// it says beside the superblock: how far a compaction has come, and which files those are.
// What is done about it is the concern of compact.go, famfs.go, reused.go, mkfs.go and salvage.go.

import (
	"encoding/binary"
	"math"
)

// Where the record is, and its fields in it (format: compaction record).
const (
	recordAt      = 1 << 20
	recordSpacing = 4 << 10 // from the first place to the second
	recordPlaces  = 2

	recordMagicAt      = 0
	recordNumberAt     = 8
	recordStateAt      = 16
	recordUUIDAt       = 24
	recordStagedAt     = 40
	recordCountAt      = 48
	recordSuperblockAt = 56
	recordCRC          = 256 // it covers all before
	recordSize         = 264
)

// Values of these fields.
const (
	recordMagic = 0x66616d66736c6f67

	recordClosing  = 1
	recordUnderWay = 2
	recordDone     = 3

	// maxRecordNumber is more than anybody writes. A record with a higher number is none.
	maxRecordNumber = 1 << 62
)

// compactionRecord is a record that is sound by itself.
type compactionRecord struct {
	number uint64 // the highest counts
	state  uint64
	uuid   UUID // of the file system as it is; done: of the new one
	// staged is where on the device the new entries are, while a compaction is under way.
	staged int64
	// count is how many these are; done, or nothing staged: the index of the log entry from which on
	// files may lie in memory that had another owner.
	count      uint64
	superblock [superblockSize]byte // the new one, while a compaction is under way
}

func (c *compactionRecord) encode() (b [recordSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[recordMagicAt:], recordMagic)
	le.PutUint64(b[recordNumberAt:], c.number)
	le.PutUint64(b[recordStateAt:], c.state)
	copy(b[recordUUIDAt:], c.uuid[:])
	le.PutUint64(b[recordStagedAt:], uint64(c.staged))
	le.PutUint64(b[recordCountAt:], c.count)
	copy(b[recordSuperblockAt:], c.superblock[:])
	le.PutUint64(b[recordCRC:], checksum(b[:recordCRC]))
	return b
}

// decodeRecord reads b, a copy. It returns false if b is no record: the reference leaves there
// whatever it finds.
func decodeRecord(b *[recordSize]byte) (c compactionRecord, ok bool) {
	le := binary.LittleEndian
	c.number, c.state = le.Uint64(b[recordNumberAt:]), le.Uint64(b[recordStateAt:])
	staged := le.Uint64(b[recordStagedAt:])
	if le.Uint64(b[recordMagicAt:]) != recordMagic || !hasSum(b[:], recordCRC) || c.number > maxRecordNumber ||
		c.state < recordClosing || c.state > recordDone || staged > math.MaxInt64 {
		return compactionRecord{}, false
	}
	c.uuid, c.staged, c.count = UUID(b[recordUUIDAt:]), int64(staged), le.Uint64(b[recordCountAt:])
	copy(c.superblock[:], b[recordSuperblockAt:])
	return c, true
}

// newUUID is that of the new superblock, while a compaction is under way.
func (c *compactionRecord) newUUID() UUID { return UUID(c.superblock[fsUUIDAt:]) }

// compactionRecords is what the two places hold.
type compactionRecords struct {
	at    [recordPlaces]compactionRecord
	sound [recordPlaces]bool
}

func recordPlace(i int) int64 { return recordAt + int64(i)*recordSpacing }

// readRecords reads both places, of a device of this size.
func readRecords(m sharedMemory, deviceSize int64) (rs compactionRecords) {
	if deviceSize < superblockArea {
		return rs
	}
	for i := range rs.at {
		var b [recordSize]byte
		read(m, b[:], recordPlace(i))
		rs.at[i], rs.sound[i] = decodeRecord(&b)
	}
	return rs
}

// latest returns the place of the sound record with the highest number, or -1.
func (rs *compactionRecords) latest() int {
	latest := -1
	for i := range rs.at {
		if rs.sound[i] && (latest < 0 || rs.at[i].number > rs.at[latest].number) {
			latest = i
		}
	}
	return latest
}

// write makes c the latest record. It goes to the other place than the latest so far, which
// still counts if c is torn.
func (rs *compactionRecords) write(m sharedMemory, c compactionRecord) error {
	place, latest := 0, rs.latest()
	for latest >= 0 && rs.at[latest].number == maxRecordNumber { // forged
		if err := rs.void(m); err != nil {
			return err
		}
		latest = rs.latest()
	}
	if c.number = 1; latest >= 0 {
		place = 1 - latest
		c.number = rs.at[latest].number + 1
	}
	b := c.encode()
	m.store(recordPlace(place), b[:])
	rs.at[place], rs.sound[place] = c, true
	return flushAndFence(m, recordPlace(place), recordSize)
}

// void makes the latest record none, so that the one before it counts again.
func (rs *compactionRecords) void(m sharedMemory) error {
	latest := rs.latest()
	m.store64(recordPlace(latest)+recordMagicAt, 0)
	rs.sound[latest] = false
	return flushAndFence(m, recordPlace(latest), 8)
}

// standing says which superblock a device has while its log is compacted.
type standing uint8

const (
	oldStands standing = iota // nothing of the old log is lost yet
	noneStands
	newStands // the new log is complete
)

// underWay returns the record of a compaction of this file system that is not done, and how
// far it has come. It returns false if there is none.
//
// The record must be the latest, and have a sound new superblock. A superblock that stands must
// be the new one, or the old one that it was made of. One whose magic was taken away must be
// what either leaves: as it may have been written in part, each half of its UUID may be of
// either, and all else must be the same in both.
func (rs *compactionRecords) underWay(m sharedMemory, deviceSize int64) (c *compactionRecord, at standing, ok bool) {
	latest := rs.latest()
	if latest < 0 || rs.at[latest].state != recordUnderWay {
		return nil, 0, false
	}
	c = &rs.at[latest]
	if _, err := decodeSuperblock(&c.superblock, deviceSize); err != nil {
		return nil, 0, false
	}
	var b [superblockSize]byte
	read(m, b[:], 0)
	if c.replacing() {
		at, ok = c.replaces(&b)
		return c, at, ok
	}
	if binary.LittleEndian.Uint64(b[magicAt:]) == 0 {
		return c, noneStands, c.ofEither(&b) && c.isOf(&b)
	}
	sb, err := decodeSuperblock(&b, deviceSize)
	switch {
	case err == nil && sb.UUID == c.newUUID():
		return c, newStands, true
	case err == nil && sb.UUID == c.uuid && c.isOf(&b):
		return c, oldStands, true
	}
	return nil, 0, false
}

// ofEither reports whether each half of the file system's UUID in b is of the old one or the new
// one.
func (c *compactionRecord) ofEither(b *[superblockSize]byte) bool {
	const half = len(UUID{}) / 2
	older, newer := c.uuid, c.newUUID()
	for i := 0; i < len(UUID{}); i += half {
		part := string(b[fsUUIDAt+i:][:half])
		if part != string(older[i:][:half]) && part != string(newer[i:][:half]) {
			return false
		}
	}
	return true
}

// A record with nothing staged says that the superblock gets a feature, and the log stays as it is
// (format: compaction record). The UUID stays too, and the magic, so that who has the file system
// open goes on using it: only version and CRC change, one after the other.

// replacing reports whether c is such a record.
func (c *compactionRecord) replacing() bool { return c.staged == 0 && c.uuid == c.newUUID() }

// replaces says which superblock b is, in the middle of that. It returns false if b is another one.
func (c *compactionRecord) replaces(b *[superblockSize]byte) (at standing, ok bool) {
	older := c.superblock
	le := binary.LittleEndian
	le.PutUint64(older[versionAt:], le.Uint64(older[versionAt:])&^featureDevices)
	le.PutUint64(older[superblockCRC:], checksum(older[:superblockCRC]))
	from := [superblockSize]byte(*b)
	for _, field := range [...]int{versionAt, superblockCRC} {
		found := string(b[field:][:8])
		if found != string(older[field:][:8]) && found != string(c.superblock[field:][:8]) {
			return 0, false
		}
		copy(from[field:][:8], older[field:][:8])
	}
	copy(older[flagsAt:], from[flagsAt:]) // no CRC covers what is behind it, and Grow may have changed it
	switch {
	case from != older:
		return 0, false
	case string(b[:flagsAt]) == string(c.superblock[:flagsAt]):
		return newStands, true
	case string(b[:flagsAt]) == string(older[:flagsAt]):
		return oldStands, true
	}
	return noneStands, true
}

// replaceSuperblock ends what a record with nothing staged says.
func (c *compactionRecord) replaceSuperblock(m sharedMemory, records *compactionRecords) error {
	var b [superblockSize]byte // what stands: Grow may have changed the size
	read(m, b[:], 0)
	for _, at := range [...]int64{versionAt, superblockCRC} {
		copy(b[at:][:8], c.superblock[at:])
		m.store(at, b[at:][:8])
		if err := flushAndFence(m, at, 8); err != nil {
			return err
		}
	}
	if err := writeCopy(m, &b); err != nil {
		return err
	}
	return records.write(m, compactionRecord{state: recordDone, uuid: c.uuid, count: c.count})
}

// isOf reports whether the new superblock differs from b, the one that stands or what is left
// of it, in nothing but the UUID and what follows from that.
func (c *compactionRecord) isOf(b *[superblockSize]byte) bool {
	standing, renewed := *b, c.superblock
	for _, s := range []*[superblockSize]byte{&standing, &renewed} {
		clear(s[magicAt:versionAt])
		clear(s[fsUUIDAt:][:len(UUID{})])
		clear(s[superblockCRC:flagsAt])
	}
	return standing == renewed
}

// usedFrom returns the index of the log entry from which on files may lie in memory that had
// another owner, in the file system of this UUID: math.MaxInt64 if there are none.
func (rs *compactionRecords) usedFrom(uuid UUID) int64 {
	latest := rs.latest()
	if latest < 0 {
		return math.MaxInt64
	}
	if c := &rs.at[latest]; c.state == recordUnderWay && c.replacing() && c.uuid == uuid {
		return clamp(c.count)
	}
	found, from := -1, int64(0) // what another file system has left says no more
	for i := range rs.at {
		c := &rs.at[i]
		if rs.sound[i] && c.state == recordDone && c.uuid == uuid && (found < 0 || c.number > rs.at[found].number) {
			found, from = i, clamp(c.count)
		}
	}
	return from
}
