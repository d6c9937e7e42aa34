package famfs

// The devices of a file system: which device an extent is on, and what belongs to each device: its
// window, its alignment, its disk, and what the caches do to its memory. Everything that uses the
// bytes of files asks here; superblock and log are on the device with index 0 and need not ask.
// Mapping parts of several devices as one region is dax.go's concern, their space space.go's.

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// member is a device of a file system.
type member struct {
	index  int
	uuid   UUID
	size   int64   // what the log says; 0 for the device with the superblock
	dev    *device // nil if it is not here
	window *region // all of it, mapped for reading
	// used says that its memory had another owner before it was added.
	used bool
	err  error                 // why it is not here
	lost atomic.Pointer[error] // why it is not used any more: see devices_lost.go
}

// memberSet has the devices that entries have added.
type memberSet struct {
	// all has them in the order of their indexes, from 1 on. A longer slice, or one with a device
	// that was found, replaces it.
	all      atomic.Pointer[[]*member]
	problems atomic.Pointer[[]Problem] // devices that were found and cannot be used
	search   *deviceSearch             // while the log is replayed
	adding   sync.Mutex                // held by AddDevice
}

func (s *memberSet) list() []*member {
	if all := s.all.Load(); all != nil {
		return *all
	}
	return nil
}

func (s *memberSet) listProblems() (all []Problem) {
	if problems := s.problems.Load(); problems != nil {
		all = slices.Clone(*problems)
	}
	for _, m := range s.list() {
		if lost := m.lost.Load(); lost != nil {
			all = append(all, Problem{Index: -1, Err: *lost})
		}
	}
	return all
}

// on returns the device with this index, if it is here.
func (f *FS) on(device int) (*member, error) {
	if device == 0 {
		return &f.member, nil
	}
	m := f.devices.list()[device-1] // no file is on a device that was not added
	return m, m.why()
}

// Devices describes the devices of the file system, by index: first the one with the superblock,
// then those that the log adds. Of one that is not here, UUID and Size are what the log says, and
// Err says why, and what to do. The same is true of one that was formatted for another file system,
// or wiped, since it was opened: Refresh notices that, and so does Create before it puts a file there.
func (f *FS) Devices() []DeviceInfo {
	info := f.dev.describe()
	info.UUID = f.sb.DeviceUUID
	all := []DeviceInfo{info}
	for _, m := range f.devices.list() {
		if err := m.why(); err != nil {
			all = append(all, DeviceInfo{UUID: m.uuid, Size: m.size, NUMANode: -1, TargetNode: -1, Err: err})
			continue
		}
		info := m.dev.describe()
		info.UUID = m.uuid
		all = append(all, info)
	}
	return all
}

// absent returns the first error of a device that is not here.
func (f *FS) absent() error {
	for _, m := range f.devices.list() {
		if err := m.why(); err != nil {
			return err
		}
	}
	return nil
}

func (m *member) release() error {
	if m.dev == nil {
		return nil
	}
	mapped.remove(m.window.mem)
	return errors.Join(m.window.unmap(), m.dev.close())
}

// checkSuperblock returns an error if head, the beginning of an added device, has no sound superblock of
// the file system fsUUID, if that is known, and of this device.
func (m *member) checkSuperblock(head sharedMemory, fsUUID UUID) error {
	b := loadSuperblock(head)
	sb, err := decodeSecondary(&b)
	if err == nil && (sb.UUID != fsUUID && fsUUID != UUID{} || sb.DeviceUUID != m.uuid) {
		err = fmt.Errorf("found device %s of file system %s, want %s of %s", sb.DeviceUUID, sb.UUID, m.uuid, fsUUID)
	}
	if err != nil {
		return fmt.Errorf("device %d, %s: its superblock is not sound, or not of this file system any more: %w: %w", m.index, m.dev.info.Path, err, ErrDevice)
	}
	return nil
}

// home is where a file lies: its layout, and the devices that it is on.
type home struct {
	place   Layout
	one     *member   // the only device; nil if there are several
	several []*member // each of them once
}

