//go:build unix

package main

import (
	"os"
	"syscall"
)

// onDisk returns how many bytes a file takes on disk, if the system says so.
func onDisk(name string) (int64, bool) {
	st, err := os.Stat(name)
	if err != nil {
		return 0, false
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int64(s.Blocks) * 512, true
}
