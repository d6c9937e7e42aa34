package famfs

// The result of replaying the log: the namespace, the space, added devices, and problems. Here
// entries that are sound by themselves are checked against earlier ones and applied. Reading
// entries is log_replay.go's concern.

import (
	"fmt"
	"io/fs"
	"log/slog"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// maxProblems limits the memory that a hostile log can cost.
const maxProblems = 100_000

// Problem is a log entry that was passed over, or an error in the superblock or the log header.
type Problem struct {
	// Index is the index of the log entry, or -1 for superblock or log header.
	Index int
	// Path is the entry's path as it was logged, which need not be valid. It is "" if the
	// entry has no path.
	Path string
	// Err says what is wrong.
	Err error
}

// Error returns the message of p.Err.
func (p Problem) Error() string { return p.Err.Error() }

// Unwrap returns p.Err.
func (p Problem) Unwrap() error { return p.Err }

// replica is one host's state of the log. Only one goroutine at a time may change it. Readers
// may use the namespace, the allocator, the counters and the published problems meanwhile.
type replica struct {
	meta sharedMemory
	sb   Superblock
	geo  geometry
	// reuses and usable are what sb says. Readers need them while a replay may change sb.
	reuses bool
	usable int64
	// unitBits is the logarithm of the allocation unit.
	unitBits int
	log      *slog.Logger        // only collects what is to be told: see logger.go
	pause    func(time.Duration) // time.Sleep, except in simulations
	// attach is told of each device that an entry adds, and says whether it is here. It may be nil.
	attach func(index int, d addedDevice) bool

	looks   atomic.Int64 // how often it looked for new entries
	settled atomic.Int64 // how long the current replay has paused, in ns

	ns    *namespace
	alloc *allocator // of the device with the superblock
	space *space     // of all devices

	next          uint64        // entries before this one have been replayed
	skipped       atomic.Bool   // corrupt entries were skipped
	giveFrom      uint64        // what entries before this one removed was given out again: see reclaim
	devices       []addedDevice // device i is at i-1
	deviceIndexes map[UUID]int
	sums          *entrySums
	single        *decoder       // for blocks that are read alone
	bad           *corruptRecord // the corrupt entry at which the last replay ended, if it did

	counts struct{ files, dirs, fileBytes, removedUnits, sealed int64 }
	// The counts that readers see.
	files, dirs, fileBytes, removedUnits, sealed atomic.Int64
	passedOver                                   []Problem // of entries before next; readers use listed
	listed                                       atomic.Pointer[problemList]

	// uncertain says that entries may be lost if the host fails, because a disk did not take
	// the counters that announce them.
	uncertain atomic.Bool

	// header is the log's header at the last look.
	header logHeader
	// identity is the expected first line of the superblock. line is the first line that was
	// loaded last. record is the entry that is being appended.
	identity, line [superblockLine]byte
	opened         [superblockLine]byte // identity as it was at first; it never changes
	record         [entrySize]byte
	appending      entry               // the entry from which record is encoded
	applying       entry               // what is read back of record
	headerBytes    [logHeaderSize]byte // what was loaded last of the header

	lastDir      string // the directory that was last looked up
	lastDirIndex int64
}

// problemList is the list of problems that readers see. It never changes: a longer one replaces
// it, and may share its memory.
type problemList struct {
	passedOver []Problem // of entries that were replayed
	unread     []Problem // of entries that a tolerant replay does not serve
	// from and end limit the entries that unread is about, if there are any. There may be more
	// of them than unread lists.
	from, end uint64
}

func newReplica(meta sharedMemory, sb Superblock, deviceSize int64, log *slog.Logger) *replica {
	r := &replica{
		meta:          meta,
		sb:            sb,
		geo:           geometry{unit: sb.AllocUnit, dataStart: sb.dataStart(), size: deviceSize},
		log:           log,
		pause:         time.Sleep,
		ns:            newNamespace(),
		deviceIndexes: map[UUID]int{sb.DeviceUUID: 0},
		sums:          newEntrySums(),
		alloc:         newAllocator(deviceSize / sb.AllocUnit),
		lastDir:       ".",
		lastDirIndex:  rootIndex,
		unitBits:      bits.TrailingZeros64(uint64(sb.AllocUnit)),
	}
	r.reuses, r.usable = sb.reuses(), sb.usable(deviceSize)
	r.space = newSpace(r.unitBits, r.alloc)
	record := sb.encode()
	r.identity = [superblockLine]byte(record[:])
	r.opened = r.identity
	r.single = r.newDecoder()
	r.listed.Store(&problemList{})
	r.alloc.restrict(r.usable / sb.AllocUnit)
	r.alloc.claim(unitRun{0, (sb.dataStart() + sb.AllocUnit - 1) / sb.AllocUnit})
	return r
}

func (r *replica) newDecoder() *decoder {
	return newDecoder(r.meta, r.geo, r.ns.seed, r.sums, r.settle)
}

// addProblem notes that an entry was passed over. path must not share the entry's memory.
func (r *replica) addProblem(index int64, path string, err error) {
	p := Problem{Index: int(index), Path: path, Err: ofEntry(uint64(index), err)}
	switch n := len(r.passedOver); {
	case n > maxProblems:
		return
	case n == maxProblems:
		p = Problem{Index: -1, Err: fmt.Errorf("more than %d problems: from here on they are not listed: %w", maxProblems, ErrCorrupt)}
	}
	r.passedOver = append(r.passedOver, p) // readers have a shorter slice and do not see the new element
}

// publishProblems gives readers the problems found since the last call, and tells the logger.
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

// apply applies the decoded entries of one block, up to entry end. Readers see them after show.
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

// show lets readers see everything that was applied, at once: a reader that sees one of several
// entries that were appended together sees all of them.
func (r *replica) show() {
	r.files.Store(r.counts.files)
	r.dirs.Store(r.counts.dirs)
	r.fileBytes.Store(r.counts.fileBytes)
	r.removedUnits.Store(r.counts.removedUnits)
	r.sealed.Store(r.counts.sealed)
	if r.reuses {
		r.removedUnits.Store(r.space.held())
	}
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
		o.err = err
	case oddRemoval:
		err = r.remove(o, n)
	case oddSeal:
		err = r.seal(o, n)
	}
	if err != nil {
		r.addProblem(int64(o.index), o.path, err)
	}
	r.space.claim(o.claims)
}

