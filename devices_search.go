package famfs

// Finding the devices that the log adds: by their UUIDs, among the paths that the caller gave and,
// if that is wanted, all devdax devices of this host. Paths differ from host to host.

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// deviceSearch is one look at all candidates. It lasts for one replay of the log, and begins with
// the first entry that adds a device: a file system on one device costs nothing.
type deviceSearch struct {
	candidates []*candidate
	nodes      []os.FileInfo // of all devices that are open
	err        error         // two candidates are the same device
}

// candidate is a path where a device may be.
type candidate struct {
	path  string
	given bool // by the caller, and not found by looking around
	member
	sb  Superblock
	bad error // why it is no device of this file system
	// lost says why its superblock cannot be believed; sb is the second copy then.
	lost error
}

// startSearch opens all candidates and reads their superblocks.
func (f *FS) startSearch() *deviceSearch {
	s := &deviceSearch{}
	s.note(f.dev)
	for _, m := range f.devices.list() {
		if m.dev != nil {
			s.note(m.dev)
		}
	}
	c := &f.config
	for _, path := range c.devices {
		s.add(f, path, true)
	}
	if c.discover != nil {
		for _, path := range c.discover() {
			s.add(f, path, false)
		}
	}
	return s
}

// note notes an open device. It returns false if the device was noted before, by whatever path.
func (s *deviceSearch) note(dev *device) bool {
	node, err := dev.file.Stat()
	if err != nil {
		return true // its use will fail
	}
	for _, other := range s.nodes {
		if os.SameFile(node, other) || sameNode(node, other) {
			return false
		}
	}
	s.nodes = append(s.nodes, node)
	return true
}

// release closes all candidates.
func (s *deviceSearch) release() (err error) {
	for _, c := range s.candidates {
		err = errors.Join(err, c.release())
	}
	return err
}

// add opens the device at path, unless it is open already, by this path or another.
func (s *deviceSearch) add(f *FS, path string, given bool) {
	c := &candidate{path: path, given: given}
	dev, err := openDevice(path, f.config.readWrite || f.config.clientWrites, f.config.log)
	if err != nil {
		c.bad = fmt.Errorf("%s cannot be opened: %w", path, err)
		s.candidates = append(s.candidates, c)
		return
	}
	if !s.note(dev) {
		dev.close()
		return
	}
	if f.config.prepare != nil {
		f.config.prepare(dev)
	}
	s.candidates = append(s.candidates, c)
	window, err := dev.mapWhole()
	if err != nil {
		dev.close()
		c.bad = fmt.Errorf("%s cannot be mapped: %w", path, err)
		return
	}
	mapped.addOf(f.faults, window.mem, path)
	c.dev, c.window = dev, window
	if err := Guard(func() error { return c.read(f) }); err != nil {
		c.bad = fmt.Errorf("%s: %w", path, err)
	}
}

// read reads the candidate's superblock, and says why it is no device of this file system.
func (c *candidate) read(f *FS) error {
	if size := len(c.window.mem); size < superblockArea {
		return fmt.Errorf("has %d bytes, want at least %d: %w", size, superblockArea, ErrNotFormatted)
	}
	m := &mappedMemory{dev: c.dev, mem: c.window.mem}
	b := loadSuperblock(m)
	var err error
	c.sb, err = decodeSecondary(&b)
	if err != nil && f.salvaging && !soundSuperblock(m) {
		if _, copied, copyErr := secondCopy(m, int64(len(c.window.mem)), int64(len(c.window.mem))); copyErr == nil && copied.secondary() {
			c.lost, c.sb, err = fmt.Errorf("%s: %w; its second copy is sound, and is used: RestoreSuperblock puts it back, on the master", c.path, err), copied, nil
		}
	}
	switch {
	case err != nil:
		return err
	case c.sb.UUID != f.sb.UUID && f.sb.UUID != UUID{}: // a lost superblock says nothing
		return fmt.Errorf("superblock: found a device of file system %s, want one of %s; it was formatted for another file system: %w", c.sb.UUID, f.sb.UUID, ErrDevice)
	case c.sb.AllocUnit != f.sb.AllocUnit:
		return fmt.Errorf("superblock: found allocation unit %d, want %d: %w", c.sb.AllocUnit, f.sb.AllocUnit, ErrCorrupt)
	}
	records := readRecords(m, int64(len(c.window.mem)))
	c.used = records.latest() >= 0
	return nil
}

// attach is told of a device that an entry adds, and says whether it is here.
func (f *FS) attach(index int, d addedDevice) bool {
	if f.devices.search == nil {
		f.devices.search = f.startSearch()
	}
	m := f.devices.search.find(f, index, d)
	all := append(f.devices.list(), m) // readers have a shorter slice and do not see the new element
	f.devices.all.Store(&all)
	return m.err == nil
}

