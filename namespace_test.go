package famfs

// Names: the tree by itself, without a log. Its content is compared with plain maps, and readers
// use it while it grows. log_test.go tests the translation of modes.

import (
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// growingNamespace adds names as the replica does, without any log.
type growingNamespace struct {
	*namespace
	next int64
}

// add makes a file or directory below parent and returns its index.
func (g *growingNamespace) add(path string, parent int64, dir bool) int64 {
	return g.addHashed(path, g.hash(path), parent, dir)
}

func (g *growingNamespace) addHashed(path string, hash uint32, parent int64, dir bool) int64 {
	index := g.addNode(path, hash, parent, dir)
	g.publish(g.next)
	return index
}

// addUnpublished adds a file that no reader sees yet.
func (g *growingNamespace) addUnpublished(path string, parent int64) int64 {
	return g.addNode(path, g.hash(path), parent, false)
}

func (g *growingNamespace) addNode(path string, hash uint32, parent int64, dir bool) int64 {
	index := g.next
	g.next++
	e := entry{kind: typeFile, size: uint64(index) + 1, mode: 0o644, extents: []rawExtent{{0, uint64(index) * rawUnit, rawUnit}}}
	if dir {
		e = entry{kind: typeMkdir, mode: 0o755}
	}
	if g.slab(index>>slabBits) == nil {
		g.attach(index>>slabBits, newSlab())
	}
	s := g.slab(index >> slabBits)
	e.nameAt = strings.LastIndexByte(path, '/') + 1
	s.begin(0)
	text, at := s.path([]byte(path))
	s.fill(int(index&(slabNodes-1)), &e, text, at, hash)
	s.show(int(index&(slabNodes-1)), int(index&(slabNodes-1))+1)
	g.reserve(1)
	_, free, ok := g.seekSlot(path, hash)
	if ok {
		panic(path + " is there already")
	}
	g.insert(g.node(index), index, g.node(parent), free)
	return index
}

// find is lookup with a given hash.
func (g *growingNamespace) find(path string, hash uint32) (int64, bool) {
	return g.seek(*g.table.Load(), path, hash, latest)
}

// eachChild calls f for each child of a directory.
func (ns *namespace) eachChild(dir node, f func(index int64, n node)) {
	for _, index := range ns.children(dir) {
		f(index, ns.node(index))
	}
}

func TestNamespaceEmpty(t *testing.T) {
	t.Parallel()
	ns := newNamespace()
	index, ok := ns.lookup(".")
	require.True(t, ok)
	assert.EqualValues(t, rootIndex, index)
	root := ns.node(index)
	assert.True(t, root.isDir())
	assert.Equal(t, ".", root.name())
	assert.Equal(t, 0o755|fs.ModeDir, root.fileMode())
	assert.Zero(t, ns.end())
	for _, path := range []string{"", "a", "/", "..", "./.", "\x00", strings.Repeat("a", 1000)} {
		_, ok := ns.lookup(path)
		assert.False(t, ok, "%q", path)
	}
	ns.eachChild(root, func(int64, node) { t.Error("the root of an empty namespace has a child") })
	assert.Nil(t, ns.slab(0))
}

// nameTree gives the names that a test makes: directories, and files in each.
func nameTree(names int) (dirs, files []string) {
	const perDir = 1000
	for i := range names / perDir {
		dir := fmt.Sprintf("d%d", i)
		if i%3 == 2 {
			dir = dirs[i-1] + "/" + dir // some are nested
		}
		dirs = append(dirs, dir)
		for j := range perDir - 1 {
			files = append(files, fmt.Sprintf("%s/file-%d", dir, j))
		}
	}
	return dirs, files
}

func TestNamespaceManyNames(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	dirs, files := nameTree(100_000)
	g := &growingNamespace{namespace: newNamespace()}
	index := map[string]int64{".": rootIndex}
	children := map[string][]string{}
	add := func(path string, dir bool) {
		parent := parentPath(path)
		index[path] = g.add(path, index[parent], dir)
		children[parent] = append(children[parent], path)
	}
	for _, path := range dirs {
		add(path, true)
	}
	for _, path := range files {
		add(path, false)
	}
	require.EqualValues(t, len(dirs)+len(files), g.end())
	require.EqualValues(t, len(dirs)+len(files), g.used)
	assert.Less(t, g.used, len(*g.table.Load())*3/4+1, "searches for names that are missing must end soon")

	for path, want := range index {
		found, ok := g.lookup(path)
		if !ok || found != want {
			require.Equal(t, want, found, "%q", path)
			require.True(t, ok, "%q", path)
		}
		for _, missing := range []string{path + "x", path + "/x", path[:len(path)-1] + "\x00", "/" + path} {
			if _, ok := g.lookup(missing); ok {
				require.False(t, ok, "%q", missing)
			}
		}
	}
	// Children come in the reverse order of the log.
	for path, at := range index {
		want := children[path]
		g.eachChild(g.node(at), func(i int64, n node) {
			last := want[len(want)-1]
			if want = want[:len(want)-1]; n.path() != last || index[last] != i {
				require.Equal(t, last, n.path)
				require.Equal(t, index[last], i)
			}
		})
		require.Empty(t, want, "children of %q", path)
	}
}

// The data of a file's node, for all shapes of layouts.
func TestNodeFill(t *testing.T) {
	t.Parallel()
	three := []rawExtent{{0, 10, 1}, {0, 20, 2}, {0, 30, 3}}
	tests := map[string]struct {
		e    entry
		want Layout
	}{
		"one extent":  {entry{extents: three[:1]}, Layout{0, []Extent{{0, 10, 1}}}},
		"three":       {entry{extents: three}, Layout{0, []Extent{{0, 10, 1}, {0, 20, 2}, {0, 30, 3}}}},
		"one strip":   {entry{mapType: mapInterleaved, chunk: 8, extents: three[:1]}, Layout{8, []Extent{{0, 10, 1}}}},
		"two strips":  {entry{mapType: mapInterleaved, chunk: 8, extents: three[:2]}, Layout{8, []Extent{{0, 10, 1}, {0, 20, 2}}}},
		"of device 3": {entry{extents: []rawExtent{{3, 10, 1}}}, Layout{0, []Extent{{3, 10, 1}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := test.e
			e.extents = slices.Clone(e.extents)
			e.size, e.uid, e.gid, e.flags, e.mode, e.nameAt = math.MaxInt64, 1, 2, 3, 0o107640, len("a/b/")
			s := newSlab()
			n := node{&s.records[5], s}
			s.begin(0)
			path, at := s.path([]byte("left over"))
			s.fill(5, &entry{extents: three}, path, at, 1)
			n.children = 7
			path, at = s.path([]byte("a/b/cd"))
			s.fill(5, &e, path, at, 99)
			s.show(5, 6)
			assert.Equal(t, test.want, n.place())
			assert.Equal(t, "cd", n.name())
			assert.Equal(t, "a/b/cd", n.path())
			assert.Equal(t, int64(math.MaxInt64), n.size)
			assert.Equal(t, []uint32{1, 2, 3, 99}, []uint32{n.uid, n.gid, n.flags, n.hash})
			assert.Equal(t, 0o640|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky, n.fileMode())
			assert.Zero(t, n.children)
			e.extents[0].offset = 12345
			assert.Equal(t, test.want, n.place(), "the entry's memory is used again")
		})
	}
}

func TestParentPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"a": ".", "a/b": "a", "a/b/c": "a/b", ".": ".", "": ".", "größe/ß": "größe"} {
		assert.Equal(t, want, parentPath(path), "%q", path)
	}
}

