package famfs

// The space of removed files on all devices, where it is given out again: see alloc_held.go. Of a
// device that is not here only a list is kept.

import "slices"

// heldRun is a run that a log entry holds.
type heldRun struct {
	unitRun
	by int64
}

// hold ends the ownership of a file's extents. They are held by log entry by.
func (s *space) hold(extents []Extent, by int64) {
	for i := range extents {
		s.of(extents[i].Device).hold(s.unitsOf(&extents[i]), by)
	}
}

func (d *deviceSpace) hold(r unitRun, by int64) {
	if a := d.alloc.Load(); a != nil {
		a.hold([]unitRun{r}, by)
		return
	}
	d.owned.remove(r)
	d.held = append(d.held, heldRun{r, by})
}

// unhold frees those units of x that log entry by holds.
func (s *space) unhold(x *Extent, by int64) {
	if a := s.here(x.Device); a != nil {
		a.unhold(s.unitsOf(x), by)
	}
}

// heldBy returns how many units of x log entry by holds.
func (s *space) heldBy(x *Extent, by int64) int64 {
	if a := s.here(x.Device); a != nil {
		return a.heldBy(s.unitsOf(x), by)
	}
	return 0
}

// held returns how many units are held, on the devices that are here.
func (s *space) held() (units int64) {
	for device := range s.devices() {
		units += s.heldOn(device)
	}
	return units
}

func (s *space) heldOn(device int) int64 {
	if a := s.here(device); a != nil {
		return a.heldSpace()
	}
	return 0
}

// wereUsed reports whether a removed file had any unit of extents. Of a device that is not here,
// it is not known which units were.
func (s *space) wereUsed(extents []Extent) bool {
	for i := range extents {
		d := s.of(extents[i].Device)
		if a := d.alloc.Load(); a == nil && len(d.held) > 0 || a != nil && a.wereUsed([]unitRun{s.unitsOf(&extents[i])}) {
			return true
		}
	}
	return false
}

// remove removes r, which was added.
func (s *runSet) remove(r unitRun) {
	chunk, i := s.at(r.start)
	if chunk == len(s.chunks) || s.chunks[chunk][i] != r {
		return
	}
	c := slices.Delete(s.chunks[chunk], i, i+1)
	if s.chunks[chunk] = c; len(c) == 0 {
		s.chunks = slices.Delete(s.chunks, chunk, chunk+1)
	}
}