// addDevice applies an add-daxdev entry.
func (r *replica) addDevice(o *oddEntry) error {
	if there, ok := r.deviceIndexes[o.device.uuid]; ok {
		return fmt.Errorf("device %s is added a second time, it is device %d already: %w", o.device.uuid, there, ErrCorrupt)
	}
	if want := len(r.devices) + 1; int64(o.deviceIndex) != int64(want) {
		return fmt.Errorf("device %s is added with index %d, want %d: %w", o.device.uuid, o.deviceIndex, want, ErrCorrupt)
	}
	if len(r.devices) == 0 { // from here on, what is on each device is counted
		primary := r.space.of(0)
		primary.fileBytes.Store(r.counts.fileBytes)
		primary.removed.Store(r.counts.removedUnits)
	}
	index := len(r.devices) + 1
	r.deviceIndexes[o.device.uuid] = index
	r.devices = append(r.devices, o.device)
	r.space.add(clamp(o.device.size), r.attach != nil && r.attach(index, o.device))
	return nil
}

// errNotHere says that an added device is not here, and why, if that is known.
func errNotHere(index int, d *addedDevice, is, why string) error {
	if why != "" {
		why = " (" + why + ")"
	}
	return fmt.Errorf("device %d (UUID %s, %d bytes)%s not here%s; give the path that this device has on this host to WithDevices: %w", index, d.uuid, d.size, is, why, ErrDevice)
}

// applyNode adds a file or directory to the namespace, or returns why it cannot be there.
func (r *replica) applyNode(index int64, n node) error {
	path := n.path()
	there, free, ok := r.ns.seekSlot(path, n.hash)
	if ok {
		old := r.ns.node(there)
		switch {
		case n.isDir() && old.isDir():
			n.drop() // making a directory again is not an error
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
		if len(r.devices) > 0 {
			place := n.place()
			r.countBytes(&place, n.size)
		}
	}
	r.ns.insert(n, index, dir, free)
	return nil
}

// remove applies a removal entry. n is the removal's record.
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
		r.counts.dirs-- // lastDir cannot be this directory: it is its parent now
		return nil
	}
	r.counts.files--
	if _, sealed := old.slab.sealedBy(index); sealed {
		r.counts.sealed--
	}
	r.counts.fileBytes -= old.size
	place := old.place()
	if r.reuses {
		r.space.hold(place.Extents, int64(o.index))
		if len(r.devices) > 0 {
			r.countBytes(&place, -old.size)
		}
		return nil
	}
	for _, x := range place.Extents {
		r.counts.removedUnits += x.Length >> r.unitBits
	}
	if len(r.devices) > 0 {
		for _, x := range place.Extents {
			r.space.of(x.Device).removed.Add(x.Length >> r.unitBits)
		}
		r.countBytes(&place, -old.size)
	}
	return nil
}

