package famfs

// Hostile images, systematically: images of the reference and of this package, with every field
// of every kind of record set to all values at which something could break; with records
// swapped, repeated and cut off; and with all checksums right. Each image is checked, opened in
// all ways, listed, read, mapped and written to. Also metadata that changes during all this.
// fuzz_test.go has bytes that nobody thought of.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// mutationTimeout is the time after which a hanging test says where it hangs. Nothing takes
	// that long.
	mutationTimeout = 8 * time.Minute
	// mutationMemory is the limit of allocations for opening one image in all ways, including
	// garbage. A log of half a million bad entries takes 1,015 MiB, and 1,465 MiB under the race
	// detector: both is below this, which is far less than what believing a bad count in a record
	// would take.
	mutationMemory = 2048 * mib
	// mutationRetained is the limit of memory that all images together may leave in use.
	mutationRetained = 32 * mib
)

// mutant is an image with something changed.
type mutant struct {
	name    string
	patches []patch
}

// patch is a replacement for the bytes at off.
type patch struct {
	off  int64
	data []byte
}

// mutationImage is a device on which one mutant after the other is written.
type mutationImage struct {
	t    testing.TB
	path string
	file *os.File
	size int64
	// device is the test's own mapping of it.
	device mmap.MMap
	meta   []byte // superblock and log as they are without any mutant
	sb     Superblock
	next   uint64
	base   map[string]*Attr // what is found without any mutant
	sizes  map[string]int64
	rng    *rand.Rand
	doing  atomic.Pointer[string] // for whoever finds the test hanging

	cases, opened, mapped, created int
	allocated                      uint64 // at most, by one mutant
}

func newMutationImage(t testing.TB, path string) *mutationImage {
	t.Helper()
	i := &mutationImage{t: t, path: path, rng: rand.New(rand.NewPCG(testSeed(t), 0))}
	var err error
	i.file, err = os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { i.file.Close() })
	st, err := i.file.Stat()
	require.NoError(t, err)
	i.size = st.Size()
	i.device, err = mmap.MapRegion(i.file, int(i.size), mmap.RDWR, 0, 0)
	require.NoError(t, err)
	t.Cleanup(func() { i.device.Unmap() })

	fsys, err := Open(path, WithSystemUUID(testHost))
	require.NoError(t, err)
	defer fsys.Close()
	i.sb, i.next = fsys.Superblock(), uint64(fsys.Usage().LogUsed)
	i.meta = bytes.Clone(i.device[:i.sb.logEnd()])
	i.base, i.sizes, err = i.tenable(fsys)
	require.NoError(t, err)

	doing := "nothing yet"
	i.doing.Store(&doing)
	watchdog := time.AfterFunc(mutationTimeout, func() { panic("hangs in " + i.path + ": " + *i.doing.Load()) })
	t.Cleanup(func() { watchdog.Stop() })
	return i
}

// ownImage has all that the format knows, in units of 2 MiB or 4 KiB.
func ownImage(t testing.TB, unit uint64) string {
	t.Helper()
	f := newForgery(t)
	f.superblock(put64(32, unit), nil)
	const start = fuzzDataStart
	at := func(i, n uint64) rawExtent { return rawExtent{0, start + i*unit, n * unit} }
	f.append(forgedDir("d"), nil)
	f.append(forgedFile("d/one", unit-1, at(0, 1)), nil)
	f.append(forgedFile("d/three", 3*unit-7, at(5, 1), at(2, 1), at(8, 1)), nil)
	f.append(forgedDevice(1, 7), nil)
	f.append(forgedDir("d/e"), nil)
	f.append(forgedStrips("d/e/striped", 5*unit+1, unit, at(10, 2), at(14, 2), at(12, 2)), nil)
	var sixteen []rawExtent
	for i := range uint64(9) {
		sixteen = append(sixteen, at(24-i, 1))
	}
	f.append(forgedFile("nine", 8*unit+4097, sixteen...), nil)
	f.append(forgedFile("elsewhere", 1, rawExtent{1, 0, unit}), nil)
	gone := f.append(forgedDir("gone"), nil)
	f.append(forgedFile("gone/f", unit, at(30, 1)), nil)
	f.append(forgedRemoval(gone+1, "gone/f"), nil)
	f.append(forgedFile("gone/f", unit-5, at(31, 1)), nil) // in its place
	f.append(forgedRemoval(gone+3, "gone/f"), nil)
	f.append(forgedRemoval(gone, "gone"), nil)
	f.append(forgedSeal(1, "d/one"), nil)
	sum := Sum{Kind: SHA256, Bytes: [sumSize]byte(pattern(sumSize, 6))}
	f.append(&entry{kind: typeSeal, removes: 5, path: []byte("d/e/striped"), sum: sum}, nil)
	f.write(start, pattern(testSize-start, 5))
	return f.path
}

func (i *mutationImage) write(p patch) {
	i.t.Helper()
	_, err := i.file.WriteAt(p.data, p.off)
	require.NoError(i.t, err)
}

// restore undoes patches to the metadata.
func (i *mutationImage) restore(patches []patch) {
	for _, p := range append(patches, patch{copyAt, make([]byte, copySize)}) { // which opening with ReadWrite writes
		i.write(patch{p.off, i.meta[p.off : p.off+int64(len(p.data))]})
	}
}

// record is a place in the metadata with a checksum.
type record struct {
	name   string
	off    int64
	size   int
	crc    int
	fields []field
}

// field is a part of a record. If any value is acceptable, only few are tried.
type field struct {
	name      string
	at, width int
	any       bool
}

func (i *mutationImage) superblock() record {
	return record{"superblock", 0, superblockSize, superblockCRC, []field{
		{"magic", 0, 8, false}, {"version", 8, 8, false}, {"log offset", 16, 8, false}, {"log length", 24, 8, false}, {"unit", 32, 8, false},
		{"major", 40, 4, false}, {"minor", 44, 4, false}, {"uuid", fsUUIDAt, 8, true}, {"device uuid", deviceUUIDAt, 8, true},
		{"system uuid", systemUUIDAt, 8, true}, {"flags", 104, 4, true}, {"padding", 108, 4, true}, {"device size", deviceSizeAt, 8, false},
		{"primary", 120, 8, true}, {"device name", deviceNameAt, 8, true}, {"device name's end", superblockSize - 8, 8, true},
	}}
}

func (i *mutationImage) header() record {
	return record{"log header", logOffset, logHeaderSize, logHeaderCRC, []field{
		{"magic", 0, 8, false}, {"length", 8, 8, false}, {"last index", 16, 8, false}, {"next sequence number", nextSeqAt, 8, false}, {"next index", nextIndexAt, 8, false},
	}}
}

func (i *mutationImage) bytes(r record) []byte {
	return bytes.Clone(i.meta[r.off : r.off+int64(r.size)])
}

