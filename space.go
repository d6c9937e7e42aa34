package famfs

// The space of a file system: an allocator for each of its devices, and which of them a file's
// extents are on. What is free on one device is alloc.go's concern. Of a device that is not here
// it is only known what files own and entries claim, in memory that does not depend on its size:
// the log may say any size.

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
)

// space is the space of all devices. Only one goroutine at a time may add devices, and call own
// and claim; all else may be called concurrently.
type space struct {
	unitBits int
	all      atomic.Pointer[[]*deviceSpace] // by index
	runs     []unitRun                      // scratch space of own, with room for maxExtents
	turn     uint64                         // how many files were spread over the devices
	early    map[int][]unitRun              // what was claimed on devices before they were added
}

// deviceSpace is the space of a device.
type deviceSpace struct {
	units int64
	alloc atomic.Pointer[allocator] // nil if the device is not here
	shut  atomic.Bool               // nothing is allocated on it any more
	// owned and claims are those of a device that is not here.
	owned  runSet
	claims []unitRun
	held   []heldRun // what removed files had, if the device is not here
	// What readers see: units of removed files, and the bytes of files.
	removed, fileBytes atomic.Int64
}

// spaceRun is a run of units of one device.
type spaceRun struct {
	device int
	unitRun
}

func newSpace(unitBits int, primary *allocator) *space {
	s := &space{unitBits: unitBits, runs: make([]unitRun, 0, maxExtents)}
	d := &deviceSpace{units: primary.units}
	d.alloc.Store(primary)
	s.all.Store(&[]*deviceSpace{d})
	return s
}

// devices returns the number of devices.
func (s *space) devices() int { return len(*s.all.Load()) }

// of returns the space of a device, or nil if there is no such device.
func (s *space) of(device int) *deviceSpace {
	if all := *s.all.Load(); device < len(all) {
		return all[device]
	}
	return nil
}

// open returns the allocator of a device if something may be allocated on the device, or nil.
func (d *deviceSpace) open() *allocator {
	if d.shut.Load() {
		return nil
	}
	return d.alloc.Load()
}

// here returns the allocator of a device, or nil if the device is not here.
func (s *space) here(device int) *allocator { return s.of(device).alloc.Load() }

// size returns the size of all devices that are here.
func (s *space) size() (n int64) {
	for device := range s.devices() {
		if s.here(device) != nil {
			n += s.of(device).units << s.unitBits
		}
	}
	return n
}

// add adds a device of this size. Its first units, up to data, belong to its superblock.
func (s *space) add(size int64, isHere bool) {
	d := &deviceSpace{units: size >> s.unitBits}
	d.claim(unitRun{0, superblockArea >> s.unitBits})
	for _, r := range s.early[s.devices()] {
		d.claim(r)
	}
	delete(s.early, s.devices())
	// Readers have the shorter slice, which does not reach to what is stored here: a log may add a
	// device in each of its entries, and copying all of them each time would take hours.
	all := append(*s.all.Load(), d)
	if isHere {
		d.arrive()
	}
	s.all.Store(&all)
}

// arrive makes the space of a device usable, as the device has been found.
func (d *deviceSpace) arrive() {
	a := newAllocator(d.units)
	for _, r := range d.claims {
		a.claim(r)
	}
	for _, chunk := range d.owned.chunks {
		for _, r := range chunk {
			a.own([]unitRun{r})
		}
	}
	for _, h := range d.held {
		a.holdAlso(h.unitRun, h.by)
	}
	d.claims, d.owned, d.held = nil, runSet{}, nil
	d.alloc.Store(a)
}

// ownsAny reports whether a file owns any unit of r.
func (d *deviceSpace) ownsAny(r unitRun) bool {
	if a := d.alloc.Load(); a != nil {
		return a.ownsAny([]unitRun{r})
	}
	return d.owned.overlaps(r)
}

// own gives r, of which nobody owns anything, to a file.
func (d *deviceSpace) own(r unitRun) {
	if a := d.alloc.Load(); a != nil {
		a.own([]unitRun{r})
		return
	}
	d.owned.add(r)
}

// claim keeps r from being given out, as far as it lies on the device.
func (d *deviceSpace) claim(r unitRun) {
	if r.start >= d.units {
		return
	}
	r.n = min(r.n, d.units-r.start)
	if a := d.alloc.Load(); a != nil {
		a.claim(r)
		return
	}
	d.claims = append(d.claims, r)
}

