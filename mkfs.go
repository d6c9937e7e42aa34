package famfs

// Making and ending a file system: the order of stores that leaves a device, at every
// moment, with its old file system, with none, or with the new one whole.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
)

// Format makes an empty file system on the device or file at path. This host becomes
// its master: the UUID of WithSystemUUID, or else that in /opt/famfs/system_uuid, or
// else one derived from /etc/machine-id is recorded.
//
// Without Force nothing is lost. A device that carries a famfs already is refused with
// fs.ErrExist, and so is one whose superblock is damaged, if the log behind it, or an entry
// of it, is sound. One that carries something else is refused with ErrNotEmpty, which says
// what: any device that begins with the signature of a file system, volume manager,
// partition table, archive or disk image, and any file, on fs-dax too, in which one of
// the bytes that Format would overwrite, those of superblock and log, is not zero. A
// device, unlike a file, may hold other bytes: memory does after a restart. What a
// Format that was interrupted has left does not keep the same call from succeeding.
//
// The device must hold superblock, log and one allocation unit: 12 MiB with
// the default log; fs.ErrInvalid otherwise. Other errors: as of Open, and ErrLocked
// if another process is writing.
func Format(path string, opts ...FormatOption) error {
	c := formatConfig{logSize: DefaultLogSize}
	for _, o := range opts {
		if o != nil {
			o.applyFormat(&c)
		}
	}
	if err := format(path, c); err != nil {
		return fmt.Errorf("famfs: format %s: %w", path, err)
	}
	return nil
}

func format(path string, c formatConfig) error {
	host, identityErr := hostUUIDs(c.systemUUID, systemUUIDFile, machineIDFile)
	if len(host) == 0 {
		return fmt.Errorf("this host has neither %s nor %s; say who it is with WithSystemUUID: %w", systemUUIDFile, machineIDFile, errors.Join(fs.ErrInvalid, identityErr))
	}
	if err := checkLogSize(c.logSize, math.MaxInt64); err != nil {
		return fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	area := func(size int64) (int64, error) {
		switch n := logOffset + c.logSize; {
		case n > size:
			return 0, fmt.Errorf("superblock and log of %d bytes together pass the end of the device at %d: %w", n, size, fs.ErrInvalid)
		case size-n < defaultUnit:
			return 0, fmt.Errorf("device of %d bytes, want at least %d for superblock, log and one allocation unit: %w", size, n+defaultUnit, fs.ErrInvalid)
		default:
			return n, nil
		}
	}
	return withMetadata(path, area, c.prepare, func(dev *device, m sharedMemory) error {
		if !c.force {
			if err := checkVacant(m, logOffset+c.logSize, dev.info.Kind != DevDAX); err != nil {
				return err
			}
		}
		// The rest is written only if it holds something, and so has room already.
		if err := dev.reserve([]segment{{0, superblockSize}, {logOffset, logHeaderSize}}); err != nil {
			return err
		}
		return writeFileSystem(m, Superblock{
			Version:    formatVersion,
			LogOffset:  logOffset,
			LogSize:    c.logSize,
			AllocUnit:  defaultUnit,
			OMFMajor:   omfMajor,
			OMFMinor:   omfMinor,
			UUID:       NewUUID(),
			DeviceUUID: NewUUID(),
			SystemUUID: host[0],
			DeviceSize: dev.info.Size,
			DeviceName: path,
		})
	})
}

// checkVacant refuses a device whose first n bytes hold what Format must not lose.
func checkVacant(m sharedMemory, n int64, zeros bool) error {
	if found := remains(m, n); found != "" {
		return fmt.Errorf("carries %s; format with force to lose it: %w", found, fs.ErrExist)
	}
	if found := findContent(m, n, zeros); found != "" {
		return fmt.Errorf("holds %s; format with force to lose it: %w", found, ErrNotEmpty)
	}
	return nil
}

// Wipe makes the device or file at path one that is not formatted: all that was on it
// is lost, as by Format with Force, and every host that has it open must open it again
// once it is formatted. Superblock and log are overwritten with zeros, so that Format with
// a log that is not longer needs no Force. A damaged superblock that Format would refuse
// to overwrite is wiped too; a device that carries no famfs is ErrNotFormatted and stays as
// it is. Other errors are those of Format.
func Wipe(path string) error {
	if err := wipe(path, nil); err != nil {
		return fmt.Errorf("famfs: wipe %s: %w", path, err)
	}
	return nil
}

func wipe(path string, prepare func(*device)) error {
	var size int64 // of what is mapped: how long the log is will be seen
	all := func(deviceSize int64) (int64, error) {
		size = deviceSize &^ (superblockArea - 1)
		return size, checkDeviceSize(deviceSize)
	}
	return withMetadata(path, all, prepare, func(_ *device, m sharedMemory) error {
		if remains(m, size) == "" {
			_, err := readSuperblock(m, size)
			if err == nil {
				err = fmt.Errorf("superblock: it was written just now: %w", ErrBusy)
			}
			return err
		}
		sb, err := readSuperblock(m, size)
		if err != nil {
			if sb, err = guessSuperblock(m, size); err != nil {
				sb = Superblock{LogOffset: logOffset, LogSize: minLogSize}
			}
		}
		if err := unmake(m); err != nil {
			return err
		}
		return zero(m, 0, sb.logEnd())
	})
}

// withMetadata opens a device, takes the writers' lock, and maps its first bytes for use: as
// many as area makes of its size.
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

// unmake takes the file system away that is there: first its superblock's magic, without
// which nobody opens it, so that it is gone before any of it is damaged; then its log's and
// the rest of the superblock's first line, by which a damaged one would be recognised.
func unmake(m sharedMemory) error {
	m.invalidate(0, superblockSize)
	m.invalidate(logOffset, logHeaderSize)
	m.fenceLoads()
	m.store64(0, 0)
	if err := flushAndFence(m, 0, 8); err != nil {
		return err
	}
	m.store64(logOffset, 0)
	m.store(8, make([]byte, superblockCRC-8))
	return errors.Join(m.flush(0, superblockCRC), flushAndFence(m, logOffset, 8))
}

// writeFileSystem writes superblock and log of an empty file system, whatever is there.
func writeFileSystem(m sharedMemory, sb Superblock) error {
	if err := unmake(m); err != nil {
		return err
	}
	if err := zero(m, 8, sb.logEnd()-8); err != nil {
		return err
	}
	header := encodeLogHeader(sb.LogSize)
	m.store(logOffset, header[:])
	record := sb.encode()
	m.store(versionAt, record[versionAt:])
	if err := errors.Join(flushAndFence(m, logOffset, logHeaderSize), flushAndFence(m, 0, superblockSize)); err != nil {
		return err
	}
	// Everything is in its place: with its magic the new one comes into being.
	m.store(0, record[:8])
	return flushAndFence(m, 0, 8)
}

// zero stores zeros over n bytes from off, but only where there is something else:
// devices are not worn, and a sparse file on disk stays sparse.
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
