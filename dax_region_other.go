//go:build !unix

package famfs

// Address space on systems on which only mmap-go is available, above all Windows. Segments cannot
// be placed side by side there, so only files of one run can be mapped.

import "fmt"

// mapRegion maps parts, of total bytes together, if they form one run. The system picks the
// address, a multiple of 64 KiB.
func mapRegion(parts []part, total int64, write, populate bool) (*region, error) {
	d := parts[0].dev
	for i := 1; i < len(parts); i++ {
		if parts[i].dev != d || parts[i-1].end() != parts[i].off {
			return nil, fmt.Errorf("map %d parts of %s as one slice: not possible on this system; read through fs.FS instead: %w", len(parts), d.info.Path, ErrDevice)
		}
	}
	r, err := d.mapFile(segment{parts[0].off, total}, write)
	if err != nil || !populate {
		return r, err
	}
	if err := populateMemory(r.mem, write); err != nil {
		r.unmap()
		return nil, fmt.Errorf("populate %d bytes of %s: %w", total, d.info.Path, err)
	}
	return r, nil
}

// addressSpace is empty, because the system picks all addresses.
type addressSpace struct{}
