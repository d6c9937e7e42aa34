//go:build !linux

package famfs

// Systems without DAX: plain files only.

import (
	"fmt"
	"os"
)

func openSpecial(path string, st os.FileInfo, _ bool) (*device, error) {
	return nil, fmt.Errorf("%s has type %v, want a file: DAX devices are supported on Linux only: %w", path, st.Mode().Type(), ErrDevice)
}

// mayReach would say whether system calls may write so far; there are none.
func mayReach(int64) bool { return true }

// probeFile completes d, a regular file.
func probeFile(d *device, _ bool) { d.writeBack = true }

func sameNode(_, _ os.FileInfo) bool { return false }

func devdaxPaths() []string { return nil }
