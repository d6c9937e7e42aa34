package famfs

// The superblock: its codec, with all checks that need no other reads, and the store that changes
// its size. famfs.go reads it; mkfs.go and compact.go write a new one.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
)

// Fixed offsets and values (format: the device).
const (
	superblockArea = 2 << 20 // reserved for the superblock at offset 0
	logOffset      = superblockArea
	minLogSize     = 8 << 20
	defaultUnit    = 2 << 20
	smallUnit      = 4096
)

// Offsets of the fields of the superblock (format: superblock).
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
	superblockCRC  = 96 // covers everything before it
	flagsAt        = 104
	deviceSizeAt   = 112
	deviceNameAt   = 136
	deviceNameSize = 64
	superblockSize = 200 // bytes used
)

// Values that these fields must have.
const (
	superblockMagic = 0x87b282ff
	formatVersion   = 48 // the lower half of the version; the upper has the features
	omfMajor        = 2
	omfMinor        = 2
	flagPrimary     = 1 // the device that has the log
	flagSecondary   = 2 // a device that an entry of the log adds
)

// Features that a reader must know, in the upper half of the version (format: features).
const (
	featureReuse   = 1 << 32 // memory of removed files is given out again
	featureDevices = 1 << 33 // files may be on devices that entries add

	knownFeatures = featureReuse | featureDevices
)

// Superblock describes a file system. It is in the first bytes of the device (format:
// superblock). Sizes and offsets are in bytes.
type Superblock struct {
	// Version is 48 in its lower half, and a bit for each feature in its upper half.
	Version uint64
	// LogOffset and LogSize are the place of the log. File data follows it.
	LogOffset, LogSize int64
	// AllocUnit is the unit of allocation for files: 2 MiB, or 4 KiB.
	AllocUnit int64
	// OMFMajor and OMFMinor are the version of the on-media format: 2.2, or 2 with a higher minor
	// version, which can only be read.
	OMFMajor, OMFMinor uint32
	// UUID identifies the file system, DeviceUUID the device, and SystemUUID the master.
	UUID, DeviceUUID, SystemUUID UUID
	// DeviceName is the name of the device when it was formatted. DeviceSize is its size when it
	// was formatted, or when it was last opened with Grow. No CRC covers them; DeviceInfo has
	// the actual size.
	DeviceSize int64
	DeviceName string
}

// newerFormat returns an error if the minor version of the file system is higher than this
// package's, and nil otherwise.
func (sb *Superblock) newerFormat() error {
	if sb.OMFMinor <= omfMinor {
		return nil
	}
	return fmt.Errorf("superblock: on-media format %d.%d is newer than %d.%d, the newest that this package knows: %w", sb.OMFMajor, sb.OMFMinor, omfMajor, omfMinor, ErrVersion)
}

// usable returns how much of a device of this actual size belongs to the file system. No CRC
// covers the size in the superblock. If it is less than one file needs, it is ignored.
func (sb *Superblock) usable(deviceSize int64) int64 {
	if sb.DeviceSize < sb.dataStart()+sb.AllocUnit {
		return deviceSize
	}
	return min(sb.DeviceSize, deviceSize)
}

// canGrow reports whether a part of the device does not belong to the file system.
func (sb *Superblock) canGrow(deviceSize int64) bool {
	return sb.usable(deviceSize) < deviceSize || sb.DeviceSize < sb.dataStart()+sb.AllocUnit
}

// writeDeviceSize changes the size in the superblock. The caller must hold the writers' lock and
// must have read the superblock, so that this host has no older line of it.
func writeDeviceSize(m sharedMemory, size int64) error {
	m.store64(deviceSizeAt, uint64(size))
	return flushAndFence(m, deviceSizeAt, 8)
}

// logEnd returns the offset at which the metadata ends and the data begins.
func (sb *Superblock) logEnd() int64 { return sb.LogOffset + sb.LogSize }

// secondary reports whether sb is the superblock of a device without a log.
func (sb *Superblock) secondary() bool { return sb.LogSize == 0 }

// hasDevices reports whether files may be on devices that entries add.
func (sb *Superblock) hasDevices() bool { return sb.Version&featureDevices != 0 }

// reuses reports whether memory of removed files is given out again.
func (sb *Superblock) reuses() bool { return sb.Version&featureReuse != 0 }

// dataStart returns the offset at which files may begin.
func (sb *Superblock) dataStart() int64 {
	if sb.reuses() {
		return sb.logEnd() + pinsSize
	}
	return sb.logEnd()
}

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
	if sb.secondary() {
		le.PutUint32(b[flagsAt:], flagSecondary)
	}
	le.PutUint64(b[deviceSizeAt:], uint64(sb.DeviceSize))
	copy(b[deviceNameAt:deviceNameAt+deviceNameSize], sb.DeviceName)
	return b
}

