package famfs

// Names to files and directories: a tree that only grows, kept so that readers need
// no lock. Nodes stand at the index of their log entry, in slabs that never move; a
// hash table over whole paths holds their numbers. One writer at a time, the
// replica, adds nodes; a node never changes after it can be found, but for the list
// of its children, which grows at the front.

import (
	"hash/maphash"
	"io/fs"
	"strings"
	"sync/atomic"
)

// slabNodes is how many nodes are made at once.
const (
	slabBits  = 9
	slabNodes = 1 << slabBits
)

// slab holds nodes of consecutive log entries, and what they have besides. Few of its
// words are pointers, and none belongs to a single node: what the garbage collector has
// to look at does not grow with every file.
type slab struct {
	records *[slabNodes]nodeRecord // apart, as memory that holds no pointers
	// text holds the paths of nodes that can be found, one behind the other, and layouts
	// those that are not simple. Both only grow: readers may have an earlier one.
	text    atomic.Pointer[string]
	layouts atomic.Pointer[[]Layout]
	// writing and shapes are what the two are made of. They are ahead of them while a
	// block is being read, and for good if that fails: see begin.
	writing strings.Builder
	shapes  []Layout
}

// nodeRecord is a file or directory in 64 bytes, without pointers.
type nodeRecord struct {
	size     int64     // of a file, in bytes
	simple   [1]Extent // the extent of a simple file that has no more
	hash     uint32
	next     uint32 // the next child of the same directory, plus 1
	children uint32 // the first child of a directory, plus 1; loaded and stored atomically
	uid, gid uint32
	flags    uint32 // of a file
	bits     uint16 // the mode, of the format, and dirBit
	shape    uint16 // the number of its layout in the slab, plus 1; 0 for simple
	pathAt   uint16 // where in the slab's text the path begins
	pathLen  uint8  // 0 for the root and for entries that became no node
	nameAt   uint8  // where in the path the last element begins
}

// dirBit marks directories, above all bits of a mode.
const dirBit = 1 << 15

// node is a file or directory: its record, and the slab that has the rest.
type node struct {
	*nodeRecord
	slab *slab
}

func newSlab() *slab { return &slab{records: new([slabNodes]nodeRecord)} }

// begin prepares s for further nodes. What an attempt that failed has left behind is
// dropped, so that trying again and again does not cost memory.
func (s *slab) begin(size int) {
	done := ""
	if text := s.text.Load(); text != nil {
		done = *text
	}
	if s.writing.Len() != len(done) || s.writing.Cap() == 0 {
		s.writing = strings.Builder{}
		s.writing.Grow(max(size, 2*len(done), 512))
		s.writing.WriteString(done)
	}
	s.shapes = s.shapes[:0]
	if layouts := s.layouts.Load(); layouts != nil {
		s.shapes = *layouts
	}
}

// path adds a path to those of s, and returns it and where it begins.
func (s *slab) path(path []byte) (text string, at int) {
	at = s.writing.Len()
	s.writing.Write(path)
	return s.writing.String()[at:], at
}

// show lets readers have what records from and to need. What was added for others since
// begin is left out.
func (s *slab) show(from, to int) {
	text, shapes := 0, 0
	if shown := s.text.Load(); shown != nil {
		text = len(*shown)
	}
	if shown := s.layouts.Load(); shown != nil {
		shapes = len(*shown)
	}
	for i := from; i < to; i++ {
		n := &s.records[i]
		text, shapes = max(text, int(n.pathAt)+int(n.pathLen)), max(shapes, int(n.shape))
	}
	all, layouts := s.writing.String()[:text], s.shapes[:shapes]
	s.text.Store(&all)
	if shapes > 0 {
		s.layouts.Store(&layouts) // readers of a shorter slice do not see the new elements
	}
}

