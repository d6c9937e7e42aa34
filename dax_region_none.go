//go:build !unix && !windows

package famfs

// Systems on which files cannot be mapped, such as WebAssembly's and Plan 9: the package
// compiles, so that programs which import it do, but no device can be opened.

import "errors"

// canMap says that this system maps files.
const canMap = false

func syncMemory([]byte) error { return errors.ErrUnsupported }

func (d *device) tryLock() (bool, error) { return false, errors.ErrUnsupported }

func (d *device) unlock() error { return errors.ErrUnsupported }