// Paths with equal hashes, which an attacker cannot make but chance can, are distinguished. The
// search goes on from the end of the table to its start.
func TestNamespaceCollisions(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	for _, hash := range []uint32{0, 1, 63, math.MaxUint32} {
		t.Run(fmt.Sprintf("%#x", hash), func(t *testing.T) {
			t.Parallel()
			g := &growingNamespace{namespace: newNamespace()}
			for i := range 100 {
				path := fmt.Sprint("p", i)
				_, ok := g.find(path, hash)
				require.False(t, ok)
				index := g.addHashed(path, hash, rootIndex, false)
				for j := range i + 1 {
					at, ok := g.find(fmt.Sprint("p", j), hash)
					require.True(t, ok, "%d of %d", j, i)
					require.EqualValues(t, j, at)
				}
				_, ok = g.find(path, hash+1)
				require.False(t, ok)
				require.EqualValues(t, i, index)
			}
		})
	}
}

// The table has room for everything that was reserved, and never fills up.
func TestNamespaceReserve(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 47, 48, 49, 1000, 15_420} {
		g := &growingNamespace{namespace: newNamespace()}
		g.reserve(n)
		table := g.table.Load()
		for i := range n {
			g.add(fmt.Sprint(i), rootIndex, false)
		}
		assert.Same(t, table, g.table.Load(), "grew while %d names were added", n)
		assert.Less(t, n, len(*table)*3/4+1)
	}
}

