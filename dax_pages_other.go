//go:build !linux

package famfs

// Systems where pages are populated by touching them and huge pages are not asked
// for.

func adviseHugePages([]byte) {}

func populateMemory(mem []byte, _ bool) error { return touchPages(mem) }

func prefault([]byte, bool) {}

func adviseSingly([]byte) {}

// isUnmapped says that nothing is known to be mapped at addr now.
func isUnmapped(uintptr) bool { return false }