// seal applies a seal entry. n is its record.
func (r *replica) seal(o *oddEntry, n node) error {
	index := int64(o.removes)
	old := r.ns.node(index)
	if old.gone() || old.isDir() {
		return fmt.Errorf("seal of %q: entry %d made no file: %w: %w", o.name, index, fs.ErrNotExist, ErrCorrupt)
	}
	if by, gone := old.slab.removedBy(index); gone {
		return fmt.Errorf("seal of %q: entry %d removed before what entry %d made: %w: %w", o.name, by, index, fs.ErrNotExist, ErrCorrupt)
	}
	if old.path() != o.name {
		return fmt.Errorf("seal of %q: entry %d made %q: %w", o.name, index, old.path(), ErrCorrupt)
	}
	if by, sealed := old.slab.sealedBy(index); sealed {
		return fmt.Errorf("seal of %q: entry %d sealed before what entry %d made, and the first counts: %w: %w", o.name, by, index, fs.ErrExist, ErrCorrupt)
	}
	n.setSeal(index, o.sum)
	old.slab.seal(index, int64(o.index))
	r.counts.sealed++
	return nil
}

// countBytes adds the bytes of a file of this layout to those of its devices, or, if size is
// negative, takes them away.
func (r *replica) countBytes(place *Layout, size int64) {
	sign := int64(1)
	if size < 0 {
		sign, size = -1, -size
	}
	counts := place.bytesPerExtent(size)
	for i, n := range counts[:len(place.Extents)] {
		r.space.of(place.Extents[i].Device).fileBytes.Add(sign * n)
	}
}

// directory returns the index of the directory of n.
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

// own gives a file its space. All of it must lie on devices that are known, and no other file may
// own it.
func (r *replica) own(n node) error {
	place := n.place()
	for i, x := range place.Extents {
		switch {
		case x.Device > len(r.devices):
			return fmt.Errorf("file %q: extent %d is on device %d, which no entry has added: %w: %w", n.path(), i, x.Device, ErrCorrupt, ErrDevice)
		case x.Device == 0: // it was checked when it was decoded
		case x.Offset < superblockArea:
			return fmt.Errorf("file %q: extent %d (device %d, offset %d, length %d) reaches into the superblock, which ends at %d: %w", n.path(), i, x.Device, x.Offset, x.Length, superblockArea, ErrCorrupt)
		case x.Offset+x.Length > clamp(r.devices[x.Device-1].size):
			return fmt.Errorf("file %q: extent %d (device %d, offset %d, length %d) passes the end of the device at %d: %w", n.path(), i, x.Device, x.Offset, x.Length, r.devices[x.Device-1].size, ErrCorrupt)
		case !r.sb.hasDevices() && r.space.here(x.Device) == nil:
			d := &r.devices[x.Device-1]
			return fmt.Errorf("file %q: extent %d is on %w", n.path(), i, errNotHere(x.Device, d, ", which is", ""))
		}
	}
	if bad, ok := r.space.own(place.Extents); !ok {
		x := place.Extents[bad]
		return fmt.Errorf("file %q: extent %d (offset %d, length %d) shares space with an earlier extent or file: %w", n.path(), bad, x.Offset, x.Length, ErrCorrupt)
	}
	if r.reuses && r.space.wereUsed(place.Extents) {
		n.bits |= usedBit
	}
	return nil
}

// passOver notes that n, which was logged as path, is not in the namespace. It claims the space
// of n, so that no other file gets it.
func (r *replica) passOver(index int64, n node, path string, err error) {
	defer n.drop()
	r.addProblem(index, path, err)
	if n.isDir() {
		return
	}
	for _, x := range n.place().Extents {
		r.space.claim([]spaceRun{{x.Device, r.space.unitsOf(&x)}})
	}
}

// listProblems returns a copy of all problems found so far.
func (r *replica) listProblems() []Problem {
	list := r.listed.Load()
	return slices.Concat(list.passedOver, list.unread)
}

// problems returns how many problems listProblems would list.
func (r *replica) problems() int {
	list := r.listed.Load()
	return len(list.passedOver) + len(list.unread)
}

// anyDevice stands for whatever device has room.
const anyDevice = -1