// While one goroutine adds names, others find everything that was published, with all its data,
// and see every directory as it was at one moment.
func TestNamespaceReadersWhileGrowing(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	const dirs, perDir = 20, 200
	g := &growingNamespace{namespace: newNamespace()}
	ns := g.namespace
	dirPath := func(i int64) string { return fmt.Sprintf("dir%d", i) }
	filePath := func(i int64) string { return fmt.Sprintf("dir%d/file%d", i%dirs, i) }
	for i := range int64(dirs) {
		g.add(dirPath(i), rootIndex, true)
	}
	var done atomic.Bool
	wrong := make(chan error)
	for reader := range 3 {
		go func() {
			wrong <- func() error {
				for round := int64(reader); ; round++ {
					last := done.Load()
					end := ns.end()
					for i := dirs + round%7; i < end; i += 7 {
						at, ok := ns.lookup(filePath(i))
						if !ok || at != i {
							return fmt.Errorf("%q of %d: found %v at %d", filePath(i), end, ok, at)
						}
						if n := ns.node(at); n.size != i+1 || n.place().Extents[0].Offset != i*rawUnit || n.mode() != 0o644 {
							return fmt.Errorf("%q: found %d bytes at %v", n.path(), n.size, n.place())
						}
					}
					if _, ok := ns.lookup("dir0/missing"); ok {
						return fmt.Errorf("found what is not there")
					}
					// All children are there that were there before the list was begun.
					below := ns.end() - dirs - round%dirs
					least := int(max(0, (below+dirs-1)/dirs))
					count, before := 0, int64(math.MaxInt64)
					var err error
					ns.eachChild(ns.node(round%dirs), func(i int64, n node) {
						if count++; i >= before || i%dirs != round%dirs || n.path() != filePath(i) {
							err = fmt.Errorf("child %q with index %d after %d", n.path(), i, before)
						}
						before = i
					})
					if err != nil {
						return err
					}
					if count < least {
						return fmt.Errorf("%d children, want at least %d", count, least)
					}
					if last && count != perDir {
						return fmt.Errorf("%d children at last", count)
					}
					if last {
						return nil
					}
				}
			}()
		}()
	}
	for i := int64(dirs); i < dirs*(perDir+1); i++ {
		g.add(filePath(i), i%dirs, false)
		if i%64 == 0 {
			runtime.Gosched()
		}
	}
	done.Store(true)
	for range 3 {
		assert.NoError(t, <-wrong)
	}
}

// What is removed is there until the removal is published, and then nowhere. Its replacement
// uses its slot.
func TestNamespaceRemovals(t *testing.T) {
	t.Parallel()
	g := &growingNamespace{namespace: newNamespace()}
	dir := g.add("d", rootIndex, true)
	listed := func() (paths []string) {
		g.eachChild(g.node(dir), func(_ int64, n node) { paths = append(paths, n.path()) })
		return paths
	}
	index := map[string]int64{}
	for i := range 300 {
		path := fmt.Sprint("d/", i)
		index[path] = g.add(path, dir, false)
	}
	for i := range 200 {
		g.remove(index[fmt.Sprint("d/", i)], dir, g.next)
		g.next++
	}
	found, ok := g.lookup("d/0")
	assert.True(t, ok)
	assert.Equal(t, index["d/0"], found)
	assert.Len(t, listed(), 300)
	_, ok = g.lookupLatest("d/0")
	assert.False(t, ok)
	g.reserve(1 << 12) // the table is made anew: what readers see stays in it
	_, ok = g.lookup("d/0")
	assert.True(t, ok)
	assert.Equal(t, 301, g.used)
	assert.Equal(t, 200, g.removed)

	g.publish(g.next)
	_, ok = g.lookup("d/0")
	assert.False(t, ok)
	found, ok = g.lookup("d/299")
	assert.True(t, ok)
	assert.Equal(t, index["d/299"], found)
	assert.Len(t, listed(), 100)
	assert.Zero(t, *g.node(dir).removed(), "more than those that stay: the list was swept")
	assert.Equal(t, 301, g.used)
	again := g.add("d/0", dir, false)
	assert.Equal(t, 301, g.used, "the slot was used again")
	assert.Equal(t, 199, g.removed)
	found, ok = g.lookup("d/0")
	assert.True(t, ok)
	assert.Equal(t, again, found)
	assert.Len(t, listed(), 101)
	g.reserve(1 << 14)
	assert.Equal(t, 102, g.used)
	assert.Zero(t, g.removed)
	for i := range 300 {
		_, ok := g.lookup(fmt.Sprint("d/", i))
		assert.Equal(t, i == 0 || i >= 200, ok, "d/%d", i)
	}

	// Something that is made and removed at once is never visible, and its slot is free at once.
	never := g.addUnpublished("d/never", dir)
	assert.Equal(t, 103, g.used)
	g.remove(never, dir, g.next)
	g.next++
	g.addUnpublished("d/never", dir)
	assert.Equal(t, 103, g.used)
	_, ok = g.lookup("d/never")
	assert.False(t, ok)
	assert.NotContains(t, listed(), "d/never")
}

