package famfs

// The slot of an FS on a file system that gives memory out again (see Reuse): taking it when
// something is mapped for the first time, and giving it up; freeing those of dead processes. The
// order of stores and loads is the concern of pins.go; what is done with a slot, of pins_reach.go.

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// pinning is what an FS knows of its slot.
type pinning struct {
	on bool // the file system gives memory out again

	// hosts are the UUIDs of this host.
	hosts []UUID
	// seat is 1 plus the place of this host while there is a slot, and otherwise 0. evicted says
	// that the host was evicted.
	seat    atomic.Int64
	evicted atomic.Bool
	viewers viewers

	// mu guards the rest. It is locked after FS.mu.
	mu     sync.Mutex
	dev    *device // opened for writing: that of the FS, or one of its own
	region *region // this host's slots
	base   int64   // where the first slot is in it
	slot   *ownSlot
	unlock func() error
	owner  slotOwner
	flags  uint64
	// writers is how many regions are mapped for writing, or being mapped, and creators how many
	// share the writers' lock.
	writers, creators int
	// keptDead are slots of dead processes that could not be freed, by their numbers.
	keptDead map[int]keptSlot
	// draining says that users of files may still be there who looked them up before target was
	// replayed.
	draining bool
	target   uint64
}

// keptSlot is a slot of a dead process that could not be freed, as a device is not here.
type keptSlot struct {
	pinSlot
	here int // so many devices were, and what the process may have stored on them is forgotten
	why  error
}

// takeSlot takes a slot, if there is none yet, and sets its flags. f.mu must not be held.
func (f *FS) takeSlot(flags uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pins.mu.Lock()
	defer f.pins.mu.Unlock()
	switch {
	case f.pins.evicted.Load():
		return ErrEvicted
	case f.pins.slot != nil:
		return f.markSlot(f.pins.flags | flags)
	case f.config.salvage:
		return fmt.Errorf("Salvage shows names and reads copies, and does not map: %w", errors.ErrUnsupported)
	}
	err := f.notice(Guard(func() error { return f.takeSlotLocked(flags) }))
	if err != nil && f.pins.slot == nil {
		err = errors.Join(err, f.closeSlots())
	}
	return err
}

func (f *FS) takeSlotLocked(flags uint64) error {
	place, err := f.openSlots()
	if err != nil {
		return err
	}
	p := &f.pins
	if err := f.sweepSlots(place, 0, f.catchUpKnown); err != nil {
		return err
	}
	if err := f.replica.mayPin(place); err != nil {
		return f.explainAdmission(err)
	}
	m := newMappedFile(p.dev, p.region.mem)
	for n := range hostSlots {
		at := f.lockOf(place, n)
		ok, err := p.dev.tryByte(at)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		unlock := func() error { return p.dev.unlockByte(at) }
		s := &ownSlot{r: f.replica, place: place, m: m, off: p.base + int64(n)*slotSize}
		if m.load64(s.off+slotWordAt) != 0 {
			if err := unlock(); err != nil {
				return err
			}
			continue
		}
		p.owner.since = uint32(time.Now().Unix())
		err = s.take(p.owner, flags, f.size(), f.catchUpKnown)
		if errors.Is(err, errClosing) && f.voidClosing() == nil {
			err = s.take(p.owner, flags, f.size(), f.catchUpKnown)
		}
		if err != nil {
			return errors.Join(f.explainAdmission(err), unlock())
		}
		p.slot, p.unlock, p.flags = s, unlock, flags
		p.seat.Store(int64(place) + 1)
		// Whoever reads without a slot copies, and looks at the log: only what is looked up from
		// here on counts.
		p.target = f.replica.next
		return s.raise(p.target)
	}
	return fmt.Errorf("all %d slots of this host are in use (see Hosts): %w", hostSlots, ErrNotAdmitted)
}

