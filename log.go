package famfs

// The log's header and entries: their codecs, and every check that needs only the record itself
// and the geometry of the device. Checks against earlier entries are in replica.go. Reading and
// writing are in log_replay.go and log_append.go.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

// Offsets of the fields in the log's header (format: log header).
const (
	logMagicAt    = 0
	logLengthAt   = 8
	lastIndexAt   = 16
	logHeaderCRC  = 24 // covers everything before it
	nextSeqAt     = 32
	nextIndexAt   = 40
	logHeaderSize = 48
)

// Offsets of the fields in an entry, of all types and of each type: the payloads
// (format: log entry).
const (
	entrySeqAt  = 0
	entryTypeAt = 8
	entryCRC    = 536 // covers everything before it
	entrySize   = 544

	fileSizeAt  = 16
	fileFlagsAt = 24
	fileUIDAt   = 28
	fileGIDAt   = 32
	fileModeAt  = 36
	filePathAt  = 40
	fileMapAt   = 120
	fileCountAt = 128 // of extents, simple or interleaved
	extentsAt   = 136 // simple

	stripCountAt = 136 // interleaved
	chunkAt      = 144
	stripsAt     = 152

	mkdirUIDAt  = 16
	mkdirGIDAt  = 20
	mkdirModeAt = 24
	mkdirPathAt = 28

	removesAt     = 16
	removalPathAt = 24

	sealsAt    = 16
	sealKindAt = 24
	sealZeroAt = 28
	sealSumAt  = 32
	sealPathAt = 64

	addedSizeAt  = 16
	addedUUIDAt  = 24
	addedIndexAt = 40
)

// Offsets of the fields in an extent or strip.
const (
	extentDeviceAt = 0
	extentOffsetAt = 8
	extentLengthAt = 16
	extentSize     = 24
)

// Values of these fields.
const (
	logMagic = 0xbadcafef00d

	typeFile    = 0
	typeMkdir   = 1
	typeRemoval = 2
	typeAddDev  = 3
	typeSeal    = 256

	mapSimple      = 0
	mapInterleaved = 1

	// fileFlagReadOnly forbids writing on all hosts. The reference always sets
	// fileFlagReadWrite.
	fileFlagReadOnly  = 1
	fileFlagReadWrite = 2

	// modeBits are the bits of a mode that have a meaning.
	modeBits = 0o7777
)

// logHeader is the part of the header that changes, after it was checked.
type logHeader struct {
	last uint64 // last index that fits into the log
	next uint64 // number of entries in use; this field decides
	seq  uint64 // next sequence number; a crash may leave it behind next
}

// lastIndex returns the index of the last entry that fits into a log of this size.
func lastIndex(logSize int64) uint64 { return uint64((logSize-logHeaderSize)/entrySize - 1) }

// entryAt returns the offset of entry index on the device.
func entryAt(index uint64) int64 { return logOffset + logHeaderSize + int64(index)*entrySize }

// encodeLogHeader returns the header of an empty log.
func encodeLogHeader(logSize int64) (b [logHeaderSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[logMagicAt:], logMagic)
	le.PutUint64(b[logLengthAt:], uint64(logSize))
	le.PutUint64(b[lastIndexAt:], lastIndex(logSize))
	le.PutUint64(b[logHeaderCRC:], checksum(b[:logHeaderCRC]))
	return b
}

