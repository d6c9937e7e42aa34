//go:build !linux || 386 || arm || mips || mipsle

package main

// Systems on which famfs does not mount.

import (
	"fmt"
	"runtime"
)

// mount says that there is none: what FUSE is on other systems is a product of its own, on
// which nothing here was tested, and the library for it needs 64 bits.
func (a *app) mount(o mountOptions) error {
	if err := checkMountPoint(o.dir, o.nonEmpty); err != nil {
		return localFailed(o.dir, err)
	}
	return localFailed(o.dir, fmt.Errorf("mounting needs Linux on a processor of 64 bits, and this is %s/%s: %w", runtime.GOOS, runtime.GOARCH, errNoFUSE))
}

func isDeadMount(error) bool { return false }