// fill makes record i of s the file or directory of a valid entry, whose path s has got
// at pathAt.
func (s *slab) fill(i int, e *entry, path string, pathAt int, hash uint32) {
	n := &s.records[i]
	*n = nodeRecord{}
	n.hash = hash
	n.bits = uint16(e.mode & modeBits)
	n.uid, n.gid = e.uid, e.gid
	n.pathAt = uint16(pathAt)    // all paths of a slab together have less than 64 KiB
	n.pathLen = uint8(len(path)) // at most 79
	n.nameAt = uint8(e.nameAt)
	if e.kind == typeMkdir {
		n.bits |= dirBit
		return
	}
	n.size, n.flags = int64(e.size), e.flags
	extents := n.simple[:]
	if len(e.extents) > 1 || e.mapType == mapInterleaved {
		layout := Layout{Extents: make([]Extent, len(e.extents))}
		extents = layout.Extents
		if e.mapType == mapInterleaved {
			layout.Chunk = int64(e.chunk)
		}
		s.shapes = append(s.shapes, layout)
		n.shape = uint16(len(s.shapes))
	}
	for i, x := range e.extents {
		extents[i] = Extent{Device: int(x.device), Offset: int64(x.offset), Length: int64(x.length)}
	}
}

// isDir says that n is a directory.
func (n *nodeRecord) isDir() bool { return n.bits&dirBit != 0 }

// gone says that no node came of the entry.
func (n *nodeRecord) gone() bool { return n.pathLen == 0 }

// drop has n become no node.
func (n *nodeRecord) drop() { *n = nodeRecord{} }

// mode returns the mode bits of the format.
func (n *nodeRecord) mode() uint32 { return uint32(n.bits & modeBits) }

func (n *nodeRecord) fileMode() fs.FileMode {
	mode := decodeMode(n.mode())
	if n.isDir() {
		mode |= fs.ModeDir
	}
	return mode
}

// path returns the whole path, "" for the root.
func (n node) path() string {
	if n.pathLen == 0 {
		return ""
	}
	return (*n.slab.text.Load())[n.pathAt:][:n.pathLen]
}

// name returns the last element of the path, "." for the root.
func (n node) name() string {
	if n.pathLen == 0 {
		return "."
	}
	return n.path()[n.nameAt:]
}

// place returns where a file's bytes lie. It shares the node's memory and must not
// be changed.
func (n node) place() Layout {
	if n.shape != 0 {
		return (*n.slab.layouts.Load())[n.shape-1]
	}
	return Layout{Extents: n.simple[:]}
}

// rootIndex stands for the root directory, which has no entry.
const rootIndex = -1

// namespace is the tree. Readers may call lookup, node, child and end at any time;
// the rest is the replica's, one call at a time.
type namespace struct {
	root  nodeRecord
	seed  maphash.Seed             // drawn anew each time: paths on a device cannot be chosen to collide
	table atomic.Pointer[[]uint64] // whose slots are loaded and stored atomically
	slabs atomic.Pointer[[]*slab]
	limit atomic.Int64 // entries before this one have been replayed
	used  int          // slots of table
	// unseen says that there are no readers yet. Stores that they could see cost many
	// times what others do, and there are two for every node.
	unseen bool
}

func newNamespace() *namespace {
	ns := &namespace{seed: maphash.MakeSeed()}
	ns.root.bits = dirBit | 0o755
	ns.grow(64)
	ns.slabs.Store(&[]*slab{})
	return ns
}

// hash returns what a path is found by.
func (ns *namespace) hash(path string) uint32 { return hashPath(ns.seed, path) }

func hashPath(seed maphash.Seed, path string) uint32 { return uint32(maphash.String(seed, path)) }

// node returns the node of log entry index, which must have been prepared.
func (ns *namespace) node(index int64) node {
	if index == rootIndex {
		return node{&ns.root, nil}
	}
	s := (*ns.slabs.Load())[index>>slabBits]
	return node{&s.records[index&(slabNodes-1)], s}
}

// end is the number of entries that have been replayed: those below it are all that
// will ever be found there.
func (ns *namespace) end() int64 { return ns.limit.Load() }

// A slot holds hash<<32 | index+1; 0 is empty.
func slotOf(hash uint32, index int64) uint64 { return uint64(hash)<<32 | uint64(index+1) }

