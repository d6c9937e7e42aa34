package famfs

// Files that may lie in memory which another file had before, as the log was compacted or
// the device formatted since. This host's caches may still have lines of that one, and
// would serve them. So the first use of such a file through an FS invalidates its range.
// Which files these are, a compaction record says (format: compaction record).

// forgetOwner invalidates the lines of a file that may have had another owner, unless that
// was done. The caller keeps f open meanwhile. Two that use a file for the first time at
// once both do it.
func (f *FS) forgetOwner(index int64, n node) error {
	if n.slab.isUsed(index) || !f.mayBeCached(index, n) {
		return nil
	}
	faults := 0
	err := f.invalidate(n, 0, n.size, &faults)
	if err == nil {
		n.slab.use(index)
	}
	return err
}

// mayBeCached reports whether caches of this host may have lines of an earlier owner.
func (f *FS) mayBeCached(index int64, n node) bool {
	used := index >= f.usedFrom || n.inUsedMemory()
	if !used && f.devices.list() == nil {
		return false // the usual case
	}
	for _, x := range n.place().Extents {
		if m, err := f.on(x.Device); err == nil && m.dev.shared && (used || m.used) {
			return true
		}
	}
	return false
}

// throwOut writes back what this host has stored to a file, and forgets it, if the file's memory
// may be given to another file: a line that is written back later would overwrite that one.
func (f *FS) throwOut(n node) error {
	if !f.pins.on || f.pins.evicted.Load() {
		return nil
	}
	if h, err := f.homeOf(n.place()); err != nil || !h.any(func(d *device) bool { return d.shared }) {
		return err
	}
	faults := 0
	return f.invalidate(n, 0, n.size, &faults)
}

const (
	// maxBadPages is how many pages of a file may be gone before it is not to be used at all:
	// what is left of one with a few can be read.
	maxBadPages = 64
	// leastPage is how large a page is at least.
	leastPage = 4 << 10
)

// invalidate forgets this host's lines of count bytes of a file, from off on. Pages that are
// gone are in no cache, and are passed over. faults is how many were found so far.
func (f *FS) invalidate(n node, off, count int64, faults *int) error {
	err := f.eachRun(n, off, count, func(dev *device, mem []byte) error {
		dev.cache.invalidate(mem)
		return nil
	})
	switch _, fault := err.(*FaultError); {
	case !fault:
		return err
	case count <= leastPage:
		if *faults++; *faults > maxBadPages {
			return err
		}
		return nil
	}
	half := roundUp(count/2, leastPage)
	if err := f.invalidate(n, off, half, faults); err != nil {
		return err
	}
	return f.invalidate(n, off+half, count-half, faults)
}
