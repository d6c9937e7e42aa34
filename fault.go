package famfs

// Memory faults as errors: the guard that catches them, the error that they
// become, and the address book that says which file a faulting address belongs
// to. Nothing here maps or unmaps memory.

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// FaultError reports that memory behind a mapping could not be read or written:
// the device was taken away, a medium failed, a backing file was truncated, or a
// read-only mapping was written. It wraps ErrDevice.
type FaultError struct {
	// Name is the file that the memory belongs to, or "" if it is none of this
	// package's mappings.
	Name string
	// Offset is where in that file the access faulted, in bytes. Where a whole
	// range was being copied it may be any byte of the range. -1 if unknown.
	Offset int64
	// Addr is the faulting address.
	Addr uintptr
	// Closed says that the file was closed by the time that the fault was looked at: its
	// memory was used after Close, or a deferred Close came before Guard. It is known on
	// Linux, and only of the mappings that were closed last; otherwise Name is "" then.
	Closed bool
}

func (e *FaultError) Error() string {
	switch {
	case e.Name == "":
		return fmt.Sprintf("memory fault at address %#x, outside every famfs mapping", e.Addr)
	case e.Closed:
		return fmt.Sprintf("memory fault in %s at offset %d (address %#x), which was closed: its memory was used after Close, or it was gone, failed, or mapped read-only before a deferred Close", e.Name, e.Offset, e.Addr)
	}
	return fmt.Sprintf("memory fault in %s at offset %d (address %#x): the memory is gone, failed, or mapped read-only", e.Name, e.Offset, e.Addr)
}

// Unwrap makes errors.Is(err, ErrDevice) true.
func (e *FaultError) Unwrap() error { return ErrDevice }

// Guard runs fn and returns its error. If fn, in this goroutine, touches memory
// that faults, Guard returns a *FaultError that names the file and the offset
// instead of letting the program crash. Goroutines that fn starts are not guarded;
// they call Guard themselves. Other panics pass through.
//
// fn is left at the instruction that faulted: what it had locked or half changed
// stays so, unless it uses defer. In a program built with the race detector, operations
// of sync/atomic on memory that faults end the program all the same. Guard may be nested and called from any number
// of goroutines; it costs some nanoseconds. A system call that is given memory which is
// gone fails with EFAULT, which is no fault to Guard: read the memory to make it one.
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

// asFault turns what recover returned into a fault without a name. It is nil
// where nothing was recovered; a panic of another kind goes on.
func asFault(recovered any) *FaultError {
	if recovered == nil {
		return nil
	}
	// The runtime gives an address only to real faults, not to nil dereferences; a
	// value of the program's own that has one too is none of this package's.
	if at, ok := recovered.(interface {
		runtime.Error
		Addr() uintptr
	}); ok {
		return &FaultError{Offset: -1, Addr: at.Addr()}
	}
	panic(recovered)
}

// mapped is the address book of the process. It is the package's one mutable
// variable: address space belongs to the process, and Guard, which is given only a
// function, has nothing else to find a file by.
var mapped addressBook

// The book also remembers the mappings that were unmapped last: a Close that is deferred
// inside a guarded function comes before Guard.
type addressBook struct {
	mu      sync.Mutex
	entries map[uintptr]addressEntry // by first address
	closed  [rememberClosed]closedEntry
	next    int // of closed, as a ring
}

// rememberClosed is how many mappings are remembered after they are closed.
const rememberClosed = 64

type addressEntry struct {
	name string
	size uintptr
}

type closedEntry struct {
	addressEntry
	start uintptr
}

func (b *addressBook) add(mem []byte, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries == nil {
		b.entries = make(map[uintptr]addressEntry)
	}
	b.entries[addressOf(mem)] = addressEntry{name, uintptr(len(mem))}
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
	e.name = strings.Clone(e.name) // what it is a part of may be large
	b.closed[b.next] = closedEntry{e, start}
	b.next = (b.next + 1) % rememberClosed
}

// explain fills in what is known of the address of a fault.
func (b *addressBook) explain(fault *FaultError) {
	var closed bool
	fault.Name, fault.Offset, closed = b.find(fault.Addr)
	if closed && !isUnmapped(fault.Addr) { // the address is somebody else's by now
		fault.Name, fault.Offset = "", -1
		return
	}
	fault.Closed = closed
}

// find looks through all entries: faults are rare, mapping is not. closed says that addr
// belongs to no mapping, but did before the mapping was closed.
func (b *addressBook) find(addr uintptr) (name string, offset int64, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for start, e := range b.entries {
		if addr-start < e.size {
			return e.name, int64(addr - start), false
		}
	}
	for i := range rememberClosed {
		e := &b.closed[(b.next+rememberClosed-1-i)%rememberClosed] // the last one first
		if addr-e.start < e.size {
			return e.name, int64(addr - e.start), true
		}
	}
	return "", -1, false
}