func (i *mutationImage) entry(index uint64) record {
	r := record{name: fmt.Sprintf("entry %d", index), off: entryAt(index), size: entrySize, crc: entryCRC}
	r.fields = []field{{"sequence number", 0, 8, false}, {"type", 8, 4, false}, {"padding", 12, 4, true}, {"unused", 528, 8, true}}
	b := i.bytes(r)
	extents := func(at int, count uint64) {
		for n := range min(count, maxExtents) {
			if n > 0 && n < count-1 && n != count/2 {
				continue // first, last and one between them
			}
			name := fmt.Sprintf("extent %d ", n)
			for k, part := range []string{"device", "offset", "length"} {
				r.fields = append(r.fields, field{name + part, at + int(n)*extentSize + 8*k, 8, false})
			}
		}
	}
	switch le := binary.LittleEndian; le.Uint32(b[8:]) {
	case typeFile:
		r.fields = append(r.fields, field{"size", 16, 8, false}, field{"flags", 24, 4, true}, field{"uid", 28, 4, true}, field{"gid", 32, 4, true}, field{"mode", 36, 4, true},
			field{"map type", fileMapAt, 4, false}, field{"padding", 124, 4, true}, field{"count", 128, 4, false}, field{"padding", 132, 4, true})
		if le.Uint32(b[fileMapAt:]) == mapInterleaved {
			r.fields = append(r.fields, field{"strips", extentsAt, 8, false}, field{"chunk", extentsAt + 8, 8, false})
			extents(stripsAt, le.Uint64(b[extentsAt:]))
		} else {
			extents(extentsAt, uint64(le.Uint32(b[128:])))
		}
	case typeMkdir:
		r.fields = append(r.fields, field{"uid", 16, 4, true}, field{"gid", 20, 4, true}, field{"mode", 24, 4, true})
	case typeRemoval:
		r.fields = append(r.fields, field{"removes", removesAt, 8, false})
	case typeSeal:
		r.fields = append(r.fields, field{"seals", sealsAt, 8, false}, field{"kind", sealKindAt, 4, false}, field{"padding", sealZeroAt, 4, true}, field{"sum", sealSumAt, 8, true})
	case typeAddDev:
		r.fields = append(r.fields, field{"size", 16, 8, false}, field{"uuid", 24, 8, false}, field{"index", 40, 4, false})
	}
	return r
}

