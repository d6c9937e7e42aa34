package famfs

// Reservations of address space on Linux, when mapping over them fails.

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// isMapped reports whether anything is mapped at p. It tries to map something right there.
func isMapped(t testing.TB, p unsafe.Pointer, size uintptr) bool {
	t.Helper()
	got, err := unix.MmapPtr(-1, 0, p, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		require.ErrorIs(t, err, unix.EEXIST)
		return true
	}
	require.NoError(t, unix.MunmapPtr(got, size))
	return got != p
}

// Whatever happened to the piece over which mapping failed: other mappings stay, and the rest is
// released. Not parallel, because others would map what is free in between.
func TestAbandon(t *testing.T) {
	const piece, pieces = 4 * mib, 4
	anonymous := func(t *testing.T, p unsafe.Pointer, size uintptr, prot int) {
		_, err := unix.MmapPtr(-1, 0, p, size, prot, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED_NOREPLACE)
		require.NoError(t, err)
	}
	unmarked := func(size uintptr) reservation {
		p, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
		require.NoError(t, err)
		return reservation{base: p, size: size}
	}
	marked := func(size uintptr) reservation {
		r, err := reserveAddresses(size)
		require.NoError(t, err)
		require.True(t, r.marked)
		return r
	}
	tests := map[string]struct {
		reserve func(uintptr) reservation
		happens func(t *testing.T, p unsafe.Pointer)
		stays   [2]bool // the halves of the piece
	}{
		"it is still reserved": {marked, func(*testing.T, unsafe.Pointer) {}, [2]bool{}},
		"it is a hole": {marked, func(t *testing.T, p unsafe.Pointer) {
			require.NoError(t, unix.MunmapPtr(p, piece))
		}, [2]bool{}},
		"another has it": {marked, func(t *testing.T, p unsafe.Pointer) {
			require.NoError(t, unix.MunmapPtr(p, piece))
			anonymous(t, p, piece, unix.PROT_READ)
		}, [2]bool{true, true}},
		"another has reserved it": {marked, func(t *testing.T, p unsafe.Pointer) {
			require.NoError(t, unix.MunmapPtr(p, piece))
			anonymous(t, p, piece, unix.PROT_NONE)
		}, [2]bool{true, true}},
		"another reservation of ours": {marked, func(t *testing.T, p unsafe.Pointer) {
			require.NoError(t, unix.MunmapPtr(p, piece))
			r := marked(piece)
			if r.base == p {
				return
			}
			_, err := unix.MremapPtr(r.base, piece, p, piece, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED)
			require.NoError(t, err)
		}, [2]bool{true, true}},
		"another has the first half": {marked, func(t *testing.T, p unsafe.Pointer) {
			require.NoError(t, unix.MunmapPtr(p, piece))
			anonymous(t, p, piece/2, unix.PROT_NONE)
		}, [2]bool{true, false}},
		"another has the second half": {marked, func(t *testing.T, p unsafe.Pointer) {
			require.NoError(t, unix.MunmapPtr(p, piece))
			anonymous(t, unsafe.Add(p, piece/2), piece/2, unix.PROT_NONE)
		}, [2]bool{false, true}},
		"it cannot be told": {unmarked, func(*testing.T, unsafe.Pointer) {}, [2]bool{true, true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for at := range pieces - 1 { // there is always something behind it
				// The Go runtime may map something into a hole before the test looks, so a hole
				// must be a hole in one of several tries.
				var wrong []int
				for range 20 {
					r := test.reserve(piece * pieces)
					p := unsafe.Add(r.base, at*piece)
					test.happens(t, p)
					r.abandon(p, piece)
					wrong = wrong[:0]
					for n := range pieces * 2 {
						half := unsafe.Add(r.base, n*piece/2)
						if n/2 == at && test.stays[n%2] {
							require.True(t, isMapped(t, half, piece/2), "half %d of 8, where piece %d failed, is gone", n, at)
							require.NoError(t, unix.MunmapPtr(half, piece/2))
						} else if isMapped(t, half, piece/2) {
							wrong = append(wrong, n)
						}
					}
					if len(wrong) == 0 {
						break
					}
				}
				assert.Empty(t, wrong, "halves of 8 that are left, where piece %d failed", at)
			}
		})
	}
}

