package famfs

// Names to files and directories: a tree, kept so that readers need no lock. Nodes are kept at
// the index of their log entry, in slabs; a hash table over whole paths holds their numbers,
// and each directory has a list of its children. One writer at a time, the replica, adds
// nodes and removes them.
//
// A reader sees the tree as it was at one moment: it loads the limit, and sees the nodes
// that entries before the limit made, without those that entries before the limit removed.
// The replica applies entries beyond the limit, and then raises it past all of them at once.
//
// A node never changes after it can be found, but for the list of its children and for the
// note that it was removed. Removed nodes stay what they are, for those who have them open,
// and are taken out of the table and the lists when it is worth while. That is counted: a
// reader that finds nothing looks whether it happened meanwhile. If so, its limit may be
// older than what it looked through, and it looks again.
//
// How nodes are kept is namespace_slab.go's concern.

import (
	"hash/maphash"
	"math"
	"sync/atomic"
)

// rootIndex is the index of the root directory, which has no entry.
const rootIndex = -1

// namespace is the tree. Readers may call lookup, node, child and end at any time;
// the rest is the replica's, one call at a time.
type namespace struct {
	root    nodeRecord
	seed    maphash.Seed             // drawn anew each time: paths on a device cannot be chosen to collide
	table   atomic.Pointer[[]uint64] // whose slots are loaded and stored atomically
	swept   atomic.Uint64            // how often something was taken out of table, or it was replaced
	slabs   atomic.Pointer[[]*slab]
	limit   atomic.Int64 // entries before this one have been replayed
	used    int          // slots of table
	removed int          // slots of table whose nodes were removed
	swollen []int64      // directories whose lists should be swept
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
	hash := ns.hash(path)
	for {
		swept, table := ns.swept.Load(), *ns.table.Load()
		limit := ns.limit.Load() // not older than what was swept
		if index, ok := ns.seek(table, path, hash, limit); ok || ns.swept.Load() == swept {
			return index, ok
		}
	}
}

// latest is the limit of the replica, which sees what it has applied and not published.
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

// seekSlot returns the index of path as the replica sees it, or else the slot where a node
// of that path is to be put: an empty one, or that of a node that was removed. Without that,
// a name that is made and removed again and again would be found ever more slowly.
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

// sweepable says that no reader that begins now sees the node of index, which was removed:
// it was not there yet, or is not there any more.
func sweepable(index int64, n node, limit int64) bool {
	return index >= limit || n.slab.removedBefore(index, limit)
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

// grow makes a table for n more nodes, at most three quarters full, without those that were
// removed. If there were such, it is made at most half full: otherwise it might have to be
// made anew for every few nodes.
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
	// The table first: who has the new count must have the new table.
	ns.table.Store(&table)
	ns.swept.Add(1)
}

// keep returns the slots of table but for those of removed nodes that no reader sees any
// more, and counts them.
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
		ns.grow(n)
	}
}

// insert makes n, the node of entry index, which is complete, findable below dir, in the slot
// that seekSlot returned. Nothing must have been inserted or reserved since.
func (ns *namespace) insert(n node, index int64, dir node, free *uint64) {
	n.next = dir.children
	slot, first := slotOf(n.hash, index), uint32(index+1)
	if *free == 0 {
		ns.used++
	} else {
		ns.removed--
		ns.swept.Add(1) // before the slot changes: who has the old count must look again
	}
	if ns.unseen {
		*free, dir.children = slot, first
	} else {
		atomic.StoreUint64(free, slot)
		atomic.StoreUint32(&dir.children, first)
	}
	*dir.live()++
}

// remove makes the node of index, which is in dir and has no children, one that is not found
// any more once entry by is published.
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

// swollen says that the list of a directory has so many removed children that it is worth
// while to sweep it.
func (n *nodeRecord) swollen() bool { return *n.removed() > max(64, *n.live()) }

// publish says that all entries before end have been replayed.
func (ns *namespace) publish(end int64) {
	ns.limit.Store(end)
	for _, index := range ns.swollen {
		if dir := ns.node(index); dir.swollen() {
			ns.sweepChildren(dir)
		}
	}
	ns.swollen = nil
}

// sweepChildren takes those that were removed out of a directory's list. A reader may stand
// on any of them: where the list goes on from there stays as it was.
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

// children returns the indexes of what is in a directory, in the reverse order of the log.
func (ns *namespace) children(dir node) (indexes []int64) {
	for {
		swept := atomic.LoadUint32(dir.sweeps())
		limit := ns.limit.Load() // not older than what was swept
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