// values are the values at which something could break, for a field that is v now.
func (i *mutationImage) values(f field, v uint64) []uint64 {
	const sign, all = 1 << 63, math.MaxUint64
	values := []uint64{0, 1, all, sign, v ^ 1}
	if !f.any {
		unit, size, data := uint64(i.sb.AllocUnit), uint64(i.size), uint64(i.sb.logEnd())
		values = append(values, 2, 3, 4, 15, 16, 17, v-1, v+1, 2*v, v/2, -v, all-1, sign-1, sign+1, sign|v, 1<<32, 1<<31, 1<<31-1, 1<<32-1, 1<<32|v,
			unit, unit-1, unit+1, unit/2, 2*unit, v+unit, v-unit, sign-unit, -unit, all/unit*unit,
			size, size-1, size+1, size-unit, size+unit, data, data-1, data-unit, data+1, i.next, i.next-1, i.next+1, 15419, 15420, 15421, 4096, 4095)
	}
	if f.width == 4 {
		const sign = 1 << 31
		values = append(values, sign, sign-1, sign|v, math.MaxUint32-1)
		for n := range values {
			values[n] &= math.MaxUint32
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	return slices.DeleteFunc(values, func(x uint64) bool { return x == v })
}

func (f field) get(b []byte) uint64 {
	if f.width == 4 {
		return uint64(binary.LittleEndian.Uint32(b[f.at:]))
	}
	return binary.LittleEndian.Uint64(b[f.at:])
}

func (f field) put(b []byte, v uint64) {
	if f.width == 4 {
		binary.LittleEndian.PutUint32(b[f.at:], uint32(v))
	} else {
		binary.LittleEndian.PutUint64(b[f.at:], v)
	}
}

// changed returns r with a change to it and the right checksum.
func (i *mutationImage) changed(name string, r record, edit func(b []byte)) mutant {
	b := i.bytes(r)
	edit(b)
	fixCRC(b, r.crc)
	return mutant{r.name + ": " + name, []patch{{r.off, b}}}
}

// fieldMutants sets every field of r to all its values, one at a time. Each field is also
// changed once without correcting the checksum.
func (i *mutationImage) fieldMutants(r record) (all []mutant) {
	b := i.bytes(r)
	for _, f := range r.fields {
		v := f.get(b)
		for _, x := range i.values(f, v) {
			all = append(all, i.changed(fmt.Sprintf("%s %#x", f.name, x), r, func(b []byte) { f.put(b, x) }))
		}
		unfixed := bytes.Clone(b)
		f.put(unfixed, v+1)
		all = append(all, mutant{r.name + ": " + f.name + " without CRC", []patch{{r.off, unfixed}}})
	}
	for _, at := range []int{r.crc, r.crc + 4} { // all eight bytes count
		wrong := bytes.Clone(b)
		wrong[at] ^= 1
		all = append(all, mutant{fmt.Sprintf("%s: CRC byte %d", r.name, at-r.crc), []patch{{r.off, wrong}}})
	}
	return all
}

// randomMutants sets some fields of r to values of each other, so that sums and products of them
// reach their limits.
func (i *mutationImage) randomMutants(r record, n int) (all []mutant) {
	for k := range n {
		all = append(all, i.changed(fmt.Sprintf("random %d", k), r, func(b []byte) {
			for range 2 + i.rng.IntN(3) {
				f := r.fields[i.rng.IntN(len(r.fields))]
				values := i.values(f, f.get(b))
				f.put(b, values[i.rng.IntN(len(values))])
			}
		}))
	}
	return all
}

// flipMutants flips bits of r, all of them or some, with and without a right checksum.
func (i *mutationImage) flipMutants(r record, n int) (all []mutant) {
	for k := range n {
		bit := i.rng.IntN(8 * r.size)
		if n == 8*r.size {
			bit = k
		}
		flip := func(b []byte) { b[bit/8] ^= 1 << (bit % 8) }
		if i.rng.IntN(16) > 0 {
			all = append(all, i.changed(fmt.Sprintf("bit %d", bit), r, flip))
			continue
		}
		b := i.bytes(r)
		flip(b)
		all = append(all, mutant{fmt.Sprintf("%s: bit %d without CRC", r.name, bit), []patch{{r.off, b}}})
	}
	return all
}

// pathMutants gives the entry index every kind of bad path, and the paths of others.
func (i *mutationImage) pathMutants(index uint64) (all []mutant) {
	r := i.entry(index)
	at := map[uint32]int{typeFile: filePathAt, typeMkdir: mkdirPathAt, typeRemoval: removalPathAt, typeSeal: sealPathAt}[binary.LittleEndian.Uint32(i.bytes(r)[entryTypeAt:])]
	paths := []string{"", "\x00x", "/", "//", ".", "..", "a/..", "../a", "./a", "a//b", "a/", "/a", ".meta", ".meta/log", "\xff", "a\x00b", "none/x", "\n", "..a", strings.Repeat("x", pathSize),
		strings.Repeat("x", maxPath), strings.Repeat("d/", pathSize/2), strings.Repeat("d/", maxPath/2) + "x", "\xed\xa0\x80"}
	for other := range i.next {
		p := i.pathOf(other)
		paths = append(paths, p, p+"/x", filepath.Dir(p), strings.ToUpper(p))
	}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		all = append(all, i.changed(fmt.Sprintf("path %q", p), r, func(b []byte) {
			clear(b[at : at+pathSize])
			copy(b[at:at+pathSize], p)
		}))
	}
	return all
}

func (i *mutationImage) pathOf(index uint64) string {
	var e entry
	e.decode((*[entrySize]byte)(i.meta[entryAt(index):]))
	return string(e.path)
}

// combinedMutants are values that are harmful only together.
func (i *mutationImage) combinedMutants(index uint64) (all []mutant) {
	r, unit, size := i.entry(index), uint64(i.sb.AllocUnit), uint64(i.size)
	add := func(name string, edits ...func(b []byte)) {
		all = append(all, i.changed(name, r, func(b []byte) {
			for _, edit := range edits {
				edit(b)
			}
		}))
	}
	b := i.bytes(r)
	if b[8] != typeFile {
		return nil
	}
	first := extentsAt
	if binary.LittleEndian.Uint32(b[fileMapAt:]) == mapInterleaved {
		first = stripsAt
	}
	extent := func(n int, device, offset, length uint64) func(b []byte) {
		at := first + n*extentSize
		return func(b []byte) {
			put64(at, device)(b)
			put64(at+8, offset)(b)
			put64(at+16, length)(b)
		}
	}
	huge, data := put64(16, math.MaxInt64), uint64(i.sb.logEnd())
	add("end wraps to 0", extent(0, 0, -unit, unit))
	add("end wraps into the data", extent(0, 0, data+unit, -unit), put64(16, 1))
	add("end is the sign bit", extent(0, 0, 1<<63-unit, unit), huge)
	add("length of all but the sign bit", extent(0, 0, data, 1<<63-unit), huge)
	add("past the end by a unit", extent(0, 0, size-unit, 2*unit))
	add("the last unit", extent(0, 0, size-unit, unit), put64(16, 1), put32(128, 1))
	add("all data", extent(0, 0, data, size-data), put64(16, size-data), put32(128, 1))
	add("all of the device", extent(0, 0, 0, size), put64(16, size), put32(128, 1))
	add("from the log on", extent(0, 0, data-unit, 2*unit), put64(16, 2*unit), put32(128, 1))
	add("as long as the extents to the byte", extent(0, 0, size-2*unit, 2*unit), put64(16, 2*unit), put32(128, 1))
	add("a byte longer than the extents", extent(0, 0, size-2*unit, 2*unit), put64(16, 2*unit+1), put32(128, 1))
	add("huge on another device", extent(0, 1, 0, 1<<63-unit), huge, put32(128, 1))
	add("on a device of index 2^32", extent(0, 1<<32, data, unit))
	add("on a device of index -1", extent(0, math.MaxUint64, data, unit))
	for n := 1; n <= 15; n += 7 {
		add(fmt.Sprintf("extent %d is extent 0 again", n), func(b []byte) {
			copy(b[first+n*extentSize:first+(n+1)*extentSize], b[first:first+extentSize])
			if first == extentsAt {
				put32(128, uint32(n+1))(b)
			}
		})
	}
	strips := func(n, chunk, length uint64) func(b []byte) {
		return func(b []byte) {
			clear(b[extentsAt:entryCRC])
			put32(fileMapAt, mapInterleaved)(b)
			put32(128, 1)(b)
			put64(extentsAt, n)(b)
			put64(extentsAt+8, chunk)(b)
			for k := range min(n, maxExtents) {
				put64(stripsAt+int(k)*extentSize+8, data+k*length)(b)
				put64(stripsAt+int(k)*extentSize+16, length)(b)
			}
		}
	}
	add("16 strips whose lengths wrap", strips(16, unit, 1<<60), put64(16, 1))
	add("simple read as interleaved", put32(fileMapAt, 1^binary.LittleEndian.Uint32(b[fileMapAt:])))
	if index != i.lastFile() {
		return all // the rest does not depend on what was there
	}
	for _, n := range []uint64{1, 2, 3, 16, 17} {
		for _, chunk := range []uint64{0, 1, unit / 2, unit, 2 * unit, 3 * unit, 1 << 61, 1 << 62, 1 << 63} {
			for _, length := range []uint64{unit, 2 * unit, 3 * unit, 1 << 59, 1 << 60} {
				name := fmt.Sprintf("%d strips of %#x with chunks of %#x", n, length, chunk)
				add(name, strips(n, chunk, length), put64(16, n*length))
				add(name+", a byte more", strips(n, chunk, length), put64(16, n*length+1))
				if length <= 3*unit {
					add(name+", one byte", strips(n, chunk, length), put64(16, 1))
				}
			}
		}
	}
	return all
}

// lastFile is the last file in kinds.
func (i *mutationImage) lastFile() (last uint64) {
	for _, index := range i.kinds() {
		if i.meta[entryAt(index)+8] == typeFile {
			last = index
		}
	}
	return last
}

// logMutants move whole entries, and change everything that says how many entries there are.
func (i *mutationImage) logMutants() (all []mutant) {
	n := i.next
	entryBytes := func(index uint64) []byte { return i.bytes(i.entry(index)) }
	placed := func(at, from uint64) patch {
		b := entryBytes(from)
		put64(0, at)(b)
		fixCRC(b, entryCRC)
		return patch{entryAt(at), b}
	}
	for a := range n {
		all = append(all, mutant{fmt.Sprintf("entry %d zeroed", a), []patch{{entryAt(a), make([]byte, entrySize)}}})
		for b := range n {
			if n > 10 && i.rng.Uint64N(n) > 5 {
				continue // of long logs some pairs
			}
			if a < b {
				all = append(all,
					mutant{fmt.Sprintf("entries %d and %d swapped", a, b), []patch{placed(a, b), placed(b, a)}},
					mutant{fmt.Sprintf("entries %d and %d swapped as they are", a, b), []patch{{entryAt(a), entryBytes(b)}, {entryAt(b), entryBytes(a)}}})
			}
			if a != b {
				all = append(all, mutant{fmt.Sprintf("entry %d repeated as %d", a, b), []patch{placed(b, a)}})
			}
		}
	}
	var rotated, reversed []patch
	for a := range n {
		rotated = append(rotated, placed(a, (a+1)%n))
		reversed = append(reversed, placed(a, n-1-a))
	}
	all = append(all, mutant{"log rotated", rotated}, mutant{"log reversed", reversed})

	// Logs of other lengths, on which superblock and header agree, cover the data.
	for size := int64(minLogSize); size > 0 && size <= 2*i.size; size *= 2 {
		counts := []uint64{0, 1, n, n + 1, lastIndex(size) + 2}
		if size == 2*minLogSize || size < i.size && 2*size >= i.size {
			counts = append(counts, lastIndex(size)+1) // as many problems as there can be
		}
		for _, next := range counts {
			sb := i.changed("", i.superblock(), put64(24, uint64(size)))
			header := i.changed("", i.header(), func(b []byte) {
				put64(8, uint64(size))(b)
				put64(16, lastIndex(size))(b)
				put64(nextIndexAt, next)(b)
				put64(nextSeqAt, next)(b)
			})
			all = append(all, mutant{fmt.Sprintf("log of %d MiB with %d entries", size/mib, next), append(sb.patches, header.patches...)})
		}
	}
	other := uint64(smallUnit ^ defaultUnit ^ i.sb.AllocUnit)
	return append(all, i.changed("other unit", i.superblock(), put64(32, other)))
}

// kinds are entries no two of which mean the same kind of thing in the format.
func (i *mutationImage) kinds() (indexes []uint64) {
	seen := map[string]bool{}
	for index := range i.next {
		b := i.bytes(i.entry(index))
		kind := fmt.Sprint(b[8])
		if b[8] == typeFile {
			count := b[128]
			if b[fileMapAt] == mapInterleaved {
				count = b[extentsAt]
			}
			kind = fmt.Sprint(b[8], b[fileMapAt], min(count, 3))
		}
		if !seen[kind] {
			seen[kind] = true
			indexes = append(indexes, index)
		}
	}
	return indexes
}

// copyMutants are images whose superblock is lost, with all kinds of second copies, which are
// complete.
func (i *mutationImage) copyMutants() (all []mutant) {
	r := i.superblock()
	lost := patch{0, make([]byte, superblockSize)}
	for _, m := range append(i.fieldMutants(r), i.randomMutants(r, 60)...) {
		b := encodeCopy((*[superblockSize]byte)(m.patches[0].data))
		all = append(all, mutant{"second copy of " + m.name, []patch{lost, {copyAt, b[:]}}})
	}
	return all
}

// mutants returns all mutants of an image.
func (i *mutationImage) mutants() (all []mutant) {
	records := []record{i.superblock(), i.header()}
	for _, index := range i.kinds() {
		records = append(records, i.entry(index))
		if i.bytes(i.entry(index))[8] != typeAddDev {
			all = append(all, i.pathMutants(index)...)
		}
		all = append(all, i.combinedMutants(index)...)
	}
	for _, r := range records {
		all = append(all, i.fieldMutants(r)...)
		all = append(all, i.randomMutants(r, 60)...)
		all = append(all, i.flipMutants(r, 60)...)
	}
	all = append(all, i.copyMutants()...)
	return append(all, i.logMutants()...)
}

// tenable lists fsys, and returns what about it is impossible.
func (i *mutationImage) tenable(fsys *FS) (map[string]*Attr, map[string]int64, error) {
	sb, u := fsys.Superblock(), fsys.Usage()
	attrs, sizes := map[string]*Attr{}, map[string]int64{}
	var all []Extent
	dirs, sealed, fileBytes := 0, 0, int64(0)
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if !fs.ValidPath(path) || len(path) > maxPath || st.Name() != filepath.Base(path) {
			return fmt.Errorf("%q is called %q", path, st.Name())
		}
		if d.IsDir() {
			dirs++
			return nil
		}
		attr := st.Sys().(*Attr)
		attrs[path], sizes[path] = attr, st.Size()
		fileBytes += st.Size()
		space := int64(0)
		for _, x := range attr.Layout.Extents {
			if x.Device != 0 || x.Offset < sb.logEnd() || x.Length <= 0 || x.Length > i.size-x.Offset || x.Offset%sb.AllocUnit != 0 || x.Length%sb.AllocUnit != 0 {
				return fmt.Errorf("%q has extent %+v", path, x)
			}
			space += x.Length
		}
		if st.Size() <= 0 || st.Size() > space || len(attr.Layout.Extents) > maxExtents {
			return fmt.Errorf("%q has %d bytes in %d of %d extents", path, st.Size(), space, len(attr.Layout.Extents))
		}
		all = append(all, attr.Layout.Extents...)
		switch {
		case attr.Sealed:
			sealed++
			if attr.Sum.Kind != CRC32C && attr.Sum.Kind != SHA256 || attr.Sum != attr.Sum.trimmed() {
				return fmt.Errorf("%q is sealed with %+v", path, attr.Sum)
			}
		case attr.Sum != Sum{}:
			return fmt.Errorf("%q is not sealed, but has sum %v", path, attr.Sum)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	// Removed files keep their space.
	removed := int64(0)
	for index := range fsys.replica.ns.end() {
		n := fsys.replica.ns.node(index)
		if !n.isRemoval() {
			continue
		}
		if old := fsys.replica.ns.node(n.size); !old.isDir() {
			for _, x := range old.place().Extents {
				removed += x.Length
				all = append(all, x)
			}
		}
	}
	// A size that leaves room for a file is believed, up to the actual size.
	size := i.size
	if sb.DeviceSize >= sb.logEnd()+sb.AllocUnit {
		size = min(size, sb.DeviceSize)
	}
	free, longest := int64(0), int64(0)
	for x := range fsys.FreeSpace() {
		if x.Offset+x.Length > size {
			return nil, nil, fmt.Errorf("free space %+v in a file system of %d bytes", x, size)
		}
		all = append(all, x)
		free, longest = free+x.Length, max(longest, x.Length)
	}
	if free != u.Free || longest != u.LargestFree {
		return nil, nil, fmt.Errorf("%d bytes are free, %d in one run; usage %+v", free, longest, u)
	}
	slices.SortFunc(all, func(a, b Extent) int { return int((a.Offset - b.Offset) / smallUnit) })
	for n := range all {
		if all[n].Offset < sb.logEnd() || all[n].Offset+all[n].Length > i.size || n > 0 && all[n].Offset < all[n-1].Offset+all[n-1].Length {
			return nil, nil, fmt.Errorf("extent or free space %+v overlaps that before it or the metadata", all[n])
		}
	}
	want := Usage{
		Size: size, Allocated: size - free, Free: free, LargestFree: longest, FileBytes: fileBytes, Removed: removed, Files: len(attrs), Dirs: dirs, Sealed: sealed,
		LogUsed: u.LogUsed, LogCapacity: int(lastIndex(sb.LogSize) + 1),
	}
	if u != want || u.LogUsed > u.LogCapacity {
		return nil, nil, fmt.Errorf("usage %+v, found %+v", u, want)
	}
	return attrs, sizes, nil
}

// places are the offsets in a file at which to look: near all seams of its layout, but only a
// limited number.
func (i *mutationImage) places(l *Layout, size int64) []int64 {
	places := []int64{0, size - 1, size / 2}
	at := int64(0)
	for _, x := range l.Extents {
		if l.Chunk == 0 {
			at += x.Length
		} else {
			at += l.Chunk
		}
		places = append(places, at-1, at)
	}
	for range 4 {
		places = append(places, i.rng.Int64N(size))
	}
	return slices.DeleteFunc(places, func(x int64) bool { return x < 0 || x >= size })
}

// sameBytes compares got, the file from off on, with the device.
func (i *mutationImage) sameBytes(l *Layout, off int64, got []byte) error {
	for n := range int64(len(got)) {
		if at := layoutByte(l, off+n); got[n] != i.device[at] {
			return fmt.Errorf("byte %d is %#x, but %#x at %d of the device", off+n, got[n], i.device[at], at)
		}
	}
	return nil
}

// within reports whether byte x of a file, at this offset of the device, is in the extent in
// which it should be.
func within(l *Layout, x, at int64) bool {
	of := func(e Extent) bool { return at >= e.Offset && at < e.Offset+e.Length }
	if l.Chunk > 0 {
		return of(l.Extents[x/l.Chunk%int64(len(l.Extents))])
	}
	return slices.ContainsFunc(l.Extents, of)
}

// readFile reads a file in all ways.
func (i *mutationImage) readFile(fsys *FS, path string, attr *Attr, size int64) error {
	for x := int64(0); x < size; x += fsys.Superblock().AllocUnit {
		if at := layoutByte(&attr.Layout, x); !within(&attr.Layout, x, at) {
			return fmt.Errorf("%q: byte %d lies at %d of the device, which is not the file's", path, x, at)
		}
	}
	file, err := fsys.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	places := i.places(&attr.Layout, size)
	var buffer [16]byte
	for _, place := range places {
		off := max(0, place-8)
		n, err := file.(io.ReaderAt).ReadAt(buffer[:], off)
		if want := min(16, size-off); int64(n) != want || (err == io.EOF) != (n < 16) || err != nil && err != io.EOF {
			if noPins(fsys, err) {
				return nil
			}
			return fmt.Errorf("%q: read %d bytes at %d of %d: %w", path, n, off, size, err)
		}
		if err := i.sameBytes(&attr.Layout, off, buffer[:n]); err != nil {
			return fmt.Errorf("%q read: %w", path, err)
		}
	}
	if size <= 64<<10 {
		data, err := fsys.ReadFile(path)
		if err != nil || int64(len(data)) != size {
			return fmt.Errorf("%q: read %d bytes of %d: %w", path, len(data), size, err)
		}
		if err := i.sameBytes(&attr.Layout, 0, data); err != nil {
			return fmt.Errorf("%q read whole: %w", path, err)
		}
	}
	if runtime.GOOS == "windows" && len(attr.Layout.Extents) > 1 {
		return nil // cannot be mapped there
	}
	m, err := fsys.Map(path)
	if err != nil {
		if noPins(fsys, err) {
			return nil
		}
		return err
	}
	defer m.Close()
	mem := m.Bytes()
	if int64(len(mem)) != size || cap(mem) != len(mem) {
		return fmt.Errorf("%q: mapped %d bytes of %d, with room for %d", path, len(mem), size, cap(mem))
	}
	for _, place := range places {
		from := max(0, place-8)
		if err := i.sameBytes(&attr.Layout, from, mem[from:min(size, from+16)]); err != nil {
			return fmt.Errorf("%q mapped: %w", path, err)
		}
	}
	i.mapped++
	return ownPagesOnly(mem, i.path, &attr.Layout)
}

// noPins reports whether err says that hosts cannot say on this image which memory they use: it
// is forged to give memory out again, and has no sound pins unit.
func noPins(fsys *FS, err error) bool {
	sb := fsys.Superblock()
	return sb.reuses() && (errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotAdmitted))
}

// sameFile reports whether a file is the same as without any mutant.
func (i *mutationImage) sameFile(path string, attr *Attr, size int64) bool {
	was := i.base[path]
	return was != nil && i.sizes[path] == size && was.Layout.Chunk == attr.Layout.Chunk && slices.Equal(was.Layout.Extents, attr.Layout.Extents)
}

// readAll reads the files that differ from those without a mutant, and sometimes one that does not.
func (i *mutationImage) readAll(fsys *FS) error {
	attrs, sizes, err := i.tenable(fsys)
	if err != nil {
		return err
	}
	for path, attr := range attrs {
		if i.sameFile(path, attr, sizes[path]) && i.rng.IntN(16) > 0 {
			continue
		}
		if err := i.readFile(fsys, path, attr, sizes[path]); err != nil {
			return err
		}
	}
	for _, p := range fsys.Problems() {
		if !isKnown(p) || p.Index < 0 || p.Index >= fsys.Usage().LogCapacity {
			return fmt.Errorf("problem %d: %w", p.Index, p)
		}
	}
	return nil
}

// knownErrors are the kinds of errors that callers can distinguish.
var knownErrors = []error{ErrNotFormatted, ErrReformatted, ErrVersion, ErrChecksum, ErrCorrupt, ErrDevice, fs.ErrExist}

func isKnown(err error) bool {
	return slices.ContainsFunc(knownErrors, func(known error) bool { return errors.Is(err, known) })
}

// heapAllocated returns the number of bytes that were ever allocated.
func heapAllocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// examine writes a mutant to the device and does everything with it that is possible.
func (i *mutationImage) examine(m mutant) error {
	i.doing.Store(&m.name)
	i.cases++
	for _, p := range m.patches {
		i.write(p)
	}
	defer i.restore(m.patches)

	before := heapAllocated()
	report, checkErr := Check(i.path, atOnce)
	strict, strictErr := Open(i.path, atOnce)
	tolerant, tolerantErr := Open(i.path, atOnce, Tolerant())
	for _, fsys := range []*FS{strict, tolerant} {
		if fsys != nil {
			defer fsys.Close()
		}
	}
	for _, err := range []error{checkErr, strictErr, tolerantErr} {
		if err != nil && !isKnown(err) {
			return fmt.Errorf("of no known kind: %w", err)
		}
	}
	if tolerantErr != nil && strictErr == nil {
		return fmt.Errorf("opened, but not tolerantly: %w", tolerantErr)
	}
	if checkErr == nil && strictErr != nil && report.Clean() {
		return fmt.Errorf("checked clean, but not opened: %w", strictErr)
	}
	if checkErr == nil {
		for _, p := range report.Problems {
			if !isKnown(p) || p.Index >= 0 && p.Index >= report.Usage.LogCapacity {
				return fmt.Errorf("problem %d: %w", p.Index, p)
			}
		}
	}
	for _, fsys := range []*FS{strict, tolerant} {
		if fsys == nil || fsys == tolerant && strict != nil && i.cases%4 > 0 {
			continue
		}
		if err := i.readAll(fsys); err != nil {
			return err
		}
		if n, err := fsys.Refresh(); n != 0 || err != nil {
			return fmt.Errorf("refreshed by %d: %w", n, err)
		}
	}
	if strict != nil {
		i.opened++
		if report == nil || report.Usage != strict.Usage() {
			return fmt.Errorf("opened with usage %+v, checked with %+v: %w", strict.Usage(), report, checkErr)
		}
		if i.cases%2 == 0 {
			if err := i.create(strict); err != nil {
				return err
			}
		}
	}
	allocated := heapAllocated() - before
	i.allocated = max(i.allocated, allocated)
	if allocated > mutationMemory {
		return fmt.Errorf("%d bytes allocated", allocated)
	}
	return nil
}

// create adds a file to what strict shows, and removes it again.
func (i *mutationImage) create(strict *FS) error {
	sb := strict.Superblock()
	host := sb.SystemUUID
	fsys, err := Open(i.path, atOnce, ReadWrite(), WithSystemUUID(host))
	if host == (UUID{}) && errors.Is(err, ErrNotMaster) || sb.newerFormat() != nil && errors.Is(err, ErrVersion) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opened, but not for writing: %w", err)
	}
	defer fsys.Close()
	before, _, err := i.tenable(fsys)
	if err != nil {
		return err
	}
	u := fsys.Usage()
	next := uint64(u.LogUsed)
	saved := []patch{{logOffset, bytes.Clone(i.device[logOffset : logOffset+logHeaderSize])}}
	if u.LogUsed < u.LogCapacity {
		saved = append(saved, patch{entryAt(next), bytes.Clone(i.device[entryAt(next) : entryAt(next)+entrySize])})
	}
	const name = "\x01 a name that no image has"
	p, err := fsys.Create(name, 1)
	switch {
	case u.LogUsed == u.LogCapacity && errors.Is(err, ErrLogFull), u.Free == 0 && errors.Is(err, ErrNoSpace):
		return nil
	case noPins(fsys, err):
		return nil
	case err != nil:
		return fmt.Errorf("create with usage %+v: %w", u, err)
	}
	for _, x := range p.home.place.Extents {
		for _, problem := range fsys.Problems() {
			if err := i.unclaimed(x, uint64(problem.Index), fsys.Superblock()); err != nil {
				return err
			}
		}
	}
	if err := p.Commit(); err != nil {
		return err
	}
	defer func() {
		for _, p := range saved {
			i.write(p)
		}
	}()
	i.created++
	after, _, err := i.tenable(fsys)
	if err != nil {
		return fmt.Errorf("after creating: %w", err)
	}
	if n, err := strict.Refresh(); n != 1 || err != nil {
		return fmt.Errorf("refreshed by %d: %w", n, err)
	}
	if delete(after, name); len(after) != len(before) {
		return fmt.Errorf("%d files besides the new one, %d before", len(after), len(before))
	}
	if fsys.Usage() != strict.Usage() || u.Free-fsys.Superblock().AllocUnit != fsys.Usage().Free {
		return fmt.Errorf("usage %+v, that of a reader %+v, before %+v", fsys.Usage(), strict.Usage(), u)
	}
	return nil
}

