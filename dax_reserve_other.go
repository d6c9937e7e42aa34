//go:build !linux

package famfs

// Systems where nothing is known of holes in stand-ins.

import "errors"

var errFull = errors.New("full")

func (d *device) sparse() bool { return false }

func (d *device) allocate(segment) error { return nil }