// decodeSuperblock decodes b, a copy, and checks it against the actual size of the device. It
// ignores the flags, the UUID behind the size, and everything behind the name, because the
// reference does not clear these bytes.
func decodeSuperblock(b *[superblockSize]byte, deviceSize int64) (Superblock, error) {
	le := binary.LittleEndian
	if magic := le.Uint64(b[magicAt:]); magic != superblockMagic {
		return Superblock{}, fmt.Errorf("superblock: found magic %#x, want %#x: %w", magic, uint64(superblockMagic), ErrNotFormatted)
	}
	version, major, minor := le.Uint64(b[versionAt:]), le.Uint32(b[omfMajorAt:]), le.Uint32(b[omfMinorAt:])
	if found := uint32(version); found != formatVersion {
		return Superblock{}, fmt.Errorf("superblock: found version %d, want %d: %w", found, formatVersion, ErrVersion)
	}
	if unknown := version &^ (math.MaxUint32 | knownFeatures); unknown != 0 {
		return Superblock{}, fmt.Errorf("superblock: found features %#x, of which this package does not know %#x: %w", version>>32, unknown>>32, ErrVersion)
	}
	if found, want := le.Uint64(b[superblockCRC:]), checksum(b[:superblockCRC]); found != want {
		return Superblock{}, fmt.Errorf("superblock: found CRC %#x, want %#x: %w: %w", found, want, ErrChecksum, ErrCorrupt)
	}
	// Higher minor versions only add things; an entry that uses such an addition is a problem.
	if major != omfMajor || minor < omfMinor {
		return Superblock{}, fmt.Errorf("superblock: found on-media format %d.%d, want %d.%d or a higher minor version: %w", major, minor, omfMajor, omfMinor, ErrVersion)
	}
	offset, size, unit := le.Uint64(b[logOffsetAt:]), le.Uint64(b[logSizeAt:]), le.Uint64(b[allocUnitAt:])
	switch {
	case isSecondary(b):
		return Superblock{}, fmt.Errorf("superblock: found a secondary device (%s) of file system %s, which has no log; open the device that has the log, and give this one to WithDevices: %w", UUID(b[deviceUUIDAt:]), UUID(b[fsUUIDAt:]), ErrDevice)
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
	if version&featureReuse != 0 {
		switch {
		case unit != defaultUnit:
			return Superblock{}, fmt.Errorf("superblock: found allocation unit %d on a file system that gives memory out again, want %d: %w", unit, defaultUnit, ErrCorrupt)
		case int64(size) > deviceSize-logOffset-pinsSize:
			return Superblock{}, fmt.Errorf("superblock: pins unit behind a log of %d bytes passes the end of the device at %d: %w", size, deviceSize, ErrCorrupt)
		}
	}
	return fieldsOf(b), nil
}

// isSecondary reports whether b is the superblock of a device without a log.
func isSecondary(b *[superblockSize]byte) bool {
	return binary.LittleEndian.Uint32(b[flagsAt:]) == flagSecondary && hasNoLog(b)
}

// hasNoLog reports whether b is that, whatever its flags say. No CRC covers them.
func hasNoLog(b *[superblockSize]byte) bool {
	le := binary.LittleEndian
	return le.Uint64(b[logOffsetAt:]) == 0 && le.Uint64(b[logSizeAt:]) == 0
}

// decodeSecondary decodes b, a copy, of a device that is to be a secondary one.
func decodeSecondary(b *[superblockSize]byte) (Superblock, error) {
	le := binary.LittleEndian
	sb := fieldsOf(b)
	magic, version := le.Uint64(b[magicAt:]), sb.Version
	switch found, want := le.Uint64(b[superblockCRC:]), checksum(b[:superblockCRC]); {
	case magic != superblockMagic:
		return sb, fmt.Errorf("superblock: found magic %#x, want %#x: %w", magic, uint64(superblockMagic), ErrNotFormatted)
	case uint32(version) != formatVersion || version&^(math.MaxUint32|knownFeatures) != 0:
		return sb, fmt.Errorf("superblock: found version %#x, want %d: %w", version, formatVersion, ErrVersion)
	case found != want:
		return sb, fmt.Errorf("superblock: found CRC %#x, want %#x: %w: %w", found, want, ErrChecksum, ErrCorrupt)
	case sb.OMFMajor != omfMajor || sb.OMFMinor < omfMinor:
		return sb, fmt.Errorf("superblock: found on-media format %d.%d, want %d.%d or a higher minor version: %w", sb.OMFMajor, sb.OMFMinor, omfMajor, omfMinor, ErrVersion)
	case !isSecondary(b):
		return sb, fmt.Errorf("superblock: found the device with the log of file system %s, want a secondary one (flags %d, found %d): %w", sb.UUID, flagSecondary, le.Uint32(b[flagsAt:]), ErrDevice)
	}
	return sb, nil
}

// checkStands returns an error if b, which stands on a device and is to be changed, is not sound, or not of
// the file system uuid any more.
func checkStands(b *[superblockSize]byte, deviceSize int64, uuid UUID) error {
	switch now, err := decodeSuperblock(b, deviceSize); {
	case errors.Is(err, ErrNotFormatted):
		return errors.Join(err, ErrReformatted)
	case err != nil: // it is damaged, and may be put back
		return err
	case now.UUID != uuid:
		return fmt.Errorf("superblock: found file system %s, want %s: %w", now.UUID, uuid, ErrReformatted)
	}
	return nil
}

// decodeEither decodes b, a copy, of a device with a log or of a secondary one.
func decodeEither(b *[superblockSize]byte, deviceSize int64) (Superblock, error) {
	if isSecondary(b) {
		return decodeSecondary(b)
	}
	return decodeSuperblock(b, deviceSize)
}

// fieldsOf returns what b says, which need not be valid.
func fieldsOf(b *[superblockSize]byte) Superblock {
	le := binary.LittleEndian
	name := b[deviceNameAt : deviceNameAt+deviceNameSize]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return Superblock{
		Version:    le.Uint64(b[versionAt:]),
		LogOffset:  clamp(le.Uint64(b[logOffsetAt:])),
		LogSize:    clamp(le.Uint64(b[logSizeAt:])),
		AllocUnit:  clamp(le.Uint64(b[allocUnitAt:])),
		OMFMajor:   le.Uint32(b[omfMajorAt:]),
		OMFMinor:   le.Uint32(b[omfMinorAt:]),
		UUID:       UUID(b[fsUUIDAt:]),
		DeviceUUID: UUID(b[deviceUUIDAt:]),
		SystemUUID: UUID(b[systemUUIDAt:]),
		DeviceSize: clamp(le.Uint64(b[deviceSizeAt:])),
		DeviceName: string(name),
	}
}

// checkLogSize returns an error if a log of this size is not possible on a device of that size.
func checkLogSize(size, deviceSize int64) error {
	switch {
	case size < minLogSize || size&(size-1) != 0:
		return fmt.Errorf("log length %d, want a power of two of at least %d", size, minLogSize)
	case size > deviceSize-logOffset:
		return fmt.Errorf("log of %d bytes from %d passes the end of the device at %d", size, logOffset, deviceSize)
	}
	return nil
}

// checkDeviceSize returns an error if the device is too small even for a file system without files.
func checkDeviceSize(size int64) error {
	if size < superblockArea+minLogSize {
		return fmt.Errorf("device of %d bytes: too small for famfs, whose metadata alone takes %d: %w: %w", size, superblockArea+minLogSize, ErrNotFormatted, fs.ErrInvalid)
	}
	return nil
}

// readSuperblock loads and decodes the superblock. Other hosts write it only when they format
// the device or when they grow the file system.
func readSuperblock(m sharedMemory, deviceSize int64) (Superblock, error) {
	tooSmall := checkDeviceSize(deviceSize)
	if deviceSize < superblockSize {
		return Superblock{}, tooSmall
	}
	b := loadSuperblock(m)
	sb, err := decodeSuperblock(&b, deviceSize)
	if errors.Is(err, ErrNotFormatted) && tooSmall != nil {
		err = tooSmall // a superblock that is there says more: the device was cut off
	}
	return sb, err
}

// loadSuperblock loads the bytes of a superblock. One load may get some lines from before a Format
// and some from after it. Two equal loads are consistent, because lines that a Format changes never
// change back.
func loadSuperblock(m sharedMemory) (b [superblockSize]byte) {
	var before [superblockSize]byte
	for range 2 + len(settleTimes) {
		before = b
		m.invalidate(0, superblockSize)
		m.fenceLoads()
		m.load(b[:], 0)
		if b == before {
			break
		}
	}
	return b
}

// setFeature sets the bit of a feature in b, a sound superblock, and the CRC.
func setFeature(b *[superblockSize]byte, feature uint64) {
	le := binary.LittleEndian
	le.PutUint64(b[versionAt:], le.Uint64(b[versionAt:])|feature)
	le.PutUint64(b[superblockCRC:], checksum(b[:superblockCRC]))
}

// checksum returns the checksum of the format: CRC-32/IEEE, zero-extended.
func checksum(b []byte) uint64 { return uint64(crc32.ChecksumIEEE(b)) }

// hasSum reports whether the checksum at offset at of a record is that of everything before it.
func hasSum(b []byte, at int) bool { return binary.LittleEndian.Uint64(b[at:]) == checksum(b[:at]) }

// superblockLine is the part of the superblock that a look compares: the cache line with magic,
// geometry and the UUID of the file system.
const superblockLine = 64
