package famfs

// Reading a block of the log. Entries are copied out of shared memory before they are checked,
// then checked by themselves, and become nodes that nobody can find yet. Checking them against
// each other is replica.go's concern.

import (
	"fmt"
	"hash/maphash"
	"math"
	"strings"
)

// decoded is a decoded block of entries, all in one slab. Entries that did not become nodes have
// empty records, whatever a failed attempt may have left there.
type decoded struct {
	first, end uint64
	slab       *slab
	odd        []oddEntry     // entries that are not simply a node of slab, in ascending order
	corrupt    []corruptEntry // in ascending order
	bad        *corruptRecord // the first of corrupt
	err        error          // set if nothing could be read
}

// adds reports whether entry index adds a device, and was not refused.
func (d *decoded) adds(index uint64) bool {
	for i := range d.odd {
		if o := &d.odd[i]; o.index == index {
			return o.kind == oddDevice && o.err == nil
		}
	}
	return false
}

// oddEntry is an entry that is not simply a node of the slab.
type oddEntry struct {
	index       uint64
	kind        oddKind
	path        string // as logged
	err         error
	claims      []spaceRun // space that must not be given out
	device      addedDevice
	deviceIndex uint32
	removes     uint64 // the entry whose file or directory is removed, or sealed
	sum         Sum    // of a seal
	name        string // its path, resolved
}

type oddKind uint8

const (
	oddUnacceptable oddKind = iota // see err
	oddDevice                      // an add-daxdev entry
	oddRemoval                     // a removal entry
	oddSeal                        // a seal entry
	oddPath                        // a node whose name is not the path that was logged
	oddUnserved                    // no node and no problem: see entry.resolvePath
)

// corruptEntry is an entry that is still unsound after it was read several times.
type corruptEntry struct {
	index uint64
	err   error
}

// corruptRecord is a corrupt entry with its bytes, so that it can be recognized later.
type corruptRecord struct {
	corruptEntry
	record [entrySize]byte
}

// decoder reads blocks for one goroutine. It has copies of what it needs of the replica,
// because another goroutine changes the replica meanwhile. If two processors took memory from
// each other for every entry, that would cost more than all the decoding.
type decoder struct {
	meta   sharedMemory
	geo    geometry
	seed   maphash.Seed
	sums   *entrySums
	settle func(try int)
	buffer []byte
	text   int // estimated size of the paths of a block
}

// decodePiece is how many entries are copied at once: few enough that they are still in the
// nearest cache when they are checked.
const decodePiece = 64

// newDecoder returns a decoder that hashes paths with seed. It calls settle before it reads an
// unsound record again.
func newDecoder(meta sharedMemory, geo geometry, seed maphash.Seed, sums *entrySums, settle func(try int)) *decoder {
	return &decoder{meta: meta, geo: geo, seed: seed, sums: sums, settle: settle}
}

// decodeGuarded decodes a block. If the memory faults, it sets d.err.
func (w *decoder) decodeGuarded(d *decoded) {
	if d.slab == nil {
		d.slab = newSlab()
	}
	d.slab.begin(w.text)
	if w.buffer == nil {
		w.buffer = make([]byte, decodePiece*entrySize)
	}
	d.err = Guard(func() error {
		for first := d.first; first < d.end; first += decodePiece {
			w.decode(d, first, min(first+decodePiece, d.end))
		}
		return nil
	})
	if d.end-d.first == slabNodes {
		w.text = len(d.slab.writing) * 17 / 16 // a little more than the last block needed
	}
	if d.err != nil {
		d.err = fmt.Errorf("read log entries %d to %d: %w", d.first, d.end-1, d.err)
	}
}

