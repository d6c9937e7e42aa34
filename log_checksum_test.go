package famfs

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The checksums of entries equal those of the standard library, however much of the entry is
// zero, and whichever byte of a tail of zeros is not.
func TestEntrySums(t *testing.T) {
	t.Parallel()
	sums := newEntrySums()
	var b [entrySize]byte
	assert.Equal(t, checksum(b[:entryCRC]), sums.of(&b), "all zero")
	r := rand.New(rand.NewPCG(1, 2))
	for n := range entrySize {
		for range 10 {
			b = [entrySize]byte{}
			for i := range n {
				b[i] = byte(r.Uint32())
			}
			require.Equal(t, checksum(b[:entryCRC]), sums.of(&b), "%d bytes that are not zero", n)
		}
	}
	for at := range entrySize {
		b = [entrySize]byte{7}
		b[at] = 1
		require.Equal(t, checksum(b[:entryCRC]), sums.of(&b), "byte %d", at)
	}
}
