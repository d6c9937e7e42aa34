package famfs

// Making and wiping a file system. The stores are in such an order that at every moment the device
// has the old file system, none, or the complete new one.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
)

// Format makes an empty file system on the device or file at path. This host becomes its master:
// the superblock records the UUID of WithSystemUUID, or else the one in /opt/famfs/system_uuid,
// or else one derived from /etc/machine-id.
//
// Without Force nothing is lost. If the device has a famfs already, the error is fs.ErrExist;
// that includes a device with a damaged superblock if its log, or an entry of its log, is sound.
// If the device holds something else, the error is ErrNotEmpty, and says what was found. At the
// beginning of any device, Format recognizes the signatures of file systems, volume managers,
// partition tables, archives and disk images. In a file, on fs-dax too, it also refuses any byte
// that is not zero in the place of superblock and log. A DevDAX device may hold such bytes,
// because memory does after a restart. After an interrupted Format, the same call succeeds, but
// needs Force with Secondaries.
//
// The device must have room for superblock, log and one allocation unit, which is 12 MiB with
// the default log, and 14 MiB with Reuse; otherwise the error is fs.ErrInvalid. If the device has a
// file system with Reuse of which a host may have files mapped, the error is ErrBusy, and says
// which: it has to close, or be evicted. Other errors are those of Open, and
// ErrLocked if another process is writing.
func Format(path string, opts ...FormatOption) error {
	if err := format(path, newFormatConfig(opts)); err != nil {
		return fmt.Errorf("famfs: format %s: %w", path, err)
	}
	return nil
}

func newFormatConfig(opts []FormatOption) formatConfig {
	c := formatConfig{logSize: DefaultLogSize, unit: defaultUnit}
	for _, o := range opts {
		if o != nil {
			o.applyFormat(&c)
		}
	}
	return c
}

