//go:build unix && !solaris && !illumos && !aix

package main

// Locks on part files, by which a part whose writer is alive is told from one that was
// left; and which file system a file is on.

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

var errPartGone = errors.New("part file was removed")

// lockPart locks a part until what it returns is closed, also after f is.
func lockPart(f *os.File) (io.Closer, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	lock := os.NewFile(uintptr(fd), f.Name())
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, err // a file system without locks
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err == nil && st.Nlink == 0 {
		lock.Close()
		return nil, errPartGone
	}
	return lock, nil
}

// removeLeftPart removes a part if nobody has it locked.
func removeLeftPart(name string) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		os.Remove(name)
	}
}

// sameDevice says that two files are on the same file system.
func sameDevice(a, b fs.FileInfo) bool {
	x, ok := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok && ok2 && x.Dev == y.Dev
}
