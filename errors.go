package famfs

// The package's own error values. They are wrapped, with words of their own, where the
// error arises.

import "errors"

// Errors to test for with errors.Is; they always come wrapped in one that says
// what was being done, to what, and what was found. Besides these the package
// returns fs.ErrNotExist, fs.ErrExist, fs.ErrInvalid, fs.ErrPermission and
// fs.ErrClosed with their usual meaning.
var (
	// ErrNotFormatted: the device carries no famfs superblock.
	ErrNotFormatted = errors.New("not formatted as famfs")
	// ErrNotEmpty: the device or file holds something that is not famfs's, which Format
	// does not overwrite without Force.
	ErrNotEmpty = errors.New("not empty")
	// ErrVersion: a superblock of a version or on-media format that this package
	// does not know.
	ErrVersion = errors.New("unsupported format version")
	// ErrChecksum: a CRC does not match the bytes that it covers.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrCorrupt: metadata that cannot be what a correct writer wrote.
	ErrCorrupt = errors.New("corrupt metadata")
	// ErrReformatted: the device was formatted anew, or wiped, since it was opened. Open
	// it again. It does not wrap ErrCorrupt: what is on the device now may be sound, it
	// is another file system.
	ErrReformatted = errors.New("the device was formatted anew or wiped; open it again")
	// ErrNotMaster: this host is not the one that may write the metadata.
	ErrNotMaster = errors.New("this host is not the master")
	// ErrReadOnly: the file system was opened without ReadWrite.
	ErrReadOnly = errors.New("opened read-only")
	// ErrNoSpace: no free space, or none in the shape that was asked for.
	ErrNoSpace = errors.New("no space left on device")
	// ErrLogFull: the log holds as many entries as it can.
	ErrLogFull = errors.New("log is full")
	// ErrLocked: another writer held the lock for longer than was to be waited.
	ErrLocked = errors.New("locked by another writer")
	// ErrBusy: something is open or under way; see FS.Close.
	ErrBusy = errors.New("still in use")
	// ErrChanged: the source of a copy changed while it was read.
	ErrChanged = errors.New("changed while it was copied")
	// ErrDevice: the device cannot be used, or failed.
	ErrDevice = errors.New("device error")
)
