package famfs

// Making and ending a file system: the order of stores that leaves a device, at every
// moment, with its old file system, with none, or with the new one whole.

import (
	"bytes"
	"context"
	"encoding/binary"
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
// A device that carries a superblock already is refused with fs.ErrExist unless Force
// is given. The device must hold superblock, log and one allocation unit: 12 MiB with
// the default log; fs.ErrInvalid otherwise. Other errors: as of Open, and ErrLocked
// where another process is writing.
func Format(path string, opts ...FormatOption) error {
	c := formatConfig{logSize: DefaultLogSize}
	for _, o := range opts {
		o.applyFormat(&c)
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
	return withMetadata(path, logOffset+c.logSize, c.prepare, func(dev *device, m sharedMemory) error {
		size := dev.info.Size
		if need := logOffset + c.logSize + defaultUnit; size < need {
			return fmt.Errorf("device of %d bytes, want at least %d for superblock, log and one allocation unit: %w", size, need, fs.ErrInvalid)
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
			DeviceSize: size,
			DeviceName: path,
		}, c.force)
	})
}

// Wipe makes the device or file at path one that is not formatted: all that was on it
// is lost, as by Format with Force, and every host that has it open must open it again
// once it is formatted. Only the superblock is overwritten. A device that is not
// formatted is ErrNotFormatted; other errors are those of Format.
func Wipe(path string) error {
	err := withMetadata(path, superblockArea, nil, func(_ *device, m sharedMemory) error {
		m.invalidate(0, superblockSize)
		m.fenceLoads()
		if found := m.load64(0); found != superblockMagic {
			return fmt.Errorf("superblock: found magic %#x, want %#x: %w", found, uint64(superblockMagic), ErrNotFormatted)
		}
		m.store64(0, 0) // as in writeFileSystem
		if err := flushAndFence(m, 0, 8); err != nil {
			return err
		}
		return zero(m, 8, superblockArea-8)
	})
	if err != nil {
		return fmt.Errorf("famfs: wipe %s: %w", path, err)
	}
	return nil
}

// withMetadata opens a device, takes the writers' lock, and maps its first n bytes, or
// as many as it has, for use.
func withMetadata(path string, n int64, prepare func(*device), use func(*device, sharedMemory) error) (err error) {
	dev, err := openDevice(path, true, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.close()) }()
	if prepare != nil {
		prepare(dev)
	}
	lock := newWriteLock(dev)
	if err := lock.acquire(context.Background(), DefaultLockTimeout); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if n > dev.info.Size {
		return fmt.Errorf("superblock and log of %d bytes together pass the end of the device at %d: %w", n, dev.info.Size, fs.ErrInvalid)
	}
	r, err := dev.mapPrefix(n)
	if err != nil {
		return err
	}
	mapped.add(r.mem, path)
	defer func() {
		mapped.remove(r.mem)
		err = errors.Join(err, r.unmap())
	}()
	return Guard(func() error { return use(dev, &mappedMemory{dev, r.mem}) })
}

// writeFileSystem writes superblock and log of an empty file system.
func writeFileSystem(m sharedMemory, sb Superblock, force bool) error {
	m.invalidate(0, superblockSize)
	m.fenceLoads()
	var old [superblockSize]byte
	m.load(old[:], 0)
	if binary.LittleEndian.Uint64(old[:]) == superblockMagic && !force {
		return fmt.Errorf("carries famfs file system %s already; give Force to lose it: %w", UUID(old[fsUUIDAt:]), fs.ErrExist)
	}
	// Without its magic the old file system is gone at once, before any of it is
	// damaged.
	m.store64(0, 0)
	if err := flushAndFence(m, 0, 8); err != nil {
		return err
	}
	if err := zero(m, 8, sb.logEnd()-8); err != nil {
		return err
	}
	header := encodeLogHeader(sb.LogSize)
	m.store(logOffset, header[:])
	record := sb.encode()
	m.store(8, record[8:])
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

func flushAndFence(m sharedMemory, off, n int64) error {
	err := m.flush(off, n)
	m.fenceStores()
	return err
}