// lookup returns the index of path, "." for the root.
func (ns *namespace) lookup(path string) (int64, bool) {
	if path == "." {
		return rootIndex, true
	}
	return ns.find(path, ns.hash(path))
}

func (ns *namespace) find(path string, hash uint32) (int64, bool) {
	index, _, ok := ns.seek(path, hash)
	return index, ok
}

// seek returns the index of path, or else the empty slot where a node of that path is to
// be put.
func (ns *namespace) seek(path string, hash uint32) (index int64, empty *uint64, ok bool) {
	table := *ns.table.Load()
	mask := uint32(len(table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := atomic.LoadUint64(&table[at])
		if slot == 0 {
			return 0, &table[at], false
		}
		if uint32(slot>>32) == hash {
			if index := int64(uint32(slot)) - 1; ns.node(index).path() == path {
				return index, nil, true
			}
		}
	}
}

// warm loads the slots where nodes will be looked for. One after the other, each of
// these loads would wait for memory; loads that do not depend on each other overlap.
func (ns *namespace) warm(records []nodeRecord) {
	table := *ns.table.Load()
	mask := uint32(len(table) - 1)
	for i := range records {
		atomic.LoadUint64(&table[records[i].hash&mask])
	}
}

// grow makes a table for at least n nodes, at most three quarters full.
func (ns *namespace) grow(n int) {
	size := 64
	for size < n+n/3+1 {
		size *= 2
	}
	table := make([]uint64, size)
	mask := uint32(size - 1)
	if old := ns.table.Load(); old != nil {
		for _, slot := range *old {
			if slot == 0 {
				continue
			}
			at := uint32(slot>>32) & mask
			for table[at] != 0 {
				at = (at + 1) & mask
			}
			table[at] = slot
		}
	}
	ns.table.Store(&table)
}

// slab returns the slab of number i, or nil if it is yet to be made.
func (ns *namespace) slab(i int64) *slab {
	if slabs := *ns.slabs.Load(); i < int64(len(slabs)) {
		return slabs[i]
	}
	return nil
}

// attach appends s as slab number i, which may be there already.
func (ns *namespace) attach(i int64, s *slab) {
	slabs := *ns.slabs.Load()
	if i < int64(len(slabs)) {
		return
	}
	// Readers of the shorter slice do not see what lies behind its length.
	slabs = append(slabs, s)
	ns.slabs.Store(&slabs)
}

// reserve makes room for n more names.
func (ns *namespace) reserve(n int) {
	if need := ns.used + n; need+need/3 >= len(*ns.table.Load()) {
		ns.grow(need)
	}
}

// insert makes n, the node of entry index, which is complete, findable below dir. Nothing
// must have been inserted or reserved since seek returned the slot.
func (ns *namespace) insert(n node, index int64, dir node, empty *uint64) {
	n.next = dir.children
	slot, first := slotOf(n.hash, index), uint32(index+1)
	if ns.unseen {
		*empty, dir.children = slot, first
	} else {
		atomic.StoreUint64(empty, slot)
		atomic.StoreUint32(&dir.children, first)
	}
	ns.used++
}

// publish says that all entries before end have been replayed.
func (ns *namespace) publish(end int64) { ns.limit.Store(end) }

// eachChild calls f for every child of a directory, in the reverse order of the
// log.
func (ns *namespace) eachChild(dir node, f func(index int64, n node)) {
	for next := atomic.LoadUint32(&dir.children); next != 0; {
		index := int64(next) - 1
		child := ns.node(index)
		f(index, child)
		next = child.next
	}
}

// parentPath returns the directory of path, "." for the root.
func parentPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

// unixModes pairs the bits of the format above the permissions with Go's.
var unixModes = [...]struct {
	bit  uint32
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// decodeMode and encodeMode translate mode bits of the format.
func decodeMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for _, m := range unixModes {
		if bits&m.bit != 0 {
			mode |= m.mode
		}
	}
	return mode
}

func encodeMode(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for _, m := range unixModes {
		if mode&m.mode != 0 {
			bits |= m.bit
		}
	}
	return bits
}
