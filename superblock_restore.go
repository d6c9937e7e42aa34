package famfs

// Using the second copy of the superblock: whether it can be believed, and putting it back where the
// superblock is lost. Its bytes are superblock_copy.go's concern.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
)

// RestoreSuperblock writes the second copy of the superblock, which Format makes, over a superblock
// that is lost or damaged, on the master. The device at path may also be a secondary one. Nothing else
// is changed. Report.Copy is what would be written.
//
// A copy is believed only if it is complete and nothing else on the device contradicts it: what is
// left of the superblock, the log's header and entries, the pins unit, and secondary devices that
// are here. If there is none, the error is ErrNotFormatted: the reference and earlier versions of this package
// make none. If it is damaged, or of another file system, the error is ErrCorrupt.
//
// Other errors: fs.ErrExist if the superblock is sound; ErrBusy if a compaction was interrupted, which
// Open with ReadWrite finishes; ErrNotMaster on another host than the master that the copy names;
// ErrNotEmpty if the device carries the signature of something else by now; ErrVersion; ErrLocked; and
// those of Open about path. Of the options, WithSystemUUID, WithDevices, DiscoverDevices and
// WithLogger have an effect. If it is interrupted, the same call succeeds.
func RestoreSuperblock(path string, opts ...Option) error {
	c := newOpenConfig(opts)
	err := restoreSuperblock(path, c)
	c.journal.tell()
	if err != nil {
		return fmt.Errorf("famfs: restore superblock %s: %w", path, err)
	}
	return nil
}

// SuperblockCopy returns the second copy of the superblock of the device at path, which may also be a
// secondary one: what RestoreSuperblock would write there. It fails for the same reasons, except that it
// needs neither this host to be the master nor the superblock to be lost. It writes nothing.
func SuperblockCopy(path string) (Superblock, error) {
	sb, err := superblockCopy(path)
	if err != nil {
		return Superblock{}, fmt.Errorf("famfs: read superblock copy %s: %w", path, err)
	}
	return sb, nil
}

