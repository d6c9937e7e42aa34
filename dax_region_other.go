//go:build !unix

package famfs

// Address space where mmap-go is all there is, above all on Windows: one segment after
// another cannot be placed side by side there, so only files of one run can be mapped.

import "fmt"

// mapRegion maps segs, total bytes together, if they are one run. The address is
// what the system picks, a multiple of 64 KiB.
func (d *device) mapRegion(segs []segment, total int64, write, populate bool) (*region, error) {
	for i := 1; i < len(segs); i++ {
		if segs[i-1].off+segs[i-1].len != segs[i].off {
			return nil, fmt.Errorf("map %d segments of %s as one slice: not possible on this system; read through fs.FS instead: %w", len(segs), d.info.Path, ErrDevice)
		}
	}
	r, err := d.mapFile(segment{segs[0].off, total}, write)
	if err != nil || !populate {
		return r, err
	}
	if err := populateMemory(r.mem, write); err != nil {
		r.unmap()
		return nil, fmt.Errorf("populate %d bytes of %s: %w", total, d.info.Path, err)
	}
	return r, nil
}

// addressSpace has nothing to remember: the system picks all addresses.
type addressSpace struct{}
