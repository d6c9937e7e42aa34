package famfs

// Files and directories in memory: records in slabs that never move. The slabs are made so that
// the garbage collector has little to scan and memory comes in large pieces. The meaning of a
// record's bits is defined here too. Finding nodes is namespace.go's concern.

import (
	"encoding/binary"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
)

// slabNodes is the number of nodes in a slab.
const (
	slabBits  = 9
	slabNodes = 1 << slabBits
)

// slab holds the nodes of consecutive log entries, and their further data. Few of its words are
// pointers, and none belongs to a single node, so that the garbage collector's work does not
// grow with every file.
type slab struct {
	records *[slabNodes]nodeRecord // separate, because this memory holds no pointers
	// text holds the paths of nodes that can be found, one after the other. layouts holds the
	// layouts that are not simple. Both only grow: readers may have an earlier one.
	text    atomic.Pointer[string]
	layouts atomic.Pointer[[]Layout]
	// removed holds, for each node, the index plus 1 of the entry that removed it, or 0. It is made
	// when the first node is removed.
	removed atomic.Pointer[[slabNodes]atomic.Uint32]
	// sealed holds the same for seals.
	sealed atomic.Pointer[[slabNodes]atomic.Uint32]
	// used has a bit for each file that was used, among the files of reused.go. It is made
	// when the first of them is used.
	used atomic.Pointer[[slabNodes / 32]atomic.Uint32]
	// writing and shapes are the memory of text and layouts. They have more in them while a
	// block is being read, and also afterwards if that fails: see begin.
	writing []byte
	shapes  []Layout
}

// nodeRecord is a file or directory in 64 bytes, without pointers. It can also be the note that
// an entry removed one, which has only size and bits, or sealed one: see setSeal.
type nodeRecord struct {
	size     int64     // of a file, in bytes; for a note, the index of what was removed or sealed
	simple   [1]Extent // the extent of a file with a single simple one; for a directory, see live
	hash     uint32
	next     uint32 // the next child of the same directory, plus 1; atomic once it can be found
	children uint32 // the first child of a directory, plus 1; loaded and stored atomically
	uid, gid uint32
	flags    uint32 // of a file; see sweeps
	bits     uint16 // the mode bits of the format, dirBit, removalBit and sealBit
	shape    uint16 // index of its layout in the slab, plus 1; 0 if simple
	pathAt   uint16 // index in the slab's text at which the path begins
	pathLen  uint8  // 0 for the root and for entries that are no node
	nameAt   uint8  // index in the path at which the last element begins
}

// dirBit marks directories, removalBit removals, and sealBit seals. They are above all bits of a
// mode.
const (
	dirBit     = 1 << 15
	removalBit = 1 << 14
	sealBit    = 1 << 13
	usedBit    = 1 << 12 // a file in memory that a removed file had
)

// node is a file or directory: its record, and the slab with the rest.
type node struct {
	*nodeRecord
	slab *slab
}

func newSlab() *slab { return &slab{records: new([slabNodes]nodeRecord)} }

// slabSupply makes slabs for several goroutines. The memory of many slabs is allocated in one
// piece.
type slabSupply struct {
	mu      sync.Mutex
	wanted  int // how many slabs are still to be taken
	records [][slabNodes]nodeRecord
	text    []byte
}

// slabsAtOnce is how many slabs are made in one piece: 16 MiB of records.
const slabsAtOnce = 512

// take returns a slab with room for text bytes of paths. Memory is allocated when it is needed.
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

