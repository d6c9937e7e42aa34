package famfs

// Slabs of the namespace: how they get memory, and how they are filled.

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Slabs of one supply share nothing, whatever room each of them needs. More slabs can be taken
// than were announced.
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

func TestNamespaceSlabs(t *testing.T) {
	t.Parallel()
	ns := newNamespace()
	first, second, other := newSlab(), newSlab(), newSlab()
	ns.attach(0, first)
	ns.attach(1, second)
	ns.attach(0, other)
	assert.Same(t, first, ns.slab(0), "readers may be using it")
	assert.Same(t, second, ns.slab(1))
	assert.Nil(t, ns.slab(2))
	assert.Same(t, &first.records[slabNodes-1], ns.node(slabNodes-1).nodeRecord)
	assert.Same(t, &second.records[0], ns.node(slabNodes).nodeRecord)
}

// A slab has room for the longest paths that all of its entries can have. Paths do not change
// when more are added.
func TestSlabPaths(t *testing.T) {
	t.Parallel()
	s := newSlab()
	path := func(i int) string { return fmt.Sprintf("%0*d", pathSize, i) }
	var kept []string
	for i := range slabNodes {
		s.begin(0)
		text, at := s.path([]byte(path(i)))
		s.fill(i, &entry{kind: typeMkdir}, text, at, 0)
		s.show(i, i+1)
		kept = append(kept, node{&s.records[i], s}.path())
	}
	for i := range slabNodes {
		require.Equal(t, path(i), kept[i])
		require.Equal(t, path(i), node{&s.records[i], s}.path())
	}
}

// What was added and never shown is not visible, and does not use memory for good.
func TestSlabStartsAgain(t *testing.T) {
	t.Parallel()
	s := newSlab()
	two := []rawExtent{{0, 10, 1}, {0, 20, 2}}
	s.begin(0)
	path, at := s.path([]byte("first"))
	s.fill(0, &entry{extents: two}, path, at, 0)
	s.show(0, 1)
	first := node{&s.records[0], s}
	for i := range 100_000 {
		s.begin(0)
		path, at := s.path([]byte("attempt"))
		s.fill(1, &entry{extents: two[1:], mapType: mapInterleaved, chunk: uint64(i)}, path, at, 0)
		if i%2 == 0 {
			s.show(1, 1) // as a tolerant reader does that stays at a corrupt entry
		}
	}
	assert.Equal(t, "first", *s.text.Load())
	assert.Len(t, *s.layouts.Load(), 1)
	s.show(1, 2)
	second := node{&s.records[1], s}
	assert.Equal(t, "first", first.path())
	assert.Len(t, first.place().Extents, 2)
	assert.Equal(t, "attempt", second.path())
	assert.Equal(t, Layout{99_999, []Extent{{0, 20, 2}}}, second.place())
	assert.Less(t, cap(s.writing), 4096)
}
