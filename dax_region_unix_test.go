//go:build unix

package famfs

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Where the guess is wrong, because something else lies there, a region comes to lie
// elsewhere, aligned; and from then on guesses are right again: each region lies where the
// last one did, or right below those that are still mapped. Not parallel: others would map
// what they need in between.
func TestRegionWrongGuess(t *testing.T) {
	m, _ := master(t, 64*mib)
	const size = 4 * mib
	const reserved = 1 << 30
	dev := m.dev
	dev.info.Align = 64 * mib // of which no kernel knows
	taken, err := unix.MmapPtr(-1, 0, nil, reserved, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer unix.MunmapPtr(taken, reserved)
	dev.space = addressSpace{lowest: unsafe.Add(taken, reserved/2)}
	align := uintptr(dev.info.Align)
	mapOne := func(guess unsafe.Pointer) *region {
		t.Helper()
		assert.Equal(t, guess, dev.space.below(size, align))
		r, err := dev.mapRegion([]segment{{16 * mib, size}}, size, false, false)
		require.NoError(t, err)
		require.Len(t, r.mem, size)
		p := unsafe.Pointer(unsafe.SliceData(r.mem))
		assert.Zero(t, uintptr(p)&(align-1))
		assert.True(t, uintptr(p)+size <= uintptr(taken) || uintptr(p) >= uintptr(taken)+reserved, "over what was there")
		return r
	}
	wrong := dev.space.below(size, align)
	first := mapOne(wrong)
	at := unsafe.Pointer(unsafe.SliceData(first.mem))
	require.NoError(t, first.unmap())
	again := mapOne(at)
	assert.Equal(t, at, unsafe.Pointer(unsafe.SliceData(again.mem)))
	below := mapOne(unsafe.Add(at, -int(align)))
	require.NoError(t, below.unmap())
	require.NoError(t, again.unmap())
}