// Mapping that fails leaves no reservation behind, and unmaps nothing that other threads map
// meanwhile. A socket stands in for a device that is being unbound: the kernel first makes room,
// and then finds that it cannot be mapped.
func TestMapRunsFailsBesideOthers(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	const n = 64 * mib
	d := &device{file: f, info: DeviceInfo{Path: "socket", Size: 1 << 40, Align: 4096}}
	var stop, lost atomic.Bool
	var others sync.WaitGroup
	others.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for !stop.Load() {
			p, err := unix.MmapPtr(-1, 0, nil, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				continue
			}
			for range 300 {
				if Guard(func() error { *(*byte)(p) = 1; return nil }) != nil {
					lost.Store(true)
				}
			}
			unix.MunmapPtr(p, n)
		}
	})
	for range 1000 {
		_, err = d.mapSegments([]segment{{0, n}, {2 * n, n}}, false, false)
		if !assert.ErrorIs(t, err, unix.ENODEV) || lost.Load() {
			break
		}
	}
	stop.Store(true)
	others.Wait()
	assert.False(t, lost.Load(), "memory of another's was unmapped")
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	assert.Zero(t, strings.Count(string(maps), "famfs-reservation"))
}

// A region of several runs keeps its reservation until it ends.
func TestMapRunsReserves(t *testing.T) {
	d := testDevice(t, fileBacking(t, 8*mib), false)
	count := func() int {
		maps, err := os.ReadFile("/proc/self/maps")
		require.NoError(t, err)
		return strings.Count(string(maps), "famfs-reservation")
	}
	r, err := d.mapSegments([]segment{{4 * mib, mib}, {0, mib}}, false, false)
	require.NoError(t, err)
	assert.NotZero(t, count())
	require.NoError(t, r.unmap())
	assert.Zero(t, count())
}

// Runs are mapped side by side without a reservation where nothing is. Where something is, before the
// first of them or in their midst, it stays, and they are mapped elsewhere. Not parallel, because
// others would map the addresses in between.
func TestMapBeside(t *testing.T) {
	if underEmulator() {
		t.Skip("the emulator maps memory of its own between that of the program")
	}
	for name, flags := range map[string]int{"as stand-ins are": unix.MAP_SHARED, "as devices are": unix.MAP_SHARED_VALIDATE} {
		t.Run(name, func(t *testing.T) { testMapBeside(t, flags) })
	}
}

func testMapBeside(t *testing.T, flags int) {
	const size = 2 * mib
	d := testDevice(t, fileBacking(t, 16*mib), true)
	d.mapFlags = flags
	parts := []part{{d, segment{4 * mib, size}}, {d, segment{8 * mib, size}}, {d, segment{0, size}}}
	for i, p := range parts {
		writeTo(t, d.info.Path, p.off, []byte{byte('a' + i)})
	}
	const room = 64 * mib
	free, err := unix.MmapPtr(-1, 0, nil, room, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	require.NoError(t, unix.MunmapPtr(free, room))
	end := (uintptr(free) + room/2) &^ (size - 1)
	place := end - uintptr(len(parts))*size
	try := func(taken int) (wrong string) {
		d.space = addressSpace{lowest: end}
		var other unsafe.Pointer
		if taken >= 0 {
			var err error
			other, err = unix.MmapPtr(-1, 0, unsafe.Add(nil, place+uintptr(taken)*size+4096), 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED_NOREPLACE)
			require.NoError(t, err)
			defer unix.MunmapPtr(other, 4096)
			*(*byte)(other) = 1
		}
		r, err := mapRegion(parts, int64(len(parts))*size, false, false)
		require.NoError(t, err)
		defer r.unmap()
		for i := range parts {
			require.Equal(t, byte('a'+i), r.mem[i*size], "run %d", i)
		}
		if taken < 0 {
			if addressOf(r.mem) != place {
				wrong = "it is not where nothing was"
			}
			return wrong
		}
		require.NotEqual(t, place, addressOf(r.mem))
		require.Equal(t, byte(1), *(*byte)(other))
		for i := range parts {
			if isMapped(t, unsafe.Add(nil, place+uintptr(i)*size), 4096) {
				wrong = fmt.Sprintf("run %d is left behind", i)
			}
		}
		return wrong
	}
	for taken := -1; taken < len(parts); taken++ {
		wrong := "not tried"
		for tries := 0; wrong != "" && tries < 20; tries++ { // the Go runtime may map something there
			wrong = try(taken)
		}
		assert.Empty(t, wrong, "run %d is taken", taken)
	}
}
