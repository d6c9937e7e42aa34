package famfs

// Files and directories as they are kept: records in slabs that never move, made so that
// the garbage collector has little to look at and memory comes in large pieces; and what
// their bits mean. How they are found is namespace.go's concern.

import (
	"io/fs"
	"strings"
	"sync"
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
	// removed says by which entry each node was removed: its index plus 1, or 0. It is made
	// when the first is.
	removed atomic.Pointer[[slabNodes]atomic.Uint32]
	// writing and shapes are what the two are made of. They are ahead of them while a
	// block is being read, and for good if that fails: see begin.
	writing []byte
	shapes  []Layout
}

// nodeRecord is a file or directory in 64 bytes, without pointers; or the note that an entry
// removed one, which has nothing but size and bits.
type nodeRecord struct {
	size     int64     // of a file, in bytes; or the index of what was removed
	simple   [1]Extent // the extent of a simple file that has no more; of a directory, see live
	hash     uint32
	next     uint32 // the next child of the same directory, plus 1; atomic once it can be found
	children uint32 // the first child of a directory, plus 1; loaded and stored atomically
	uid, gid uint32
	flags    uint32 // of a file; see sweeps
	bits     uint16 // the mode, of the format, and dirBit
	shape    uint16 // the number of its layout in the slab, plus 1; 0 for simple
	pathAt   uint16 // where in the slab's text the path begins
	pathLen  uint8  // 0 for the root and for entries that became no node
	nameAt   uint8  // where in the path the last element begins
}

// dirBit marks directories, and removalBit removals, above all bits of a mode.
const (
	dirBit     = 1 << 15
	removalBit = 1 << 14
)

// node is a file or directory: its record, and the slab that has the rest.
type node struct {
	*nodeRecord
	slab *slab
}

func newSlab() *slab { return &slab{records: new([slabNodes]nodeRecord)} }

// slabSupply makes slabs for several goroutines. What many of them consist of lies in one
// piece.
type slabSupply struct {
	mu      sync.Mutex
	wanted  int // how many are yet to be taken
	records [][slabNodes]nodeRecord
	text    []byte
}

// slabsAtOnce are made in one piece: 16 MiB of records.
const slabsAtOnce = 512

// take returns a slab with so much room for paths. More is made when it is needed.
func (s *slabSupply) take(text int) *slab {
	s.mu.Lock()
	defer s.mu.Unlock()
	atOnce := max(1, min(s.wanted, slabsAtOnce))
	s.wanted--
	if len(s.records) == 0 {
		s.records = makeLarge[[slabNodes]nodeRecord](atOnce)
	}
	if len(s.text) < text {
		s.text = makeLarge[byte](atOnce * text)
	}
	made := &slab{records: &s.records[0], writing: s.text[:0:text]}
	s.records, s.text = s.records[1:], s.text[text:]
	return made
}

// begin prepares s for further nodes. What an attempt that failed has left behind is
// dropped, so that trying again and again does not cost memory.
func (s *slab) begin(size int) {
	done := ""
	if text := s.text.Load(); text != nil {
		done = *text
	}
	if cap(s.writing) == 0 {
		s.writing = make([]byte, 0, max(size, 512))
	}
	// No string refers to what is behind the text that readers have.
	s.writing = s.writing[:len(done)]
	s.shapes = s.shapes[:0]
	if layouts := s.layouts.Load(); layouts != nil {
		s.shapes = *layouts
	}
}

// remove notes that entry by removed the node of index.
func (s *slab) remove(index, by int64) {
	if s.removed.Load() == nil {
		s.removed.Store(new([slabNodes]atomic.Uint32))
	}
	s.removed.Load()[index&(slabNodes-1)].Store(uint32(by + 1))
}

// removedBy returns the entry that removed the node of index, if one did.
func (s *slab) removedBy(index int64) (by int64, ok bool) {
	removed := s.removed.Load()
	if removed == nil {
		return 0, false
	}
	by = int64(removed[index&(slabNodes-1)].Load()) - 1
	return by, by >= 0
}

// removedBefore says whether an entry before limit removed the node of index.
func (s *slab) removedBefore(index, limit int64) bool {
	by, ok := s.removedBy(index)
	return ok && by < limit
}

// path adds a path to those of s, and returns it and where it begins. The string is valid
// only until the next begin or unpath: what is kept longer is a copy, or comes from a node.
func (s *slab) path(path []byte) (text string, at int) {
	at = len(s.writing)
	s.writing = append(s.writing, path...)
	return stringOf(s.writing[at:]), at
}

// unpath takes back the last path, which began at at.
func (s *slab) unpath(at int) { s.writing = s.writing[:at] }

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
	all, layouts := stringOf(s.writing[:text]), s.shapes[:shapes]
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
	if len(e.extents) == 1 && e.mapType == mapSimple {
		n.simple[0] = e.extents[0].extent()
		return
	}
	s.shapes = append(s.shapes, e.layout())
	n.shape = uint16(len(s.shapes))
}

// isDir says that n is a directory.
func (n *nodeRecord) isDir() bool { return n.bits&dirBit != 0 }

// A directory has no extent. In its place are two numbers that only the replica looks at:
// how many children it has, and how many that were removed are still in its list.

func (n *nodeRecord) live() *int64    { return &n.simple[0].Offset }
func (n *nodeRecord) removed() *int64 { return &n.simple[0].Length }

// sweeps is how often removed children were taken out of a directory's list, loaded and
// stored atomically.
func (n *nodeRecord) sweeps() *uint32 { return &n.flags }

// attrFlags returns the flags of a file, 0 for a directory.
func (n *nodeRecord) attrFlags() uint32 {
	if n.isDir() {
		return 0
	}
	return n.flags
}

// gone says that no node came of the entry.
func (n *nodeRecord) gone() bool { return n.pathLen == 0 }

// setRemoval makes n the note that its entry removed what entry index had made.
func (n *nodeRecord) setRemoval(index int64) { *n = nodeRecord{size: index, bits: removalBit} }

// isRemoval says that n is such a note; size is the index.
func (n *nodeRecord) isRemoval() bool { return n.bits == removalBit }

// drop clears the record.
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

// path returns the whole path, "" for the root. It shares memory with the paths of
// hundreds of nodes: what leaves the package is ownPath.
func (n node) path() string {
	if n.pathLen == 0 {
		return ""
	}
	return (*n.slab.text.Load())[n.pathAt:][:n.pathLen]
}

// ownPath returns a copy of path.
func (n node) ownPath() string { return strings.Clone(n.path()) }

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