// begin prepares s for further nodes. It drops what a failed attempt has left, so that repeated
// attempts do not use more and more memory.
func (s *slab) begin(size int) {
	done := ""
	if text := s.text.Load(); text != nil {
		done = *text
	}
	if cap(s.writing) == 0 {
		s.writing = make([]byte, 0, max(size, 512))
	}
	// No string refers to memory behind the text that readers have.
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

// removedBy returns the entry that removed the node of index, if there is one.
func (s *slab) removedBy(index int64) (by int64, ok bool) {
	removed := s.removed.Load()
	if removed == nil {
		return 0, false
	}
	by = int64(removed[index&(slabNodes-1)].Load()) - 1
	return by, by >= 0
}

// removedBefore reports whether an entry before limit removed the node of index.
func (s *slab) removedBefore(index, limit int64) bool {
	by, ok := s.removedBy(index)
	return ok && by < limit
}

// seal notes that entry by sealed the file of index. The record of by must be complete.
func (s *slab) seal(index, by int64) {
	if s.sealed.Load() == nil {
		s.sealed.Store(new([slabNodes]atomic.Uint32))
	}
	s.sealed.Load()[index&(slabNodes-1)].Store(uint32(by + 1))
}

// sealedBy returns the entry that sealed the file of index, if there is one.
func (s *slab) sealedBy(index int64) (by int64, ok bool) {
	sealed := s.sealed.Load()
	if sealed == nil {
		return 0, false
	}
	by = int64(sealed[index&(slabNodes-1)].Load()) - 1
	return by, by >= 0
}

// use records that the file of index was used.
func (s *slab) use(index int64) {
	if s.used.Load() == nil {
		s.used.CompareAndSwap(nil, new([slabNodes / 32]atomic.Uint32))
	}
	at := index & (slabNodes - 1)
	s.used.Load()[at/32].Or(1 << (at % 32))
}

func (s *slab) isUsed(index int64) bool {
	used, at := s.used.Load(), index&(slabNodes-1)
	return used != nil && used[at/32].Load()&(1<<(at%32)) != 0
}

// path adds a path to s. It returns the path as a string and the index at which it begins. The
// string is valid only until the next begin or unpath. To keep it longer, copy it, or take it
// from a node.
func (s *slab) path(path []byte) (text string, at int) {
	at = len(s.writing)
	s.writing = append(s.writing, path...)
	return stringOf(s.writing[at:]), at
}

// unpath removes the last path, which began at index at.
func (s *slab) unpath(at int) { s.writing = s.writing[:at] }

// show lets readers see the text and the layouts that records from up to to need. It leaves out
// what was added for other records since begin.
func (s *slab) show(from, to int) {
	text, shapes, shownShapes := 0, 0, 0
	if shown := s.text.Load(); shown != nil {
		text = len(*shown)
	}
	if shown := s.layouts.Load(); shown != nil {
		shapes, shownShapes = len(*shown), len(*shown)
	}
	for i := from; i < to; i++ {
		n := &s.records[i]
		text, shapes = max(text, int(n.pathAt)+int(n.pathLen)), max(shapes, int(n.shape))
	}
	all := stringOf(s.writing[:text])
	s.text.Store(&all)
	if shapes > shownShapes {
		layouts := s.shapes[:shapes]
		s.layouts.Store(&layouts) // readers have a shorter slice and do not see the new elements
	}
}

// fill sets record i of s to the file or directory of a valid entry. Its path is in s already,
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

// isDir reports whether n is a directory.
func (n *nodeRecord) isDir() bool { return n.bits&dirBit != 0 }

// A directory has no extent. Two numbers that only the replica uses are in its place: the number
// of its children, and the number of removed children that are still in its list.

func (n *nodeRecord) live() *int64    { return &n.simple[0].Offset }
func (n *nodeRecord) removed() *int64 { return &n.simple[0].Length }

// sweeps counts how often removed children were taken out of a directory's list. It is loaded
// and stored atomically.
func (n *nodeRecord) sweeps() *uint32 { return &n.flags }

// inUsedMemory reports whether a removed file of this log had memory of the file.
func (n *nodeRecord) inUsedMemory() bool { return n.bits&usedBit != 0 }

// attrFlags returns the flags of a file, and 0 for a directory.
func (n *nodeRecord) attrFlags() uint32 {
	if n.isDir() {
		return 0
	}
	return n.flags
}

// gone reports whether the entry is no node.
func (n *nodeRecord) gone() bool { return n.pathLen == 0 }

// setRemoval makes n the note that its entry removed what entry index made.
func (n *nodeRecord) setRemoval(index int64) { *n = nodeRecord{size: index, bits: removalBit} }

// isRemoval reports whether n is such a note; size is then the index.
func (n *nodeRecord) isRemoval() bool { return n.bits == removalBit }

// setSeal makes n the note that its entry sealed the file of entry index with sum. Its fields
// that mean something else otherwise hold the sum.
func (n *nodeRecord) setSeal(index int64, sum Sum) {
	le := binary.LittleEndian
	part := func(i int) uint32 { return le.Uint32(sum.Bytes[4*i:]) }
	*n = nodeRecord{
		size: index, bits: sealBit, nameAt: uint8(sum.Kind), hash: part(0), next: part(1), children: part(2),
		uid: part(3), gid: part(4), flags: part(5), simple: [1]Extent{{Offset: int64(le.Uint64(sum.Bytes[24:]))}},
	}
}

// isSeal reports whether n is such a note; size is then the index.
func (n *nodeRecord) isSeal() bool { return n.bits == sealBit }

// sum returns the sum that such a note holds.
func (n *nodeRecord) sum() (sum Sum) {
	le := binary.LittleEndian
	sum.Kind = SumKind(n.nameAt)
	for i, part := range [...]uint32{n.hash, n.next, n.children, n.uid, n.gid, n.flags} {
		le.PutUint32(sum.Bytes[4*i:], part)
	}
	le.PutUint64(sum.Bytes[24:], uint64(n.simple[0].Offset))
	return sum
}

// isNote reports whether n is the note of a removal or a seal.
func (n *nodeRecord) isNote() bool { return n.isRemoval() || n.isSeal() }

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

// path returns the whole path, or "" for the root. It shares memory with the paths of hundreds
// of nodes: use ownPath for strings that leave the package.
func (n node) path() string {
	if n.pathLen == 0 {
		return ""
	}
	return (*n.slab.text.Load())[n.pathAt:][:n.pathLen]
}

// ownPath returns a copy of path.
func (n node) ownPath() string { return strings.Clone(n.path()) }

// name returns the last element of the path, or "." for the root.
func (n node) name() string {
	if n.pathLen == 0 {
		return "."
	}
	return n.path()[n.nameAt:]
}

// place returns the layout of a file. It shares the node's memory and must not be changed.
func (n node) place() Layout {
	if n.shape != 0 {
		return (*n.slab.layouts.Load())[n.shape-1]
	}
	return Layout{Extents: n.simple[:]}
}