// catchUpKnown replays what is new. It fails if not all of it can be read: what is removed behind
// a corrupt entry is not known.
func (f *FS) catchUpKnown() error {
	_, err := f.replica.catchUp(f.config.onCorrupt(), false)
	f.endSearch() // what it finds is said of the device: see FS.Devices
	if err != nil {
		return err
	}
	if bad := f.replica.bad; bad != nil {
		return errUnknown(bad.index)
	}
	return nil
}

// explainAdmission adds to err what to do about it.
func (f *FS) explainAdmission(err error) error {
	switch {
	case errors.Is(err, ErrNotAdmitted):
		return fmt.Errorf("%w: admit %s on the master (Admit); reading through fs.FS needs no admission", err, f.pins.who())
	case errors.Is(err, ErrEvicted):
		return fmt.Errorf("%w: %s has to be admitted again on the master (Admit)", err, f.pins.who())
	}
	return err
}

// who names this host.
func (p *pinning) who() string {
	if len(p.hosts) == 0 {
		return "this host, which has no UUID (WithSystemUUID),"
	}
	return "host " + p.hosts[0].String()
}

// lockOf is the byte of the device whose lock stands for a slot.
func (f *FS) lockOf(place, slot int) int64 { return f.replica.pinsAt() + slotAt(place, slot) }

// openSlots maps this host's slots for writing, and returns its place.
func (f *FS) openSlots() (place int, err error) {
	m := &mappedMemory{dev: f.dev, mem: f.window.mem}
	at := f.replica.pinsAt()
	if err := checkPins(m, at, f.sb.UUID); err != nil {
		return -1, err
	}
	hosts := readHosts(m, at)
	place = -1
	for _, host := range f.pins.hosts {
		if place = hosts.find(host); place >= 0 {
			break
		}
	}
	if place < 0 {
		return -1, f.explainAdmission(ErrNotAdmitted)
	}
	if f.pins.region != nil {
		return place, nil
	}
	dev, err := f.writableDevice()
	if err != nil {
		return -1, fmt.Errorf("%w: the device cannot be opened for writing, which mapping needs here: %w", ErrNotAdmitted, err)
	}
	boot, device, inode, ok := dev.lockOwner()
	if !ok {
		return -1, errors.Join(fmt.Errorf("%w: this system has no locks that show which processes live; read through fs.FS", ErrNotAdmitted), f.closeDevice(dev))
	}
	f.pins.owner = slotOwner{pid: uint32(os.Getpid()), boot: boot, device: device, inode: inode, program: programName()}
	from := at + pinsSlotsAt + int64(place)*pinsOfHost
	start := from &^ (dev.info.Align - 1)
	segs := []segment{{start, roundUp(from+pinsOfHost, dev.info.Align) - start}}
	err = dev.reserve([]segment{{from, pinsOfHost}})
	var r *region
	if err == nil {
		r, err = dev.mapSegments(segs, true, false)
	}
	if err != nil {
		return -1, errors.Join(err, f.closeDevice(dev))
	}
	mapped.add(r.mem, f.dev.info.Path)
	f.pins.dev, f.pins.region, f.pins.base = dev, r, from-start+firstSlotAt
	return place, nil
}

