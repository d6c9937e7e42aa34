//go:build !linux

package famfs

// Systems on which holes in stand-ins are not known.

import "errors"

var errFull = errors.New("full")

func isFull(error) bool { return false }

func (d *device) sparse() bool { return false }

func (d *device) hasRoom(segment) bool { return false }

func (d *device) allocate(segment) error { return nil }

func (d *device) giveBack(segment) {}
