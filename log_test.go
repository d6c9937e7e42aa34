package famfs

// The codecs of log header, log entry and modes. testdata holds records that the reference
// implementation wrote, so that a checkout alone shows that this package reads and writes the
// same bytes. golden_test.go does that for whole images.

import (
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

// assertSameEntry compares the fields of this kind of entry. Fields of other kinds may hold what
// was decoded before.
func assertSameEntry(t testing.TB, want, got *entry) {
	t.Helper()
	assert.Equal(t, sayings(want), sayings(got))
}

// sayings returns what e says, without how it is stored.
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
	case typeRemoval, typeSeal:
		s.path, s.unterminated, s.removes = e.path, e.unterminated, e.removes
		if e.kind == typeSeal {
			s.sum = e.sum
		}
	case typeAddDev:
		s.deviceSize, s.deviceUUID, s.deviceIndex = e.deviceSize, e.deviceUUID, e.deviceIndex
	}
	s.path = append([]byte{}, s.path...)
	return s
}

// randomEntry returns an entry that can be encoded, but may make no sense.
func randomEntry(r *rand.Rand) *entry {
	e := &entry{seq: r.Uint64(), kind: [...]uint32{typeFile, typeFile, typeMkdir, typeAddDev, typeRemoval, typeSeal}[r.IntN(6)]}
	if e.kind == typeAddDev {
		e.deviceSize, e.deviceIndex, e.deviceUUID = r.Uint64(), r.Uint32(), NewUUID()
		return e
	}
	e.path = make([]byte, r.IntN(maxPath+1))
	for i := range e.path {
		e.path[i] = byte(1 + r.IntN(255))
	}
	if e.kind == typeRemoval || e.kind == typeSeal {
		e.removes = r.Uint64()
		if e.kind == typeSeal {
			e.sum.Kind = SumKind(r.Uint32())
			fillPattern(e.sum.Bytes[:], r.Uint64())
		}
		return e
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

		// A change of any single bit is noticed.
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

// The CRC field has 8 bytes, and the CRC fills 4: the others must be zero.
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
	// Bits without a meaning here, such as the kind of a file, are dropped.
	s := newSlab()
	s.fill(0, &entry{kind: typeMkdir, mode: 0o40755}, "d", 0, 0)
	assert.Equal(t, 0o755|fs.ModeDir, s.records[0].fileMode())
}
