//go:build !linux

package famfs

// Systems on which pages are populated by touching them, and cannot be advised.

func populateMemory(mem []byte, _ bool) error { return touchPages(mem) }

func prefault([]byte, bool) {}

func adviseSingly([]byte) {}