func (s *space) unitsOf(x *Extent) unitRun {
	return unitRun{x.Offset >> s.unitBits, x.Length >> s.unitBits}
}

// own gives a file its extents, which lie within their devices. If any unit is owned already, own
// changes nothing and returns the number of the bad extent and false.
func (s *space) own(extents []Extent) (bad int, ok bool) {
	device, runs := extents[0].Device, s.runs[:0]
	a := s.here(device)
	for i := range extents {
		if extents[i].Device != device || a == nil {
			return s.ownOnSeveral(extents)
		}
		runs = append(runs, s.unitsOf(&extents[i]))
	}
	return a.own(runs)
}

// ownOnSeveral is own for a file on several devices, or on one that is not here.
func (s *space) ownOnSeveral(extents []Extent) (bad int, ok bool) {
	for i := range extents {
		x := &extents[i]
		if s.of(x.Device).ownsAny(s.unitsOf(x)) {
			return i, false
		}
		for _, earlier := range extents[:i] {
			if earlier.Device == x.Device && x.Offset < earlier.Offset+earlier.Length && earlier.Offset < x.Offset+x.Length {
				return i, false
			}
		}
	}
	for i := range extents {
		s.of(extents[i].Device).own(s.unitsOf(&extents[i]))
	}
	return 0, true
}

// ownsAny reports whether a file owns any of these units.
func (s *space) ownsAny(runs []spaceRun) bool {
	for _, r := range runs {
		if s.of(r.device).ownsAny(r.unitRun) {
			return true
		}
	}
	return false
}

// release ends the pending state of units.
func (s *space) release(runs []spaceRun) {
	for _, r := range runs {
		s.here(r.device).release([]unitRun{r.unitRun})
	}
}

// claim keeps space from being given out, also on devices that are added later.
func (s *space) claim(runs []spaceRun) {
	for _, r := range runs {
		if d := s.of(r.device); d != nil {
			d.claim(r.unitRun)
			continue
		}
		if s.early == nil {
			s.early = make(map[int][]unitRun)
		}
		s.early[r.device] = append(s.early[r.device], r.unitRun)
	}
}

// byFree returns the devices that are here, those with the most free space first, and those with
// equally much in the order of their indexes.
func (s *space) byFree() []int {
	all := *s.all.Load()
	devices, free := make([]int, 0, len(all)), make([]int64, len(all))
	for i, d := range all {
		if a := d.open(); a != nil {
			free[i], _ = a.space()
			devices = append(devices, i)
		}
	}
	slices.SortStableFunc(devices, func(x, y int) int { return cmp.Compare(free[y], free[x]) })
	return devices
}

// candidates returns the devices on which a file may be put: that one, or any if on is negative.
func (s *space) candidates(on int) []int {
	switch {
	case on >= 0:
		return []int{on}
	case s.devices() == 1:
		return []int{0}
	}
	return s.byFree()
}

// allocate allocates units for a file: one run on the device with the most free space that has
// one, or else a few on all devices. Unless on is negative, all lies on that device.
func (s *space) allocate(units int64, on int) ([]spaceRun, bool) {
	device := max(on, 0)
	if on < 0 && s.devices() > 1 {
		if device = s.roomiest(units); device < 0 {
			return s.gather(units, s.byFree())
		}
	}
	a := s.here(device)
	if run, ok := a.allocate(units, 0, math.MaxInt64); ok {
		return []spaceRun{{device, run}}, true
	}
	runs, ok := a.gather(units, maxExtents)
	return runsOn(device, runs), ok
}

// roomiest returns the device with the most free space, the first of several with as much, of those
// that have a free run of so many units; or -1.
func (s *space) roomiest(units int64) int {
	device, most := -1, int64(0)
	for i, d := range *s.all.Load() {
		if a := d.open(); a != nil {
			if free, longest := a.space(); longest >= units && free > most {
				device, most = i, free
			}
		}
	}
	return device
}

