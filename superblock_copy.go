package famfs

// The second copy of the superblock: its codec, and the stores that write it and take it away.
// Whether one that is found is of the file system that is on the device, and putting it back, is
// superblock_restore.go's concern.
//
// Of a superblock and its copy one is sound at every moment, except while the device is formatted,
// wiped or compacted. So the superblock is changed before its copy is. Where the log goes, the copy
// goes first: as long as one stands, the log that it is about is complete. The copy of a new
// superblock comes when all else is complete, before the magic, with which the file system exists.

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Where the copy is, and what comes behind the superblock's bytes in it (format: superblock copy).
const (
	copyAt   = 64 << 10
	copyCRC  = superblockSize // covers everything before it but the superblock's own CRC
	copySize = 208
)

// copySegment is where the copy is on its device.
var copySegment = segment{copyAt, copySize}

// encodeCopy returns the copy of a superblock.
func encodeCopy(superblock *[superblockSize]byte) (b [copySize]byte) {
	copy(b[:], superblock[:])
	binary.LittleEndian.PutUint64(b[copyCRC:], copySum(&b))
	return b
}

// copySum returns the checksum of a copy: that of all but the superblock's own. With that, it would not
// depend on what that covers, because the CRC of bytes and their CRC is always the same.
func copySum(b *[copySize]byte) uint64 {
	covered := append(make([]byte, 0, copySize), b[:superblockCRC]...)
	return checksum(append(covered, b[flagsAt:copyCRC]...))
}

// errNoCopy: there is no second copy of the superblock. The reference makes none.
var errNoCopy = fmt.Errorf("superblock: it has no second copy: %w", ErrNotFormatted)

// loadCopy returns the superblock that the copy has. It is complete, but may be of another file
// system.
func loadCopy(m sharedMemory) (superblock [superblockSize]byte, err error) {
	var b [copySize]byte
	if err := Guard(func() error { read(m, b[:], copyAt); return nil }); err != nil {
		return superblock, fmt.Errorf("superblock: its second copy cannot be read: %w", err)
	}
	switch found, want := binary.LittleEndian.Uint64(b[copyCRC:]), copySum(&b); {
	case binary.LittleEndian.Uint64(b[magicAt:]) != superblockMagic:
		return superblock, errNoCopy
	case found != want:
		return superblock, fmt.Errorf("superblock: its second copy has CRC %#x, want %#x: %w: %w", found, want, ErrChecksum, ErrCorrupt)
	}
	return [superblockSize]byte(b[:]), nil
}

// writeCopy makes the copy that of a superblock. The caller must hold the writers'
// lock.
func writeCopy(m sharedMemory, superblock *[superblockSize]byte) error {
	var found [copySize]byte
	read(m, found[:], copyAt)
	b := encodeCopy(superblock)
	if found == b {
		return nil
	}
	m.store(copyAt, b[:])
	return flushAndFence(m, copyAt, copySize)
}

// renewCopy makes the copy that of the superblock that stands, if that is sound. The superblock's CRC
// does not cover its end. So if all else is the same, the end of the copy, which has a checksum, is
// kept, except that a device may have grown.
func renewCopy(m sharedMemory, deviceSize int64) error {
	b, ok, err := copyToBe(m, deviceSize)
	if err != nil || ok {
		return err
	}
	return writeCopy(m, &b)
}

// copyToBe returns what the copy should be, and whether it is that.
func copyToBe(m sharedMemory, deviceSize int64) (b [superblockSize]byte, ok bool, err error) {
	b = loadSuperblock(m)
	if _, err := decodeEither(&b, deviceSize); err != nil {
		return b, false, err
	}
	copied, noCopy := loadCopy(m)
	if noCopy != nil || [flagsAt]byte(copied[:flagsAt]) != [flagsAt]byte(b[:flagsAt]) {
		return b, false, nil
	}
	le := binary.LittleEndian
	now, before := le.Uint64(b[deviceSizeAt:]), le.Uint64(copied[deviceSizeAt:])
	b = copied
	if now > before && now <= uint64(deviceSize) {
		le.PutUint64(b[deviceSizeAt:], now)
	}
	return b, b == copied, nil
}

// unmakeSuperblock takes superblock and copy away, at once: nobody opens the file system after that,
// and nobody takes the copy for that of the log, whatever becomes of it.
func unmakeSuperblock(m sharedMemory) error {
	m.invalidate(magicAt, superblockSize)
	m.invalidate(copyAt, copySize)
	m.fenceLoads()
	m.store64(magicAt, 0)
	if m.load64(copyAt+magicAt) == 0 { // also where there is no room under a stand-in
		return flushAndFence(m, magicAt, 8)
	}
	m.store64(copyAt+magicAt, 0)
	m.store64(copyAt+copyCRC, 0) // or the magic of the next one, stored over it, could bring it back
	return errors.Join(m.flush(magicAt, 8), flushAndFence(m, copyAt, copySize))
}
