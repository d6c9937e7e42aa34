package famfs

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

// Slabs of one supply share nothing, however much room each wants; there are as many as
// are taken, also when that is more than were announced.
func TestSlabSupply(t *testing.T) {
	t.Parallel()
	for _, wanted := range []int{1, 3, slabsAtOnce, slabsAtOnce + 2} {
		supply := &slabSupply{wanted: wanted}
		var slabs []*slab
		for i := range wanted + 2 {
			s := supply.take(i % 7 * 10)
			s.begin(0)
			for j := range 5 {
				path, at := s.path([]byte{byte(i), byte(i >> 8), byte(j)})
				s.fill(j, &entry{kind: typeMkdir}, path, at, uint32(i))
			}
			s.show(0, 5)
			slabs = append(slabs, s)
		}
		for i, s := range slabs {
			for j := range 5 {
				n := node{&s.records[j], s}
				assert.Equal(t, string([]byte{byte(i), byte(i >> 8), byte(j)}), n.path())
				assert.EqualValues(t, i, n.hash)
			}
		}
	}
}
