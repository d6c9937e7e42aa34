//go:build unix && !linux

package famfs

// Reservations of address space on other Unix systems, on which they look like any other mapping.

import "golang.org/x/sys/unix"

// reserveAddresses reserves size bytes of address space.
func reserveAddresses(size uintptr) (reservation, error) {
	p, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return reservation{base: p, size: size}, err
}

func oneMapping(from, to uintptr) bool { return false }
