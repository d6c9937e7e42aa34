package famfs

// A device that was formatted anew, or wiped, under an open FS. The first goroutine that notices it
// records it. From then on, only what is already mapped can be used. log_replay.go notices it.

import (
	"errors"
	"io/fs"
)

// notice returns err. If err says that the device was formatted anew, notice records it for good.
func (f *FS) notice(err error) error {
	if err != nil && errors.Is(err, ErrReformatted) {
		found := err // so that only this case costs memory
		f.reformatted.CompareAndSwap(nil, &found)
	}
	return err
}

// sameDevice returns ErrReformatted if it has been noticed that the device was formatted anew.
func (f *FS) sameDevice() error {
	if err := f.reformatted.Load(); err != nil {
		return *err
	}
	return nil
}

// lookForOther is sameDevice, and looks at the superblock before, unless another goroutine has the
// replica, and looks by itself.
func (f *FS) lookForOther() error {
	if !f.gate.enter() {
		return fs.ErrClosed
	}
	defer f.gate.leave()
	if f.mu.TryLock() {
		// What else may be wrong with the superblock is told by those who need the log.
		_ = f.notice(Guard(f.replica.lookForOther))
		f.mu.Unlock()
	}
	return f.sameDevice()
}

// usable returns an error if f is closed, or the device was formatted anew.
func (f *FS) usable() error {
	if !f.gate.isOpen() {
		return fs.ErrClosed
	}
	return f.sameDevice()
}
