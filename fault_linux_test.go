package famfs

// Memory faults that need the system's help to be made.

import (
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Memory that was a mapping and is somebody else's now is not said to be the mapping's.
func TestGuardClosedReused(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(5000, 1), 0o644))
	x, err := m.Map("f")
	require.NoError(t, err)
	mem := x.Bytes()
	require.NoError(t, x.Close())
	start := unsafe.Pointer(unsafe.SliceData(mem))
	theirs, err := unix.MmapPtr(-1, 0, start, 8192, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		t.Skipf("another test got the address first: %v", err)
	}
	defer unix.MunmapPtr(theirs, 8192)
	err = Guard(func() error {
		mem[77] = 1
		return nil
	})
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, FaultError{Offset: -1, Addr: addressOf(mem) + 77}, *fault)
}

// Loading pages touches the first and the last of memory that begins and ends inside
// pages, and no byte beside it.
func TestLoadPages(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	all, err := unix.Mmap(-1, 0, 4*page, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer unix.Munmap(all)
	require.NoError(t, unix.Mprotect(all[2*page:3*page], unix.PROT_NONE))
	loads := func(from, to int) error {
		return Guard(func() error { loadPages(all[from:to]); return nil })
	}
	for _, r := range [][2]int{{0, 2 * page}, {100, 2 * page}, {2*page - 1, 2 * page}, {3 * page, 4 * page}, {2*page + 5, 2*page + 5}} {
		assert.NoError(t, loads(r[0], r[1]), "%v", r)
	}
	for _, r := range [][2]int{{0, 4 * page}, {page + 100, 2*page + 1}, {2*page - 100, 2*page + 100}, {3*page - 1, 3 * page}, {3*page - 1, 3*page + 1}} {
		assert.ErrorIs(t, loads(r[0], r[1]), ErrDevice, "%v", r)
	}
}
