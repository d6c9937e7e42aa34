package famfs

// Forging images: superblock, log header and entries that none of our writers makes, with right
// checksums unless they should be wrong. The tests are in hostile_superblock_test.go,
// hostile_entries_test.go and hostile_unsound_test.go.

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forgery is a device whose bytes a test changes without the library.
type forgery struct {
	t    testing.TB
	path string
	file *os.File
}

// newForgery returns a device with an empty file system, whose master is testHost.
func newForgery(t testing.TB) *forgery {
	t.Helper()
	f := &forgery{t: t, path: fileBacking(t, testSize)}
	require.NoError(t, Format(f.path, WithSystemUUID(testHost)))
	var err error
	f.file, err = os.OpenFile(f.path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.file.Close() })
	return f
}

func (f *forgery) read(off int64, n int) []byte {
	f.t.Helper()
	b := make([]byte, n)
	readAt(f.t, f.file, b, off)
	return b
}

func (f *forgery) write(off int64, b []byte) {
	f.t.Helper()
	_, err := f.file.WriteAt(b, off)
	require.NoError(f.t, err)
}

// fixCRC writes the CRC of the bytes of b before at to at.
func fixCRC(b []byte, at int) { binary.LittleEndian.PutUint64(b[at:], checksum(b[:at])) }

// superblock changes the superblock and corrects its CRC. Then it applies damage, if given.
func (f *forgery) superblock(edit, damage func(b []byte)) {
	f.t.Helper()
	f.edit(0, superblockSize, superblockCRC, edit, damage)
}

// header does for the log header what superblock does for the superblock.
func (f *forgery) header(edit, damage func(b []byte)) {
	f.t.Helper()
	f.edit(logOffset, logHeaderSize, logHeaderCRC, edit, damage)
}

// entry does that for an existing entry.
func (f *forgery) entry(index uint64, edit, damage func(b []byte)) {
	f.t.Helper()
	f.edit(entryAt(index), entrySize, entryCRC, edit, damage)
}

func (f *forgery) edit(off int64, size, crc int, edit, damage func(b []byte)) {
	f.t.Helper()
	b := f.read(off, size)
	if edit != nil {
		edit(b)
	}
	fixCRC(b, crc)
	if damage != nil {
		damage(b)
	}
	f.write(off, b)
}

// next is the number of entries in use.
func (f *forgery) next() uint64 {
	f.t.Helper()
	return binary.LittleEndian.Uint64(f.read(logOffset+nextIndexAt, 8))
}

// setNext sets both counters.
func (f *forgery) setNext(n uint64) {
	f.t.Helper()
	f.header(func(b []byte) {
		binary.LittleEndian.PutUint64(b[nextSeqAt:], n)
		binary.LittleEndian.PutUint64(b[nextIndexAt:], n)
	}, nil)
}

// append logs e. raw, if given, may change its record first; the result is always sound.
func (f *forgery) append(e *entry, raw func(b []byte)) (index uint64) {
	f.t.Helper()
	index = f.next()
	e.seq = index
	b := e.encode()
	f.write(entryAt(index), b[:])
	f.entry(index, raw, nil)
	f.setNext(index + 1)
	return index
}

// goodSize is the size of the good files next to bad ones.
const goodSize = 5000

// good logs a file in unit, with content of its own.
func (f *forgery) good(name string, unit int64) (index uint64) {
	f.t.Helper()
	f.write(unit*defaultUnit, pattern(goodSize, uint64(unit)))
	return f.append(forgedFile(name, goodSize, inUnits(unit, 1)), nil)
}

// forgedFile is a file of simple extents.
func forgedFile(path string, size uint64, extents ...rawExtent) *entry {
	return &entry{
		kind: typeFile, path: []byte(path), size: size, flags: fileFlagReadWrite, mode: 0o644,
		mapType: mapSimple, count: uint32(len(extents)), extents: extents,
	}
}

// forgedStrips is an interleaved file.
func forgedStrips(path string, size, chunk uint64, strips ...rawExtent) *entry {
	e := forgedFile(path, size, strips...)
	e.mapType, e.count, e.strips, e.chunk = mapInterleaved, 1, uint64(len(strips)), chunk
	return e
}

func forgedDir(path string) *entry { return &entry{kind: typeMkdir, path: []byte(path), mode: 0o755} }

func forgedDevice(index uint32, id byte) *entry {
	return &entry{kind: typeAddDev, deviceIndex: index, deviceSize: 1 << 40, deviceUUID: UUID{id}}
}

func forgedRemoval(index uint64, path string) *entry {
	return &entry{kind: typeRemoval, removes: index, path: []byte(path)}
}

func forgedSeal(index uint64, path string) *entry {
	return &entry{kind: typeSeal, removes: index, path: []byte(path), sum: crcSum(7)}
}

// inUnits is an extent of n allocation units from start on.
func inUnits(start, n int64) rawExtent {
	return rawExtent{0, uint64(start) * defaultUnit, uint64(n) * defaultUnit}
}

func put32(at int, v uint32) func(b []byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], v) }
}

func put64(at int, v uint64) func(b []byte) {
	return func(b []byte) { binary.LittleEndian.PutUint64(b[at:], v) }
}

func flip(at int) func(b []byte) { return func(b []byte) { b[at] ^= 0x40 } }

// Places on the device of these tests: 5 of 32 units are metadata.
const (
	forgedUnits     = testSize / defaultUnit
	forgedDataUnits = (logOffset + minLogSize) / defaultUnit
	firstUnit       = 8  // of the good file logged before
	lastUnit        = 12 // of the good file logged after
	badUnit         = 20 // where a bad file lies, if nothing else is said
)

// assertGood checks that a file that good logged is there, whole.
func assertGood(t testing.TB, fsys *FS, name string, unit int64) {
	t.Helper()
	want := pattern(goodSize, uint64(unit))
	data, err := fsys.ReadFile(name)
	if assert.NoError(t, err, "read %s", name) {
		assert.True(t, bytes.Equal(want, data), "content of %s", name)
	}
	m, err := fsys.Map(name)
	if assert.NoError(t, err, "map %s", name) {
		assert.True(t, bytes.Equal(want, m.Bytes()), "content of %s, mapped", name)
		assert.NoError(t, m.Close())
	}
}

// assertAbsent fails if path can be reached in any way.
func assertAbsent(t testing.TB, fsys *FS, path string) {
	t.Helper()
	want := fs.ErrNotExist
	if !fs.ValidPath(path) {
		want = fs.ErrInvalid
	}
	_, err := fsys.Open(path)
	assert.ErrorIs(t, err, want, "open %q", path)
	_, err = fsys.Stat(path)
	assert.ErrorIs(t, err, want, "stat %q", path)
	_, err = fsys.ReadFile(path)
	assert.ErrorIs(t, err, want, "read %q", path)
	_, err = fsys.Map(path)
	assert.ErrorIs(t, err, want, "map %q", path)
}

// forgedTree returns everything in a file system, and for files their units.
func forgedTree(t testing.TB, fsys *FS) map[string][]int64 {
	t.Helper()
	tree := map[string][]int64{}
	require.NoError(t, fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		units := []int64{}
		for _, x := range st.Sys().(*Attr).Layout.Extents {
			for at := x.Offset; at < x.Offset+x.Length; at += defaultUnit {
				units = append(units, at/defaultUnit)
			}
		}
		tree[path] = units
		return nil
	}))
	return tree
}
