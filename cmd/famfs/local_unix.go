//go:build unix && !solaris && !illumos && !aix

package main

// Locks on part files. They distinguish a part whose writer is alive from a left one. Also here:
// which file system a file is on, and opening files that are read one after the other.

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var errPartGone = errors.New("part file was removed")

// lockPart locks a part until the result is closed, even if f is closed before.
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

// removeLeftPart removes a part if nobody has locked it.
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

// openPlain opens a file or directory to read it, and waits for nobody but the holder of a lease. It opens
// a special file before it refuses it, which may do something: call checkPlain first if nobody has looked.
// os.Open finds out with five more system calls whether anybody can wait for the file, which is most of the
// time where files are small.
func openPlain(name string) (*os.File, error) {
	for {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		var st unix.Stat_t
		switch {
		case err == unix.EINTR:
		case err == nil && unix.Fstat(fd, &st) == nil && (st.Mode&unix.S_IFMT == unix.S_IFREG || st.Mode&unix.S_IFMT == unix.S_IFDIR):
			unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_RDONLY) // or os would try to wait for it
			return os.NewFile(uintptr(fd), name), nil
		default: // also if somebody has a lease on it and has to give it up
			if err == nil {
				unix.Close(fd)
			}
			if err := checkPlain(name); err != nil {
				return nil, err
			}
			return os.Open(name)
		}
	}
}

// sameDevice reports whether two files are on the same file system.
func sameDevice(a, b fs.FileInfo) bool {
	x, ok := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok && ok2 && x.Dev == y.Dev
}

// localOwner returns the owner of a local file.
func localOwner(st fs.FileInfo) (uid, gid uint32, ok bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return s.Uid, s.Gid, true
}
