package famfs

// The superblock: its codec, with every bound that can be checked without reading
// further. It is read by famfs.go and written by mkfs.go.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
)

// Fixed places and values (format: the device).
const (
	superblockArea = 2 << 20 // reserved for it at offset 0
	logOffset      = superblockArea
	minLogSize     = 8 << 20
	defaultUnit    = 2 << 20
	smallUnit      = 4096
)

// Where the fields of the superblock are (format: superblock).
const (
	magicAt        = 0
	versionAt      = 8
	logOffsetAt    = 16
	logSizeAt      = 24
	allocUnitAt    = 32
	omfMajorAt     = 40
	omfMinorAt     = 44
	fsUUIDAt       = 48
	deviceUUIDAt   = 64
	systemUUIDAt   = 80
	superblockCRC  = 96 // it covers all before
	flagsAt        = 104
	deviceSizeAt   = 112
	deviceNameAt   = 136
	deviceNameSize = 64
	superblockSize = 200 // bytes used
)

// What they must be.
const (
	superblockMagic = 0x87b282ff
	formatVersion   = 48
	omfMajor        = 2
	omfMinor        = 2
	flagPrimary     = 1 // the device that has the log
)

// Superblock is what the first bytes of a device say about its file system
// (format: superblock). Sizes and offsets are in bytes.
type Superblock struct {
	Version uint64
	// LogOffset and LogSize say where the log is; file data follows it.
	LogOffset, LogSize int64
	// AllocUnit is what files are allocated in: 2 MiB, or 4 KiB.
	AllocUnit int64
	// OMFMajor and OMFMinor are the version of the on-media format: 2.2, or a higher minor
	// version, which can only be read.
	OMFMajor, OMFMinor uint32
	// UUID is the file system's, DeviceUUID the device's, SystemUUID that of the
	// master.
	UUID, DeviceUUID, SystemUUID UUID
	// DeviceSize and DeviceName are as they were when the device was formatted, or, the
	// size, when it was last opened with Grow. No
	// CRC covers them; see DeviceInfo for the real size.
	DeviceSize int64
	DeviceName string
}

// newerFormat says what this package cannot know of a file system whose minor version is
// higher than its own; nil if there is nothing.
func (sb *Superblock) newerFormat() error {
	if sb.OMFMinor <= omfMinor {
		return nil
	}
	return fmt.Errorf("superblock: on-media format %d.%d is newer than %d.%d, the newest that this package knows: %w", sb.OMFMajor, sb.OMFMinor, omfMajor, omfMinor, ErrVersion)
}

// usable is how much of a device of this real size the file system has. No CRC covers what
// the superblock says: less than one file needs is no size.
func (sb *Superblock) usable(deviceSize int64) int64 {
	if sb.DeviceSize < sb.logEnd()+sb.AllocUnit {
		return deviceSize
	}
	return min(sb.DeviceSize, deviceSize)
}

// canGrow says that the superblock does not give the file system all of the device.
func (sb *Superblock) canGrow(deviceSize int64) bool {
	return sb.usable(deviceSize) < deviceSize || sb.DeviceSize < sb.logEnd()+sb.AllocUnit
}

// writeDeviceSize changes the size in the superblock. The caller holds the writers' lock,
// and has read the superblock, so that this host has no older line of it.
func writeDeviceSize(m sharedMemory, size int64) error {
	m.store64(deviceSizeAt, uint64(size))
	return flushAndFence(m, deviceSizeAt, 8)
}

// logEnd is where the metadata ends and the data begins.
func (sb *Superblock) logEnd() int64 { return sb.LogOffset + sb.LogSize }

// encode returns the bytes of sb.
func (sb *Superblock) encode() (b [superblockSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[magicAt:], superblockMagic)
	le.PutUint64(b[versionAt:], sb.Version)
	le.PutUint64(b[logOffsetAt:], uint64(sb.LogOffset))
	le.PutUint64(b[logSizeAt:], uint64(sb.LogSize))
	le.PutUint64(b[allocUnitAt:], uint64(sb.AllocUnit))
	le.PutUint32(b[omfMajorAt:], sb.OMFMajor)
	le.PutUint32(b[omfMinorAt:], sb.OMFMinor)
	copy(b[fsUUIDAt:], sb.UUID[:])
	copy(b[deviceUUIDAt:], sb.DeviceUUID[:])
	copy(b[systemUUIDAt:], sb.SystemUUID[:])
	le.PutUint64(b[superblockCRC:], checksum(b[:superblockCRC]))
	le.PutUint32(b[flagsAt:], flagPrimary)
	le.PutUint64(b[deviceSizeAt:], uint64(sb.DeviceSize))
	copy(b[deviceNameAt:deviceNameAt+deviceNameSize], sb.DeviceName)
	return b
}