// writableDevice returns the device, opened for writing.
func (f *FS) writableDevice() (*device, error) {
	if f.config.readWrite || f.config.clientWrites {
		return f.dev, nil
	}
	dev, err := openDevice(f.dev.info.Path, true, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	a, err := f.dev.file.Stat()
	b, err2 := dev.file.Stat()
	if err := errors.Join(err, err2); err != nil || !os.SameFile(a, b) {
		return nil, errors.Join(fmt.Errorf("%s is another device than when it was opened: %w", f.dev.info.Path, ErrDevice), err, dev.close())
	}
	if f.config.prepare != nil {
		f.config.prepare(dev)
	}
	return dev, nil
}

func (f *FS) closeDevice(dev *device) error {
	if dev == nil || dev == f.dev {
		return nil
	}
	return dev.close()
}

// closeSlots unmaps what openSlots has mapped.
func (f *FS) closeSlots() error {
	p := &f.pins
	var err error
	if p.region != nil {
		mapped.remove(p.region.mem)
		err = p.region.unmap()
	}
	err = errors.Join(err, f.closeDevice(p.dev))
	p.region, p.dev = nil, nil
	return err
}

// dropSlot frees the slot.
func (f *FS) dropSlot() error {
	p := &f.pins
	if p.slot == nil {
		return nil
	}
	err := Guard(p.slot.free)
	p.seat.Store(0)
	err = errors.Join(err, p.unlock())
	p.slot, p.unlock = nil, nil
	return err
}

// endPinning gives up everything when f is closed.
func (f *FS) endPinning() error {
	f.pins.mu.Lock()
	defer f.pins.mu.Unlock()
	err := f.dropSlot()
	if errors.Is(err, ErrReformatted) {
		err = nil // there is nothing to give up
	}
	return errors.Join(err, f.closeSlots())
}

// markSlot sets the flags of the slot. f.pins.mu must be held.
func (f *FS) markSlot(flags uint64) error {
	if f.pins.flags == flags {
		return nil
	}
	if err := f.notice(Guard(func() error { return f.pins.slot.mark(flags) })); err != nil {
		return err
	}
	f.pins.flags = flags
	return nil
}

// programName names this program to operators.
func programName() string {
	if len(os.Args) == 0 {
		return ""
	}
	return filepath.Base(os.Args[0])
}

// sweepSlots frees the slots of processes of this host that have died: all, or, if only is not 0,
// those with any of these flags. A dead process may have used devices that were added since this one has
// read the log: so catchUp is called before anything is thrown out of the caches. It may be nil if the
// log was read while the writers' lock was held, as it still is.
func (f *FS) sweepSlots(place int, only uint64, catchUp func() error) error {
	p := &f.pins
	m := newMappedFile(p.dev, p.region.mem)
	hosts := readHosts(f.replica.meta, f.replica.pinsAt())
	// What an earlier start of this host has left is not known to be dead: this may be another
	// machine with the same UUID. If the host was evicted, somebody has said that it was off; and
	// there is only one master.
	restarted := hosts.states[place] == hostEvicted || hosts.uuids[place] == f.sb.SystemUUID
	isDead := func(s *pinSlot) bool {
		return (only == 0 || s.flags&only != 0) && (s.owner.here(&p.owner) || restarted && s.owner.boot != p.owner.boot)
	}
	try := func(slot int) (func() error, error) {
		at := f.lockOf(place, slot)
		if p.slot != nil && p.slot.off == p.base+int64(slot)*slotSize {
			return nil, nil
		}
		if ok, err := p.dev.tryByte(at); !ok || err != nil {
			return nil, err
		}
		return func() error { return p.dev.unlockByte(at) }, nil
	}
	told := true
	forget := func(s *pinSlot) error {
		if catchUp != nil {
			if err := catchUp(); err != nil {
				return err
			}
		}
		// It takes long, and each Create comes here: a dead process stores nothing more.
		here := len(f.members())
		if kept := p.keptDead[s.slot]; kept.pinSlot == *s && kept.here == here {
			return kept.why
		}
		delete(p.keptDead, s.slot)
		err := f.forgetAllData()
		if err != nil {
			if p.keptDead == nil {
				p.keptDead = make(map[int]keptSlot)
			}
			p.keptDead[s.slot], told = keptSlot{*s, here, err}, false
		}
		return err
	}
	kept, err := f.replica.freeDead(place, m, p.base, isDead, try, forget)
	if !told {
		f.config.log.Warn("what dead processes of this host held is held on: open with all devices (WithDevices) to free it", "path", f.dev.info.Path, "err", kept)
	}
	return err
}
