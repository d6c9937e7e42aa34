package famfs

// Extents and layouts: which bytes of the device are which bytes of a file. What
// is a valid layout is checked when an entry is read (log.go); here it is only
// used.

import "fmt"

// maxExtents is how many extents or strips a file can have (format: file
// payload).
const maxExtents = 16

// Extent is a run of bytes of a device.
type Extent struct {
	// Device is 0 for the device with the superblock, n for the one that the log
	// added with index n.
	Device int
	// Offset and Length are in bytes, multiples of the allocation unit.
	Offset, Length int64
}

// Layout is where a file's bytes lie (format: file maps).
type Layout struct {
	// Chunk is 0 for a simple layout, in which the extents follow one another.
	// Otherwise the file is interleaved: its chunks of Chunk bytes, a power of two,
	// go round the extents, which are all of one length and are called strips.
	Chunk int64
	// Extents are 1 to 16.
	Extents []Extent
}

// maxSegments bounds what one mapping may be made of; it is far more than any
// system allows.
const maxSegments = 1 << 20

// locate returns where byte x of the file lies on the device, and how many bytes
// from there on follow it in the file too. x must lie in the file.
func (l *Layout) locate(x int64) (off, run int64) {
	if l.Chunk > 0 {
		n := int64(len(l.Extents))
		chunk, rest := x/l.Chunk, x%l.Chunk
		return l.Extents[chunk%n].Offset + chunk/n*l.Chunk + rest, l.Chunk - rest
	}
	for i := range l.Extents {
		e := &l.Extents[i]
		if x < e.Length {
			return e.Offset + x, e.Length - x
		}
		x -= e.Length
	}
	panic(fmt.Sprintf("famfs: locate: %d bytes past the layout", x))
}

// segments returns the first length bytes of the file as runs of the device,
// joined where they are contiguous. length must not exceed the layout.
func (l *Layout) segments(length int64) ([]segment, error) {
	if len(l.Extents) == 1 && length > 0 { // however many chunks it may be cut into
		return []segment{{l.Extents[0].Offset, length}}, nil
	}
	segs := make([]segment, 0, len(l.Extents))
	for x := int64(0); x < length; {
		off, run := l.locate(x)
		run = min(run, length-x)
		if n := len(segs); n > 0 && segs[n-1].off+segs[n-1].len == off {
			segs[n-1].len += run
		} else if n == maxSegments {
			return nil, fmt.Errorf("the layout has more than %d runs, too many to map; reading through fs.FS still works: %w", maxSegments, ErrDevice)
		} else {
			segs = append(segs, segment{off, run})
		}
		x += run
	}
	return segs, nil
}
