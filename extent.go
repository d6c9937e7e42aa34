package famfs

// Extents and layouts: which bytes of the device are which bytes of a file, and how a caller may
// want a file interleaved. Layouts are only used here; log.go checks them when an entry is read.

import (
	"fmt"
	"io/fs"
	"math"
)

// maxExtents is the largest number of extents or strips of a file (format: file payload).
const maxExtents = 16

// Extent is a run of bytes of a device.
type Extent struct {
	// Device is 0 for the device with the superblock, and n for the device that the log added
	// with index n.
	Device int
	// Offset and Length are in bytes. Both are multiples of the allocation unit.
	Offset, Length int64
}

// Layout says where on the device the bytes of a file are (format: file maps).
type Layout struct {
	// Chunk is 0 in a simple layout: the file fills one extent after the other. Otherwise the
	// file is interleaved: it is cut into chunks of Chunk bytes, a power of two, and
	// consecutive chunks go to the extents in turn. The extents, called strips, then all have
	// the same length.
	Chunk int64
	// Extents holds 1 to 16 extents.
	Extents []Extent
}

// maxSegments limits the number of segments of one mapping. It is far above the limit of any
// system.
const maxSegments = 1 << 20

// locate returns the device and the offset on it of byte x of the file, and the number of bytes
// from there on that are contiguous in the file too. x must lie in the file.
func (l *Layout) locate(x int64) (device int, off, run int64) {
	if l.Chunk > 0 {
		n := int64(len(l.Extents))
		chunk, rest := x/l.Chunk, x%l.Chunk
		e := &l.Extents[chunk%n]
		return e.Device, e.Offset + chunk/n*l.Chunk + rest, l.Chunk - rest
	}
	for i := range l.Extents {
		e := &l.Extents[i]
		if x < e.Length {
			return e.Device, e.Offset + x, e.Length - x
		}
		x -= e.Length
	}
	panic(fmt.Sprintf("famfs: locate: %d bytes past the layout", x))
}

// oneRun returns where the first size bytes of the file lie, if they follow one another on one
// device as they do in the file. size must be at least 1 and not exceed the layout.
func (l *Layout) oneRun(size int64) (device int, off int64, ok bool) {
	if len(l.Extents) == 1 { // however many chunks it may be cut into
		return l.Extents[0].Device, l.Extents[0].Offset, true
	}
	device, off, run := l.locate(0)
	for run < size {
		on, next, more := l.locate(run)
		if on != device || next != off+run {
			return 0, 0, false
		}
		run += more
	}
	return device, off, true
}

// oneDevice returns the device on which all of the layout lies, if it is only one.
func (l *Layout) oneDevice() (device int, ok bool) {
	device = l.Extents[0].Device
	for i := 1; i < len(l.Extents); i++ {
		if l.Extents[i].Device != device {
			return 0, false
		}
	}
	return device, true
}

// find returns which byte of the file lies at off of a device, if any does.
func (l *Layout) find(device int, off int64) (x int64, ok bool) {
	before := int64(0)
	for i := range l.Extents {
		e := &l.Extents[i]
		if d := off - e.Offset; e.Device == device && 0 <= d && d < e.Length {
			if l.Chunk > 0 {
				return (d/l.Chunk*int64(len(l.Extents))+int64(i))*l.Chunk + d%l.Chunk, true
			}
			return before + d, true
		}
		before += e.Length
	}
	return 0, false
}

// bytesPerExtent returns how many of the first size bytes of the file are in each extent.
func (l *Layout) bytesPerExtent(size int64) (n [maxExtents]int64) {
	if l.Chunk == 0 {
		for i := range l.Extents {
			n[i] = min(size, l.Extents[i].Length)
			size -= n[i]
		}
		return n
	}
	strips := int64(len(l.Extents))
	stripes := size / (strips * l.Chunk)
	rest := size % (strips * l.Chunk)
	for i := range l.Extents {
		last := min(rest, l.Chunk)
		n[i] = stripes*l.Chunk + last
		rest -= last
	}
	return n
}

// deviceRun is a run of bytes of one of the devices.
type deviceRun struct {
	device int
	segment
}

// appendRun appends r to runs. If r follows the last run on its device, it extends that one: then
// one mapping is enough.
func appendRun(runs []deviceRun, r deviceRun) []deviceRun {
	if n := len(runs); n > 0 && runs[n-1].device == r.device && runs[n-1].end() == r.off {
		runs[n-1].len += r.len
		return runs
	}
	return append(runs, r)
}

// runs returns the first length bytes of the file as runs of the devices, and joins contiguous
// ones. length must not exceed the layout.
func (l *Layout) runs(length int64) ([]deviceRun, error) {
	if len(l.Extents) == 1 && length > 0 { // even if it is cut into many chunks
		return []deviceRun{{l.Extents[0].Device, segment{l.Extents[0].Offset, length}}}, nil
	}
	runs := make([]deviceRun, 0, len(l.Extents))
	for x := int64(0); x < length; {
		device, off, run := l.locate(x)
		run = min(run, length-x)
		if runs = appendRun(runs, deviceRun{device, segment{off, run}}); len(runs) > maxSegments {
			return nil, fmt.Errorf("the layout has more than %d runs, too many to map; reading through fs.FS still works: %w", maxSegments, ErrDevice)
		}
		x += run
	}
	return runs, nil
}

// Interleaving says how to spread a file over the devices of a file system, or over a device that
// consists of several memory devices. Reads of the file then use several of them at the same time.
type Interleaving struct {
	// Strips is the number of parts of the file, 1 to 16.
	Strips int
	// Buckets is the number of equal parts into which a device is divided, Strips to 64.
	// Each strip comes from a different bucket of one device. With Buckets 0 the strips go to different
	// devices of the file system, as evenly as these have room, and each file begins with another device.
	// Devices that are not here get none: look at FS.Devices before you make a file that is to be wide.
	Buckets int
	// Chunk is the number of bytes that go to one strip before the next strip gets its chunk:
	// a power of two and a multiple of the allocation unit. Files smaller than a chunk are not
	// interleaved.
	Chunk int64
}

func (i *Interleaving) check(unit int64) error {
	const maxBuckets = 64
	switch {
	case i.Strips < 1 || i.Strips > maxExtents:
		return fmt.Errorf("interleave: %d strips, want 1 to %d: %w", i.Strips, maxExtents, fs.ErrInvalid)
	case i.Buckets != 0 && i.Buckets < i.Strips || i.Buckets < 0 || i.Buckets > maxBuckets:
		return fmt.Errorf("interleave: %d buckets, want at least the %d strips and at most %d, or 0 for all devices: %w", i.Buckets, i.Strips, maxBuckets, fs.ErrInvalid)
	case i.Chunk <= 0 || i.Chunk > math.MaxInt64/maxExtents || i.Chunk&(i.Chunk-1) != 0 || i.Chunk%unit != 0:
		return fmt.Errorf("interleave: chunk of %d bytes, want a power of two that is a multiple of %d: %w", i.Chunk, unit, fs.ErrInvalid)
	}
	return nil
}