// decodeLogHeader decodes b, a copy, and checks it against the log length in the superblock.
func decodeLogHeader(b *[logHeaderSize]byte, logSize int64) (logHeader, error) {
	le := binary.LittleEndian
	h := logHeader{last: le.Uint64(b[lastIndexAt:]), next: le.Uint64(b[nextIndexAt:]), seq: le.Uint64(b[nextSeqAt:])}
	if magic := le.Uint64(b[logMagicAt:]); magic != logMagic {
		return h, fmt.Errorf("log header: found magic %#x, want %#x: %w", magic, uint64(logMagic), ErrCorrupt)
	}
	if found, want := le.Uint64(b[logHeaderCRC:]), checksum(b[:logHeaderCRC]); found != want {
		return h, fmt.Errorf("log header: found CRC %#x, want %#x: %w: %w", found, want, ErrChecksum, ErrCorrupt)
	}
	if length := le.Uint64(b[logLengthAt:]); length != uint64(logSize) {
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

// rawExtent is an extent as found in an entry, not checked.
type rawExtent struct{ device, offset, length uint64 }

// entry is a decoded log entry. Only its CRC and its sequence number are checked.
type entry struct {
	seq  uint64
	kind uint32
	// Files and directories.
	path                  []byte // up to the NUL; part of the record that was decoded
	unterminated          bool
	nameAt                int  // index in the path at which the last element begins
	plain                 bool // the path needs no closer look
	unserved              bool // every host has already what the entry makes, or it is the reference's own
	size                  uint64
	flags, uid, gid, mode uint32
	mapType               uint32
	count                 uint32 // simple or interleaved extents, as the entry says
	strips, chunk         uint64 // of the single interleaved extent
	extents               []rawExtent
	extentSpace           [maxExtents]rawExtent // memory for extents
	// Added devices.
	deviceSize  uint64
	deviceUUID  UUID
	deviceIndex uint32
	// Removals and seals; path is the path that is removed or sealed.
	removes uint64 // index of the entry that made it
	// Seals.
	sum      Sum
	sealZero uint32 // what is found where zero is wanted
}

// checkEntry returns an error if b, a copy of entry index, is unsound: its content cannot be
// believed at all, or has not arrived yet. The error does not name the entry.
func checkEntry(b *[entrySize]byte, index uint64) error {
	return checkEntrySum(b, index, checksum(b[:entryCRC]))
}

// checkEntrySum is checkEntry for a caller that has computed the checksum already.
func checkEntrySum(b *[entrySize]byte, index, want uint64) error {
	if found := checksumIn(b[:]); found != want {
		return fmt.Errorf("found CRC %#x, want %#x: %w: %w", found, want, ErrChecksum, ErrCorrupt)
	}
	if seq := binary.LittleEndian.Uint64(b[entrySeqAt:]); seq != index {
		return fmt.Errorf("found sequence number %d, want %d: %w", seq, index, ErrCorrupt)
	}
	return nil
}

// checksumIn returns the checksum stored in an entry.
func checksumIn(b []byte) uint64 { return binary.LittleEndian.Uint64(b[entryCRC:]) }

// decode decodes b into e. Counts are kept as found; extents has at most maxExtents elements.
func (e *entry) decode(b *[entrySize]byte) {
	le := binary.LittleEndian
	e.seq, e.kind = le.Uint64(b[entrySeqAt:]), le.Uint32(b[entryTypeAt:])
	e.path, e.extents, e.unserved = nil, nil, false
	switch e.kind {
	case typeFile:
		e.size, e.flags = le.Uint64(b[fileSizeAt:]), le.Uint32(b[fileFlagsAt:])
		e.uid, e.gid, e.mode = le.Uint32(b[fileUIDAt:]), le.Uint32(b[fileGIDAt:]), le.Uint32(b[fileModeAt:])
		e.decodePath(b[filePathAt : filePathAt+pathSize])
		e.mapType, e.count = le.Uint32(b[fileMapAt:]), le.Uint32(b[fileCountAt:])
		e.strips, e.chunk = 0, 0
		switch e.mapType {
		case mapSimple:
			e.decodeExtents(b[extentsAt:], uint64(e.count))
		case mapInterleaved:
			e.strips, e.chunk = le.Uint64(b[stripCountAt:]), le.Uint64(b[chunkAt:])
			e.decodeExtents(b[stripsAt:], e.strips)
		}
	case typeMkdir:
		e.uid, e.gid, e.mode = le.Uint32(b[mkdirUIDAt:]), le.Uint32(b[mkdirGIDAt:]), le.Uint32(b[mkdirModeAt:])
		e.decodePath(b[mkdirPathAt : mkdirPathAt+pathSize])
	case typeRemoval:
		e.removes = le.Uint64(b[removesAt:])
		e.decodePath(b[removalPathAt : removalPathAt+pathSize])
	case typeSeal:
		e.removes = le.Uint64(b[sealsAt:])
		e.sum = Sum{Kind: SumKind(le.Uint32(b[sealKindAt:])), Bytes: [sumSize]byte(b[sealSumAt:])}
		e.sealZero = le.Uint32(b[sealZeroAt:])
		e.decodePath(b[sealPathAt : sealPathAt+pathSize])
	case typeAddDev:
		e.deviceSize, e.deviceIndex = le.Uint64(b[addedSizeAt:]), le.Uint32(b[addedIndexAt:])
		e.deviceUUID = UUID(b[addedUUIDAt:][:len(UUID{})])
	}
}

func (e *entry) decodePath(b []byte) {
	var end int
	end, e.nameAt, e.plain = scanPath((*[pathSize]byte)(b))
	e.path, e.unterminated = b[:end], end == pathSize
}

// resolvePath replaces the logged path of a decoded entry by the name of what it leads to. It
// returns false if they are the same. It sets unserved, which is not a problem, if the entry
// makes the root again, or something that the reference keeps in the reserved directory.
func (e *entry) resolvePath() (changed bool) {
	if e.plain || e.unterminated {
		return false
	}
	// The string shares the entry's memory, and both are used only until the next decode.
	name, changed := cleanName(stringOf(e.path))
	if !changed {
		name = stringOf(e.path)
	}
	switch e.kind {
	case typeMkdir:
		e.unserved = name == "." || name == reservedDir
	case typeFile:
		e.unserved = name == allocConfig
		changed = changed && name != "." // no file can be there: the error gives the path as logged
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
		e.extents[i] = rawExtent{le.Uint64(at[extentDeviceAt:]), le.Uint64(at[extentOffsetAt:]), le.Uint64(at[extentLengthAt:])}
	}
}

// layout returns the extents and the chunk as the entry has them.
func (e *entry) layout() Layout {
	l := Layout{Extents: make([]Extent, len(e.extents))}
	if e.mapType == mapInterleaved {
		l.Chunk = clamp(e.chunk)
	}
	for i := range e.extents {
		l.Extents[i] = e.extents[i].extent()
	}
	return l
}

// extent returns x with signed numbers. They are equal to those of x if x is acceptable.
func (x *rawExtent) extent() Extent {
	return Extent{Device: int(min(x.device, math.MaxInt)), Offset: clamp(x.offset), Length: clamp(x.length)}
}

// clamp returns v, or the largest int64 if v does not fit.
func clamp(v uint64) int64 { return int64(min(v, math.MaxInt64)) }

// encode returns the record of e. The fields of e must be valid.
func (e *entry) encode() (b [entrySize]byte) {
	e.encodeTo(&b)
	return b
}

// encodeTo is encode into b, which is on the heap already if many are encoded one after the other.
func (e *entry) encodeTo(b *[entrySize]byte) {
	clear(b[:])
	le := binary.LittleEndian
	le.PutUint64(b[entrySeqAt:], e.seq)
	le.PutUint32(b[entryTypeAt:], e.kind)
	switch e.kind {
	case typeFile:
		le.PutUint64(b[fileSizeAt:], e.size)
		le.PutUint32(b[fileFlagsAt:], e.flags)
		le.PutUint32(b[fileUIDAt:], e.uid)
		le.PutUint32(b[fileGIDAt:], e.gid)
		le.PutUint32(b[fileModeAt:], e.mode)
		copy(b[filePathAt:filePathAt+pathSize-1], e.path)
		le.PutUint32(b[fileMapAt:], e.mapType)
		le.PutUint32(b[fileCountAt:], e.count)
		at := b[extentsAt:]
		if e.mapType == mapInterleaved {
			le.PutUint64(b[stripCountAt:], e.strips)
			le.PutUint64(b[chunkAt:], e.chunk)
			at = b[stripsAt:]
		}
		for i, x := range e.extents {
			b := at[i*extentSize:]
			le.PutUint64(b[extentDeviceAt:], x.device)
			le.PutUint64(b[extentOffsetAt:], x.offset)
			le.PutUint64(b[extentLengthAt:], x.length)
		}
	case typeMkdir:
		le.PutUint32(b[mkdirUIDAt:], e.uid)
		le.PutUint32(b[mkdirGIDAt:], e.gid)
		le.PutUint32(b[mkdirModeAt:], e.mode)
		copy(b[mkdirPathAt:mkdirPathAt+pathSize-1], e.path)
	case typeRemoval:
		le.PutUint64(b[removesAt:], e.removes)
		copy(b[removalPathAt:removalPathAt+pathSize-1], e.path)
	case typeSeal:
		le.PutUint64(b[sealsAt:], e.removes)
		le.PutUint32(b[sealKindAt:], uint32(e.sum.Kind))
		copy(b[sealSumAt:], e.sum.Bytes[:])
		copy(b[sealPathAt:sealPathAt+pathSize-1], e.path)
	case typeAddDev:
		le.PutUint64(b[addedSizeAt:], e.deviceSize)
		copy(b[addedUUIDAt:], e.deviceUUID[:])
		le.PutUint32(b[addedIndexAt:], e.deviceIndex)
	}
	le.PutUint64(b[entryCRC:], checksum(b[:entryCRC]))
}

// geometry says where on the device file data may lie.
type geometry struct {
	unit      int64 // allocation unit
	dataStart int64 // end of the metadata
	size      int64 // actual size of the device
}

// check returns an error if a sound entry is unacceptable (format: what is refused).
// The entry's path must be resolved; path is e.path as a string. The error does not name the
// entry: replica.go adds that.
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
	case typeSeal:
		return e.checkSeal(path)
	case typeAddDev:
		return nil // replica.go checks it against the devices before it
	}
	return fmt.Errorf("found type %d, want %d (file), %d (mkdir), %d (removal), %d (add-daxdev) or %d (seal): %w", e.kind, typeFile, typeMkdir, typeRemoval, typeAddDev, typeSeal, ErrCorrupt)
}

