//go:build !unix || solaris || illumos || aix

package main

// Part files where there are no locks: a file that is open cannot be removed, or it is
// left to the user.

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
)

var errPartGone = errors.New("part file was removed")

func lockPart(*os.File) (io.Closer, error) { return nil, nil }

// removeLeftPart removes a part if its writer cannot be at work any more.
func removeLeftPart(name string) {
	if runtime.GOOS == "windows" { // refuses as long as it is open
		os.Remove(name)
	}
}

func sameDevice(a, b fs.FileInfo) bool { return false }
