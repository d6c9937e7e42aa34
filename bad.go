package famfs

// Bad memory: files that are on it, keeping it from being given out, and the second look after a
// fault. What the system knows is dax_bad.go's concern.

import (
	"fmt"
	"sync"
)

// maxFailed limits how many pages of failing memory are remembered.
const maxFailed = 1 << 16

// badMemory is what this FS has found, and done about it.
type badMemory struct {
	mu      sync.Mutex
	failed  map[failedPage]bool // memory of which reading failed twice
	claimed map[spaceRun]bool
}

type failedPage struct {
	device int
	segment
}

// watchMemory has faults in mem, the memory of device m from its beginning on, looked at again.
func (f *FS) watchMemory(m *member, mem []byte) {
	mapped.watch(mem, func(fault *FaultError, offset int64) { f.lookAgain(m, offset, fault) })
}

// watchFile does that for the mapping of a file.
func (f *FS) watchFile(h home, mem []byte) {
	mapped.watch(mem, func(fault *FaultError, offset int64) {
		device, at, _ := h.place.locate(offset)
		f.lookAgain(h.member(device), at, fault)
	})
}

// lookAgain takes a second look at memory of a device that faulted, and notes in fault what it finds.
// Memory that is bad is not given out from then on. No lock of f is needed, and any may be held.
func (f *FS) lookAgain(m *member, at int64, fault *FaultError) {
	look := m.dev.lookAgain(at, m.window.mem)
	fault.Gone, fault.Listed = look.gone, look.listed
	if look.gone || !look.listed && !look.fails {
		return
	}
	b := &f.badMemory
	b.mu.Lock()
	defer b.mu.Unlock()
	if page := (failedPage{m.index, look.page}); look.fails && len(b.failed) < maxFailed && !b.failed[page] {
		if b.failed == nil {
			b.failed = make(map[failedPage]bool)
		}
		b.failed[page] = true
		f.claimRun(page.device, page.segment)
	}
	if look.listed {
		f.claimListed()
	}
}

// claimBad keeps memory that is known to be bad from being given out.
func (f *FS) claimBad() {
	b := &f.badMemory
	b.mu.Lock()
	defer b.mu.Unlock()
	f.claimListed()
	for page := range b.failed {
		f.claimRun(page.device, page.segment)
	}
}

// claimListed does that for memory that the system lists. badMemory.mu must be held.
func (f *FS) claimListed() {
	for _, m := range f.members() {
		for _, s := range m.dev.bad() {
			f.claimRun(m.index, s)
		}
	}
}

// claimRun does it for one part of a device. badMemory.mu must be held.
func (f *FS) claimRun(device int, s segment) {
	r, b := f.replica, &f.badMemory
	if r == nil {
		return // it is opened just now
	}
	first, last := s.off>>r.unitBits, (s.end()-1)>>r.unitBits
	run := spaceRun{device, unitRun{first, last - first + 1}}
	if d := r.space.of(device); d == nil || d.alloc.Load() == nil || b.claimed[run] {
		return
	}
	if b.claimed == nil {
		b.claimed = make(map[spaceRun]bool)
	}
	b.claimed[run] = true
	r.space.claim([]spaceRun{run})
}

// members returns the devices that are here.
func (f *FS) members() []*member {
	all := []*member{&f.member}
	for _, m := range f.devices.list() {
		if m.dev != nil {
			all = append(all, m)
		}
	}
	return all
}

// onBadMemory returns a problem for each file that is on memory which the system lists as bad, and for
// superblock and log.
func (f *FS) onBadMemory() (problems []Problem) {
	found := false
	for _, m := range f.members() {
		for _, s := range m.dev.bad() {
			found = true
			if s.off < f.metadataOf(m) {
				problems = append(problems, Problem{Index: -1, Err: fmt.Errorf("superblock or log of %s: %d bytes at %d are %w; copy everything to another device while they can be read", m.dev.info.Path, s.len, s.off, ErrBadMemory)})
				break
			}
		}
	}
	if !found {
		return nil
	}
	ns := f.replica.ns
	for index := range ns.end() {
		n := ns.node(index)
		if n.gone() || n.isDir() || n.slab.removedBefore(index, ns.end()) || len(problems) == maxProblems {
			continue
		}
		first, bytes := f.badOf(n)
		if bytes > 0 {
			problems = append(problems, Problem{Index: int(index), Path: n.path(), Err: fmt.Errorf("file %q: %d bytes, the first at offset %d of the file, are %w; the file is served, and reading them may fail: copy it in again from a sound source, in its place", n.path(), bytes, first, ErrBadMemory)})
		}
	}
	return problems
}

// badOf returns how many bytes of a file are on memory that is listed as bad, and the offset of the
// first.
func (f *FS) badOf(n node) (first, bytes int64) {
	place := n.place()
	first = n.size
	for _, x := range place.Extents {
		m, err := f.on(x.Device)
		if err != nil {
			continue
		}
		for _, s := range m.dev.bad() {
			for at, end := max(s.off, x.Offset), min(s.end(), x.Offset+x.Length); at < end; {
				run := end - at
				offset, ok := place.find(x.Device, at)
				if place.Chunk > 0 { // the next byte of the device may be of another stripe
					run = min(run, place.Chunk-(at-x.Offset)%place.Chunk)
				}
				if ok && offset < n.size {
					first = min(first, offset)
					bytes += min(run, n.size-offset)
				}
				at += run
			}
		}
	}
	return first, bytes
}

// isOnBad reports whether a part of a file is on memory that is listed as bad.
func (f *FS) isOnBad(n node) bool {
	if !f.gate.enter() {
		return false // what follows fails
	}
	defer f.gate.leave()
	_, bytes := f.badOf(n)
	return bytes > 0
}

// warnOfBad tells the caller's logger of bad memory.
func (f *FS) warnOfBad() {
	for _, m := range f.members() {
		if info := m.dev.describe(); len(info.Bad) > 0 {
			f.config.log.Warn("the system lists memory of the device as bad: nothing new is put there, and Problems has the files that are there", "path", info.Path, "bytes", lengthOf(info.Bad))
		}
	}
}