func (e *entry) checkSeal(path string) error {
	switch {
	case e.removes >= e.seq:
		return fmt.Errorf("seal of %q: found entry %d to be sealed, want one before this: %w", path, e.removes, ErrCorrupt)
	case e.sum.Kind != CRC32C && e.sum.Kind != SHA256:
		return fmt.Errorf("seal of %q: found a sum of kind %d, want %d (CRC-32C) or %d (SHA-256): %w", path, uint32(e.sum.Kind), CRC32C, SHA256, ErrCorrupt)
	case e.sealZero != 0 || e.sum != e.sum.trimmed():
		return fmt.Errorf("seal of %q: found bytes that are not zero beside the sum: %w", path, ErrCorrupt)
	}
	return e.checkPath(path)
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
		// Now chunk <= length, and strips*length did not overflow.
		stripe := e.strips * e.chunk
		if need := (e.size-1)/stripe + 1; need > length/e.chunk {
			return fmt.Errorf("strips of %d bytes are shorter than the %d stripes of a file of size %d: %w", length, need, e.size, ErrCorrupt)
		}
	}
	return nil
}

// check returns an error if x is wrong by itself. The position is checked only if x is on the
// device with the superblock.
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

// unixModes pairs the mode bits of the format above the permissions with those of Go.
var unixModes = [...]struct {
	bit  uint32
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// decodeMode and encodeMode convert between mode bits of the format and fs.FileMode.
func decodeMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for _, m := range unixModes {
		if bits&m.bit != 0 {
			mode |= m.mode
		}
	}
	return mode
}

func encodeMode(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for _, m := range unixModes {
		if mode&m.mode != 0 {
			bits |= m.bit
		}
	}
	return bits
}

// setLayout sets the map type and the extents of e from l.
func (e *entry) setLayout(l Layout) {
	e.mapType, e.count = mapSimple, uint32(len(l.Extents))
	if l.Chunk > 0 {
		e.mapType, e.count, e.strips, e.chunk = mapInterleaved, 1, uint64(len(l.Extents)), uint64(l.Chunk)
	}
	e.extents = e.extentSpace[:len(l.Extents)]
	for i, x := range l.Extents {
		e.extents[i] = rawExtent{uint64(x.Device), uint64(x.Offset), uint64(x.Length)}
	}
}

// ofEntry adds to an error which entry it is about.
func ofEntry(index uint64, err error) error { return fmt.Errorf("log entry %d: %w", index, err) }
