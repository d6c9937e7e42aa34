//go:build unix

package famfs

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Pages of such a file that are gone do not keep the rest from being read. If too many are, the
// file cannot be mapped.
func TestReusedMemoryThatIsGone(t *testing.T) {
	needsOneDevice(t, "its files must lie on the one with the log")
	needsFaults(t)
	needsFile(t, "it is treated as a device")
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	const size = 2 * defaultUnit
	require.NoError(t, m.WriteFile("f", pattern(size, 1), 0o644))
	info, err := m.Stat("f")
	require.NoError(t, err)
	at := info.Sys().(*Attr).Layout.Extents[0].Offset
	require.NoError(t, m.Close())

	for _, bad := range []int64{1, maxBadPages, maxBadPages + 1} {
		option, _ := asSharedMemory()
		f := openTest(t, path, option)
		f.usedFrom = 0
		require.NoError(t, unix.Mprotect(f.window.mem[at+defaultUnit/2:][:bad*leastPage], unix.PROT_NONE))
		file, err := f.Open("f")
		require.NoError(t, err)
		data := make([]byte, 100)
		_, err = file.(io.ReaderAt).ReadAt(data, size-100)
		require.NoError(t, err)
		requireBytes(t, pattern(size, 1)[size-100:], data, "the end of f")
		_, err = file.(io.ReaderAt).ReadAt(data, defaultUnit/2)
		assert.ErrorIs(t, err, ErrDevice)
		m, err := f.Map("f")
		if bad <= maxBadPages {
			require.NoError(t, err)
			require.NoError(t, m.Close())
			continue
		}
		var fault *FaultError
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, "f", fault.Name)
	}
}