// allocate allocates space for a file of size bytes, on that device or on any.
func (r *replica) allocate(size int64, interleave *Interleaving, on int) (Layout, []spaceRun, error) {
	unit := r.geo.unit
	var runs []spaceRun
	chunk, ok := int64(0), true
	if interleave != nil && size >= interleave.Chunk {
		chunk = interleave.Chunk
		stripe := int64(interleave.Strips) * chunk
		length := ((size-1)/stripe + 1) * chunk
		// Each file begins in another bucket, so that all buckets fill evenly.
		switch {
		case interleave.Buckets > 0:
			runs, ok = r.space.spread(length/unit, interleave.Strips, interleave.Buckets, int(r.next%uint64(interleave.Buckets)), on)
		default:
			runs, ok = r.space.spreadOverDevices(length/unit, interleave.Strips, on)
		}
	} else {
		runs, ok = r.space.allocate((size-1)/unit+1, on)
	}
	if !ok {
		free, longest := r.space.free(on)
		shape := fmt.Sprintf("in at most %d extents", maxExtents)
		switch {
		case chunk > 0 && interleave.Buckets == 0:
			shape = fmt.Sprintf("as %d strips", interleave.Strips)
		case chunk > 0:
			shape = fmt.Sprintf("as %d strips in different ones of %d buckets", interleave.Strips, interleave.Buckets)
		}
		if on >= 0 {
			shape += fmt.Sprintf(" on device %d", on)
		}
		grown := ""
		if more := r.geo.size - r.usable; more >= unit {
			grown = fmt.Sprintf(", and the device has grown by %d, which Grow would add", more)
		}
		return Layout{}, nil, fmt.Errorf("%d bytes %s: %d bytes are free, %d of them in one run%s: %w", size, shape, free*unit, longest*unit, grown, ErrNoSpace)
	}
	layout := Layout{Chunk: chunk}
	for _, run := range runs {
		layout.Extents = append(layout.Extents, Extent{Device: run.device, Offset: run.start * unit, Length: run.n * unit})
	}
	return layout, runs, nil
}

func (r *replica) usage() Usage {
	u := r.usageOfAll()
	for i := range r.space.devices() {
		if i > 0 && r.space.here(i) == nil {
			continue // its size is only what the log says, whatever that is
		}
		d := r.usageOf(i)
		u.Size, u.Allocated, u.Free = u.Size+d.Size, u.Allocated+d.Allocated, u.Free+d.Free
		u.LargestFree = max(u.LargestFree, d.LargestFree)
	}
	return u
}

// usageOf returns how full a device is.
func (r *replica) usageOf(device int) DeviceUsage {
	d, unit := r.space.of(device), r.geo.unit
	u := DeviceUsage{Size: d.units * unit, FileBytes: d.fileBytes.Load(), Removed: d.removed.Load() * unit}
	if device == 0 {
		u.Size = r.usable
	}
	if r.space.devices() == 1 { // nothing is counted for each device
		u.FileBytes, u.Removed = r.fileBytes.Load(), r.removedUnits.Load()*unit
	}
	if r.reuses {
		u.Removed = r.space.heldOn(device) * unit
	}
	if a := d.open(); a != nil {
		free, longest := a.space()
		u.Free, u.LargestFree = free*unit, longest*unit
	}
	u.Allocated = u.Size - u.Free
	return u
}

// usageOfAll returns what does not depend on the device.
func (r *replica) usageOfAll() Usage {
	return Usage{
		FileBytes:   r.fileBytes.Load(),
		Removed:     r.removedUnits.Load() * r.geo.unit,
		Files:       int(r.files.Load()),
		Dirs:        int(r.dirs.Load()),
		Sealed:      int(r.sealed.Load()),
		LogUsed:     int(r.ns.end()),
		LogCapacity: int(lastIndex(r.sb.LogSize) + 1),
	}
}

// settle waits before something is read again.
func (r *replica) settle(try int) {
	if time.Duration(r.settled.Add(int64(settleTimes[try]))) <= maxSettle {
		r.pause(settleTimes[try])
	}
}

// Usage says how full a file system is.
type Usage struct {
	// Size is the size of the file system in bytes: that of the device, or what the superblock
	// says if the device has grown since (see Grow); with several devices, the sum of those that
	// are here. Allocated of these bytes are taken: by
	// metadata, by files, by files that are being created through this FS, by unacceptable
	// log entries that claim space, and by memory that is known to be bad. Free bytes are not taken. LargestFree is the length of the
	// longest contiguous free run.
	Size, Allocated, Free, LargestFree int64
	// FileBytes is the sum of the sizes of all files. Removed is the space of files that were
	// removed and that is not given out again. It is a part of Allocated. With Reuse, that is what
	// somebody may still reach, as far as this FS knows: a reader does not know what the master has
	// found free until a file is there.
	FileBytes, Removed int64
	// Files and Dirs are the numbers of files and directories, without the root directory.
	Files, Dirs int
	// Sealed is how many of the files are sealed (see Seal).
	Sealed int
	// LogUsed of LogCapacity entries of the log are in use.
	LogUsed, LogCapacity int
}

// DeviceUsage says how full a device of a file system is, with the figures of Usage: that has the
// sums of all devices that are here, and of LargestFree the largest. The size
// of a device that was added is what the log says. If the device is not here, all of it counts as
// allocated, because nothing can be allocated on it.
type DeviceUsage struct {
	Size, Allocated, Free, LargestFree int64
	FileBytes, Removed                 int64
}
