//go:build !unix || solaris || illumos || aix

package main

// Part files on systems without locks. If the system refuses to remove open files, left parts
// are removed; otherwise the user must do it.

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
)

var errPartGone = errors.New("part file was removed")

func lockPart(*os.File) (io.Closer, error) { return nil, nil }

// removeLeftPart removes a part if its writer cannot be running any more.
func removeLeftPart(name string) {
	if runtime.GOOS == "windows" { // Windows does not remove an open file
		os.Remove(name)
	}
}

func openPlain(name string) (*os.File, error) {
	if err := checkPlain(name); err != nil {
		return nil, err
	}
	return os.Open(name)
}

func sameDevice(a, b fs.FileInfo) bool { return false }

func localOwner(fs.FileInfo) (uid, gid uint32, ok bool) { return 0, 0, false }