func superblockCopy(path string) (sb Superblock, err error) {
	f, err := openMedium(path, newOpenConfig(nil))
	if err != nil {
		return sb, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	err = Guard(func() error {
		_, sb, err = secondCopy(&mappedMemory{dev: f.dev, mem: f.window.mem}, f.size(), f.size())
		return err
	})
	return sb, err
}

func restoreSuperblock(path string, c openConfig) error {
	var size int64 // of what is mapped
	area := func(deviceSize int64) (int64, error) {
		if deviceSize < superblockArea+smallUnit { // it may be a secondary device
			return 0, checkDeviceSize(deviceSize)
		}
		size = deviceSize &^ (superblockArea - 1)
		return size, nil
	}
	return withMetadata(path, area, c.prepare, func(dev *device, m sharedMemory) error {
		b, sb, err := c.restorable(m, size, dev.info.Size)
		if err != nil {
			return err
		}
		if sb.hasDevices() && !sb.secondary() {
			if err := c.devicesAgree(path); err != nil {
				return err
			}
		}
		if err := dev.reserve([]segment{{0, superblockSize}}); err != nil {
			return err
		}
		return putSuperblock(m, &b)
	})
}

// restorable returns the copy that may be put back on a device of deviceSize. m reaches size bytes of it.
func (c *openConfig) restorable(m sharedMemory, size, deviceSize int64) (b [superblockSize]byte, sb Superblock, err error) {
	records := readRecords(m, size)
	if record, stands, ok := records.underWay(m, size); ok && stands != newStands {
		return b, sb, record.interrupted()
	}
	if soundSuperblock(m) {
		return b, sb, fmt.Errorf("superblock: it is sound, so there is nothing to restore: %w", fs.ErrExist)
	}
	if b, sb, err = secondCopy(m, size, deviceSize); err != nil {
		return b, sb, err
	}
	head := make([]byte, min(size, signatureSpan))
	read(m, head, 0)
	if found := findSignature(head); found != "" {
		return b, sb, fmt.Errorf("the device carries %s by now, which writing the superblock would damage: %w", found, ErrNotEmpty)
	}
	if newer := sb.newerFormat(); newer != nil {
		return b, sb, newer
	}
	host, identityErr := hostUUIDs(c.systemUUID, systemUUIDFile, machineIDFile)
	if roleOf(host, sb.SystemUUID) != Master {
		return b, sb, fmt.Errorf("the copy of the superblock names host %s, this one is %v: %w", sb.SystemUUID, host, errors.Join(ErrNotMaster, identityErr))
	}
	return b, sb, nil
}

// devicesAgree looks at the secondary devices that are here: whether they are of the file system of
// the copy.
func (c openConfig) devicesAgree(path string) error {
	c.readWrite, c.clientWrites, c.salvage, c.tolerant, c.grow = false, false, true, false, false
	f, err := open(path, c)
	if err != nil {
		return err
	}
	problems := f.devices.listProblems()
	if err := f.release(); err != nil {
		return err
	}
	for _, p := range problems {
		if lost := (errLost{}); errors.As(p.Err, &lost) {
			continue // what is left of it has the UUIDs of the copy
		}
		return fmt.Errorf("the second copy of the superblock is not believed, as a device contradicts it: %w: %w", p, ErrCorrupt)
	}
	return nil
}

// putSuperblock writes a superblock over a damaged one. Its UUIDs come first: with any part of it beside
// other UUIDs, what an interruption leaves would be another file system's (isOfAnother), and the copy would
// not be believed any more. What its CRC does not cover comes with them, so that it is complete as soon as
// the CRC is right. The magic is not taken away before: whoever has the file system open would take that
// for a device that is formatted anew.
func putSuperblock(m sharedMemory, b *[superblockSize]byte) error {
	m.invalidate(magicAt, superblockSize)
	m.fenceLoads()
	m.store(fsUUIDAt, b[fsUUIDAt:superblockCRC])
	m.store(flagsAt, b[flagsAt:])
	if err := flushAndFence(m, fsUUIDAt, superblockSize-fsUUIDAt); err != nil {
		return err
	}
	m.store(magicAt, b[:fsUUIDAt])
	m.store(superblockCRC, b[superblockCRC:flagsAt])
	return flushAndFence(m, magicAt, flagsAt)
}

// secondCopy returns the second copy of the superblock of a device, if it can be believed: it is
// complete, and nothing on the device says that it is of another file system. The reference leaves
// one that it finds when it formats a device. m reaches size bytes of it.
func secondCopy(m sharedMemory, size, deviceSize int64) (b [superblockSize]byte, sb Superblock, err error) {
	if size < superblockArea {
		return b, sb, errNoCopy
	}
	if b, err = loadCopy(m); err != nil {
		return b, sb, err
	}
	if sb, err = decodeEither(&b, deviceSize); err != nil {
		return b, sb, fmt.Errorf("second copy: %w", err)
	}
	var standing [superblockSize]byte
	if Guard(func() error { read(m, standing[:], 0); return nil }) == nil && isOfAnother(&standing, &b) {
		return b, sb, notOf(&sb, "what is left of the superblock has other UUIDs")
	}
	return b, sb, contradicts(m, &sb, size, deviceSize)
}

// notOf says that the copy sb is of another file system than the one on the device.
func notOf(sb *Superblock, why string) error {
	return fmt.Errorf("superblock: its second copy is of file system %s, and not of the one on the device: %s: %w", sb.UUID, why, ErrCorrupt)
}

// isOfAnother reports whether b, the superblock that stands, whatever became of it, was made for
// another device or file system than copied.
func isOfAnother(b, copied *[superblockSize]byte) bool {
	le := binary.LittleEndian
	known := 0 // words that are the same in all superblocks: something else has none of them
	for _, same := range [...]bool{
		le.Uint64(b[magicAt:]) == superblockMagic,
		le.Uint32(b[versionAt:]) == formatVersion,
		le.Uint64(b[logOffsetAt:]) == le.Uint64(copied[logOffsetAt:]) && le.Uint64(copied[logOffsetAt:]) != 0,
		le.Uint64(b[omfMajorAt:]) == le.Uint64(copied[omfMajorAt:]),
	} {
		if same {
			known++
		}
	}
	if isSecondLine(b) {
		known += 2
	}
	if known < 2 {
		return false
	}
	zeros := true
	for at := fsUUIDAt; at < systemUUIDAt; at += 8 {
		word := le.Uint64(b[at:])
		if word == le.Uint64(copied[at:]) {
			return false
		}
		zeros = zeros && word == 0
	}
	return !zeros
}

// isSecondLine reports whether the second cache line of b is that of a superblock, whatever became of
// the first: device UUID, system UUID and the CRC, whose upper half is zero.
func isSecondLine(b *[superblockSize]byte) bool {
	for _, at := range [...]int{deviceUUIDAt, systemUUIDAt} {
		if b[at+6]>>4 != 4 || b[at+8]>>6 != 2 { // made at random
			return false
		}
	}
	crc := binary.LittleEndian.Uint64(b[superblockCRC:])
	return crc != 0 && crc>>32 == 0
}

// contradicts says what on the device does not go with sb, the copy of a superblock: the length of the
// log, the pins unit, or where files lie, as far as the size bytes that m reaches say it.
func contradicts(m sharedMemory, sb *Superblock, size, deviceSize int64) error {
	var header [logHeaderSize]byte
	if size >= logOffset+logHeaderSize && Guard(func() error { read(m, header[:], logOffset); return nil }) == nil && isSoundHeader(&header) {
		if found := binary.LittleEndian.Uint64(header[logLengthAt:]); found != uint64(sb.LogSize) {
			return notOf(sb, fmt.Sprintf("the log has %d bytes, in the copy %d", found, sb.LogSize))
		}
	}
	if sb.secondary() {
		return nil
	}
	var pins [pinsHeaderSize]byte
	if sb.reuses() && size >= sb.dataStart() && Guard(func() error { read(m, pins[:], sb.logEnd()); return nil }) == nil {
		if found, err := decodePinsHeader(&pins); err == nil && found != sb.UUID {
			return notOf(sb, fmt.Sprintf("the pins unit is of %s", found))
		}
	}
	// One entry may be wrong in itself. Most are not.
	const some = 16 * scanPiece
	fit, other := 0, 0
	var e entry
	_ = Guard(func() error {
		scanEntries(m, min(some, lastIndex(sb.LogSize)+1, entriesWithin(size)), func(b *[entrySize]byte) {
			if e.decode(b); e.kind != typeFile {
				return
			}
			for _, x := range e.extents {
				switch {
				case x.device != 0:
				case (x.offset|x.length)%uint64(sb.AllocUnit) != 0, x.offset < uint64(sb.dataStart()),
					x.length > math.MaxInt64, x.offset > uint64(deviceSize)-min(x.length, uint64(deviceSize)):
					other++
				default:
					fit++
				}
			}
		})
		return nil
	})
	if other > fit {
		return notOf(sb, fmt.Sprintf("of the first %d extents in the log, %d do not lie where its files can", fit+other, other))
	}
	return nil
}

// mentionCopy adds to err, an error about the superblock, that the copy can be put back.
func mentionCopy(m sharedMemory, deviceSize int64, err error) error {
	if deviceSize < superblockArea || soundSuperblock(m) {
		return err
	}
	if _, _, copyErr := secondCopy(m, deviceSize, deviceSize); copyErr != nil {
		return err
	}
	return fmt.Errorf("%w; its second copy is sound: RestoreSuperblock puts it back, on the master", err)
}

// lostSuperblock returns what the superblock of a device must have been: the second copy, or else as
// much as other records say.
func lostSuperblock(m sharedMemory, deviceSize int64) (sb Superblock, copied bool, err error) {
	if _, sb, err := secondCopy(m, deviceSize, deviceSize); err == nil {
		return sb, true, nil
	}
	err = Guard(func() error {
		sb, err = guessSuperblock(m, deviceSize)
		return err
	})
	return sb, false, err
}

// repairCopy writes the second copy of the superblock if it is missing, damaged, or not that of the
// superblock, on every device that is here. It does not wait: if another writer has the lock now, the
// copy is left to it. That there is no copy is no reason not to open a device.
func (f *FS) repairCopy() {
	err := Guard(func() error {
		m := f.replica.meta
		_, ok, err := copyToBe(m, f.dev.info.Size)
		secondaries := f.withoutCopy()
		if ok && len(secondaries) == 0 || err != nil {
			return err
		}
		if err := f.dev.reserve([]segment{copySegment}); err != nil {
			return err
		}
		if err := f.lock.acquire(context.Background(), 0); err != nil {
			return err
		}
		err = Guard(func() error { return renewCopy(m, f.dev.info.Size) })
		for _, s := range secondaries {
			err = errors.Join(err, f.withSecondaries([]*member{s}, func(ms []sharedMemory) error {
				return renewCopy(ms[0], s.dev.info.Size)
			}))
		}
		return errors.Join(err, f.lock.release())
	})
	if err != nil {
		f.config.log.Debug("second copy of the superblock not written now", "path", f.dev.info.Path, "err", err)
	}
}

// withoutCopy returns the secondary devices that are here and whose superblock is sound and has no
// second copy, or another one. Those that the reference has added have no superblock.
func (f *FS) withoutCopy() (members []*member) {
	for _, m := range f.devices.list() {
		if m.why() != nil {
			continue
		}
		window := &mappedMemory{dev: m.dev, mem: m.window.mem}
		if _, ok, err := copyToBe(window, m.dev.info.Size); err == nil && !ok {
			members = append(members, m)
		}
	}
	return members
}