// unclaimed returns an error if x, which was just allocated, is claimed by an entry that was
// passed over.
func (i *mutationImage) unclaimed(x Extent, index uint64, sb Superblock) error {
	var e entry
	e.decode((*[entrySize]byte)(i.device[entryAt(index):]))
	for _, claim := range e.extents {
		if claim.device != 0 || claim.offset >= uint64(i.size) || claim.length == 0 {
			continue
		}
		end := claim.offset + claim.length
		if end < claim.offset || end > uint64(i.size) {
			end = uint64(i.size)
		}
		// Units that are touched at all are claimed.
		from, to := int64(claim.offset)/sb.AllocUnit*sb.AllocUnit, roundUp(int64(end), sb.AllocUnit)
		if x.Offset < to && from < x.Offset+x.Length {
			return fmt.Errorf("%+v was allocated, but entry %d claims %+v", x, index, claim)
		}
	}
	return nil
}

// follow opens the first half of the log, writes the mutant, and lets Refresh replay the rest.
func (i *mutationImage) follow(m mutant) error {
	doing := m.name + ", followed"
	i.doing.Store(&doing)
	counters := func(n uint64) patch {
		b := i.bytes(i.header())
		put64(nextSeqAt, n)(b)
		put64(nextIndexAt, n)(b)
		return patch{logOffset, b}
	}
	i.write(counters(i.next / 2))
	defer i.write(counters(i.next))
	fsys, err := Open(i.path, atOnce)
	if err != nil {
		return err
	}
	defer fsys.Close()
	usage := fsys.Usage()
	i.write(counters(i.next))
	for _, p := range m.patches {
		i.write(p)
	}
	defer i.restore(m.patches)
	_, err = fsys.Refresh()
	if err != nil && !isKnown(err) {
		return fmt.Errorf("of no known kind: %w", err)
	}
	if err != nil && fsys.Usage() != usage {
		return fmt.Errorf("usage %+v, before the refresh that failed %+v: %w", fsys.Usage(), usage, err)
	}
	if errors.Is(err, ErrReformatted) { // nothing can be read any more
		if _, err := fsys.Stat("."); !errors.Is(err, ErrReformatted) {
			return fmt.Errorf("still found after the device was formatted anew: %w", err)
		}
		return nil
	}
	return i.readAll(fsys)
}

