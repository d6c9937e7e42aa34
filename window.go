package famfs

// The windows: each device as a whole, mapped for reading, once. Bytes of files are used out
// of them without a mapping of their own, run by run, under a guard; and it is known which file
// an address in one belongs to. What they are used for is the concern of iofs.go, view.go,
// copyfs_compare.go and reused.go.

import "runtime/debug"

// eachRun calls use for the memory of count bytes of a file from off on, run by run.
// The bounds must lie in the file. A memory fault inside use is a *FaultError that
// names the file and the offset, or, if it is not the file's memory that faulted, what
// did. use is told the device that the memory is of.
func (f *FS) eachRun(n node, off, count int64, use func(dev *device, mem []byte) error) error {
	if err := f.sameDevice(); err != nil {
		return err
	}
	place := n.place()
	for count > 0 {
		device, at, run := place.locate(off)
		m, err := f.on(device)
		if err != nil {
			return err
		}
		run = min(run, count)
		if err := f.lend(n, off, m, at, run, func(mem []byte) error { return use(m.dev, mem) }); err != nil {
			return err
		}
		off += run
		count -= run
	}
	return nil
}

// lend calls use for the memory of run bytes of a file from off on, which lie at at of device m.
// Faults are those of eachRun.
func (f *FS) lend(n node, off int64, m *member, at, run int64, use func(mem []byte) error) (err error) {
	mem := m.window.mem[at : at+run : at+run]
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if fault := asFault(recover()); fault != nil {
			err = f.blame(m, fault, n, off, mem)
		}
	}()
	return use(mem)
}

// blame says whose memory faulted while mem, bytes of n from off on, which are on device m, was
// used: that file's, or what else the address belongs to.
func (f *FS) blame(m *member, fault *FaultError, n node, off int64, mem []byte) *FaultError {
	at := fault.Addr - addressOf(mem)
	switch {
	case at < uintptr(len(mem)):
		fault.Offset = off + int64(at)
	case m.inWindow(fault.Addr) && m.startsPage(fault.Addr, addressOf(mem)):
		fault.Offset = off
	default:
		mapped.explain(fault)
		return fault
	}
	fault.Name = n.path()
	f.faults.Add(1)
	f.lookAgain(m, int64(fault.Addr-addressOf(m.window.mem)), fault)
	return fault
}

// startsPage says whether a page that the device is mapped with, and that has mem in it,
// begins at addr: memory that failed may be reported as the start of its whole page.
func (m *member) startsPage(addr, mem uintptr) bool {
	for page := uintptr(m.dev.largestPage()); page > 1; page /= 2 {
		if addr == mem&^(page-1) {
			return true
		}
	}
	return false
}

func (m *member) inWindow(addr uintptr) bool {
	return addr-addressOf(m.window.mem) < uintptr(len(m.window.mem))
}

// inAnyWindow reports whether an address is in the window of a device of f.
func (f *FS) inAnyWindow(addr uintptr) bool {
	inside := f.inWindow(addr)
	for _, m := range f.devices.list() {
		inside = inside || m.dev != nil && m.inWindow(addr)
	}
	return inside
}

// filesOn returns a function that says which file has the byte of a device at off, and which of
// its bytes that is. It looks through all files: it is for faults, which are rare.
func (f *FS) filesOn(device int) func(off int64) (name string, x int64, ok bool) {
	return func(off int64) (name string, x int64, ok bool) {
		ns := f.replica.ns
		for index := ns.end() - 1; index >= 0; index-- {
			n := ns.node(index)
			if n.gone() || n.isDir() {
				continue
			}
			place := n.place()
			if x, ok := place.find(device, off); ok && x < n.size {
				return n.ownPath(), x, true
			}
		}
		return "", 0, false
	}
}
