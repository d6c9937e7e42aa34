package famfs

// The log's header and entries: codecs, and every check that needs nothing but the
// record itself and the geometry of the device. What depends on earlier entries is
// replica.go's; reading and writing are log_replay.go's and log_append.go's.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Fixed places and values (format: log header, log entry).
const (
	logMagic      = 0xbadcafef00d
	logHeaderSize = 48
	logHeaderCRC  = 24 // where the CRC stands; it covers all before
	nextSeqAt     = 32
	nextIndexAt   = 40
	entrySize     = 544
	entryCRC      = 536
	pathSize      = 80 // with its NUL

	typeFile    = 0
	typeMkdir   = 1
	typeRemoval = 2
	typeAddDev  = 3

	mapSimple      = 0
	mapInterleaved = 1

	// fileFlagReadOnly forbids writing on all hosts; the reference sets the other
	// always.
	fileFlagReadOnly  = 1
	fileFlagReadWrite = 2

	// modeBits are those of a mode that mean anything.
	modeBits = 0o7777
)

// logHeader is the part of the header that changes, checked.
type logHeader struct {
	last uint64 // last index that fits
	next uint64 // number of entries in use: the authority
	seq  uint64 // next sequence number, which a crash may leave behind next
}

// lastIndex is that of the last entry that fits into a log of this size.
func lastIndex(logSize int64) uint64 { return uint64((logSize-logHeaderSize)/entrySize - 1) }

// entryAt is where entry index lies on the device.
func entryAt(index uint64) int64 { return logOffset + logHeaderSize + int64(index)*entrySize }

// encodeLogHeader returns the header of an empty log.
func encodeLogHeader(logSize int64) (b [logHeaderSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], logMagic)
	le.PutUint64(b[8:], uint64(logSize))
	le.PutUint64(b[16:], lastIndex(logSize))
	le.PutUint64(b[logHeaderCRC:], checksum(b[:logHeaderCRC]))
	return b
}

// decodeLogHeader reads b, a copy, and checks it against the superblock's log
// length.
func decodeLogHeader(b *[logHeaderSize]byte, logSize int64) (logHeader, error) {
	le := binary.LittleEndian
	h := logHeader{last: le.Uint64(b[16:]), next: le.Uint64(b[nextIndexAt:]), seq: le.Uint64(b[nextSeqAt:])}
	if magic := le.Uint64(b[0:]); magic != logMagic {
		return h, fmt.Errorf("log header: found magic %#x, want %#x: %w", magic, uint64(logMagic), ErrCorrupt)
	}
	if found, want := le.Uint64(b[logHeaderCRC:]), checksum(b[:logHeaderCRC]); found != want {
		return h, fmt.Errorf("log header: found CRC %#x, want %#x: %w: %w", found, want, ErrChecksum, ErrCorrupt)
	}
	if length := le.Uint64(b[8:]); length != uint64(logSize) {
		return h, fmt.Errorf("log header: found length %d, want %d as in the superblock: %w", length, logSize, ErrCorrupt)
	}
	if want := lastIndex(logSize); h.last != want {
		return h, fmt.Errorf("log header: found last index %d, want %d for a log of %d bytes: %w", h.last, want, logSize, ErrCorrupt)
	}
	if h.next > h.last+1 {
		return h, fmt.Errorf("log header: found next index %d, beyond last index %d: %w", h.next, h.last, ErrCorrupt)
	}
	return h, nil
}

// rawExtent is an extent as it stands in an entry, not checked.
type rawExtent struct{ device, offset, length uint64 }

// entry is a decoded log entry, not checked beyond CRC and sequence number.
type entry struct {
	seq  uint64
	kind uint32
	// Files and directories.
	path                  []byte // before the NUL; part of the record that was decoded
	unterminated          bool
	nameAt                int  // where in the path the last element begins
	plain                 bool // the path needs no closer look
	unserved              bool // what the entry makes is on every host already, or the reference's own
	size                  uint64
	flags, uid, gid, mode uint32
	mapType               uint32
	count                 uint32 // simple or interleaved extents, as the entry says
	strips, chunk         uint64 // of the one interleaved extent
	extents               []rawExtent
	extentSpace           [maxExtents]rawExtent // what extents is a part of
	// Added devices.
	deviceSize  uint64
	deviceUUID  UUID
	deviceIndex uint32
	// Removals; the path is that of what is removed.
	removes uint64 // index of its entry
}

