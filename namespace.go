package famfs

// Names of files and directories: a tree that readers use without locks. Nodes are in slabs, at
// the index of their log entry. A hash table over whole paths holds these indexes, and each
// directory has a list of its children. One writer at a time, the replica, adds and removes
// nodes.
//
// A reader sees the tree as it was at one moment. It loads the limit, and sees the nodes that
// entries before the limit made, except those that entries before the limit removed. The replica
// applies entries beyond the limit, and then raises the limit past all of them at once.
//
// After a node can be found, only the list of its children and the note of its removal change.
// Removed nodes stay as they are, for those who have them open. They are swept out of the table
// and the lists when that is worth it, and the sweeps are counted. A reader that finds nothing
// checks whether the count has changed. If so, its limit may be older than the table or list
// that it searched, and it searches again.
//
// namespace_slab.go stores the nodes.

import (
	"hash/maphash"
	"math"
	"sync/atomic"
)

// rootIndex is the index of the root directory, which has no entry.
const rootIndex = -1

// namespace is the tree. Readers may call lookup, node, children and end at any time. Only the
// replica calls the rest, one call at a time.
type namespace struct {
	root    nodeRecord
	seed    maphash.Seed             // drawn anew each time, so that nobody can choose paths that collide
	table   atomic.Pointer[[]uint64] // its slots are loaded and stored atomically
	swept   atomic.Uint64            // how often a slot of table was freed, or table was replaced
	slabs   atomic.Pointer[[]*slab]
	limit   atomic.Int64 // entries before this one have been replayed
	used    int          // slots of table in use
	removed int          // slots of table whose nodes were removed
	swollen []int64      // directories whose lists should be swept
	// unseen says that there are no readers yet. Stores that readers may see cost many times
	// more than others, and there are two of them for every node.
	unseen bool
}

func newNamespace() *namespace {
	ns := &namespace{seed: maphash.MakeSeed()}
	ns.root.bits = dirBit | 0o755
	ns.grow(64)
	ns.slabs.Store(&[]*slab{})
	return ns
}

// hash returns the hash of a path.
func (ns *namespace) hash(path string) uint32 { return hashPath(ns.seed, path) }

func hashPath(seed maphash.Seed, path string) uint32 { return uint32(maphash.String(seed, path)) }

// node returns the node of log entry index. Its slab must exist.
func (ns *namespace) node(index int64) node {
	if index == rootIndex {
		return node{&ns.root, nil}
	}
	s := (*ns.slabs.Load())[index>>slabBits]
	return node{&s.records[index&(slabNodes-1)], s}
}

// end returns the number of entries that have been replayed. No later replay adds anything before
// it.
func (ns *namespace) end() int64 { return ns.limit.Load() }

// A slot holds hash<<32 | index+1; 0 is empty.
func slotOf(hash uint32, index int64) uint64 { return uint64(hash)<<32 | uint64(index+1) }

// lookup returns the index of path. The root is ".".
func (ns *namespace) lookup(path string) (int64, bool) {
	if path == "." {
		return rootIndex, true
	}
	hash := ns.hash(path)
	for {
		swept, table := ns.swept.Load(), *ns.table.Load()
		limit := ns.limit.Load() // not older than the last sweep
		if index, ok := ns.seek(table, path, hash, limit); ok || ns.swept.Load() == swept {
			return index, ok
		}
	}
}

// latest is the limit of the replica, which also sees what it has applied and not published yet.
const latest = math.MaxInt64

// lookupLatest is lookup for the replica.
func (ns *namespace) lookupLatest(path string) (int64, bool) {
	if path == "." {
		return rootIndex, true
	}
	return ns.seek(*ns.table.Load(), path, ns.hash(path), latest)
}

