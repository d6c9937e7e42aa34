package famfs

// Memory faults as errors: the guard that catches them, the error that it returns, and the
// address book that says which file an address belongs to. Nothing here maps or unmaps memory.

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
)

// FaultError says that mapped memory could not be read or written: the device was removed, its
// medium failed, the file behind it was truncated, or a read-only mapping was written to. It
// wraps ErrDevice.
type FaultError struct {
	// Name is the file that the memory belongs to. It is "" if the memory is not a mapping of
	// this package.
	Name string
	// Offset is the position in the file at which the access faulted, in bytes. If a whole
	// range was being copied, it may be any byte of the range. It is -1 if unknown.
	Offset int64
	// Addr is the faulting address.
	Addr uintptr
	// Closed says that the file was already closed when the fault was looked at: its memory was
	// used after Close, or a deferred Close ran before Guard looked. This is known only on Linux
	// and only for the mappings that were closed last; otherwise Name is "".
	Closed bool
	// Gone says that the device was not there any more when it was looked at again: it was removed,
	// unbound from its driver, or cut. Listed says that the system lists memory there as bad. Both are
	// false if the device is there and the memory not listed, and if the system says nothing: then the
	// medium may have failed all the same.
	Gone, Listed bool
}

func (e *FaultError) Error() string {
	switch {
	case e.Name == "":
		return fmt.Sprintf("memory fault at address %#x, outside every famfs mapping", e.Addr)
	case e.Closed:
		return fmt.Sprintf("memory fault in %s at offset %d (address %#x), which was closed: its memory was used after Close, or it was gone, failed, or mapped read-only before a deferred Close", e.Name, e.Offset, e.Addr)
	case e.Gone:
		return fmt.Sprintf("memory fault in %s at offset %d (address %#x): the device is gone, unbound, or shorter than it was", e.Name, e.Offset, e.Addr)
	case e.Listed:
		return fmt.Sprintf("memory fault in %s at offset %d (address %#x): the system lists this memory as bad", e.Name, e.Offset, e.Addr)
	}
	return fmt.Sprintf("memory fault in %s at offset %d (address %#x): the memory is gone, failed, or mapped read-only", e.Name, e.Offset, e.Addr)
}

// Unwrap makes errors.Is(err, ErrDevice) true.
func (e *FaultError) Unwrap() error { return ErrDevice }

// Guard runs fn and returns its error. If fn touches memory that faults, Guard returns a
// *FaultError with the file and the offset, instead of letting the program crash. This covers
// only the goroutine of fn: goroutines that fn starts must call Guard themselves. Other panics
// pass through.
//
// fn ends at the instruction that faulted. What it had locked or half changed stays so, unless
// it uses defer. In a program built with the race detector, operations of sync/atomic on memory
// that faults still end the program. Guard may be nested, and any number of goroutines may call
// it; it costs some nanoseconds. A system call on memory that is gone fails with EFAULT, which
// is not a fault for Guard: read the memory to cause one.
func Guard(fn func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if fault := asFault(recover()); fault != nil {
			mapped.explain(fault)
			err = fault
		}
	}()
	return fn()
}

// asFault converts the result of recover into a fault without a name. It returns nil if nothing
// was recovered. A panic of another kind goes on.
func asFault(recovered any) *FaultError {
	if recovered == nil {
		return nil
	}
	// The runtime gives an address only to real faults, not to nil dereferences. A value with
	// an address that the program itself panics with does not belong to a mapping.
	if at, ok := recovered.(interface {
		runtime.Error
		Addr() uintptr
	}); ok {
		return &FaultError{Offset: -1, Addr: at.Addr()}
	}
	panic(recovered)
}

// mapped is the address book of the process. It is the only variable of the package that
// changes: address space belongs to the process, and Guard, which is given only a function, has
// no other way to find a file.
var mapped addressBook