// Where the parts of a payload stand in the entry.
const (
	filePathAt    = 40
	fileMapAt     = 120
	extentsAt     = 136
	stripsAt      = 152
	mkdirPathAt   = 28
	removesAt     = 16
	removalPathAt = 24
	extentSize    = 24
)

// checkEntry says what makes b, a copy of entry index, unsound: what it says cannot
// be believed at all, or has not arrived yet. The error does not name the entry.
func checkEntry(b *[entrySize]byte, index uint64) error {
	return checkEntrySum(b, index, checksum(b[:entryCRC]))
}

// checkEntrySum is checkEntry where the checksum that b should carry is known.
func checkEntrySum(b *[entrySize]byte, index, want uint64) error {
	if found := checksumIn(b[:]); found != want {
		return fmt.Errorf("found CRC %#x, want %#x: %w: %w", found, want, ErrChecksum, ErrCorrupt)
	}
	if seq := binary.LittleEndian.Uint64(b[0:]); seq != index {
		return fmt.Errorf("found sequence number %d, want %d: %w", seq, index, ErrCorrupt)
	}
	return nil
}

// checksumIn returns the checksum that an entry carries.
func checksumIn(b []byte) uint64 { return binary.LittleEndian.Uint64(b[entryCRC:]) }

// decode reads b into e. Counts are kept as they are found; extents holds no more
// than there is room for.
func (e *entry) decode(b *[entrySize]byte) {
	le := binary.LittleEndian
	e.seq, e.kind = le.Uint64(b[0:]), le.Uint32(b[8:])
	e.path, e.extents, e.unserved = nil, nil, false
	switch e.kind {
	case typeFile:
		e.size, e.flags = le.Uint64(b[16:]), le.Uint32(b[24:])
		e.uid, e.gid, e.mode = le.Uint32(b[28:]), le.Uint32(b[32:]), le.Uint32(b[36:])
		e.decodePath(b[filePathAt : filePathAt+pathSize])
		e.mapType, e.count = le.Uint32(b[fileMapAt:]), le.Uint32(b[128:])
		e.strips, e.chunk = 0, 0
		switch e.mapType {
		case mapSimple:
			e.decodeExtents(b[extentsAt:], uint64(e.count))
		case mapInterleaved:
			e.strips, e.chunk = le.Uint64(b[extentsAt:]), le.Uint64(b[extentsAt+8:])
			e.decodeExtents(b[stripsAt:], e.strips)
		}
	case typeMkdir:
		e.uid, e.gid, e.mode = le.Uint32(b[16:]), le.Uint32(b[20:]), le.Uint32(b[24:])
		e.decodePath(b[mkdirPathAt : mkdirPathAt+pathSize])
	case typeRemoval:
		e.removes = le.Uint64(b[removesAt:])
		e.decodePath(b[removalPathAt : removalPathAt+pathSize])
	case typeAddDev:
		e.deviceSize, e.deviceIndex = le.Uint64(b[16:]), le.Uint32(b[40:])
		e.deviceUUID = UUID(b[24:40])
	}
}

func (e *entry) decodePath(b []byte) {
	var end int
	end, e.nameAt, e.plain = scanPath((*[pathSize]byte)(b))
	e.path, e.unterminated = b[:end], end == pathSize
}

