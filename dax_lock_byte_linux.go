package famfs

// Locks of single bytes of a device on Linux, for what only one of a host may use at a time,
// such as an end of a queue. They belong to the open device, so that two of one process
// keep each other out, and end with it. The writers' lock is of another kind, and they
// know nothing of each other.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"

	"golang.org/x/sys/unix"
)

// tryByte locks the byte at an offset of the device, if nobody else on this host has.
func (d *device) tryByte(at int64) (bool, error) {
	switch err := d.controlByte(unix.F_WRLCK, at); {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return false, nil
	case err != nil:
		return false, err
	}
	ok, err := d.hostLock.ofByte(at).try()
	if !ok {
		err = errors.Join(err, d.controlByte(unix.F_UNLCK, at))
	}
	return ok, err
}

func (d *device) unlockByte(at int64) error {
	return errors.Join(d.hostLock.ofByte(at).unlock(), d.controlByte(unix.F_UNLCK, at))
}

func (d *device) controlByte(kind int16, at int64) error {
	if err := unix.FcntlFlock(d.file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Start: at, Len: 1}); err != nil {
		return fmt.Errorf("lock byte %d of %s: %w", at, d.info.Path, err)
	}
	return nil
}

// ofByte is the lock of one byte of the device, whatever its node. Numbers of devices are
// small; those of bytes are drawn from the numbers that have this bit.
func (l *hostLock) ofByte(at int64) *hostLock {
	if l == nil {
		return nil
	}
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(l.id)), uint64(at)))
	const ofBytes = 1 << 62
	return &hostLock{file: l.file, id: int64(h.Sum64()&(ofBytes-1) | ofBytes), initial: l.initial}
}

// waitingByte is the byte of the device that writers lock, together, while they wait for the
// writers' lock. It lies behind the end of every device.
const waitingByte = 1<<62 - 1

// markWaiting lets othersWait of other writers see that this one waits, or does so no longer.
func (d *device) markWaiting(waits bool) error {
	if !waits {
		return errors.Join(d.hostLock.ofByte(waitingByte).unlock(), d.controlByte(unix.F_UNLCK, waitingByte))
	}
	if err := d.controlByte(unix.F_RDLCK, waitingByte); err != nil {
		return err
	}
	return d.hostLock.ofByte(waitingByte).share()
}

// othersWait reports whether another open device waits for the writers' lock.
func (d *device) othersWait() (bool, error) {
	if d.info.Kind == File && d.info.Caution != "" {
		// There the writers' lock may be a lock of all bytes, as on NFS, so that nobody else can
		// lock this one.
		return false, fmt.Errorf("ask who waits for %s: %w", d.info.Path, errors.ErrUnsupported)
	}
	other := unix.Flock_t{Type: unix.F_WRLCK, Start: waitingByte, Len: 1}
	if err := unix.FcntlFlock(d.file.Fd(), unix.F_OFD_GETLK, &other); err != nil {
		return false, fmt.Errorf("ask who waits for %s: %w", d.info.Path, err)
	}
	if other.Type != unix.F_UNLCK {
		return true, nil
	}
	return d.hostLock.ofByte(waitingByte).isShared()
}