// Names that are replaced are there at every moment, and so are all others, while the table is
// made again and lists are swept.
func TestNamespaceReadersWhileReplacing(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	const files = 1
	g := &growingNamespace{namespace: newNamespace()}
	dir := g.add("d", rootIndex, true)
	var index [files]int64
	for i := range files {
		index[i] = g.add(fmt.Sprint("d/", i), dir, false)
	}
	var done atomic.Bool
	wrong := make(chan error)
	const readers = 6
	for reader := range readers {
		go func() {
			wrong <- func() error {
				for round := reader; ; round++ {
					last := done.Load()
					path := fmt.Sprint("d/", round%files)
					if _, ok := g.lookup(path); !ok {
						return fmt.Errorf("%s is not there", path)
					}
					if round%8 != 0 && !last && reader%2 == 0 { // those that only look names up do it more often
						continue
					}
					seen := map[string]bool{}
					for _, child := range g.children(g.node(dir)) {
						path := g.node(child).path()
						if seen[path] {
							return fmt.Errorf("%s is there twice", path)
						}
						seen[path] = true
					}
					for i := range files {
						if path := fmt.Sprint("d/", i); !seen[path] {
							return fmt.Errorf("%s is not listed", path)
						}
					}
					if last {
						return nil
					}
				}
			}()
		}()
	}
	rounds := 300_000
	if raceEnabled || testing.Short() {
		rounds = 30_000
	}
	for i := range rounds {
		at := i % files
		path := fmt.Sprint("d/", at)
		g.remove(index[at], dir, g.next)
		g.next++
		index[at] = g.add(path, dir, false)
		if i%2 == 0 {
			g.sweepChildren(g.node(dir))
		}
		if i%7 == 0 { // and one that comes and goes, in a slot of its own
			more := g.add(fmt.Sprint("d/more", i), dir, false)
			g.remove(more, dir, g.next)
			g.next++
		}
	}
	done.Store(true)
	for range readers {
		assert.NoError(t, <-wrong)
	}
}

// A reader that has the count of a new table has that table, or a later one. With an older
// table, it would not find a name that was replaced meanwhile.
func TestNamespaceTableBeforeCount(t *testing.T) {
	t.Parallel()
	const grown = 50_000
	ns := newNamespace()
	first := ns.swept.Load()
	type seen struct {
		swept uint64
		table *[]uint64
	}
	var pairs []seen
	var begun, stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for last := ^uint64(0); !stop.Load(); {
			swept, table := ns.swept.Load(), ns.table.Load()
			if swept != last {
				pairs, last = append(pairs, seen{swept, table}), swept
			}
			begun.Store(true)
		}
	}()
	for !begun.Load() {
		runtime.Gosched()
	}
	number := map[*[]uint64]uint64{ns.table.Load(): 0}
	for i := range uint64(grown) {
		ns.grow(1)
		number[ns.table.Load()] = i + 1
	}
	stop.Store(true)
	<-done
	for _, p := range pairs {
		require.GreaterOrEqual(t, number[p.table], p.swept-first)
	}
	require.NotEmpty(t, pairs)
}