// thorough reports that tests should do everything they can, however long it takes.
func thorough() bool { return os.Getenv("FAMFS_TEST_DIR") != "" || os.Getenv("CI") != "" }

// mutationSources are the images to start from.
func mutationSources() (all []string) {
	return append([]string{"own", "own with small units"}, goldenNames...)
}

func openMutationSource(t testing.TB, name string) *mutationImage {
	t.Helper()
	var path string
	switch name {
	case "own":
		path = ownImage(t, defaultUnit)
	case "own with small units":
		path = ownImage(t, smallUnit)
	default:
		path, _ = openGolden(t, name)
	}
	return newMutationImage(t, path)
}

// Not parallel to other tests, because it measures allocations.
func TestMutatedImages(t *testing.T) {
	needsNoDevice(t)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	total := 0
	for _, name := range mutationSources() {
		t.Run(name, func(t *testing.T) {
			i := openMutationSource(t, name)
			mutants := i.mutants()
			step := 1
			switch {
			case raceEnabled:
				step = 120 // it is slow, and sees little where there is one goroutine
			case testing.Short():
				step = 20
			case !thorough():
				step = 5
			case os.Getenv("CI") != "":
				step = 3 // all take minutes: FAMFS_TEST_DIR alone has them
			}
			for n := 0; n < len(mutants); n += 1 + i.rng.IntN(2*step-1) {
				m := mutants[n]
				require.NoError(t, i.examine(m), m.name)
				if i.next > 1 && i.cases%4 == 0 {
					require.NoError(t, i.follow(m), "followed: %s", m.name)
				}
			}
			require.Equal(t, i.meta, []byte(i.device[:len(i.meta)]), "the image is as it was")
			t.Logf("%d of %d mutants, %d of which opened; %d files mapped, %d created; at most %d KiB allocated by one", i.cases, len(mutants), i.opened, i.mapped, i.created, i.allocated>>10)
			total += i.cases
		})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d mutants; heap before %d KiB, after %d KiB", total, before.HeapAlloc>>10, after.HeapAlloc>>10)
	assert.Less(t, after.HeapAlloc, before.HeapAlloc+mutationRetained)
}

// Devices that were cut: to nothing, within each record, and near each extent.
func TestTruncatedImages(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	if runtime.GOOS == "windows" {
		t.Skip("this system does not let mapped files be cut")
	}
	t.Parallel()
	for _, name := range mutationSources() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := openMutationSource(t, name)
			full := i.size
			cuts := []int64{0, 1, 100, superblockSize, 4095, 4096, logOffset - 1, logOffset, logOffset + 1, logOffset + logHeaderSize, entryAt(1), entryAt(i.next), i.sb.logEnd() - 1, i.sb.logEnd(), i.sb.logEnd() + 1, full - 1, full - 4096}
			for _, attr := range i.base {
				for _, x := range attr.Layout.Extents {
					cuts = append(cuts, x.Offset, x.Offset+1, x.Offset+x.Length/2, x.Offset+x.Length-1, x.Offset+x.Length)
				}
			}
			slices.Sort(cuts)
			cuts = slices.Compact(cuts)
			slices.Reverse(cuts) // what is cut off does not come back
			for n, cut := range cuts {
				if cut > full || testing.Short() && n%8 != 0 {
					continue
				}
				require.NoError(t, i.file.Truncate(cut))
				i.size = cut
				doing := fmt.Sprintf("cut to %d", cut)
				i.doing.Store(&doing)
				for _, opts := range [][]Option{nil, {Tolerant()}, {ReadWrite(), WithSystemUUID(testHost)}} {
					fsys, err := Open(i.path, append(opts, atOnce)...)
					if cut < i.sb.logEnd() {
						require.Error(t, err, doing)
						require.True(t, isKnown(err), "%s: %v", doing, err)
						continue
					}
					require.NoError(t, err, doing)
					require.NoError(t, i.readAll(fsys), doing)
					require.NoError(t, fsys.Close())
				}
				report, err := Check(i.path, atOnce)
				if err != nil {
					require.True(t, isKnown(err), "%s: %v", doing, err)
				} else if cut < full {
					require.False(t, report.Clean(), doing)
				}
			}
			t.Logf("cut %d times", len(cuts))
		})
	}
}

