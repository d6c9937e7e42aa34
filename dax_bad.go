package famfs

// What is known of bad memory of a device: what the system lists, and a second look after a
// fault. Where the system says it is dax_bad_linux.go's concern, what a file system does about it
// bad.go's.

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"slices"
)

// leastBad is the least memory that is taken for bad, as faults are reported in pages.
const leastBad = 4096

// lookForBad asks the system anew which memory of the device is bad.
func (d *device) lookForBad() (bad []segment, err error) {
	if d.listBad == nil {
		return nil, nil
	}
	found, err := d.listBad()
	if err != nil {
		return d.bad(), err
	}
	for _, b := range found { // what lies beyond the device is none of it
		if b.off = max(b.off, 0); b.off < d.info.Size {
			b.len = min(b.len, d.info.Size-b.off)
			bad = append(bad, b)
		}
	}
	bad = joinSegments(bad)
	d.knownBad.Store(&bad)
	return bad, nil
}

// joinSegments sorts segments, and makes one of those that touch or overlap.
func joinSegments(all []segment) (joined []segment) {
	slices.SortFunc(all, func(a, b segment) int { return cmp.Compare(a.off, b.off) })
	for _, s := range all {
		if last := len(joined) - 1; last >= 0 && s.off <= joined[last].end() {
			joined[last].len = max(joined[last].end(), s.end()) - joined[last].off
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// bad returns the memory that the system listed as bad when it was asked last.
func (d *device) bad() []segment {
	if known := d.knownBad.Load(); known != nil {
		return *known
	}
	return nil
}

// describe returns what is known of the device now.
func (d *device) describe() DeviceInfo {
	info := d.info
	for _, b := range d.bad() {
		info.Bad = append(info.Bad, DeviceRange{b.off, b.len})
	}
	return info
}

// lengthOf returns how many bytes ranges have.
func lengthOf(ranges []DeviceRange) (n int64) {
	for _, x := range ranges {
		n += x.Length
	}
	return n
}

// secondLook is what is found out about memory that faulted. Go's runtime hands on the address of a
// fault, and not its code, which would say more.
type secondLook struct {
	gone   bool    // the device is not there any more, not bound, or shorter than it was
	listed bool    // the system lists memory there as bad
	fails  bool    // reading it fails again
	page   segment // around the fault
}

// lookAgain takes a second look at memory of the device that faulted at at. mem is all of the device,
// mapped: it is not mapped anew, which a kernel might not survive if the device goes at this time.
func (d *device) lookAgain(at int64, mem []byte) (l secondLook) {
	l.page = segment{at &^ (leastBad - 1), leastBad}
	if d.whyGone != nil && d.whyGone(at) != nil {
		l.gone = true
		return l
	}
	bad, _ := d.lookForBad() // if that fails, what is known counts
	around := l.page
	if large := d.largestPage(); at%large == 0 { // a fault may be reported as the start of its whole page
		around.len = large
	}
	for _, b := range bad {
		l.listed = l.listed || b.off < around.end() && around.off < b.end()
	}
	l.fails = d.shared && at < int64(len(mem)) && touchFails(mem[at:])
	return l
}

// touchFails reports whether reading the first byte of mem faults.
func touchFails(mem []byte) (fails bool) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		fails = asFault(recover()) != nil
	}()
	runtime.KeepAlive(mem[0]) // so that the compiler keeps the load
	return false
}
