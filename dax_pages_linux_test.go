package famfs

// Populating: what else the process can do meanwhile.

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// cachedPages returns how many pages of mem, a mapping of a file, are in memory.
func cachedPages(t testing.TB, mem []byte) (n int) {
	t.Helper()
	pages := make([]byte, len(mem)/os.Getpagesize())
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(unsafe.Pointer(&pages[0])))
	require.Zero(t, errno)
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}

// Another file can be mapped while one is populated: the kernel lets nobody change the address
// space during a call, so it must not be one call for all of it.
func TestPopulateLetsOthersMap(t *testing.T) {
	t.Parallel()
	needsNoDevice(t)
	needsAdvice(t)
	const size, tries = 64 * mib, 10
	m := openTest(t, formatted(t, (tries+1)*size), ReadWrite())
	require.NoError(t, m.WriteFile("small", []byte("x"), 0o644))
	for i := range tries {
		name := fmt.Sprintf("large%d", i)
		p, err := m.Create(name, size)
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		_, n, err := m.lookup(name)
		require.NoError(t, err)
		space := m.window.mem[n.place().Extents[0].Offset:][:size]
		done := make(chan *Mapping, 1)
		go func() {
			x, err := m.Map(name, Populate())
			assert.NoError(t, err)
			done <- x
		}()
		for cachedPages(t, space) == 0 && len(done) == 0 {
		}
		x, err := m.Map("small")
		require.NoError(t, err)
		between := cachedPages(t, space) < size/os.Getpagesize()
		require.NoError(t, x.Close())
		require.NoError(t, (<-done).Close())
		if between {
			return
		}
	}
	t.Error("Map of a small file always waited for all of a large one")
}
