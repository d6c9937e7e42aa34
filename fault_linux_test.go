package famfs

// Memory faults that can be made only with the system's help.

import (
	"context"
	"io/fs"
	"os"
	"testing"
	"testing/fstest"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// If the memory of a former mapping belongs to something else now, the error does not name the
// mapping.
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

// loadPages touches the first and the last page of memory that begins and ends inside pages, and
// no byte outside of the memory.
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

// protect makes the page of the log with offset off read-only. It is not used under the race
// detector, which stores in C, where a fault ends the program.
func protect(t testing.TB, m *FS, off int64) (undo func()) {
	t.Helper()
	page := int64(os.Getpagesize())
	mem := m.metaRegion.mem[off/page*page:][:page]
	require.Zero(t, uintptr(unsafe.Pointer(&mem[0]))%uintptr(page))
	require.NoError(t, unix.Mprotect(mem, unix.PROT_READ))
	return func() { require.NoError(t, unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE)) }
}

// A store of an append faults: of the entry, or of the counters that make it exist. Then nothing
// is there, and the same is true when the memory can be written again.
func TestFaultInAppend(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	for name, at := range map[string]func(m *FS) int64{
		"entry":    func(m *FS) int64 { return entryAt(uint64(m.Usage().LogUsed)) },
		"counters": func(*FS) int64 { return logOffset },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fileBacking(t, testSize)
			require.NoError(t, Format(path, WithSystemUUID(testHost)))
			m := openTest(t, path, ReadWrite())
			require.NoError(t, m.WriteFile("first", limitContent, 0o644))
			for i := range 20 { // so that entry and counters are on different pages
				require.NoError(t, m.Mkdir(itoa(i), 0o755))
			}
			usage := m.Usage()
			reader := openTest(t, path)
			failed := func(err error) {
				t.Helper()
				var fault *FaultError
				require.ErrorAs(t, err, &fault)
				assert.ErrorIs(t, err, ErrDevice)
				assert.Equal(t, path, fault.Name)
				assert.Equal(t, at(m)&^63, fault.Offset&^63)
				n, err := reader.Refresh()
				require.NoError(t, err)
				assert.Zero(t, n)
			}

			p, err := m.Create("new", 100)
			require.NoError(t, err)
			_, err = p.Write(limitContent[:100])
			require.NoError(t, err)
			undo := protect(t, m, at(m))
			failed(p.Commit())
			failed(p.Commit())
			_, err = m.Stat("new")
			assert.ErrorIs(t, err, fs.ErrNotExist)
			failed(m.Mkdir("d", 0o755))
			failed(m.WriteFile("f", []byte("x"), 0o644))
			failed(m.MkdirAll("d/e", 0o755))
			failed(m.CopyFS(context.Background(), itoa(0), fstest.MapFS{"a": {Data: []byte("x")}, "b/c": {Data: []byte("x")}}))
			assert.Equal(t, usage.Free-2*mib, m.Usage().Free, "the pending file's space, and no other's, is taken")
			assert.ErrorIs(t, m.Close(), ErrBusy)
			undo()

			require.NoError(t, p.Commit(), "it is still pending")
			require.NoError(t, m.Mkdir("d", 0o755))
			n, err := reader.Refresh()
			require.NoError(t, err)
			assert.Equal(t, 2, n)
			data, err := reader.ReadFile("new")
			require.NoError(t, err)
			assert.Equal(t, limitContent[:100], data)
			assert.Equal(t, usage.Free-2*mib, m.Usage().Free)
			assertGoesOn(t, m, limitContent)
			require.NoError(t, m.Close())
		})
	}
}