// find returns the device of an entry, which may not be here.
func (s *deviceSearch) find(f *FS, index int, d addedDevice) *member {
	m := &member{index: index, uuid: d.uuid, size: clamp(d.size)}
	var found *candidate
	var why []string
	for _, c := range s.candidates {
		switch {
		case c.dev == nil || c.sb.DeviceUUID != d.uuid:
			if c.bad != nil && c.given {
				why = append(why, c.bad.Error())
			}
			continue
		case c.bad == nil && int64(len(c.window.mem)) < m.size:
			c.bad = fmt.Errorf("%s has %d bytes, the log says %d: %w", c.path, len(c.window.mem), m.size, ErrDevice)
		}
		switch {
		case c.bad != nil:
			why = append(why, c.bad.Error())
		case found != nil:
			s.err = errTwins(m, found.path, c.path)
			m.err = s.err
			return m
		default:
			found = c
		}
	}
	if found == nil {
		m.err = errNotHere(index, &d, " is", strings.Join(why, "; "))
		return m
	}
	m.dev, m.window, m.used = found.dev, found.window, found.used
	mapped.addFiles(f.faults, m.window.mem, found.path, f.filesOn(index))
	f.watchMemory(m, m.window.mem)
	found.dev, found.window = nil, nil
	return m
}

// findTwins finds candidates that are copies of m, a device that is in use.
func (s *deviceSearch) findTwins(m *member) {
	for _, c := range s.candidates {
		if c.dev != nil && c.bad == nil && c.sb.DeviceUUID == m.uuid {
			c.bad = fmt.Errorf("%s: %w", c.path, errTwins(m, m.dev.info.Path, c.path))
		}
	}
}

// errCopy: of two devices it is not known which one is right.
var errCopy = fmt.Errorf("one is a copy: give only the right one to WithDevices: %w", ErrDevice)

// errLost: the superblock of a device is lost, and its second copy is used.
type errLost struct{ error }

func (e errLost) Unwrap() error { return e.error }

// errTwins says that two devices are the one of an entry.
func errTwins(m *member, one, other string) error {
	return fmt.Errorf("device %d (UUID %s): found two devices with this UUID, %s and %s; %w", m.index, m.uuid, one, other, errCopy)
}

// has returns an error if the device d, which was formatted just now, is not among the candidates, or
// is no more what it was.
func (s *deviceSearch) has(d addedDevice) error {
	err := fmt.Errorf("it was formatted (UUID %s), and is not there any more: %w", d.uuid, ErrDevice)
	for _, c := range s.candidates {
		switch {
		case c.dev == nil || c.sb.DeviceUUID != d.uuid:
			if c.bad != nil && c.given {
				err = fmt.Errorf("%w; %w", err, c.bad)
			}
		case c.bad != nil:
			return c.bad
		case int64(len(c.window.mem)) < clamp(d.size):
			return fmt.Errorf("%s had %d bytes when it was formatted, and has %d now: %w", c.path, d.size, len(c.window.mem), ErrDevice)
		default:
			return nil
		}
	}
	return err
}

// endSearch looks for the devices that are not here, if there was a search, and closes the
// candidates that are none. It fails if two have one UUID.
func (f *FS) endSearch() error {
	s := f.devices.search
	if s == nil {
		return nil
	}
	f.devices.search = nil
	all := f.devices.list()
	for i, m := range all {
		if m.dev != nil {
			s.findTwins(m)
			continue
		}
		if now := s.find(f, m.index, addedDevice{uint64(m.size), m.uuid}); now.err == nil {
			f.replica.space.of(m.index).arrive()
			f.replica.giveFrom = 0 // what was removed on this device was passed over
			if f.replica.reuses {
				f.replica.removedUnits.Store(f.replica.space.held())
			}
			changed := append([]*member(nil), all...)
			changed[i], all = now, changed
		}
	}
	f.devices.all.Store(&all)
	var problems []Problem
	if s.err != nil {
		problems = append(problems, Problem{Index: -1, Err: s.err})
	}
	for _, c := range s.candidates {
		ours := false // it has the UUID of an entry
		for _, m := range all {
			ours = ours || m.uuid == c.sb.DeviceUUID
		}
		if c.lost != nil && c.bad == nil && ours {
			problems = append(problems, Problem{Index: -1, Err: fmt.Errorf("device %w", errLost{c.lost})})
		}
		if c.dev != nil && c.bad != nil && (ours || c.given && f.absent() != nil) {
			problems = append(problems, Problem{Index: -1, Err: fmt.Errorf("device %w", c.bad)})
			f.config.log.Warn("device of the file system cannot be used", "path", c.path, "err", c.bad)
		}
		if err := c.release(); err != nil {
			f.config.log.Debug("closing a device that is not used", "path", c.path, "err", err)
		}
	}
	f.devices.problems.Store(&problems)
	f.claimBad()
	return s.err
}

// secondaryOf says which file system a device belongs to as a secondary one, if it does.
func secondaryOf(m sharedMemory, size int64) (sb Superblock, ok bool) {
	if size < superblockArea {
		return sb, false
	}
	b := loadSuperblock(m)
	sb, err := decodeSecondary(&b)
	if err != nil && !soundSuperblock(m) {
		_, sb, err = secondCopy(m, size, size)
	}
	return sb, err == nil && sb.secondary()
}
