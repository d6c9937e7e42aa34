//go:build !linux

package famfs

// Systems where pages are populated by touching them and huge pages are not asked
// for.

func populateMemory(mem []byte, _ bool) error { return touchPages(mem) }

func prefault([]byte, bool) {}

func adviseSingly([]byte) {}
