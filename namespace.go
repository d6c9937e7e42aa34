package famfs

// Names to files and directories: a tree that only grows, kept so that readers need
// no lock. Nodes stand at the index of their log entry, in slabs; a hash table over whole
// paths holds their numbers. One writer at a time, the replica, adds nodes; a node never
// changes after it can be found, but for the list of its children, which grows at the
// front. How nodes are kept is namespace_slab.go's concern.

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

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
	table := makeLarge[uint64](size)
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
