package famfs

// Populating a region where the system has no call for it.

import (
	"os"
	"runtime"
)

// touchPages reads one byte of every page of mem. A fault is an error.
func touchPages(mem []byte) error {
	return Guard(func() error {
		var sum byte
		for at := 0; at < len(mem); at += os.Getpagesize() {
			sum += mem[at]
		}
		runtime.KeepAlive(sum) // so that the loads are needed
		return nil
	})
}
