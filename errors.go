package famfs

// The package's own error values. They are wrapped, with more words, where the error occurs.

import (
	"errors"
	"fmt"
	"io/fs"
)

// Errors to test for with errors.Is. They are always wrapped in an error that names the
// operation, its object, and what was found. The package also returns fs.ErrNotExist,
// fs.ErrExist, fs.ErrInvalid, fs.ErrPermission and fs.ErrClosed with their usual meaning.
var (
	// ErrNotFormatted: the device has no famfs superblock.
	ErrNotFormatted = errors.New("not formatted as famfs")
	// ErrNotEmpty: the device or file holds something other than famfs. Format does not
	// overwrite that without Force.
	ErrNotEmpty = errors.New("not empty")
	// ErrVersion: the superblock has a version or an on-media format that this package does
	// not know.
	ErrVersion = errors.New("unsupported format version")
	// ErrChecksum: a CRC, or the sum of a sealed file, does not match the bytes that it covers.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrCorrupt: the metadata cannot have been written by a correct writer.
	ErrCorrupt = errors.New("corrupt metadata")
	// ErrReformatted: the device was formatted anew, or wiped, since it was opened. Open it
	// again. ErrReformatted does not wrap ErrCorrupt: what is on the device now may be sound,
	// but it is another file system.
	ErrReformatted = errors.New("the device was formatted anew or wiped; open it again")
	// ErrNotMaster: this host is not the one that may write the metadata.
	ErrNotMaster = errors.New("this host is not the master")
	// ErrReadOnly: the file system was opened without ReadWrite.
	ErrReadOnly = errors.New("opened read-only")
	// ErrNoSpace: there is no free space, or not in the requested shape.
	ErrNoSpace = errors.New("no space left on device")
	// ErrLogFull: the log has no room for more entries.
	ErrLogFull = errors.New("log is full")
	// ErrLocked: another writer held the lock for longer than the caller was to wait.
	ErrLocked = errors.New("locked by another writer")
	// ErrBusy: something is open or running; see FS.Close.
	ErrBusy = errors.New("still in use")
	// ErrChanged: the source of a copy changed while it was read.
	ErrChanged = errors.New("changed while it was copied")
	// ErrRemoved: the file was removed, and its memory may be another file's by now. It wraps
	// fs.ErrNotExist. See Reuse.
	ErrRemoved = fmt.Errorf("removed: %w", fs.ErrNotExist)
	// ErrNotAdmitted: this host cannot say that it has files mapped, so that the master would
	// not wait for it. See Reuse.
	ErrNotAdmitted = errors.New("this host is not admitted")
	// ErrEvicted: the master does not wait for this host any more. Close the FS. See Evict.
	ErrEvicted = errors.New("this host was evicted")
	// ErrBadMemory: the system lists memory of the device as bad, or knows that it failed. It wraps
	// ErrDevice.
	ErrBadMemory = fmt.Errorf("memory that the system lists as bad: %w", ErrDevice)
	// ErrDevice: the device cannot be used, or failed.
	ErrDevice = errors.New("device error")
)