// decode adds the entries from first up to end, at most decodePiece, to d.
func (w *decoder) decode(d *decoded, first, end uint64) {
	n := int(end - first)
	from := entryAt(first)
	w.meta.invalidate(from, int64(n)*entrySize)
	w.meta.fenceLoads()
	w.meta.load(w.buffer[:n*entrySize], from)
	var e entry
	record := func(i int) *[entrySize]byte { return (*[entrySize]byte)(w.buffer[i*entrySize:]) }
	var unsound []int
	for i := range n {
		if checkEntrySum(record(i), first+uint64(i), w.sums.of(record(i))) != nil {
			unsound = append(unsound, i)
			continue
		}
		w.stage(d, first+uint64(i), record(i), &e)
	}
	for try := 0; len(unsound) > 0; try++ {
		if try == len(settleTimes) {
			for _, i := range unsound {
				index := first + uint64(i)
				bad := corruptEntry{index, checkEntry(record(i), index)}
				if d.corrupt = append(d.corrupt, bad); d.bad == nil {
					d.bad = &corruptRecord{bad, *record(i)}
				}
				d.slab.records[index&(slabNodes-1)].drop()
			}
			return
		}
		w.settle(try)
		still := unsound[:0]
		for _, i := range unsound {
			index := first + uint64(i)
			w.meta.invalidate(entryAt(index), entrySize)
			w.meta.fenceLoads()
			w.meta.load(record(i)[:], entryAt(index))
			if checkEntry(record(i), index) != nil {
				still = append(still, i)
				continue
			}
			w.stage(d, index, record(i), &e)
		}
		unsound = still
	}
}

// stage decodes one sound entry into its node or into d.odd.
func (w *decoder) stage(d *decoded, index uint64, b *[entrySize]byte, e *entry) {
	e.decode(b)
	logged := e.path
	resolved := e.resolvePath()
	path, at := d.slab.path(e.path)
	err := e.check(path, w.geo)
	if err != nil || resolved || e.unserved || e.kind != typeFile && e.kind != typeMkdir {
		odd := oddEntry{index: index, kind: oddPath, path: string(logged)}
		switch {
		case err != nil:
			odd.kind, odd.err, odd.claims = oddUnacceptable, err, e.claims(w.geo)
		case e.kind == typeAddDev:
			odd.kind, odd.device, odd.deviceIndex = oddDevice, addedDevice{e.deviceSize, e.deviceUUID}, e.deviceIndex
		case e.kind == typeRemoval:
			odd.kind, odd.removes, odd.name = oddRemoval, e.removes, strings.Clone(path)
		case e.kind == typeSeal:
			odd.kind, odd.removes, odd.name, odd.sum = oddSeal, e.removes, strings.Clone(path), e.sum
		case e.unserved:
			odd.kind, odd.claims = oddUnserved, e.claims(w.geo)
		}
		d.odd = insertOdd(d.odd, odd)
		if odd.kind != oddPath {
			d.slab.unpath(at)
			d.slab.records[index&(slabNodes-1)].drop()
			return
		}
	}
	d.slab.fill(int(index&(slabNodes-1)), e, path, at, hashPath(w.seed, path))
}

// insertOdd inserts o into odd, which is in ascending order.
func insertOdd(odd []oddEntry, o oddEntry) []oddEntry {
	at := len(odd)
	for at > 0 && odd[at-1].index > o.index {
		at--
	}
	odd = append(odd, oddEntry{})
	copy(odd[at+1:], odd[at:])
	odd[at] = o
	return odd
}

// addedDevice is a device that an add-daxdev entry named.
type addedDevice struct {
	size uint64
	uuid UUID
}

// claims returns the units that an unacceptable entry claims. They may lie behind the ends of
// devices.
func (e *entry) claims(g geometry) []spaceRun {
	var runs []spaceRun
	unit := uint64(g.unit)
	for _, x := range e.extents {
		start, end := x.offset/unit, math.MaxUint64/unit
		if x.device > math.MaxInt32 || x.length == 0 {
			continue
		}
		if last := x.offset + (x.length - 1); last >= x.offset {
			end = last/unit + 1
		}
		runs = append(runs, spaceRun{int(x.device), unitRun{clamp(start), clamp(end) - clamp(start)}})
	}
	return runs
}