func format(path string, c formatConfig) error {
	host, identityErr := hostUUIDs(c.systemUUID, systemUUIDFile, machineIDFile)
	if len(host) == 0 {
		return fmt.Errorf("this host has neither %s nor %s; say who it is with WithSystemUUID: %w", systemUUIDFile, machineIDFile, errors.Join(fs.ErrInvalid, identityErr))
	}
	if err := checkLogSize(c.logSize, math.MaxInt64); err != nil {
		return fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	if c.unit != defaultUnit && c.unit != smallUnit {
		return fmt.Errorf("allocation unit %d, want %d or %d: %w", c.unit, defaultUnit, smallUnit, fs.ErrInvalid)
	}
	if c.reuse && c.unit != defaultUnit {
		return fmt.Errorf("allocation unit %d with Reuse, want %d: %w", c.unit, defaultUnit, fs.ErrInvalid)
	}
	area := func(size int64) (int64, error) {
		n := logOffset + c.logSize
		if c.reuse {
			n += pinsSize
		}
		switch {
		case n > size:
			return 0, fmt.Errorf("superblock and log of %d bytes together pass the end of the device at %d: %w", n, size, fs.ErrInvalid)
		case size-n < c.unit:
			return 0, fmt.Errorf("device of %d bytes, want at least %d for superblock, log and one allocation unit: %w", size, n+c.unit, fs.ErrInvalid)
		default:
			return n, nil
		}
	}
	return withMetadata(path, area, c.prepare, func(dev *device, m sharedMemory) error {
		if !c.force {
			n, _ := area(dev.info.Size)
			if err := checkVacant(m, n, dev.info.Size, dev.info.Kind != DevDAX); err != nil {
				return err
			}
		}
		// The rest is written only if it is not zero, and then it has room already.
		if err := dev.reserve([]segment{{0, superblockSize}, copySegment, {recordAt, recordPlaces * recordSpacing}, {logOffset, logHeaderSize}}); err != nil {
			return err
		}
		if err := checkUnused(dev, m, host); err != nil {
			return err
		}
		version := uint64(formatVersion)
		if c.reuse {
			version |= featureReuse
		}
		sb := Superblock{
			Version:    version,
			LogOffset:  logOffset,
			LogSize:    c.logSize,
			AllocUnit:  c.unit,
			OMFMajor:   omfMajor,
			OMFMinor:   omfMinor,
			UUID:       NewUUID(),
			DeviceUUID: NewUUID(),
			SystemUUID: host[0],
			DeviceSize: dev.info.Size,
			DeviceName: path,
		}
		if len(c.secondaries) == 0 {
			return writeFileSystem(m, sb)
		}
		added, err := formatSecondaries(dev, &sb, c)
		if err != nil {
			return errors.Join(err, stillUsed(dev, m))
		}
		return writeFileSystem(m, sb, added...)
	})
}

// formatSecondaries formats the other devices of a new file system. If one of them would be
// refused, it changes nothing.
func formatSecondaries(primary *device, sb *Superblock, c formatConfig) (added []addedDevice, err error) {
	st, err := primary.file.Stat()
	if err != nil {
		return nil, err
	}
	sb.Version |= featureDevices
	for _, dry := range []bool{true, false} {
		others := []os.FileInfo{st}
		for _, path := range c.secondaries {
			n := newSecondary{path: path, primary: *sb, others: others}
			if err := n.format(c, dry); err != nil {
				return nil, fmt.Errorf("secondary device %s: %w", path, err)
			}
			others = append(others, n.node)
			if !dry {
				added = append(added, n.added)
			}
		}
	}
	return added, nil
}

// checkVacant returns an error if the first n bytes of a device of this size hold something that Format
// must not lose.
func checkVacant(m sharedMemory, n, deviceSize int64, zeros bool) error {
	if err := checkRemains(m, n, deviceSize); err != nil {
		return err
	}
	return checkContent(m, n, zeros)
}

// checkRemains returns an error if the first n bytes of a device of this size have what is left of a
// famfs.
func checkRemains(m sharedMemory, n, deviceSize int64) error {
	if found := remains(m, n, deviceSize); found != "" {
		return fmt.Errorf("carries %s; format with force to lose it: %w", found, fs.ErrExist)
	}
	return nil
}

// checkContent returns an error if the first n bytes hold something else.
func checkContent(m sharedMemory, n int64, zeros bool) error {
	if found := findContent(m, n, zeros); found != "" {
		return fmt.Errorf("holds %s; format with force to lose it: %w", found, ErrNotEmpty)
	}
	return nil
}

// Wipe makes the device or file at path unformatted. Everything on it is lost, as with Format
// and Force, and every host that has it open must open it again once it is formatted. Wipe
// overwrites superblock and log with zeros, so that Format with a log of at most the same size
// needs no Force. Only a note that there was a file system stays (format: compaction record).
// Wipe also wipes a damaged superblock that Format would refuse to overwrite. If the device has
// no famfs, the error is ErrNotFormatted and the device is unchanged. Other errors are those of
// Format.
func Wipe(path string) error {
	if err := wipe(path, nil); err != nil {
		return fmt.Errorf("famfs: wipe %s: %w", path, err)
	}
	return nil
}

func wipe(path string, prepare func(*device)) error {
	var size int64 // of the mapping: the length of the log is not known yet
	all := func(deviceSize int64) (int64, error) {
		size = deviceSize &^ (superblockArea - 1)
		if deviceSize < superblockArea+smallUnit {
			return size, checkDeviceSize(deviceSize)
		}
		return size, nil // it may be a secondary device
	}
	return withMetadata(path, all, prepare, func(dev *device, m sharedMemory) error {
		if sb, ok := secondaryOf(m, size); ok {
			return wipeSecondary(dev, m, size, sb.UUID)
		}
		if err := checkDeviceSize(dev.info.Size); err != nil {
			return err
		}
		if _, _, noCopy := secondCopy(m, size, size); noCopy != nil && remains(m, size, size) == "" {
			_, err := readSuperblock(m, size)
			if err == nil {
				err = fmt.Errorf("superblock: it was written just now: %w", ErrBusy)
			}
			return err
		}
		sb, err := readSuperblock(m, size)
		if err != nil {
			if sb, _, err = lostSuperblock(m, size); err != nil || sb.secondary() {
				sb = Superblock{LogOffset: logOffset, LogSize: minLogSize}
			}
		}
		if err := dev.reserve([]segment{{recordAt, recordPlaces * recordSpacing}}); err != nil {
			return err
		}
		if err := checkUnused(dev, m, nil); err != nil {
			return err
		}
		if err := rememberOwner(m, size, sb.UUID); err != nil {
			return err
		}
		if err := unmake(m); err != nil {
			return err
		}
		return zeroMetadata(m, 0, sb.dataStart())
	})
}

// wipeSecondary wipes a secondary device, which has nothing but a superblock.
func wipeSecondary(dev *device, m sharedMemory, size int64, uuid UUID) error {
	if err := dev.reserve([]segment{{recordAt, recordPlaces * recordSpacing}}); err != nil {
		return err
	}
	if err := rememberOwner(m, size, uuid); err != nil {
		return err
	}
	if err := unmakeSuperblock(m); err != nil {
		return err
	}
	return zeroMetadata(m, 0, superblockArea)
}

// rememberOwner records that the memory which the file system of this UUID gives out had another
// owner, if it had one: other hosts may have lines of it in their caches.
func rememberOwner(m sharedMemory, deviceSize int64, uuid UUID) error {
	records := readRecords(m, deviceSize)
	if records.latest() < 0 && remains(m, deviceSize, deviceSize) == "" {
		return nil
	}
	if at := records.latest(); at >= 0 {
		if c := &records.at[at]; c.state == recordDone && c.uuid == uuid && c.count == 0 {
			return nil // it is recorded already
		}
	}
	return records.write(m, compactionRecord{state: recordDone, uuid: uuid})
}

// withMetadata opens a device, takes the writers' lock, and maps its first bytes for use. area
// returns how many bytes, from the size of the device.
func withMetadata(path string, area func(size int64) (int64, error), prepare func(*device), use func(*device, sharedMemory) error) (err error) {
	dev, err := openDevice(path, true, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.close()) }()
	if prepare != nil {
		prepare(dev)
	}
	n, err := area(dev.info.Size)
	if err != nil {
		return err
	}
	lock := newWriteLock(dev)
	if err := lock.acquire(context.Background(), DefaultLockTimeout); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	r, err := dev.mapPrefix(n)
	if err != nil {
		return err
	}
	mapped.add(r.mem, path)
	defer func() {
		mapped.remove(r.mem)
		err = errors.Join(err, r.unmap())
	}()
	err = Guard(func() error { return use(dev, &mappedMemory{dev: dev, mem: r.mem}) })
	return dev.explain(err, []segment{{0, n}})
}

