package famfs

// What the kernel says about a mapping.

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// ownPagesOnly returns an error if mem, a mapped file, reaches anything of the device at path
// other than the extents of its layout.
func ownPagesOnly(mem []byte, path string, l *Layout) error {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	from := uint64(addressOf(mem))
	to := from + uint64(len(mem))
	reached := uint64(0)
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var start, end, offset uint64
		var prot string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s %x", &start, &end, &prot, &offset); err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		if end <= from || start >= to {
			continue
		}
		if !strings.HasSuffix(lines.Text(), path) || prot != "r--s" {
			return fmt.Errorf("within the file is mapped: %s", lines.Text())
		}
		for at := max(start, from); at < min(end, to); at += smallUnit {
			if offset+at-start != uint64(layoutByte(l, int64(at-from))) {
				return fmt.Errorf("byte %d of the file is byte %d of the device, want %d", at-from, offset+at-start, layoutByte(l, int64(at-from)))
			}
			reached += smallUnit
		}
	}
	if reached < uint64(len(mem)) || reached >= uint64(len(mem))+smallUnit {
		return fmt.Errorf("%d bytes are mapped of a file of %d", reached, len(mem))
	}
	return nil
}