// Every bit of one superblock, one header, and one entry of each map type.
func TestFlippedBits(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	i := openMutationSource(t, "own with small units")
	for _, r := range []record{i.superblock(), i.header(), i.entry(2), i.entry(5)} {
		mutants := i.flipMutants(r, 8*r.size)
		step := 1
		switch {
		case testing.Short():
			step = 97
		case !thorough():
			step = 11
		}
		for n := 0; n < len(mutants); n += step {
			require.NoError(t, i.examine(mutants[n]), mutants[n].name)
		}
	}
	t.Logf("%d bits, %d of which opened", i.cases, i.opened)
}

// scribbler changes metadata that others are using.
type scribbler struct {
	*mutationImage
	rng     *rand.Rand
	mutants []mutant
	mem     []byte // its own mapping of the metadata
}

// step changes something, or repairs everything, so that the others can get far.
func (s *scribbler) step() {
	words := int64(len(s.mem) / 8)
	switch s.rng.IntN(12) {
	case 0, 1, 2:
		copy(s.mem[:superblockSize], s.meta)
		copy(s.mem[logOffset:entryAt(s.next+64)], s.meta[logOffset:])
	case 3:
		copy(s.mem[logOffset:entryAt(s.next+64)], s.meta[logOffset:])
	case 4: // a word anywhere
		at := s.rng.Int64N(words) * 8
		binary.LittleEndian.PutUint64(s.mem[at:], s.rng.Uint64())
	case 5: // a word of what is in use
		at := logOffset + s.rng.Int64N((entryAt(s.next)-logOffset)/8)*8
		binary.LittleEndian.PutUint64(s.mem[at:], s.rng.Uint64()>>s.rng.IntN(64))
	case 6: // a bit of superblock or header
		at := s.rng.Int64N(superblockSize)
		if s.rng.IntN(2) == 0 {
			at = logOffset + s.rng.Int64N(logHeaderSize)
		}
		s.mem[at] ^= 1 << s.rng.IntN(8)
	case 7, 8: // counters: more, fewer, and too many
		n := s.next - 4 + s.rng.Uint64N(32)
		if s.rng.IntN(8) == 0 {
			n = s.rng.Uint64() >> s.rng.IntN(64)
		}
		binary.LittleEndian.PutUint64(s.mem[logOffset+nextIndexAt:], n)
	case 9: // sound entries with other content, where the next would come to stand too
		b := bytes.Clone(s.meta[entryAt(s.rng.Uint64N(s.next)):][:entrySize])
		at := s.rng.Uint64N(s.next + 8)
		put64(0, at)(b)
		b[filePathAt+s.rng.IntN(4)] = byte('a' + s.rng.IntN(4))
		fixCRC(b, entryCRC)
		copy(s.mem[entryAt(at):], b)
	default: // any mutant of the image: all right but for what it is about
		for _, p := range s.mutants[s.rng.IntN(len(s.mutants))].patches {
			copy(s.mem[p.off:min(p.off+int64(len(p.data)), int64(len(s.mem)))], p.data)
		}
	}
}

