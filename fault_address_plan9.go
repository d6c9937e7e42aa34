package famfs

// isBadAddress is false: on Plan 9 nothing can be mapped.
func isBadAddress(error) bool { return false }