// gather takes units in as few runs as possible, at most maxExtents: the longest first, whatever
// device they are on.
func (s *space) gather(units int64, devices []int) ([]spaceRun, bool) {
	var runs []spaceRun
	for units > 0 && len(runs) < maxExtents {
		from, longest := 0, int64(0)
		for _, device := range devices {
			if _, n := s.here(device).space(); n > longest {
				from, longest = device, n
			}
		}
		n := min(units, longest)
		run, ok := s.here(from).allocate(n, 0, math.MaxInt64)
		if !ok {
			break
		}
		runs = append(runs, spaceRun{from, run})
		units -= n
	}
	if units > 0 {
		s.release(runs)
		return nil, false
	}
	return runs, true
}

// spread allocates strips of units each, on one device, in different ones of its buckets.
func (s *space) spread(units int64, strips, buckets, first, on int) ([]spaceRun, bool) {
	for _, device := range s.candidates(on) {
		if runs, ok := s.here(device).spread(units, strips, buckets, first); ok {
			return runsOn(device, runs), true
		}
	}
	return nil, false
}

// spreadOverDevices allocates strips of units each, on different devices, as evenly as there are:
// each strip goes to one of those that have the fewest and have room. Each file begins with another
// device. Unless on is negative, all lie on that device.
func (s *space) spreadOverDevices(units int64, strips, on int) ([]spaceRun, bool) {
	devices := []int{on}
	if on < 0 {
		all := *s.all.Load()
		devices = devices[:0]
		for i := range all {
			if at := int((s.turn + uint64(i)) % uint64(len(all))); all[at].open() != nil {
				devices = append(devices, at)
			}
		}
		s.turn++
	}
	var runs []spaceRun
	for len(runs) < strips {
		round := devices[:0] // those that have room for one more
		for _, device := range devices {
			if len(runs) == strips {
				break
			}
			if run, ok := s.here(device).allocate(units, 0, math.MaxInt64); ok {
				runs = append(runs, spaceRun{device, run})
				round = append(round, device)
			}
		}
		if devices = round; len(devices) == 0 {
			break
		}
	}
	if len(runs) < strips {
		s.release(runs)
		return nil, false
	}
	return runs, true
}

func runsOn(device int, runs []unitRun) []spaceRun {
	all := make([]spaceRun, len(runs))
	for i, r := range runs {
		all[i] = spaceRun{device, r}
	}
	return all
}

// free returns the number of free units, and the length of the longest free run, of a device, or
// of all if on is negative.
func (s *space) free(on int) (units, longest int64) {
	for device := range s.devices() {
		if a := s.of(device).open(); a != nil && (on < 0 || on == device) {
			n, run := a.space()
			units, longest = units+n, max(longest, run)
		}
	}
	return units, longest
}

// runSet is a set of runs that do not overlap. Its memory is in proportion to their number, and
// adding one costs no more than some thousand of them.
type runSet struct {
	chunks [][]unitRun // in ascending order, none empty
}

// runChunk is how many runs a chunk has at most.
const runChunk = 512

// at returns the place of the first run that ends behind unit: its chunk, and where in it.
func (s *runSet) at(unit int64) (chunk, i int) {
	behind := func(r unitRun, unit int64) int {
		if r.end() > unit {
			return 1
		}
		return -1
	}
	chunk, _ = slices.BinarySearchFunc(s.chunks, unit, func(c []unitRun, unit int64) int { return behind(c[len(c)-1], unit) })
	if chunk < len(s.chunks) {
		i, _ = slices.BinarySearchFunc(s.chunks[chunk], unit, behind)
	}
	return chunk, i
}

// overlaps reports whether r has a unit in common with any run of the set.
func (s *runSet) overlaps(r unitRun) bool {
	chunk, i := s.at(r.start)
	return chunk < len(s.chunks) && s.chunks[chunk][i].start < r.end()
}

// add adds r, which overlaps with none.
func (s *runSet) add(r unitRun) {
	chunk, i := s.at(r.start)
	if chunk == len(s.chunks) {
		if chunk == 0 {
			s.chunks = append(s.chunks, nil)
		} else {
			chunk--
		}
		i = len(s.chunks[chunk])
	}
	c := slices.Insert(s.chunks[chunk], i, r)
	if len(c) > runChunk {
		s.chunks = slices.Insert(s.chunks, chunk+1, slices.Clone(c[runChunk/2:]))
		c = c[:runChunk/2]
	}
	s.chunks[chunk] = c
}
