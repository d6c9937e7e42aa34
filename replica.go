package famfs

// What replaying the log builds: namespace, space, added devices, and the problems
// met. Here entries that are sound by themselves are judged against those before
// them and applied. How entries are read is log_replay.go's concern.

import (
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// maxProblems bounds the memory that a hostile log can cost.
const maxProblems = 100_000

// Problem is a log entry that was passed over, or something wrong with superblock
// or log header.
type Problem struct {
	// Index is the log entry's, or -1 for superblock or log header.
	Index int
	// Path is the one that the entry gives, as it was logged, which need not be a valid
	// one; "" if it gives none.
	Path string
	// Err says what is wrong.
	Err error
}

// Error returns the message of p.Err.
func (p Problem) Error() string { return p.Err.Error() }

// Unwrap returns p.Err.
func (p Problem) Unwrap() error { return p.Err }

// replica is one host's picture of the log. One goroutine at a time may change it;
// what the namespace, the allocator, the counters and problems offer to readers may
// be used meanwhile.
type replica struct {
	meta sharedMemory
	sb   Superblock
	geo  geometry
	// unitBits is the logarithm of the allocation unit.
	unitBits int
	log      *slog.Logger        // only writes down what is to be told: see logger.go
	pause    func(time.Duration) // time.Sleep, but in simulations

	settled atomic.Int64 // how long the current replay has paused, in ns

	ns    *namespace
	alloc *allocator

	next          uint64        // entries before this one have been replayed
	devices       []addedDevice // by index - 1
	deviceIndexes map[UUID]int
	sums          *entrySums
	single        *decoder       // of blocks that are read alone
	bad           *corruptRecord // the corrupt entry at which the last replay ended, if it did

	counts struct{ files, dirs, fileBytes, removedUnits int64 }
	// What of the counts readers have.
	files, dirs, fileBytes, removedUnits atomic.Int64
	passedOver                           []Problem // of entries before next; readers have listed
	listed                               atomic.Pointer[problemList]

	// uncertain says that entries may be lost if the host fails, as a disk did not take the
	// counters that announce them.
	uncertain atomic.Bool

	// header is the log's as of the last look.
	header logHeader
	// identity is what the superblock's first line must go on to say. line and record are
	// what was loaded last to be compared with it, and the entry that is being appended.
	identity, line [superblockLine]byte
	record         [entrySize]byte
	appending      entry // what record is made of

	runs []unitRun // for whoever needs some, up to maxExtents

	lastDir      string // the directory that was looked up last
	lastDirIndex int64
}

// problemList is what readers know of problems. It never changes: a longer one takes its
// place, and may share its memory.
type problemList struct {
	passedOver []Problem // of entries that were replayed
	unread     []Problem // of entries that a tolerant replay does not serve
	// from and end are the entries that unread is about, if there are any. So many may be
	// there that unread does not list all.
	from, end uint64
}

func newReplica(meta sharedMemory, sb Superblock, deviceSize int64, log *slog.Logger) *replica {
	r := &replica{
		meta:          meta,
		sb:            sb,
		geo:           geometry{unit: sb.AllocUnit, dataStart: sb.logEnd(), size: deviceSize},
		log:           log,
		pause:         time.Sleep,
		ns:            newNamespace(),
		deviceIndexes: map[UUID]int{sb.DeviceUUID: 0},
		sums:          newEntrySums(),
		alloc:         newAllocator(deviceSize / sb.AllocUnit),
		lastDir:       ".",
		lastDirIndex:  rootIndex,
		unitBits:      bits.TrailingZeros64(uint64(sb.AllocUnit)),
		runs:          make([]unitRun, 0, maxExtents),
	}
	record := sb.encode()
	r.identity = [superblockLine]byte(record[:])
	r.single = r.newDecoder()
	r.listed.Store(&problemList{})
	r.alloc.restrict(sb.usable(deviceSize) / sb.AllocUnit)
	r.alloc.claim(unitRun{0, (sb.logEnd() + sb.AllocUnit - 1) / sb.AllocUnit})
	return r
}

func (r *replica) newDecoder() *decoder {
	return newDecoder(r.meta, r.geo, r.ns.seed, r.sums, r.settle)
}

// addProblem notes that an entry was passed over. path must be a copy of its own.
func (r *replica) addProblem(index int64, path string, err error) {
	p := Problem{Index: int(index), Path: path, Err: ofEntry(uint64(index), err)}
	switch n := len(r.passedOver); {
	case n > maxProblems:
		return
	case n == maxProblems:
		p = Problem{Index: -1, Err: fmt.Errorf("more than %d problems: from here on they are not listed: %w", maxProblems, ErrCorrupt)}
	}
	r.passedOver = append(r.passedOver, p) // readers of a shorter slice do not see the new element
}

// publishProblems lets readers have the problems found since it was called last, and the
// logger too.
func (r *replica) publishProblems() {
	before := r.listed.Load()
	fresh := r.passedOver[len(before.passedOver):]
	if len(fresh) == 0 {
		return
	}
	list := *before
	list.passedOver = r.passedOver
	r.listed.Store(&list)
	for _, p := range fresh {
		if p.Index < 0 {
			r.log.Warn("metadata is damaged", "err", p.Err)
			continue
		}
		r.log.Warn("log entry passed over", "index", p.Index, "path", p.Path, "err", p.Err)
	}
}

// apply applies what was decoded of one block, up to entry end. Readers see it from
// show on.
func (r *replica) apply(d *decoded, end uint64) {
	at := int(d.first & (slabNodes - 1))
	d.slab.show(at, at+int(end-d.first))
	r.ns.attach(int64(d.first>>slabBits), d.slab)
	r.ns.reserve(int(end - d.first))
	r.ns.warm(d.slab.records[at:][:end-d.first])
	odd := d.odd
	for index := d.first; index < end; index++ {
		n := node{&d.slab.records[index&(slabNodes-1)], d.slab}
		if len(odd) > 0 && odd[0].index == index {
			r.applyOdd(&odd[0], n)
			odd = odd[1:]
		} else if err := r.applyNode(int64(index), n); err != nil {
			r.passOver(int64(index), n, n.ownPath(), err)
		}
	}
	r.next = end
}

// show lets readers have all that was applied, at once: who sees the first of several
// entries that were appended together sees all of them.
func (r *replica) show() {
	r.files.Store(r.counts.files)
	r.dirs.Store(r.counts.dirs)
	r.fileBytes.Store(r.counts.fileBytes)
	r.removedUnits.Store(r.counts.removedUnits)
	r.publishProblems()
	r.ns.publish(int64(r.next))
}

// applyOdd applies an entry that is not simply the node n.
func (r *replica) applyOdd(o *oddEntry, n node) {
	err := o.err
	switch o.kind {
	case oddPath:
		if err := r.applyNode(int64(o.index), n); err != nil {
			r.passOver(int64(o.index), n, o.path, err)
		}
		return
	case oddDevice:
		err = r.addDevice(o)
	case oddRemoval:
		err = r.remove(o, n)
	}
	if err != nil {
		r.addProblem(int64(o.index), o.path, err)
	}
	for _, claim := range o.claims {
		r.alloc.claim(claim)
	}
}

// addDevice applies an add-daxdev entry.
func (r *replica) addDevice(o *oddEntry) error {
	if there, ok := r.deviceIndexes[o.device.uuid]; ok {
		return fmt.Errorf("device %s is added a second time, it is device %d already: %w", o.device.uuid, there, ErrCorrupt)
	}
	if want := len(r.devices) + 1; int64(o.deviceIndex) != int64(want) {
		return fmt.Errorf("device %s is added with index %d, want %d: %w", o.device.uuid, o.deviceIndex, want, ErrCorrupt)
	}
	r.deviceIndexes[o.device.uuid] = len(r.devices) + 1
	r.devices = append(r.devices, o.device)
	return nil
}

// applyNode adds a file or directory to the namespace, or says why it cannot be
// there.
func (r *replica) applyNode(index int64, n node) error {
	path := n.path()
	there, free, ok := r.ns.seekSlot(path, n.hash)
	if ok {
		old := r.ns.node(there)
		switch {
		case n.isDir() && old.isDir():
			n.drop() // making a directory again is no error
			return nil
		case n.isDir():
			return fmt.Errorf("directory %q: a file stands there since entry %d: %w: %w", path, there, fs.ErrExist, ErrCorrupt)
		case old.isDir():
			return fmt.Errorf("file %q: a directory stands there since entry %d: %w: %w", path, there, fs.ErrExist, ErrCorrupt)
		}
		return fmt.Errorf("file %q was logged before as entry %d, and the first wins: %w", path, there, fs.ErrExist)
	}
	parent, err := r.directory(n)
	if err != nil {
		return err
	}
	dir := r.ns.node(parent)
	if n.isDir() {
		r.counts.dirs++
	} else {
		if err := r.own(n); err != nil {
			return err
		}
		r.counts.files++
		r.counts.fileBytes += n.size
	}
	r.ns.insert(n, index, dir, free)
	return nil
}

// remove applies a removal entry, whose record is n.
func (r *replica) remove(o *oddEntry, n node) error {
	index := int64(o.removes)
	old := r.ns.node(index)
	switch by, gone := old.slab.removedBy(index); {
	case old.gone():
		return fmt.Errorf("removal of %q: entry %d made no file or directory: %w: %w", o.name, index, fs.ErrNotExist, ErrCorrupt)
	case gone:
		return fmt.Errorf("removal of %q: entry %d removed before what entry %d made: %w: %w", o.name, by, index, fs.ErrNotExist, ErrCorrupt)
	case old.path() != o.name:
		return fmt.Errorf("removal of %q: entry %d made %q: %w", o.name, index, old.path(), ErrCorrupt)
	case old.isDir() && *old.live() > 0:
		return fmt.Errorf("removal of directory %q: %d files and directories are in it: %w", o.name, *old.live(), ErrCorrupt)
	}
	parent, err := r.directory(old)
	if err != nil {
		return err
	}
	r.ns.remove(index, parent, int64(o.index))
	n.setRemoval(index)
	if old.isDir() {
		r.counts.dirs-- // and the directory that was looked up last is the one above it
		return nil
	}
	r.counts.files--
	r.counts.fileBytes -= old.size
	for _, x := range old.place().Extents {
		r.counts.removedUnits += x.Length >> r.unitBits
	}
	return nil
}

// directory finds the directory in which n is to be, or is.
func (r *replica) directory(n node) (int64, error) {
	path := "."
	if n.nameAt > 0 {
		path = n.path()[:n.nameAt-1]
	}
	if path == r.lastDir {
		return r.lastDirIndex, nil
	}
	index, ok := r.ns.lookupLatest(path)
	if !ok {
		return 0, fmt.Errorf("%q lies in directory %q, which does not exist: %w: %w", n.path(), path, fs.ErrNotExist, ErrCorrupt)
	}
	if !r.ns.node(index).isDir() {
		return 0, fmt.Errorf("%q lies in %q, which is a file: %w", n.path(), path, ErrCorrupt)
	}
	r.lastDir, r.lastDirIndex = path, index
	return index, nil
}

// own claims a file's space, which must be all on this device and nobody else's.
func (r *replica) own(n node) error {
	place, runs := n.place(), r.runs[:0]
	for i, x := range place.Extents {
		switch {
		case x.Device > len(r.devices):
			return fmt.Errorf("file %q: extent %d is on device %d, which no entry has added: %w: %w", n.path(), i, x.Device, ErrCorrupt, ErrDevice)
		case x.Device > 0:
			return fmt.Errorf("file %q: extent %d is on device %d (%s), and only files on the device with the superblock can be used: %w", n.path(), i, x.Device, r.devices[x.Device-1].uuid, ErrDevice)
		}
		runs = append(runs, unitRun{x.Offset >> r.unitBits, x.Length >> r.unitBits})
	}
	if bad, ok := r.alloc.own(runs); !ok {
		x := place.Extents[bad]
		return fmt.Errorf("file %q: extent %d (offset %d, length %d) shares space with an earlier extent or file: %w", n.path(), bad, x.Offset, x.Length, ErrCorrupt)
	}
	return nil
}

// passOver notes that n, which was logged as path, is not to be found, and keeps its space
// from being given to others.
func (r *replica) passOver(index int64, n node, path string, err error) {
	defer n.drop()
	r.addProblem(index, path, err)
	if n.isDir() {
		return
	}
	for _, x := range n.place().Extents {
		if x.Device == 0 {
			r.alloc.claim(unitRun{x.Offset / r.geo.unit, x.Length / r.geo.unit})
		}
	}
}

// listProblems returns a copy of all problems so far.
func (r *replica) listProblems() []Problem {
	list := r.listed.Load()
	return slices.Concat(list.passedOver, list.unread)
}

// allocate takes space for a file of size bytes.
func (r *replica) allocate(size int64, interleave *Interleaving) (Layout, []unitRun, error) {
	unit := r.geo.unit
	var runs []unitRun
	chunk, ok := int64(0), true
	if interleave != nil && size >= interleave.Chunk {
		chunk = interleave.Chunk
		stripe := int64(interleave.Strips) * chunk
		length := ((size-1)/stripe + 1) * chunk
		// Later files begin with other buckets, so that all fill evenly.
		runs, ok = r.alloc.spread(length/unit, interleave.Strips, interleave.Buckets, int(r.next%uint64(interleave.Buckets)))
	} else {
		units := (size-1)/unit + 1
		if run, contiguous := r.alloc.allocate(units, 0, math.MaxInt64); contiguous {
			runs = []unitRun{run}
		} else {
			runs, ok = r.alloc.gather(units, maxExtents)
		}
	}
	if !ok {
		free, longest := r.alloc.space()
		shape := fmt.Sprintf("in at most %d extents", maxExtents)
		if chunk > 0 {
			shape = fmt.Sprintf("as %d strips in different ones of %d buckets", interleave.Strips, interleave.Buckets)
		}
		grown := ""
		if more := r.geo.size - r.sb.usable(r.geo.size); more >= unit {
			grown = fmt.Sprintf(", and the device has grown by %d, which Grow would add", more)
		}
		return Layout{}, nil, fmt.Errorf("%d bytes %s: %d bytes are free, %d of them in one run%s: %w", size, shape, free*unit, longest*unit, grown, ErrNoSpace)
	}
	layout := Layout{Chunk: chunk}
	for _, run := range runs {
		layout.Extents = append(layout.Extents, Extent{Offset: run.start * unit, Length: run.n * unit})
	}
	return layout, runs, nil
}

func (r *replica) usage() Usage {
	free, longest := r.alloc.space()
	size := r.sb.usable(r.geo.size)
	return Usage{
		Size:        size,
		Allocated:   size - free*r.geo.unit,
		Free:        free * r.geo.unit,
		LargestFree: longest * r.geo.unit,
		FileBytes:   r.fileBytes.Load(),
		Removed:     r.removedUnits.Load() * r.geo.unit,
		Files:       int(r.files.Load()),
		Dirs:        int(r.dirs.Load()),
		LogUsed:     int(r.ns.end()),
		LogCapacity: int(lastIndex(r.sb.LogSize) + 1),
	}
}

// settle waits before the next attempt at reading something.
func (r *replica) settle(try int) {
	if time.Duration(r.settled.Add(int64(settleTimes[try]))) <= maxSettle {
		r.pause(settleTimes[try])
	}
}

// Usage tells how full a file system is.
type Usage struct {
	// Size is that of the file system in bytes: the device's, or what the superblock says
	// if the device has grown since (see Grow). Allocated of them are taken, by metadata,
	// by files, by files that are being created through this FS, and by what
	// unacceptable log entries claim; Free are not. LargestFree is the longest
	// contiguous run of free bytes.
	Size, Allocated, Free, LargestFree int64
	// FileBytes is the sum of the sizes of all files. Removed is the space of files that were
	// removed, which is a part of Allocated: it is not given out again.
	FileBytes, Removed int64
	// Files and Dirs are how many there are, not counting the root directory.
	Files, Dirs int
	// LogUsed of LogCapacity entries of the log are in use.
	LogUsed, LogCapacity int
}
