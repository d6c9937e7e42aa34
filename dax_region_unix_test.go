//go:build unix

package famfs

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// If a guess is wrong, because something else is there, the region gets another aligned address.
// After that, guesses are right again: each region lies where the last one did, or directly
// below those that are still mapped. Not parallel, because others would map the addresses in
// between.
func TestRegionWrongGuess(t *testing.T) {
	m, _ := master(t, 64*mib)
	const size = 4 * mib
	const reserved = 1 << 30
	dev := m.dev
	dev.info.Align = 64 * mib // of which no kernel knows
	taken, err := unix.MmapPtr(-1, 0, nil, reserved, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer unix.MunmapPtr(taken, reserved)
	dev.space = addressSpace{lowest: uintptr(taken) + reserved/2}
	align := uintptr(dev.info.Align)
	mapOne := func(guess uintptr) *region {
		t.Helper()
		assert.Equal(t, guess, dev.space.below(size, align))
		r, err := mapRegion([]part{{dev, segment{16 * mib, size}}}, size, false, false)
		require.NoError(t, err)
		require.Len(t, r.mem, size)
		p := addressOf(r.mem)
		assert.Zero(t, p&(align-1))
		assert.True(t, p+size <= uintptr(taken) || p >= uintptr(taken)+reserved, "over what was there")
		return r
	}
	wrong := dev.space.below(size, align)
	first := mapOne(wrong)
	at := addressOf(first.mem)
	require.NoError(t, first.unmap())
	again := mapOne(at)
	assert.Equal(t, at, addressOf(again.mem))
	below := mapOne(at - align)
	require.NoError(t, below.unmap())
	require.NoError(t, again.unmap())
}

// Calls about pages get whole pages: from the start of the first to the last byte.
func TestWholePages(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	mem := mapTest(t, testDevice(t, fileBacking(t, 4*mib), false), []segment{{0, 4 * mib}}, false, false)
	for _, r := range [][2]int{{0, 1}, {0, page}, {1, page}, {page - 1, page + 1}, {100, 3*page - 1}, {2 * page, 3 * page}} {
		whole := wholePages(mem[r[0]:r[1]])
		assert.Equal(t, addressOf(mem)+uintptr(r[0]/page*page), addressOf(whole), "%v", r)
		assert.Equal(t, addressOf(mem)+uintptr(r[1]), addressOf(whole)+uintptr(len(whole)), "%v", r)
	}
}

// An ended region has no pointer to memory that may later be the Go heap's.
func TestUnmapForgets(t *testing.T) {
	t.Parallel()
	d := testDevice(t, fileBacking(t, 4*mib), true)
	for _, segs := range [][]segment{{{0, mib}}, {{mib, mib}, {0, mib}}} {
		r, err := d.mapSegments(segs, true, false)
		require.NoError(t, err)
		require.NoError(t, r.unmap())
		assert.Nil(t, r.mem)
		assert.Nil(t, r.release)
	}
}
