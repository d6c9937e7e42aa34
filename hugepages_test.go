package famfs

// Large slices: their length and content. Tests that need the system's huge pages are in
// hugepages_linux_test.go.

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMakeLarge(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, hugePage - 1, hugePage, 3*hugePage + 5} {
		s := makeLarge[byte](n)
		assert.Len(t, s, n)
		assert.Negative(t, bytes.IndexByte(s, 1))
		for i := range s {
			s[i] = 1
		}
		assert.Negative(t, bytes.IndexByte(s, 0))
	}
	assert.Len(t, makeLarge[[slabNodes]nodeRecord](200), 200)
}

func TestStringOf(t *testing.T) {
	t.Parallel()
	assert.Empty(t, stringOf(nil))
	assert.Equal(t, "text", stringOf([]byte("text")))
}