// scribbleErrors are the possible errors while the metadata changes.
var scribbleErrors = append(slices.Clip(knownErrors), ErrNotMaster, ErrLogFull, ErrNoSpace, ErrLocked, fs.ErrNotExist, fs.ErrInvalid)

func expected(err error) error {
	if err == nil || slices.ContainsFunc(scribbleErrors, func(known error) bool { return errors.Is(err, known) }) {
		return nil
	}
	return fmt.Errorf("of no known kind: %w", err)
}

// Superblock and log change, in every way and at every moment, while files are opened,
// refreshed, listed, read, mapped and created. Anything may be found. But no file reaches beyond
// the data, no two files of one FS share space, and all are read and mapped where their layout
// says, because the data itself does not change.
func TestScribbledMetadata(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	i := openMutationSource(t, "own with small units")
	seed := testSeed(t)
	mutants := i.mutants()
	data := bytes.Clone(i.device[i.sb.logEnd():])
	var opened, refreshed, failed, read, created atomic.Int64

	end := make(chan struct{})
	var scribblers, users sync.WaitGroup
	for n := range 2 {
		mem := []byte(i.device)
		if n == 1 {
			other, err := mmap.MapRegion(i.file, len(i.meta), mmap.RDWR, 0, 0)
			require.NoError(t, err)
			defer other.Unmap()
			mem = other
		}
		s := &scribbler{i, rand.New(rand.NewPCG(seed, uint64(n))), mutants, mem[:len(i.meta)]}
		scribblers.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				s.step()
				if s.rng.IntN(4) == 0 {
					time.Sleep(time.Duration(s.rng.IntN(300)) * time.Microsecond)
				}
			}
		})
	}

	// view is i for one user: only its findings and its random numbers are its own.
	view := func(n int) *mutationImage {
		return &mutationImage{path: i.path, size: i.size, device: i.device, sb: i.sb, rng: rand.New(rand.NewPCG(seed, uint64(100+n)))}
	}
	readAll := func(v *mutationImage, fsys *FS) error {
		attrs, sizes, err := v.tenable(fsys)
		if err != nil {
			return err
		}
		for path, attr := range attrs {
			if err := v.readFile(fsys, path, attr, sizes[path]); err != nil {
				return err
			}
			read.Add(1)
		}
		return nil
	}
	session := func(v *mutationImage, opts ...Option) error {
		fsys, err := Open(v.path, append(opts, atOnce)...)
		if err != nil {
			failed.Add(1)
			return expected(err)
		}
		defer fsys.Close()
		opened.Add(1)
		for range 1 + v.rng.IntN(8) {
			if err := readAll(v, fsys); err != nil {
				return err
			}
			n, err := fsys.Refresh()
			if err := expected(err); err != nil {
				return err
			}
			refreshed.Add(int64(n))
			fsys.Problems()
		}
		return nil
	}
	check := func(v *mutationImage) error {
		_, err := Check(v.path, atOnce)
		return expected(err)
	}
	create := func(v *mutationImage) error {
		fsys, err := Open(v.path, atOnce, ReadWrite(), WithSystemUUID(testHost))
		if err != nil {
			failed.Add(1)
			return expected(err)
		}
		defer fsys.Close()
		opened.Add(1)
		for n := range 1 + v.rng.IntN(16) {
			name := fmt.Sprintf("new-%d", n)
			if v.rng.IntN(3) == 0 {
				if err := expected(fsys.MkdirAll("d/"+name, 0o755)); err != nil {
					return err
				}
				continue
			}
			p, err := fsys.Create(name, 1+v.rng.Int64N(5*smallUnit))
			if err != nil {
				if err := expected(err); err != nil {
					return err
				}
				continue
			}
			// Everything that is there already, so that others find what they look for.
			content := make([]byte, p.size)
			for x := range content {
				at := layoutByte(&p.home.place, int64(x))
				if at < i.sb.logEnd() || at >= i.size {
					return fmt.Errorf("byte %d of a new file at %d of the device", x, at)
				}
				content[x] = data[at-i.sb.logEnd()]
			}
			_, err = p.Write(content)
			err = errors.Join(err, p.Commit())
			if err == nil {
				created.Add(1)
			}
			if err := errors.Join(expected(err), p.Close()); err != nil {
				return err
			}
		}
		return readAll(v, fsys)
	}

	// One FS that several use at the same time, while one of them refreshes.
	i.restore([]patch{{0, i.meta}})
	var current atomic.Pointer[FS]
	var renewing sync.Mutex
	renew := func(old *FS) error {
		renewing.Lock()
		defer renewing.Unlock()
		for current.Load() == old {
			if fsys, err := Open(i.path, atOnce, Tolerant()); err == nil {
				t.Cleanup(func() { assert.NoError(t, fsys.Close()) })
				current.Store(fsys)
			} else if err := expected(err); err != nil {
				return err
			}
		}
		return nil
	}
	require.NoError(t, renew(nil))
	useShared := func(v *mutationImage) (err error) {
		shared := current.Load()
		defer func() {
			if errors.Is(err, ErrReformatted) { // a magic that is scribbled over, for good
				err = renew(shared)
			}
		}()
		if v.rng.IntN(2) == 0 {
			if _, err = shared.Refresh(); errors.Is(err, ErrReformatted) {
				return err
			}
			return expected(err)
		}
		// The other one may replay that something was removed, between two calls.
		removed := func(err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		return fs.WalkDir(shared, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return removed(err)
			}
			st, err := d.Info()
			if err != nil {
				return removed(err)
			}
			read.Add(1)
			attr := st.Sys().(*Attr)
			err = removed(v.readFile(shared, path, attr, st.Size()))
			if now, statErr := shared.Stat(path); err != nil && (statErr != nil || !reflect.DeepEqual(now.Sys().(*Attr).Layout, attr.Layout)) {
				return removed(statErr) // it was replaced meanwhile
			}
			return err
		})
	}

	deadline := time.Now().Add(3 * time.Second)
	if testing.Short() {
		deadline = time.Now().Add(time.Second / 2)
	}
	for n, use := range []func(*mutationImage) error{
		func(v *mutationImage) error { return session(v) },
		func(v *mutationImage) error { return session(v, Tolerant()) },
		func(v *mutationImage) error { return session(v, ReadWrite(), WithSystemUUID(testHost)) },
		check, create, useShared, useShared,
	} {
		users.Go(func() {
			v := view(n)
			for time.Now().Before(deadline) && !t.Failed() {
				if err := use(v); !errors.Is(err, ErrReformatted) && !assert.NoError(t, err, "user %d", n) {
					return
				}
			}
		})
	}
	users.Wait()
	close(end)
	scribblers.Wait()
	t.Logf("%d opened, %d failed to open; %d entries refreshed, %d files read and mapped, %d created", opened.Load(), failed.Load(), refreshed.Load(), read.Load(), created.Load())
	assert.Positive(t, opened.Load())
	assert.Positive(t, failed.Load())
	assert.True(t, bytes.Equal(data, i.device[i.sb.logEnd():]), "the data is as it was")

	// After the metadata is repaired, everything is as before.
	i.restore([]patch{{0, i.meta}})
	fsys := openTest(t, i.path, ReadWrite())
	attrs, sizes, err := i.tenable(fsys)
	require.NoError(t, err)
	assert.Equal(t, i.base, attrs)
	assert.Equal(t, i.sizes, sizes)
	require.NoError(t, fsys.WriteFile("after", []byte("x"), 0o644))
}
