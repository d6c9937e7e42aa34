package famfs

// Reservations of address space on Linux, which can be told from every other mapping.

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reserveAddresses reserves size bytes of address space. They are marked as a mapping of a file
// that nothing else maps: the kernel joins two mappings only if they are neighbours in the same
// file too.
func reserveAddresses(size uintptr) (reservation, error) {
	fd, err := unix.MemfdCreate("famfs-reservation", unix.MFD_CLOEXEC)
	if err != nil { // for example, no descriptors are left
		p, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
		return reservation{base: p, size: size}, err
	}
	defer unix.Close(fd)
	p, err := unix.MmapPtr(fd, 0, nil, size, unix.PROT_NONE, unix.MAP_PRIVATE)
	return reservation{base: p, size: size, marked: true}, err
}

// oneMapping reports whether all addresses from from to to are known to belong to one mapping.
func oneMapping(from, to uintptr) bool {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return false
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		addresses, _, _ := strings.Cut(lines.Text(), " ")
		first, last, _ := strings.Cut(addresses, "-")
		start, err := strconv.ParseUint(first, 16, 64)
		end, err2 := strconv.ParseUint(last, 16, 64)
		if err == nil && err2 == nil && start <= uint64(from) && uint64(from) < end {
			return uint64(to) <= end
		}
	}
	return false
}
