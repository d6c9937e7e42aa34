//go:build !linux

package famfs

// Systems that are not asked whether something is mapped at an address.

// isUnmapped says that nothing is known to be mapped at addr now.
func isUnmapped(uintptr) bool { return false }
