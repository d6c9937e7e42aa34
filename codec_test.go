package famfs

// The codecs of superblock, log header and log entry, of modes and UUIDs, and the
// arithmetic of layouts. testdata holds records that the reference implementation
// wrote, so that a checkout alone proves that this package reads and writes the
// same bytes; golden_test.go does so for whole images.

import (
	"bytes"
	"encoding/hex"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testRecord returns the bytes of testdata/name.hex.
func testRecord(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	require.NoError(t, err)
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	require.NoError(t, err)
	return b
}

func TestReferenceSuperblock(t *testing.T) {
	t.Parallel()
	b := [superblockSize]byte(testRecord(t, "superblock"))
	sb, err := decodeSuperblock(&b, 128*mib)
	require.NoError(t, err)
	assert.Equal(t, Superblock{
		Version:    48,
		LogOffset:  0x200000,
		LogSize:    8 * mib,
		AllocUnit:  2 * mib,
		OMFMajor:   2,
		OMFMinor:   2,
		UUID:       parseUUID(t, "848a9e4b-8766-4b3c-a40d-cfcf8f511e5a"),
		DeviceUUID: parseUUID(t, "2125be9a-1f5e-411a-a4e4-cba2e8de0aeb"),
		SystemUUID: parseUUID(t, "01234567-89ab-4cde-8f01-23456789abcd"),
		DeviceSize: 128 * mib,
		DeviceName: "/dev/dax0.0",
	}, sb)
	assert.Equal(t, defined(b), defined(sb.encode()))
}

func TestReferenceLogHeader(t *testing.T) {
	t.Parallel()
	b := [logHeaderSize]byte(testRecord(t, "log-header"))
	h, err := decodeLogHeader(&b, 8*mib)
	require.NoError(t, err)
	assert.Equal(t, logHeader{last: 15419, next: 14, seq: 14}, h)
	empty := encodeLogHeader(8 * mib)
	assert.Equal(t, b[:nextSeqAt], empty[:nextSeqAt])
	assert.Equal(t, make([]byte, 16), empty[nextSeqAt:])
}

func TestReferenceEntries(t *testing.T) {
	t.Parallel()
	extents := func(length uint64, offsets ...uint64) (all []rawExtent) {
		for _, offset := range offsets {
			all = append(all, rawExtent{0, offset, length})
		}
		return all
	}
	for _, c := range []struct {
		name string
		want entry
	}{
		{"entry-file-simple", entry{
			seq: 10, kind: typeFile, path: []byte("top2/pp1"), size: 4097, flags: fileFlagReadWrite, mode: 0o4755,
			uid: math.MaxUint32 - 1, gid: math.MaxUint32 - 1,
			mapType: mapSimple, count: 1, extents: extents(2*mib, 29360128),
		}},
		{"entry-file-16-extents", entry{
			seq: 3, kind: typeFile, path: []byte("me/sixteen"), size: 33000001, flags: fileFlagReadWrite, mode: 0o640, uid: 30, gid: 40,
			mapType: mapSimple, count: 16, extents: extents(2*mib,
				29360128, 153092096, 35651584, 106954752, 165675008, 25165824, 144703488, 67108864,
				18874368, 33554432, 125829120, 121634816, 27262976, 73400320, 178257920, 157286400),
		}},
		{"entry-file-interleaved", entry{
			seq: 4, kind: typeFile, path: []byte("st/s3_2M_9437307"), size: 9437307, flags: fileFlagReadWrite, mode: 0o644, uid: 3, gid: 4,
			mapType: mapInterleaved, count: 1, strips: 3, chunk: 2 * mib, extents: extents(4*mib, 469762048, 335544320, 73400320),
		}},
		{"entry-mkdir", entry{seq: 3, kind: typeMkdir, path: []byte("top2"), mode: 0o1777, gid: 100}},
		{"entry-adddaxdev", entry{
			seq: 3, kind: typeAddDev, deviceSize: 8 << 40, deviceIndex: 2,
			deviceUUID: UUID{0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x43, 0x21, 0x8f, 0xed, 0xcb, 0xa9, 0x87, 0x65, 0x43, 0x21},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := [entrySize]byte(testRecord(t, c.name))
			require.NoError(t, checkEntry(&b, c.want.seq))
			var e entry
			e.decode(&b)
			assertSameEntry(t, &c.want, &e)
			assert.Equal(t, b, e.encode(), "what was decoded, encoded")
			assert.Equal(t, b, c.want.encode(), "what is expected, encoded")
			require.NoError(t, e.check(string(e.path), geometry{unit: 2 * mib, dataStart: 10 * mib, size: 512 * mib}))
		})
	}
}

// assertSameEntry compares all that an entry of this kind says; fields of other kinds
// may hold what was decoded before.
func assertSameEntry(t testing.TB, want, got *entry) {
	t.Helper()
	assert.Equal(t, sayings(want), sayings(got))
}

// sayings returns what e says, and nothing of how it is kept.
func sayings(e *entry) entry {
	s := entry{seq: e.seq, kind: e.kind}
	switch e.kind {
	case typeFile:
		s.path, s.unterminated, s.size, s.flags, s.mapType, s.count = e.path, e.unterminated, e.size, e.flags, e.mapType, e.count
		s.uid, s.gid, s.mode = e.uid, e.gid, e.mode
		if e.mapType == mapInterleaved {
			s.strips, s.chunk = e.strips, e.chunk
		}
		s.extents = append([]rawExtent{}, e.extents...)
	case typeMkdir:
		s.path, s.unterminated, s.uid, s.gid, s.mode = e.path, e.unterminated, e.uid, e.gid, e.mode
	case typeAddDev:
		s.deviceSize, s.deviceUUID, s.deviceIndex = e.deviceSize, e.deviceUUID, e.deviceIndex
	}
	s.path = append([]byte{}, s.path...)
	return s
}

// randomEntry returns one that can be encoded, though it need not make sense.
func randomEntry(r *rand.Rand) *entry {
	e := &entry{seq: r.Uint64(), kind: [...]uint32{typeFile, typeFile, typeMkdir, typeAddDev}[r.IntN(4)]}
	if e.kind == typeAddDev {
		e.deviceSize, e.deviceIndex, e.deviceUUID = r.Uint64(), r.Uint32(), NewUUID()
		return e
	}
	e.path = make([]byte, r.IntN(maxPath+1))
	for i := range e.path {
		e.path[i] = byte(1 + r.IntN(255))
	}
	e.uid, e.gid, e.mode = r.Uint32(), r.Uint32(), r.Uint32()
	if e.kind == typeMkdir {
		return e
	}
	e.size, e.flags, e.mapType = r.Uint64(), r.Uint32(), uint32(r.IntN(2))
	e.extents = e.extentSpace[:r.IntN(maxExtents+1)]
	for i := range e.extents {
		e.extents[i] = rawExtent{r.Uint64(), r.Uint64(), r.Uint64()}
	}
	e.count = uint32(len(e.extents))
	if e.mapType == mapInterleaved {
		e.count, e.strips, e.chunk = r.Uint32(), uint64(len(e.extents)), r.Uint64()
	}
	return e
}

func TestEntryRoundTrip(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var got entry // used again, as when a log is replayed
	for range 2000 {
		e := randomEntry(r)
		b := e.encode()
		require.NoError(t, checkEntry(&b, e.seq))
		got.decode(&b)
		assertSameEntry(t, e, &got)
		require.Equal(t, b, got.encode())

		// One bit anywhere is enough to be noticed.
		at := r.IntN(entrySize)
		b[at] ^= 1 << r.IntN(8)
		err := checkEntry(&b, e.seq)
		require.ErrorIs(t, err, ErrChecksum, "byte %d", at)
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

func TestEntrySequence(t *testing.T) {
	t.Parallel()
	e := entry{seq: 7, kind: typeMkdir, path: []byte("d")}
	b := e.encode()
	require.NoError(t, checkEntry(&b, 7))
	for _, index := range []uint64{0, 6, 8, 7 << 32} {
		err := checkEntry(&b, index)
		require.ErrorIs(t, err, ErrCorrupt)
		assert.NotErrorIs(t, err, ErrChecksum)
		assert.ErrorContains(t, err, "found sequence number 7")
	}
}

// The CRC has 8 bytes, of which it fills 4: the others must be zero.
func TestUpperHalfOfCRC(t *testing.T) {
	t.Parallel()
	e := entry{kind: typeMkdir, path: []byte("d")}
	b := e.encode()
	b[entryCRC+7] = 1
	assert.ErrorIs(t, checkEntry(&b, 0), ErrChecksum)

	h := encodeLogHeader(minLogSize)
	h[logHeaderCRC+4] = 1
	_, err := decodeLogHeader(&h, minLogSize)
	assert.ErrorIs(t, err, ErrChecksum)

	s := [superblockSize]byte(testRecord(t, "superblock"))
	s[superblockCRC+5] = 1
	_, err = decodeSuperblock(&s, 128*mib)
	assert.ErrorIs(t, err, ErrChecksum)
}

func TestSuperblockRoundTrip(t *testing.T) {
	t.Parallel()
	sb := Superblock{
		Version: formatVersion, LogOffset: logOffset, LogSize: minLogSize, AllocUnit: smallUnit, OMFMajor: omfMajor, OMFMinor: omfMinor,
		UUID: NewUUID(), DeviceUUID: NewUUID(), SystemUUID: NewUUID(), DeviceSize: 1 << 40,
	}
	for _, name := range []string{"", "x", strings.Repeat("n", deviceNameSize-1), strings.Repeat("n", deviceNameSize)} {
		sb.DeviceName = name
		b := sb.encode()
		got, err := decodeSuperblock(&b, testSize)
		require.NoError(t, err)
		assert.Equal(t, sb, got)
	}
	want := sb
	want.DeviceName = strings.Repeat("n", deviceNameSize)
	sb.DeviceName += "n"
	b := sb.encode()
	got, err := decodeSuperblock(&b, testSize)
	require.NoError(t, err)
	assert.Equal(t, want, got, "a name that is too long is cut")
}

// Where the fields of the superblock that no reference image sets stand.
func TestSuperblockUncovered(t *testing.T) {
	t.Parallel()
	b := [superblockSize]byte(testRecord(t, "superblock"))
	want, err := decodeSuperblock(&b, 128*mib)
	require.NoError(t, err)
	for at := 104; at < 112; at++ { // flags and padding
		b[at] = 0xff
	}
	for at := 120; at < 136; at++ { // UUID of the primary device entry
		b[at] = 0xff
	}
	got, err := decodeSuperblock(&b, 128*mib)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// What the reference leaves undefined may hold anything, also all of what follows the
// superblock up to the log, and nothing that opens, checks or writes the device minds.
func TestSuperblockUndefinedBytes(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	noise := bytes.Repeat([]byte{0xa5}, superblockArea)
	f.write(104, noise[:8])
	f.write(120, noise[:16])
	f.write(superblockSize, noise[superblockSize:])
	m := openTest(t, f.path, ReadWrite(), Grow())
	assertGood(t, m, "first", firstUnit)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.Close())
	report, err := Check(f.path)
	require.NoError(t, err)
	assert.True(t, report.Clean(), "%v", report.Err())
	assertGood(t, openTest(t, f.path, Salvage()), "first", firstUnit)
	assert.Equal(t, noise[:8], f.read(104, 8), "nothing writes them")
	require.ErrorIs(t, Format(f.path, WithSystemUUID(testHost)), fs.ErrExist)
}

func TestLogCapacity(t *testing.T) {
	t.Parallel()
	assert.EqualValues(t, 15420, lastIndex(8*mib)+1)
	assert.EqualValues(t, 493447, lastIndex(256*mib)+1)
	assert.EqualValues(t, 0x200030, entryAt(0))
	for size := int64(minLogSize); size <= 1<<40; size *= 2 {
		assert.LessOrEqual(t, entryAt(lastIndex(size)+1), logOffset+size)
		assert.Greater(t, entryAt(lastIndex(size)+2), logOffset+size)
	}
}

func TestModeBits(t *testing.T) {
	t.Parallel()
	for bits := range uint32(modeBits + 1) {
		mode := decodeMode(bits)
		require.Equal(t, bits, encodeMode(mode))
		require.Equal(t, fs.FileMode(bits&0o777), mode.Perm())
		require.Zero(t, mode.Type())
	}
	for bits, mode := range map[uint32]fs.FileMode{0o4755: 0o755 | fs.ModeSetuid, 0o2070: 0o070 | fs.ModeSetgid, 0o1777: 0o777 | fs.ModeSticky} {
		assert.Equal(t, mode, decodeMode(bits))
		assert.Equal(t, bits, encodeMode(mode))
	}
	assert.EqualValues(t, 0o755, encodeMode(0o755|fs.ModeDir|fs.ModeSymlink), "kinds of files are not kept in the mode")
	// Bits beyond those that mean anything, such as the kind of a file, are dropped.
	s := newSlab()
	s.fill(0, &entry{kind: typeMkdir, mode: 0o40755}, "d", 0, 0)
	assert.Equal(t, 0o755|fs.ModeDir, s.records[0].fileMode())
}

func TestUUIDText(t *testing.T) {
	t.Parallel()
	const text = "01234567-89ab-4cde-8f01-23456789abcd"
	for _, s := range []string{text, strings.ToUpper(text)} {
		id, err := ParseUUID(s)
		require.NoError(t, err)
		assert.Equal(t, testHost, id)
		assert.Equal(t, text, id.String())
	}
	for range 100 {
		id := NewUUID()
		back, err := ParseUUID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, back)
		require.EqualValues(t, 4, id[6]>>4, "version")
		require.EqualValues(t, 2, id[8]>>6, "variant")
	}
	for _, s := range []string{
		"", text[:35], text + "0", " " + text, text + "\n", "{" + text + "}",
		"01234567089ab-4cde-8f01-23456789abcd",
		"01234567-89ab-4cde-8f01023456789abcd",
		"0123456-789ab-4cde-8f01-23456789abcd",
		"01234567-89ab-4cde-8f01-23456789abcg",
		"01234567-89ab-4cde-8f01-2345678 abcd",
		"0123456789ab4cde8f0123456789abcd",
		"--------8----3----8----3------------",
		strings.Repeat("é", 18),
		strings.Repeat("x", 10000),
	} {
		id, err := ParseUUID(s)
		assert.ErrorIs(t, err, fs.ErrInvalid, "%.50q", s)
		assert.Zero(t, id)
		if err != nil {
			assert.Less(t, len(err.Error()), 500)
		}
	}
}

// layoutByte is where byte x of a file lies, by the words of the format.
func layoutByte(l *Layout, x int64) int64 {
	if l.Chunk == 0 {
		for _, e := range l.Extents {
			if x < e.Length {
				return e.Offset + x
			}
			x -= e.Length
		}
		return -1
	}
	n := int64(len(l.Extents))
	c := x / l.Chunk
	return l.Extents[c%n].Offset + (c/n)*l.Chunk + x%l.Chunk
}

// stripedLayout has strips of the length that a file of size bytes needs, gap bytes apart.
func stripedLayout(size, chunk, n, gap int64) Layout {
	l := Layout{Chunk: chunk}
	length := (size + n*chunk - 1) / (n * chunk) * chunk
	for i := range n {
		l.Extents = append(l.Extents, Extent{Offset: 1000 + (n-1-i)*(length+gap), Length: length})
	}
	return l
}

func TestLayout(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	type layoutCase struct {
		name string
		l    Layout
		size int64
		want []segment // nil: only compared with the formula
	}
	cases := []layoutCase{
		{"one extent", Layout{Extents: []Extent{{0, 40, 20}}}, 17, []segment{{40, 17}}},
		{"three extents", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 40, []segment{{40, 20}, {0, 8}, {100, 12}}},
		{"last extent in part", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 29, []segment{{40, 20}, {0, 8}, {100, 1}}},
		{"last extent not at all", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 28, []segment{{40, 20}, {0, 8}}},
		{"neighbours are one run", Layout{Extents: []Extent{{0, 40, 20}, {0, 60, 8}, {0, 68, 12}, {0, 20, 20}}}, 60, []segment{{40, 40}, {20, 20}}},
		{"one strip is one run", Layout{Chunk: 4, Extents: []Extent{{0, 40, 20}}}, 19, []segment{{40, 19}}},
		{"two strips", Layout{Chunk: 4, Extents: []Extent{{0, 100, 8}, {0, 40, 8}}}, 16, []segment{{100, 4}, {40, 4}, {104, 4}, {44, 4}}},
		{"last stripe in part", Layout{Chunk: 4, Extents: []Extent{{0, 100, 8}, {0, 40, 8}, {0, 60, 8}}}, 14, []segment{{100, 4}, {40, 4}, {60, 4}, {104, 2}}},
		{"strips of one chunk, side by side", Layout{Chunk: 8, Extents: []Extent{{0, 0, 8}, {0, 8, 8}, {0, 16, 8}}}, 24, []segment{{0, 24}}},
	}
	for n := int64(1); n <= 16; n += 3 {
		for _, chunk := range []int64{1, 2, 8} {
			for _, size := range []int64{1, chunk, chunk + 1, n * chunk, n*chunk + 1, 3*n*chunk - 1, 5 * n * chunk} {
				for _, gap := range []int64{0, 3} {
					cases = append(cases, layoutCase{"", stripedLayout(size, chunk, n, gap), size, nil})
				}
			}
		}
	}
	for _, c := range cases {
		if c.want != nil {
			segs, err := c.l.segments(c.size)
			require.NoError(t, err, c.name)
			assert.Equal(t, c.want, segs, c.name)
		}
		for size := int64(1); size <= c.size; size++ {
			segs, err := c.l.segments(size)
			require.NoError(t, err)
			at := int64(0)
			for i, s := range segs {
				require.Positive(t, s.len)
				if i > 0 {
					require.NotEqual(t, segs[i-1].off+segs[i-1].len, s.off, "runs that could be one: %+v of %+v", segs, c.l)
				}
				for j := range s.len {
					if want := layoutByte(&c.l, at); s.off+j != want {
						t.Fatalf("byte %d of %+v: found at %d, want %d", at, c.l, s.off+j, want)
					}
					at++
				}
			}
			require.Equal(t, size, at)
		}
		for x := range c.size {
			off, run := c.l.locate(x)
			require.Positive(t, run)
			for j := range min(run, c.size-x) {
				if want := layoutByte(&c.l, x+j); off+j != want {
					t.Fatalf("byte %d of %+v: found at %d, want %d", x+j, c.l, off+j, want)
				}
			}
		}
	}
}

// A layout of more runs than any system maps is refused before it costs much memory.
func TestLayoutOfTooManyRuns(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	const chunk = smallUnit
	size := int64(maxSegments+2) * chunk
	l := stripedLayout(size, chunk, 2, chunk)
	_, err := l.segments(size)
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, "runs")
	_, err = l.segments(int64(maxSegments+1) * chunk)
	require.ErrorIs(t, err, ErrDevice, "one too many")
	segs, err := l.segments(int64(maxSegments) * chunk)
	require.NoError(t, err)
	assert.Len(t, segs, maxSegments)
}