// addressBook knows the mappings of the process. It also remembers those that were unmapped
// last, because a Close that is deferred in a guarded function runs before Guard looks.
type addressBook struct {
	mu      sync.Mutex
	entries map[uintptr]addressEntry // by first address
	closed  [rememberClosed]closedEntry
	next    int // next index of closed, which is a ring
}

// rememberClosed is the number of closed mappings that are remembered.
const rememberClosed = 64

type addressEntry struct {
	name string
	size uintptr
	// fileAt, if it is there, says which file has the byte at an offset of the memory, and
	// which of its bytes that is. It is called when nothing is locked.
	fileAt func(offset int64) (name string, x int64, ok bool)
	// faults, if it is there, counts the faults in this memory.
	faults *atomic.Int64
	// look, if it is there, takes a second look at the device behind an offset of the memory, and
	// notes in the fault what it finds. It is called when the book is not locked.
	look func(fault *FaultError, offset int64)
}

type closedEntry struct {
	addressEntry
	start uintptr
}

// add notes that mem is of the file name.
func (b *addressBook) add(mem []byte, name string) { b.addFiles(nil, mem, name, nil) }

// addOf notes that mem is of the file name, and that faults counts the faults in it.
func (b *addressBook) addOf(faults *atomic.Int64, mem []byte, name string) {
	b.addFiles(faults, mem, name, nil)
}

// addFiles notes that mem is of the files that fileAt names, and else of name. What was noted
// of mem before does not count any more.
func (b *addressBook) addFiles(faults *atomic.Int64, mem []byte, name string, fileAt func(offset int64) (string, int64, bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries == nil {
		b.entries = make(map[uintptr]addressEntry)
	}
	b.entries[addressOf(mem)] = addressEntry{name, uintptr(len(mem)), fileAt, faults, nil}
}

// watch has look take a second look after each fault in mem, which was added.
func (b *addressBook) watch(mem []byte, look func(fault *FaultError, offset int64)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.entries[addressOf(mem)]; ok {
		e.look = look
		b.entries[addressOf(mem)] = e
	}
}

func (b *addressBook) remove(mem []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	start := addressOf(mem)
	e, ok := b.entries[start]
	if !ok {
		return
	}
	delete(b.entries, start)
	e.name, e.fileAt, e.look = strings.Clone(e.name), nil, nil // what they are a part of may be large
	b.closed[b.next] = closedEntry{e, start}
	b.next = (b.next + 1) % rememberClosed
}

// explain sets what is known about the address of a fault.
func (b *addressBook) explain(fault *FaultError) {
	var closed bool
	var e addressEntry
	var at int64
	fault.Name, fault.Offset, closed, at, e = b.find(fault.Addr)
	if closed && !isUnmapped(fault.Addr) { // the address belongs to something else by now
		fault.Name, fault.Offset = "", -1
		return
	}
	fault.Closed = closed
	if e.faults != nil {
		e.faults.Add(1)
	}
	if e.look != nil {
		e.look(fault, at)
	}
}

// find says which file addr belongs to, and at which offset. closed says that addr belongs to no
// mapping now, but belonged to one that was closed. at is where in the memory of e addr is.
func (b *addressBook) find(addr uintptr) (name string, offset int64, closed bool, at int64, e addressEntry) {
	e, at, closed = b.entryOf(addr)
	if e.fileAt != nil {
		if name, x, ok := e.fileAt(at); ok {
			return name, x, false, at, e
		}
	}
	return e.name, at, closed, at, e
}

// entryOf searches all entries, because faults are rare and mapping is not.
func (b *addressBook) entryOf(addr uintptr) (e addressEntry, offset int64, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for start, e := range b.entries {
		if addr-start < e.size {
			return e, int64(addr - start), false
		}
	}
	for i := range rememberClosed {
		e := &b.closed[(b.next+rememberClosed-1-i)%rememberClosed] // the last one closed first
		if addr-e.start < e.size {
			return e.addressEntry, int64(addr - e.start), true
		}
	}
	return addressEntry{}, -1, false
}
