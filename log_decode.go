package famfs

// Reading a block of the log: entries are copied out of shared memory before they are
// looked at, checked by themselves, and become nodes that nobody can find yet. What they
// mean together is replica.go's concern.

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// decoded is what was read of a block of entries, all in one slab. Records of those that
// did not become nodes are empty, whatever an attempt that failed may have left there.
type decoded struct {
	first, end uint64
	slab       *slab
	odd        []oddEntry     // in ascending order: all that is not simply a node of slab
	corrupt    []corruptEntry // in ascending order
	bad        *corruptRecord // the first of corrupt
	err        error          // nothing could be read
}

// oddEntry is an entry that is more, or less, than a node of the slab.
type oddEntry struct {
	index       uint64
	kind        oddKind
	path        string // as it was logged
	err         error
	claims      []unitRun // space that is not to be given out
	device      addedDevice
	deviceIndex uint32
	removes     uint64 // the entry whose file or directory is removed
	name        string // its path
}

type oddKind uint8

const (
	oddUnacceptable oddKind = iota // see err
	oddDevice                      // an add-daxdev entry
	oddRemoval                     // a removal entry
	oddPath                        // a node under another name than was logged
	oddUnserved                    // no node, and no problem: see entry.resolvePath
)

// corruptEntry is an entry that stayed unsound however often it was read.
type corruptEntry struct {
	index uint64
	err   error
}

// corruptRecord is a corrupt entry with its bytes, by which it is known again.
type corruptRecord struct {
	corruptEntry
	record [entrySize]byte
}

// decoder reads blocks for one goroutine. It holds copies of what it needs of the
// replica, which another goroutine changes meanwhile: memory that two processors take
// from each other for every entry costs more than all the decoding.
type decoder struct {
	meta   sharedMemory
	geo    geometry
	seed   maphash.Seed
	sums   *entrySums
	settle func(try int)
	buffer []byte
	text   int // what the paths of a block will probably take
}

// decodePiece is how many entries are copied at once: few enough that they are still in
// the nearest cache when they are checked.
const decodePiece = 64

// newDecoder returns one whose nodes are found by seed. settle is called before a record that
// does not add up is read again.
func newDecoder(meta sharedMemory, geo geometry, seed maphash.Seed, sums *entrySums, settle func(try int)) *decoder {
	return &decoder{meta: meta, geo: geo, seed: seed, sums: sums, settle: settle}
}

// decodeGuarded decodes a block; a memory fault becomes d.err.
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
		w.text = len(d.slab.writing) * 17 / 16 // a little more than the last took
	}
	if d.err != nil {
		d.err = fmt.Errorf("read log entries %d to %d: %w", d.first, d.end-1, d.err)
	}
}

// decode adds entries from first to end, at most decodePiece, to d.
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

// stage decodes one sound entry into its node, or into d.odd.
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

// insertOdd adds o to odd, which is in ascending order.
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

// claims returns the units of the device that an unacceptable entry claims, however
// wrongly.
func (e *entry) claims(g geometry) []unitRun {
	var runs []unitRun
	unit, units := uint64(g.unit), uint64(g.size/g.unit)
	for _, x := range e.extents {
		start := x.offset / unit
		if x.device != 0 || x.length == 0 || start >= units {
			continue
		}
		end := units
		if last := x.offset + (x.length - 1); last >= x.offset {
			end = min(units, last/unit+1)
		}
		runs = append(runs, unitRun{int64(start), int64(end - start)})
	}
	return runs
}