// resolvePath makes the path that was logged, of a decoded entry, the name of what it leads
// to. It returns false if they are the same. What it leads to is not served, and no
// problem either, if it is the root, made again, or what the reference keeps in the
// reserved directory.
func (e *entry) resolvePath() (changed bool) {
	if e.plain || e.unterminated {
		return false
	}
	// The entry's memory is used only until the next is decoded, and so is the string.
	name, changed := cleanName(stringOf(e.path))
	if !changed {
		name = stringOf(e.path)
	}
	switch e.kind {
	case typeMkdir:
		e.unserved = name == "." || name == reservedDir
	case typeFile:
		e.unserved = name == allocConfig
		changed = changed && name != "." // no file can be there: the message gives the path as it was logged
	}
	if changed {
		e.path, e.nameAt = []byte(name), strings.LastIndexByte(name, '/')+1
	}
	return changed
}

func (e *entry) decodeExtents(b []byte, count uint64) {
	le := binary.LittleEndian
	e.extents = e.extentSpace[:min(count, maxExtents)]
	for i := range e.extents {
		at := b[i*extentSize:]
		e.extents[i] = rawExtent{le.Uint64(at), le.Uint64(at[8:]), le.Uint64(at[16:])}
	}
}

// encode returns the record of e, whose fields must be valid.
func (e *entry) encode() (b [entrySize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], e.seq)
	le.PutUint32(b[8:], e.kind)
	switch e.kind {
	case typeFile:
		le.PutUint64(b[16:], e.size)
		le.PutUint32(b[24:], e.flags)
		le.PutUint32(b[28:], e.uid)
		le.PutUint32(b[32:], e.gid)
		le.PutUint32(b[36:], e.mode)
		copy(b[filePathAt:filePathAt+pathSize-1], e.path)
		le.PutUint32(b[fileMapAt:], e.mapType)
		le.PutUint32(b[128:], e.count)
		at := b[extentsAt:]
		if e.mapType == mapInterleaved {
			le.PutUint64(b[extentsAt:], e.strips)
			le.PutUint64(b[extentsAt+8:], e.chunk)
			at = b[stripsAt:]
		}
		for i, x := range e.extents {
			le.PutUint64(at[i*extentSize:], x.device)
			le.PutUint64(at[i*extentSize+8:], x.offset)
			le.PutUint64(at[i*extentSize+16:], x.length)
		}
	case typeMkdir:
		le.PutUint32(b[16:], e.uid)
		le.PutUint32(b[20:], e.gid)
		le.PutUint32(b[24:], e.mode)
		copy(b[mkdirPathAt:mkdirPathAt+pathSize-1], e.path)
	case typeRemoval:
		le.PutUint64(b[removesAt:], e.removes)
		copy(b[removalPathAt:removalPathAt+pathSize-1], e.path)
	case typeAddDev:
		le.PutUint64(b[16:], e.deviceSize)
		copy(b[24:40], e.deviceUUID[:])
		le.PutUint32(b[40:], e.deviceIndex)
	}
	le.PutUint64(b[entryCRC:], checksum(b[:entryCRC]))
	return b
}

// geometry is what the device and its superblock say about where file data may
// lie.
type geometry struct {
	unit      int64 // allocation unit
	dataStart int64 // end of the metadata
	size      int64 // real size of the device
}

// check says what makes a sound entry unacceptable (format: where the reference is
// lax), once its path has been resolved. path is e.path as a string. The error does not name the entry: replica.go
// adds that.
func (e *entry) check(path string, g geometry) error {
	switch e.kind {
	case typeFile:
		if err := e.checkPath(path); err != nil {
			return err
		}
		return e.checkMap(g)
	case typeMkdir:
		return e.checkPath(path)
	case typeRemoval:
		if e.removes >= e.seq {
			return fmt.Errorf("removal of %q: found entry %d to be removed, want one before this: %w", path, e.removes, ErrCorrupt)
		}
		return e.checkPath(path)
	case typeAddDev:
		return nil // depends on the devices before it
	}
	return fmt.Errorf("found type %d, want %d (file), %d (mkdir), %d (removal) or %d (add-daxdev): %w", e.kind, typeFile, typeMkdir, typeRemoval, typeAddDev, ErrCorrupt)
}

