package famfs

// Extents and layouts: which bytes of the device are which bytes of a file. What
// is a valid layout is checked when an entry is read (log.go); here it is only
// used.

import (
	"fmt"
	"io/fs"
	"math"
)

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
// joined if they are contiguous. length must not exceed the layout.
func (l *Layout) segments(length int64) ([]segment, error) {
	if len(l.Extents) == 1 && length > 0 { // however many chunks it may be cut into
		return []segment{{l.Extents[0].Offset, length}}, nil
	}
	segs := make([]segment, 0, len(l.Extents))
	for x := int64(0); x < length; {
		off, run := l.locate(x)
		run = min(run, length-x)
		if segs = appendSegment(segs, segment{off, run}); len(segs) > maxSegments {
			return nil, fmt.Errorf("the layout has more than %d runs, too many to map; reading through fs.FS still works: %w", maxSegments, ErrDevice)
		}
		x += run
	}
	return segs, nil
}

// Interleaving says how a file is to be spread over the device, so that it is read
// from several memory devices at a time if the device is made of several.
type Interleaving struct {
	// Strips is how many parts the file is spread over, 1 to 16.
	Strips int
	// Buckets is how many equal parts the device is thought to be cut into, Strips
	// to 64; each strip comes from another.
	Buckets int
	// Chunk is how many bytes go to one strip before the next has its turn: a power
	// of two and a multiple of the allocation unit. Files smaller than a chunk are
	// not interleaved.
	Chunk int64
}

func (i *Interleaving) check(unit int64) error {
	const maxBuckets = 64
	switch {
	case i.Strips < 1 || i.Strips > maxExtents:
		return fmt.Errorf("interleave: %d strips, want 1 to %d: %w", i.Strips, maxExtents, fs.ErrInvalid)
	case i.Buckets < i.Strips || i.Buckets > maxBuckets:
		return fmt.Errorf("interleave: %d buckets, want at least the %d strips and at most %d: %w", i.Buckets, i.Strips, maxBuckets, fs.ErrInvalid)
	case i.Chunk <= 0 || i.Chunk > math.MaxInt64/maxExtents || i.Chunk&(i.Chunk-1) != 0 || i.Chunk%unit != 0:
		return fmt.Errorf("interleave: chunk of %d bytes, want a power of two that is a multiple of %d: %w", i.Chunk, unit, fs.ErrInvalid)
	}
	return nil
}