// decodeSuperblock reads b, a copy, and checks it against the real size of the
// device. It looks neither at the flags nor at the UUID behind the size, nor at anything
// behind the name: the reference leaves there what it finds.
func decodeSuperblock(b *[superblockSize]byte, deviceSize int64) (Superblock, error) {
	le := binary.LittleEndian
	if magic := le.Uint64(b[magicAt:]); magic != superblockMagic {
		return Superblock{}, fmt.Errorf("superblock: found magic %#x, want %#x: %w", magic, uint64(superblockMagic), ErrNotFormatted)
	}
	version, major, minor := le.Uint64(b[versionAt:]), le.Uint32(b[omfMajorAt:]), le.Uint32(b[omfMinorAt:])
	if version != formatVersion {
		return Superblock{}, fmt.Errorf("superblock: found version %d, want %d: %w", version, formatVersion, ErrVersion)
	}
	if found, want := le.Uint64(b[superblockCRC:]), checksum(b[:superblockCRC]); found != want {
		return Superblock{}, fmt.Errorf("superblock: found CRC %#x, want %#x: %w: %w", found, want, ErrChecksum, ErrCorrupt)
	}
	// Higher minor versions only add: what they add is a problem of the entry that has it.
	if major != omfMajor || minor < omfMinor {
		return Superblock{}, fmt.Errorf("superblock: found on-media format %d.%d, want %d.%d or a higher minor version: %w", major, minor, omfMajor, omfMinor, ErrVersion)
	}
	offset, size, unit := le.Uint64(b[logOffsetAt:]), le.Uint64(b[logSizeAt:]), le.Uint64(b[allocUnitAt:])
	switch {
	case offset != logOffset:
		return Superblock{}, fmt.Errorf("superblock: found log offset %#x, want %#x: %w", offset, logOffset, ErrCorrupt)
	case size > math.MaxInt64:
		return Superblock{}, fmt.Errorf("superblock: found log length %#x, more than any device has: %w", size, ErrCorrupt)
	case unit != defaultUnit && unit != smallUnit:
		return Superblock{}, fmt.Errorf("superblock: found allocation unit %d, want %d or %d: %w", unit, defaultUnit, smallUnit, ErrCorrupt)
	}
	if err := checkLogSize(int64(size), deviceSize); err != nil {
		return Superblock{}, fmt.Errorf("superblock: %w: %w", err, ErrCorrupt)
	}
	name := b[deviceNameAt : deviceNameAt+deviceNameSize]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return Superblock{
		Version:    version,
		LogOffset:  int64(offset),
		LogSize:    int64(size),
		AllocUnit:  int64(unit),
		OMFMajor:   major,
		OMFMinor:   minor,
		UUID:       UUID(b[fsUUIDAt:]),
		DeviceUUID: UUID(b[deviceUUIDAt:]),
		SystemUUID: UUID(b[systemUUIDAt:]),
		DeviceSize: int64(min(le.Uint64(b[deviceSizeAt:]), math.MaxInt64)),
		DeviceName: string(name),
	}, nil
}

// checkLogSize says what is wrong with a log of this size on a device of that one.
func checkLogSize(size, deviceSize int64) error {
	switch {
	case size < minLogSize || size&(size-1) != 0:
		return fmt.Errorf("log length %d, want a power of two of at least %d", size, minLogSize)
	case size > deviceSize-logOffset:
		return fmt.Errorf("log of %d bytes from %d passes the end of the device at %d", size, logOffset, deviceSize)
	}
	return nil
}

// checkDeviceSize refuses devices that are too small for a file system without files.
func checkDeviceSize(size int64) error {
	if size < superblockArea+minLogSize {
		return fmt.Errorf("device of %d bytes: too small for famfs, whose metadata alone takes %d: %w: %w", size, superblockArea+minLogSize, ErrNotFormatted, fs.ErrInvalid)
	}
	return nil
}

// readSuperblock loads and decodes the superblock. Other hosts write it only when
// they format the device.
func readSuperblock(m sharedMemory, deviceSize int64) (Superblock, error) {
	tooSmall := checkDeviceSize(deviceSize)
	if deviceSize < superblockSize {
		return Superblock{}, tooSmall
	}
	// One load may get some lines from before and some from after a Format. Two that
	// agree are of one time, as lines that a Format changes never change back.
	var b, before [superblockSize]byte
	for range 2 + len(settleTimes) {
		before = b
		m.invalidate(0, superblockSize)
		m.fenceLoads()
		m.load(b[:], 0)
		if b == before {
			break
		}
	}
	sb, err := decodeSuperblock(&b, deviceSize)
	if errors.Is(err, ErrNotFormatted) && tooSmall != nil {
		err = tooSmall // a superblock that is there says more: the device was cut short
	}
	return sb, err
}

// checksum is the format's: CRC-32/IEEE, zero-extended.
func checksum(b []byte) uint64 { return uint64(crc32.ChecksumIEEE(b)) }

// superblockLine is how much of the superblock a look compares: the cache line that has
// magic, geometry and the UUID of the file system.
const superblockLine = 64
