package famfs

// Files as slices for the length of a call: out of the window if they lie in one run, and
// mapped otherwise. Slices that last longer are mapping.go's concern.

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"runtime"
)

// View calls fn with the file name as a slice, and returns the error of fn as it is. The
// slice is the shared memory itself, for reading only; its length and capacity are the
// file's size. It is valid until fn returns, and must not be used afterwards.
//
// It is for many short looks at files, each of which costs little more than finding the
// name: a file that lies in one run of the device, as most do, is neither mapped, nor is
// memory allocated for it. Other files are mapped as Map does it until fn returns, or share a
// mapping that is there. A store to the slice is a fault. Next to the slice in memory are other
// files of the device, which can be read too. Use Map instead for code that may read past the
// bounds of a slice, such as code that uses package unsafe or is in another language. A file in
// several runs that lies on pages which it shares with others, as may be where allocation units are
// smaller than the device's pages (AllocUnit), is not mapped: fn gets a copy.
//
// fn is run by Guard: memory that faults is a *FaultError, which names file and offset.
// Panics, and runtime.Goexit, pass through. Goroutines that fn starts have to end their use
// of the slice before fn returns, and call Guard themselves. fn may call all methods of the
// FS, View of the same file too. Close waits until fn returns; what fn calls meanwhile is
// fs.ErrClosed. Close that fn itself calls is ErrBusy, and fn must not wait for another
// goroutine's Close. A file that is removed or replaced
// meanwhile stays what it was. View may be called by any number of goroutines, which do not
// wait for each other.
//
// As with Map, invalidate the slice first (InvalidateCache) if another host may have written to
// the file after this host had it in its caches.
//
// View does not look whether the device was formatted anew; Refresh does. Until Refresh, or
// another method that reads the log, has found that, View calls fn with what is in that memory now,
// and returns nil. From then on it returns ErrReformatted.
//
// Errors but that of fn are *fs.PathError: fs.ErrNotExist, fs.ErrInvalid for a directory or
// an invalid name, fs.ErrClosed, *FaultError, ErrReformatted. If another goroutine, or fn, finds
// while fn runs that the device was formatted anew, and fn returns nil, the error is
// ErrReformatted too, as what fn saw may be of another file system. For a file in several
// runs they may be those of Map that say why it cannot be mapped.
func (f *FS) View(name string, fn func(data []byte) error) error {
	own := false // the error is that of fn
	err := f.view(name, func(data []byte) error {
		err := fn(data)
		own = err != nil
		return err
	})
	if err == nil || own {
		return err
	}
	return &fs.PathError{Op: "view", Path: name, Err: err}
}

func (f *FS) view(name string, use func(data []byte) error) error {
	if !f.gate.enter() {
		return fs.ErrClosed
	}
	defer f.gate.leave()
	epoch, err := f.reach()
	if err != nil {
		return err
	}
	defer f.leave(epoch)
	index, n, err := f.lookup(name)
	if err != nil {
		return err
	}
	if n.isDir() {
		return fmt.Errorf("is a directory: %w", fs.ErrInvalid)
	}
	if err := f.forgetOwner(index, n); err != nil {
		return err
	}
	place := n.place()
	if device, at, ok := place.oneRun(n.size); ok {
		var m *member
		if m, err = f.on(device); err == nil {
			err = f.lend(n, 0, m, at, n.size, use)
		}
	} else {
		err = f.viewRegion(index, n, use)
	}
	if f.pins.evicted.Load() {
		return errors.Join(ErrEvicted, err) // what it saw may have been another file's
	}
	if err != nil {
		return err
	}
	return f.sameDevice()
}

// insideView reports whether the caller is a function that a View runs, of whatever FS.
func insideView() bool {
	view := runtime.FuncForPC(reflect.ValueOf((*FS).view).Pointer()).Name()
	var callers [64]uintptr
	for skip := 2; ; skip += len(callers) {
		n := runtime.Callers(skip, callers[:])
		if n == 0 {
			return false
		}
		for frames := runtime.CallersFrames(callers[:n]); ; {
			frame, more := frames.Next()
			if frame.Function == view {
				return true
			}
			if !more {
				break
			}
		}
	}
}

// viewRegion is view for a file in several runs.
func (f *FS) viewRegion(index int64, n node, use func(data []byte) error) (err error) {
	h, err := f.homeOf(n.place())
	if err != nil {
		return err
	}
	s, err := f.useRegion(index, n, &h, false)
	if errors.Is(err, ErrDevice) && h.unaligned(n.size, f.sb.AllocUnit) {
		data := make([]byte, n.size)
		if _, err := f.readAt(index, n, data, 0); err != nil {
			return err
		}
		return Guard(func() error { return use(data) })
	}
	if err != nil {
		return err
	}
	if f.pins.evicted.Load() { // it may have been mapped when all others had been made inaccessible
		return errors.Join(ErrEvicted, f.leaveRegion(s))
	}
	defer func() { // after Guard, which finds the name of a fault where the region is mapped
		if leaveErr := f.leaveRegion(s); err == nil {
			err = leaveErr
		}
	}()
	return Guard(func() error { return use(s.data) })
}