// unmake removes the file system that is there. It first clears the magic of the superblock and of its
// copy: without it nobody opens the file system, so it is gone before anything in it is damaged. Then
// it clears the log's magic and the rest of the superblock's first line, which would identify a damaged one.
func unmake(m sharedMemory) error {
	m.invalidate(logOffset, logHeaderSize)
	if err := unmakeSuperblock(m); err != nil {
		return err
	}
	m.store64(logOffset+logMagicAt, 0)
	m.store(versionAt, make([]byte, superblockCRC-versionAt))
	return errors.Join(m.flush(0, superblockCRC), flushAndFence(m, logOffset+logMagicAt, 8))
}

// writeFileSystem writes superblock and log of an empty file system with these devices, over
// anything.
func writeFileSystem(m sharedMemory, sb Superblock, added ...addedDevice) error {
	if err := rememberOwner(m, sb.DeviceSize, sb.UUID); err != nil {
		return err
	}
	if err := unmake(m); err != nil {
		return err
	}
	if err := zeroMetadata(m, versionAt, sb.logEnd()); err != nil {
		return err
	}
	if sb.reuses() {
		if err := writePins(m, sb); err != nil {
			return err
		}
	}
	header := encodeLogHeader(sb.LogSize)
	n := uint64(len(added))
	binary.LittleEndian.PutUint64(header[nextSeqAt:], n)
	binary.LittleEndian.PutUint64(header[nextIndexAt:], n)
	for i, d := range added {
		e := entry{seq: uint64(i), kind: typeAddDev, deviceSize: d.size, deviceUUID: d.uuid, deviceIndex: uint32(i + 1)}
		b := e.encode()
		m.store(entryAt(uint64(i)), b[:])
	}
	m.store(logOffset, header[:])
	record := sb.encode()
	m.store(versionAt, record[versionAt:])
	if err := errors.Join(flushAndFence(m, logOffset, entryAt(n)-logOffset), flushAndFence(m, 0, superblockSize)); err != nil {
		return err
	}
	if err := writeCopy(m, &record); err != nil {
		return err
	}
	// Everything else is in place. With its magic, the new file system exists.
	m.store(magicAt, record[magicAt:versionAt])
	return flushAndFence(m, magicAt, 8)
}

// writePins writes a pins unit in which nobody pins anything and only the master is admitted.
func writePins(m sharedMemory, sb Superblock) error {
	at := sb.logEnd()
	if err := zero(m, at, pinsSize); err != nil {
		return err
	}
	if _, err := admitHost(m, at, sb.SystemUUID); err != nil {
		return err
	}
	return writePinsHeader(m, at, sb.UUID)
}

// zeroMetadata stores zeros from from to end, except over compaction records.
func zeroMetadata(m sharedMemory, from, end int64) error {
	records := readRecords(m, end)
	for i, sound := range records.sound {
		if sound {
			if err := zero(m, from, recordPlace(i)-from); err != nil {
				return err
			}
			from = recordPlace(i) + recordSize
		}
	}
	return zero(m, from, end-from)
}

// zero stores zeros over n bytes from off, but only in pieces that hold something else. That avoids
// wear, and a sparse file on disk stays sparse.
func zero(m sharedMemory, off, n int64) error {
	const piece = 64 << 10
	buffer, zeros := make([]byte, piece), make([]byte, piece)
	m.invalidate(off, n)
	m.fenceLoads()
	for at := off; at < off+n; at += piece {
		b := buffer[:min(piece, off+n-at)]
		if m.load(b, at); !bytes.Equal(b, zeros[:len(b)]) {
			m.store(at, zeros[:len(b)])
		}
	}
	return flushAndFence(m, off, n)
}