// seek returns the index of path as of limit.
func (ns *namespace) seek(table []uint64, path string, hash uint32, limit int64) (index int64, ok bool) {
	mask := uint32(len(table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := atomic.LoadUint64(&table[at])
		if slot == 0 {
			return 0, false
		}
		if uint32(slot>>32) == hash {
			index := int64(uint32(slot)) - 1
			if n := ns.node(index); index < limit && n.path() == path && !n.slab.removedBefore(index, limit) {
				return index, true
			}
		}
	}
}

// seekSlot returns the index of path as the replica sees it. If there is none, it returns the
// slot for a new node of that path: an empty one, or that of a removed node. Without reusing
// slots, a name that is made and removed repeatedly would take longer and longer to find.
func (ns *namespace) seekSlot(path string, hash uint32) (index int64, free *uint64, ok bool) {
	table, limit := *ns.table.Load(), ns.limit.Load()
	mask := uint32(len(table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := table[at]
		if slot == 0 {
			if free == nil {
				free = &table[at]
			}
			return 0, free, false
		}
		if uint32(slot>>32) == hash {
			index := int64(uint32(slot)) - 1
			n := ns.node(index)
			switch {
			case !n.slab.removedBefore(index, latest):
				if n.path() == path {
					return index, nil, true
				}
			case free == nil && sweepable(index, n, limit):
				free = &table[at]
			}
		}
	}
}

// sweepable reports whether no new reader sees the removed node of index: it was not there yet
// at the limit, or is not there any more.
func sweepable(index int64, n node, limit int64) bool {
	return index >= limit || n.slab.removedBefore(index, limit)
}

// warm loads the slots where nodes will be searched. One after the other, each of these loads
// would wait for memory; independent loads overlap.
func (ns *namespace) warm(records []nodeRecord) {
	table := *ns.table.Load()
	mask := uint32(len(table) - 1)
	for i := range records {
		atomic.LoadUint64(&table[records[i].hash&mask])
	}
}

// grow makes a table with room for n more nodes, at most three quarters full, without removed
// nodes. If there were removed nodes, it makes the table at most half full; otherwise it might
// have to make a new one again after a few nodes.
func (ns *namespace) grow(n int) {
	var kept []uint64
	swept := ns.removed > 0
	if old := ns.table.Load(); old != nil {
		kept = *old
		if swept {
			kept = ns.keep(kept)
		}
	}
	n += ns.used
	size := 64
	for size < n+n/3+1 || swept && size < 2*n {
		size *= 2
	}
	table := makeLarge[uint64](size)
	mask := uint32(size - 1)
	for _, slot := range kept {
		if slot == 0 {
			continue
		}
		at := uint32(slot>>32) & mask
		for table[at] != 0 {
			at = (at + 1) & mask
		}
		table[at] = slot
	}
	// Store the table first: a reader that has the new count must have the new table.
	ns.table.Store(&table)
	ns.swept.Add(1)
}

// keep returns the slots of table without those of removed nodes that no reader sees any more.
// It sets the counts of used and removed slots.
func (ns *namespace) keep(table []uint64) (kept []uint64) {
	limit := ns.limit.Load()
	ns.removed = 0
	for _, slot := range table {
		if slot == 0 {
			continue
		}
		index := int64(uint32(slot)) - 1
		if n := ns.node(index); n.slab.removedBefore(index, latest) {
			if sweepable(index, n, limit) {
				continue
			}
			ns.removed++
		}
		kept = append(kept, slot)
	}
	ns.used = len(kept)
	return kept
}

// slab returns slab number i, or nil if it does not exist yet.
func (ns *namespace) slab(i int64) *slab {
	if slabs := *ns.slabs.Load(); i < int64(len(slabs)) {
		return slabs[i]
	}
	return nil
}

// attach appends s as slab number i. It does nothing if there is a slab i already.
func (ns *namespace) attach(i int64, s *slab) {
	slabs := *ns.slabs.Load()
	if i < int64(len(slabs)) {
		return
	}
	// Readers have a shorter slice, and do not see what is behind its end.
	longer := append(slabs, s)
	ns.slabs.Store(&longer)
}

// reserve makes room in the table for n more names.
func (ns *namespace) reserve(n int) {
	if need := ns.used + n; need+need/3 >= len(*ns.table.Load()) {
		ns.grow(n)
	}
}

// insert makes n, the complete node of entry index, findable in dir. free is the slot that seekSlot
// returned; nothing may have been inserted or reserved since.
func (ns *namespace) insert(n node, index int64, dir node, free *uint64) {
	n.next = dir.children
	slot, first := slotOf(n.hash, index), uint32(index+1)
	if *free == 0 {
		ns.used++
	} else {
		ns.removed--
		ns.swept.Add(1) // before the slot changes: a reader that has the old count must search again
	}
	if ns.unseen {
		*free, dir.children = slot, first
	} else {
		atomic.StoreUint64(free, slot)
		atomic.StoreUint32(&dir.children, first)
	}
	*dir.live()++
}

// remove removes the node of index from dirIndex, its directory. The node must have no children.
// Readers do not find it any more once entry by is published.
func (ns *namespace) remove(index, dirIndex, by int64) {
	ns.node(index).slab.remove(index, by)
	ns.removed++
	dir := ns.node(dirIndex)
	*dir.live()--
	*dir.removed()++
	if last := len(ns.swollen) - 1; dir.swollen() && (last < 0 || ns.swollen[last] != dirIndex) {
		ns.swollen = append(ns.swollen, dirIndex)
	}
}

// swollen reports whether the list of a directory has so many removed children that sweeping it is
// worth it.
func (n *nodeRecord) swollen() bool { return *n.removed() > max(64, *n.live()) }

// publish tells readers that all entries before end have been replayed.
func (ns *namespace) publish(end int64) {
	ns.limit.Store(end)
	for _, index := range ns.swollen {
		if dir := ns.node(index); dir.swollen() {
			ns.sweepChildren(dir)
		}
	}
	ns.swollen = nil
}

// sweepChildren takes removed children out of a directory's list. A reader may be at any of
// them, so their own links to the next child do not change.
func (ns *namespace) sweepChildren(dir node) {
	atomic.AddUint32(dir.sweeps(), 1)
	limit := ns.limit.Load()
	for at := &dir.children; *at != 0; {
		index := int64(*at) - 1
		child := ns.node(index)
		if child.slab.removedBefore(index, limit) {
			atomic.StoreUint32(at, child.next)
			*dir.removed()--
			continue
		}
		at = &child.next
	}
}

// children returns the indexes of a directory's children, in the reverse order of the log.
func (ns *namespace) children(dir node) (indexes []int64) {
	for {
		swept := atomic.LoadUint32(dir.sweeps())
		limit := ns.limit.Load() // not older than the last sweep
		indexes = indexes[:0]
		for next := atomic.LoadUint32(&dir.children); next != 0; {
			index := int64(next) - 1
			child := ns.node(index)
			if index < limit && !child.slab.removedBefore(index, limit) {
				indexes = append(indexes, index)
			}
			next = atomic.LoadUint32(&child.next)
		}
		if atomic.LoadUint32(dir.sweeps()) == swept {
			return indexes
		}
	}
}
