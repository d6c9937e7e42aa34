package famfs

// An added device that is formatted anew for another file system, or wiped, while it is used: from when
// that is noticed on, nothing on it is read, mapped or allocated. What is mapped stays mapped.
// The device with the superblock is reformatted.go's concern.

import (
	"encoding/binary"
	"fmt"
)

// identitySize is how much of a superblock says what a device is: up to the device's UUID.
const identitySize = deviceUUIDAt + len(UUID{})

// isOurs reports whether an added device, which is here, still has a superblock of this file system.
// If not, the device is lost: it is not used any more. f.mu must be held.
func (f *FS) isOurs(m *member) bool {
	if m.index == 0 || m.lost.Load() != nil {
		return m.index == 0
	}
	var b [identitySize]byte
	head := &mappedMemory{dev: m.dev, mem: m.window.mem}
	if Guard(func() error {
		head.invalidate(0, int64(len(b)))
		head.fenceLoads()
		head.load(b[:], 0)
		return nil
	}) != nil {
		return true // memory that fails is told to those who use it
	}
	magic, fsUUID, device := binary.LittleEndian.Uint64(b[magicAt:]), UUID(b[fsUUIDAt:]), UUID(b[deviceUUIDAt:])
	if magic == superblockMagic && fsUUID == f.sb.UUID && device == m.uuid {
		return true
	}
	found := fmt.Sprintf("magic %#x", magic)
	if magic == superblockMagic {
		found = fmt.Sprintf("device %s of file system %s", device, fsUUID)
	}
	err := fmt.Errorf("device %d (UUID %s, %s): its superblock has %s, want file system %s: it was formatted for another file system, or wiped, while it was used; what was on it is lost: %w", m.index, m.uuid, m.dev.info.Path, found, f.sb.UUID, ErrDevice)
	m.lost.Store(&err)
	f.replica.space.of(m.index).shut.Store(true)
	f.config.log.Warn("device of the file system is lost", "path", m.dev.info.Path, "err", err)
	return false
}

// lookAtDevices looks for devices that were lost. f.mu must be held.
func (f *FS) lookAtDevices() {
	for _, m := range f.devices.list() {
		if m.dev != nil {
			f.isOurs(m)
		}
	}
}

// areOurs reports whether all of these runs lie on devices of this file system. f.mu must be held.
func (f *FS) areOurs(runs []spaceRun) bool { return f.lostUnder(runs) == nil }

// lostUnder returns why one of these runs lies on a device that is not used any more, or nil. f.mu must
// be held.
func (f *FS) lostUnder(runs []spaceRun) error {
	for i, r := range runs {
		if i > 0 && r.device == runs[i-1].device {
			continue
		}
		m, err := f.on(r.device)
		if err != nil {
			return err
		}
		if !f.isOurs(m) {
			return m.why()
		}
	}
	return nil
}

// why returns why a file on these devices is not to be written, or nil.
func (h *home) why() error {
	if h.one != nil {
		return h.one.why()
	}
	for _, m := range h.several {
		if err := m.why(); err != nil {
			return err
		}
	}
	return nil
}

// why returns why a device is not used, or nil if it is.
func (m *member) why() error {
	if lost := m.lost.Load(); lost != nil {
		return *lost
	}
	return m.err
}