func (e *entry) checkPath(path string) error {
	if e.plain || e.unserved {
		return nil
	}
	if e.unterminated {
		return fmt.Errorf("path %q has no NUL within its %d bytes: %w", path, pathSize, ErrCorrupt)
	}
	if err := checkName(path); err != nil {
		return fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
	return nil
}

func (e *entry) checkMap(g geometry) error {
	if e.size == 0 || e.size > math.MaxInt64 {
		return fmt.Errorf("size %d, want 1 to %d: %w", e.size, int64(math.MaxInt64), ErrCorrupt)
	}
	unit := uint64(g.unit)
	switch e.mapType {
	case mapSimple:
		if e.count < 1 || e.count > maxExtents {
			return fmt.Errorf("%d extents, want 1 to %d: %w", e.count, maxExtents, ErrCorrupt)
		}
	case mapInterleaved:
		switch {
		case e.count != 1:
			return fmt.Errorf("%d interleaved extents, want 1: %w", e.count, ErrCorrupt)
		case e.strips < 1 || e.strips > maxExtents:
			return fmt.Errorf("%d strips, want 1 to %d: %w", e.strips, maxExtents, ErrCorrupt)
		case e.chunk == 0 || e.chunk&(e.chunk-1) != 0 || e.chunk%unit != 0:
			return fmt.Errorf("chunk of %d bytes, want a power of two that is a multiple of the allocation unit %d: %w", e.chunk, unit, ErrCorrupt)
		}
	default:
		return fmt.Errorf("map type %d, want %d (simple) or %d (interleaved): %w", e.mapType, mapSimple, mapInterleaved, ErrCorrupt)
	}
	total := uint64(0)
	for i, x := range e.extents {
		if err := x.check(g); err != nil {
			return fmt.Errorf("extent %d (device %d, offset %d, length %d) %w: %w", i, x.device, x.offset, x.length, err, ErrCorrupt)
		}
		if total += x.length; total > math.MaxInt64 {
			return fmt.Errorf("lengths of the extents overflow at extent %d: %w", i, ErrCorrupt)
		}
		if e.mapType == mapInterleaved && x.length != e.extents[0].length {
			return fmt.Errorf("strips of unequal length: strip %d has %d, strip 0 has %d: %w", i, x.length, e.extents[0].length, ErrCorrupt)
		}
	}
	if total < e.size {
		return fmt.Errorf("extents of %d bytes are shorter than the size %d: %w", total, e.size, ErrCorrupt)
	}
	if e.mapType == mapInterleaved {
		length := e.extents[0].length
		if e.chunk > length {
			return fmt.Errorf("strips of %d bytes are shorter than a chunk of %d: %w", length, e.chunk, ErrCorrupt)
		}
		// chunk <= length, and strips*length did not overflow.
		stripe := e.strips * e.chunk
		if need := (e.size-1)/stripe + 1; need > length/e.chunk {
			return fmt.Errorf("strips of %d bytes are shorter than the %d stripes of a file of size %d: %w", length, need, e.size, ErrCorrupt)
		}
	}
	return nil
}

// check says what is wrong with x by itself. Where it lies is only known for the
// device at hand.
func (x *rawExtent) check(g geometry) error {
	unit := uint64(g.unit)
	switch {
	case x.length == 0:
		return errors.New("is empty")
	case x.offset%unit != 0 || x.length%unit != 0:
		return fmt.Errorf("is not aligned to the allocation unit %d", unit)
	case x.offset > math.MaxInt64 || x.length > math.MaxInt64-x.offset:
		return errors.New("overflows 64 bits")
	case x.device > math.MaxInt32:
		return errors.New("is on a device whose index no entry can have added")
	case x.device != 0:
		return nil
	case int64(x.offset) < g.dataStart:
		return fmt.Errorf("reaches into superblock or log, which end at %d", g.dataStart)
	case int64(x.offset+x.length) > g.size:
		return fmt.Errorf("passes the end of the device at %d", g.size)
	}
	return nil
}
