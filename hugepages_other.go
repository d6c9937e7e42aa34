//go:build !linux

package famfs

// Systems that are not asked for huge pages.

func adviseHugePages([]byte) {}
