package famfs

// Who may use the memory of a file system that gives it out again (see Reuse): admitting and
// evicting hosts, and showing them and their slots.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// HostState says whether the master waits for a host.
type HostState uint8

const (
	// HostAdmitted: the host may map files, and the master waits for it.
	HostAdmitted HostState = iota + 1
	// HostEvicted: the master does not wait for the host any more; see Evict.
	HostEvicted
)

// String returns "admitted" or "evicted".
func (s HostState) String() string {
	switch s {
	case HostAdmitted:
		return "admitted"
	case HostEvicted:
		return "evicted"
	}
	return fmt.Sprintf("HostState(%d)", uint8(s))
}

// Host is a host that was admitted to a file system that gives memory out again (see Reuse).
type Host struct {
	UUID  UUID
	State HostState
	// Slots are the FSs on this host that have mapped something, or have used View, and are still
	// open, or whose processes have died.
	Slots []Slot
}

// Slot is an FS on some host that may have files mapped.
type Slot struct {
	// Host is the host, PID the process there, and Program its name, of which only the first 16
	// bytes are kept.
	Host    UUID
	PID     int
	Program string
	// Since is when the FS first mapped something, in whole seconds, by the clock of its host.
	Since time.Time
	// Behind is how many log entries the FS is behind: it may reach what they have removed.
	// Writes says that it has something mapped for writing, or did when its process died.
	Behind int
	Writes bool
	// Holds is how many bytes of removed files this FS alone would keep from being given out
	// again. Other slots may hold the same bytes.
	Holds int64
}

// errNoReuse: the file system was formatted without Reuse.
var errNoReuse = fmt.Errorf("the file system does not give memory out again; it was formatted without Reuse: %w", errors.ErrUnsupported)

// Admit makes host one that may map files, and for which the master waits from now on: memory of a
// removed file is given out again only when no process of the host can reach it any more. The
// master's own host is admitted by Format. A host that was evicted can be admitted again once no
// slot of it is in use. Admitting a host that is admitted changes nothing. Up to 250 hosts can be
// admitted in the life of a file system.
//
// Each host needs a UUID of its own: see WithSystemUUID. Errors are those of Reclaim, and
// fs.ErrInvalid for the zero UUID, ErrBusy while slots of the host are in use, ErrNoSpace if 250
// other hosts were admitted.
func (f *FS) Admit(host UUID) error {
	defer f.journal.tell()
	err := f.asMaster(func() error {
		if host == (UUID{}) {
			return fmt.Errorf("the zero UUID is no host: %w", fs.ErrInvalid)
		}
		m, at := f.replica.meta, f.replica.pinsAt()
		if err := checkPins(m, at, f.sb.UUID); err != nil {
			return err
		}
		if err := f.dev.reserve([]segment{{at, pinsSlotsAt}}); err != nil {
			return err
		}
		_, err := admitHost(m, at, host)
		return err
	})
	if err != nil {
		return fmt.Errorf("famfs: admit host %s to %s: %w", host, f.dev.info.Path, err)
	}
	return nil
}

// Evict makes the master wait for host no longer. Say it only of a host that is surely off, or cut
// off from the memory: memory that its processes may still reach is given out again at once. If
// such a process runs all the same, it can read what is another file's by then, and overwrite it,
// until it notices: before each Map, View and Refresh, and with reads through fs.FS, it looks
// whether it was evicted. Then all its mappings become inaccessible, so that touching one is a
// fault, and everything fails with ErrEvicted until the FS is closed. The host must be admitted
// again before it can map anything.
//
// Errors are those of Reclaim, and fs.ErrInvalid for the master's own host, ErrNotAdmitted for one
// that was never admitted.
func (f *FS) Evict(host UUID) error {
	defer f.journal.tell()
	err := f.asMaster(func() error {
		m, at := f.replica.meta, f.replica.pinsAt()
		if err := checkPins(m, at, f.sb.UUID); err != nil {
			return err
		}
		places := readHosts(m, at).allOf(host)
		if host == f.sb.SystemUUID {
			if len(places) < 2 {
				return fmt.Errorf("it is the master's own host: %w", fs.ErrInvalid)
			}
			places = places[1:] // nobody can be there
		}
		if len(places) == 0 {
			return ErrNotAdmitted
		}
		for _, place := range places {
			if err := evictHost(m, at, place); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("famfs: evict host %s from %s: %w", host, f.dev.info.Path, err)
	}
	return nil
}

// asMaster calls use under the writers' lock, with the log replayed to its end.
func (f *FS) asMaster(use func() error) error {
	if !f.gate.hold() { // also while it waits for the writers' lock
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if err := f.mayLog(); err != nil {
		return err
	}
	if !f.pins.on {
		return errNoReuse
	}
	if err := f.lock.acquire(context.Background(), f.config.lockTimeout); err != nil {
		return err
	}
	f.mu.Lock()
	_, err := f.catchUp()
	if err == nil {
		err = f.notice(Guard(use))
	}
	f.mu.Unlock()
	return errors.Join(err, f.lock.release())
}

// Hosts returns the hosts that were ever admitted, in no particular order, and their slots, as they
// are now. It is nil on a file system without Reuse, if the FS is closed, and if nothing can be
// read. How far slots are behind, and what they hold, is as of the last Refresh.
func (f *FS) Hosts() []Host {
	if !f.pins.on || !f.gate.enter() {
		return nil
	}
	defer f.gate.leave()
	f.mu.Lock()
	defer f.mu.Unlock()
	var hosts []Host
	err := Guard(func() error {
		hosts = f.readHosts()
		return nil
	})
	if err != nil {
		return nil
	}
	return hosts
}

// readHosts is Hosts. f.mu must be held.
func (f *FS) readHosts() (all []Host) {
	m, at := f.replica.meta, f.replica.pinsAt()
	if checkPins(m, at, f.sb.UUID) != nil {
		return nil
	}
	holds := f.replica.heldBehind()
	hosts := readHosts(m, at)
	for place, uuid := range hosts.uuids {
		h := Host{UUID: uuid}
		switch hosts.states[place] {
		case hostUnknown:
			continue
		case hostEvicted:
			h.State = HostEvicted
		default: // also one that nobody has stored: it is waited for
			h.State = HostAdmitted
		}
		for _, s := range readSlots(m, at, place) {
			pin := min(s.pin(f.replica.next), f.replica.next)
			h.Slots = append(h.Slots, Slot{
				Host: uuid, PID: int(s.owner.pid), Program: s.owner.program, Since: time.Unix(int64(s.owner.since), 0),
				Behind: int(f.replica.next - pin), Writes: s.flags&slotWrites != 0, Holds: holds(pin) * f.sb.AllocUnit,
			})
		}
		all = append(all, h)
	}
	return all
}
