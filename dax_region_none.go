//go:build !unix && !windows

package famfs

// Systems on which files cannot be mapped, such as WebAssembly and Plan 9. The package compiles
// there, so that programs that import it compile too, but no device can be opened.

import "errors"

// canMap says whether this system can map files.
const canMap = false

func syncMemory([]byte) error { return errors.ErrUnsupported }

func (d *device) tryLock() (bool, error) { return false, errors.ErrUnsupported }

func (d *device) unlock() error { return errors.ErrUnsupported }

func denyAccess([]byte) error { return errors.ErrUnsupported }
