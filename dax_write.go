package famfs

// Writing to a stand-in by system calls, without mapping the file, and waiting until its disk has
// what was written. dax_linux.go finds out on which file systems this is possible.

import (
	"errors"
	"fmt"
	"io"
)

// errCut says that a stand-in has become shorter: memory behind its end is gone.
var errCut = errors.New("cut short")

// prefersCalls says that many bytes, too, are written faster by calls than to a mapping that is yet to
// be made.
func (d *device) prefersCalls() bool { return d.takesCalls() && d.smallPages && !d.writeBack }

// takesCalls says that what is written by writeAt is the same memory as what is mapped, and
// that nothing needs to be done to cache lines. On memory that hosts share there is.
func (d *device) takesCalls() bool { return d.coherentCalls && !d.shared }

// writeAt writes b to off, both within the device. The error is ErrNoSpace if the file system
// under the stand-in has no room, and errCut if the stand-in has become shorter since it was
// opened: a write could make it longer again.
func (d *device) writeAt(b []byte, off int64) (int, error) {
	switch end, err := d.file.Seek(0, io.SeekEnd); {
	case err != nil:
		return 0, err
	case end < d.info.Size:
		return 0, fmt.Errorf("%s has %d bytes, and had %d when it was opened: %w", d.info.Path, end, d.info.Size, errCut)
	}
	n, err := d.file.WriteAt(b, off)
	if err != nil && isFull(err) {
		err = d.noRoom(segment{off + int64(n), int64(len(b) - n)})
	}
	return n, err
}

// waitForDisk is flush for memory that was written by writeAt.
func (d *device) waitForDisk(mem []byte, since uint64) error {
	if !d.writeBack || len(mem) == 0 {
		return nil
	}
	if err := d.disk.wait(d.sync, mem, since); err != nil {
		return fmt.Errorf("write %s back to disk: %w", d.info.Path, err)
	}
	return nil
}