// homeOf returns the home of a file. It fails if one of its devices is not here.
func (f *FS) homeOf(place Layout) (home, error) {
	h := home{place: place}
	device, one := place.oneDevice()
	if one {
		m, err := f.on(device)
		h.one = m
		return h, err
	}
	for _, x := range place.Extents {
		m, err := f.on(x.Device)
		if err != nil {
			return h, err
		}
		if h.find(x.Device) < 0 {
			h.several = append(h.several, m)
		}
	}
	return h, nil
}

// find returns where in several a device is, or -1.
func (h *home) find(device int) int {
	for i, m := range h.several {
		if m.index == device {
			return i
		}
	}
	return -1
}

// strictest returns the device whose memory needs the most: if other hosts have any of it, one
// that they have. What is right for it is right for all.
func (h *home) strictest() *device {
	if h.one != nil {
		return h.one.dev
	}
	for _, m := range h.several {
		if m.dev.shared {
			return m.dev
		}
	}
	return h.several[0].dev
}

// writeBack reports whether flushed data must also be written to a disk.
func (h *home) writeBack() bool {
	return h.any(func(d *device) bool { return d.writeBack })
}

// sparse reports whether room must be reserved before the file is written.
func (h *home) sparse() bool { return h.any((*device).sparse) }

// align returns the largest alignment of the devices.
func (h *home) align() (align int64) {
	h.any(func(d *device) bool {
		align = max(align, d.info.Align)
		return false
	})
	return align
}

func (h *home) any(is func(*device) bool) bool {
	if h.one != nil {
		return is(h.one.dev)
	}
	for _, m := range h.several {
		if is(m.dev) {
			return true
		}
	}
	return false
}

// parts returns the first length bytes of the file as parts of its devices.
func (h *home) parts(length int64) ([]part, error) {
	runs, err := h.place.runs(length)
	if err != nil {
		return nil, err
	}
	parts := make([]part, len(runs))
	for i, r := range runs {
		parts[i] = part{h.member(r.device).dev, r.segment}
	}
	return parts, nil
}

// every reports whether something is true of all devices.
func (h *home) every(is func(*device) bool) bool {
	return !h.any(func(d *device) bool { return !is(d) })
}

// member returns one of the file's devices.
func (h *home) member(device int) *member {
	if h.one != nil {
		return h.one
	}
	return h.several[h.find(device)]
}

// reserve is device.reserve for parts of several devices.
func reserve(parts []part) error {
	for _, p := range parts {
		if err := p.dev.reserve([]segment{p.segment}); err != nil {
			return err
		}
	}
	return nil
}

// explain is device.explain for a file of size bytes.
func (h *home) explain(err error, size int64) error {
	parts, tooMany := h.parts(size)
	if tooMany != nil {
		return err
	}
	for _, p := range parts {
		err = p.dev.explain(err, []segment{p.segment})
	}
	return err
}

// diskCounts has the value of disk.count for each device of a file: see diskFailures.
type diskCounts struct {
	one     uint64
	several []uint64 // in the order of home.several
}

func (h *home) diskCounts() (c diskCounts) {
	if h.one != nil {
		c.one = h.one.dev.disk.count.Load()
		return c
	}
	for _, m := range h.several {
		c.several = append(c.several, m.dev.disk.count.Load())
	}
	return c
}

// flush is device.flush for mem, the bytes of the file from off on.
func (h *home) flush(mem []byte, off int64, since diskCounts) error {
	h.strictest().cache.flush(mem)
	return h.waitForDisk(mem, off, since)
}

// waitForDisk is flush for memory that was written by writeAt.
func (h *home) waitForDisk(mem []byte, off int64, since diskCounts) error {
	if h.one != nil {
		return h.one.dev.waitForDisk(mem, since.one)
	}
	for len(mem) > 0 {
		device, _, run := h.place.locate(off)
		n := int(min(run, int64(len(mem))))
		i := h.find(device)
		if err := h.several[i].dev.waitForDisk(mem[:n], since.several[i]); err != nil {
			return err
		}
		off, mem = off+int64(n), mem[n:]
	}
	return nil
}
