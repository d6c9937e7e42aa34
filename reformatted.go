package famfs

// A device that was formatted anew, or wiped, under an open FS: whoever notices it first
// notes it, and from then on nothing of the FS can be used but what is mapped already.
// How it is noticed is log_replay.go's concern.

import (
	"errors"
	"io/fs"
)

// notice returns err, and remembers it for good if it says that the device was formatted
// anew.
func (f *FS) notice(err error) error {
	if err != nil && errors.Is(err, ErrReformatted) {
		f.reformatted.CompareAndSwap(nil, &err)
	}
	return err
}

// sameDevice fails with ErrReformatted once somebody has noticed that the device was
// formatted anew.
func (f *FS) sameDevice() error {
	if err := f.reformatted.Load(); err != nil {
		return *err
	}
	return nil
}

// usable says why f cannot be used any more: it is closed, or the device was formatted
// anew.
func (f *FS) usable() error {
	if !f.gate.isOpen() {
		return fs.ErrClosed
	}
	return f.sameDevice()
}
