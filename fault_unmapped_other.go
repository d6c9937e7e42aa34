//go:build !linux

package famfs

// Systems that cannot be asked whether an address is mapped.

// isUnmapped returns false: it is not known that addr is unmapped.
func isUnmapped(uintptr) bool { return false }
