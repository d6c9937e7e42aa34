package famfs

// What Create leaves on the medium, byte by byte. As in mkfs_test.go, the expected bytes are
// made from the offsets of the format's description, never with the codecs.

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rawEntry begins an entry of the log.
func rawEntry(index uint64, kind uint32) rawBytes {
	b := make(rawBytes, 544)
	b.u64(0, index)
	b.u32(8, kind)
	return b
}

// rawFile is the entry of a file without its map and CRC.
func rawFile(index, size uint64, uid, gid, mode uint32, path string) rawBytes {
	b := rawEntry(index, 0)
	b.u64(16, size)
	b.u32(24, 2)
	b.u32(28, uid)
	b.u32(32, gid)
	b.u32(36, mode)
	copy(b[40:120], path)
	return b
}

// requireLog checks that the log consists of these entries, whose CRCs are still missing, and of
// zeros behind them.
func requireLog(t testing.TB, path string, logSize int64, entries ...rawBytes) {
	t.Helper()
	want := make(rawBytes, logSize)
	want.u64(0, 0xbadcafef00d)
	want.u64(8, uint64(logSize))
	want.u64(16, uint64((logSize-48)/544-1))
	want[:32].crc(24)
	want.u64(32, uint64(len(entries)))
	want.u64(40, uint64(len(entries)))
	for i, e := range entries {
		e.crc(536)
		copy(want[48+544*i:], e)
	}
	log := readRaw(t, path, 2<<20, logSize)
	for i, e := range entries {
		at := 48 + 544*i
		requireBytes(t, e, log[at:at+544], "entry "+string(rune('0'+i)))
	}
	requireBytes(t, want, log, "the log")
}

// on64MiB is a master's file system on a file of 64 MiB: data begins with unit 5.
func on64MiB(t testing.TB) (*FS, string) {
	t.Helper()
	path := fileBacking(t, 64<<20)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	return openTest(t, path, ReadWrite()), path
}

const rawUnit = 2 << 20

func TestCreateBytesSimple(t *testing.T) {
	t.Parallel()
	fsys, path := on64MiB(t)
	long := strings.Repeat("d", 39) + "/" + strings.Repeat("n", 39)
	require.Len(t, long, 79)
	create := func(name string, size int64, opts ...CreateOption) {
		p, err := fsys.Create(name, size, opts...)
		require.NoError(t, err)
		fillPattern(p.Bytes(), uint64(size))
		require.NoError(t, p.Commit())
	}
	create("one", 1, Mode(0o600), Owner(1, 2))
	create("two units and a byte", 2*rawUnit+1, Mode(0o7777), Owner(0xffffffff, 0xfffffffe))
	require.NoError(t, fsys.Mkdir(strings.Repeat("d", 39), 0o750|fs.ModeSticky|fs.ModeDir))
	create(long, rawUnit, Mode(0o4755|fs.ModeSetgid), Owner(7, 8))
	create("größer", rawUnit-1, Owner(7, 8))

	// Go's mode bits for setuid and the like differ from those of the format.
	one := rawFile(0, 1, 1, 2, 0o600, "one")
	one.u32(128, 1)
	one.extents(136, [3]uint64{0, 5 * rawUnit, rawUnit})
	two := rawFile(1, 2*rawUnit+1, 0xffffffff, 0xfffffffe, 0o777, "two units and a byte")
	two.u32(128, 1)
	two.extents(136, [3]uint64{0, 6 * rawUnit, 3 * rawUnit})
	dir := rawEntry(2, 1)
	dir.u32(16, uint32(max(os.Getuid(), 0)))
	dir.u32(20, uint32(max(os.Getgid(), 0)))
	dir.u32(24, 0o1750)
	copy(dir[28:108], strings.Repeat("d", 39))
	three := rawFile(3, rawUnit, 7, 8, 0o2755, long)
	three.u32(128, 1)
	three.extents(136, [3]uint64{0, 9 * rawUnit, rawUnit})
	four := rawFile(4, rawUnit-1, 7, 8, 0o644, "gr\xc3\xb6\xc3\x9fer")
	four.u32(128, 1)
	four.extents(136, [3]uint64{0, 10 * rawUnit, rawUnit})
	requireLog(t, path, 8<<20, one, two, dir, three, four)

	requireBytes(t, pattern(2*rawUnit+1, 2*rawUnit+1), readRaw(t, path, 6*rawUnit, 2*rawUnit+1), "the file's data")
	requireBytes(t, make([]byte, rawUnit-1), readRaw(t, path, 8*rawUnit+1, rawUnit-1), "behind the file's end")
}

func TestCreateBytesSeveralExtents(t *testing.T) {
	t.Parallel()
	path := fileBacking(t, 11*rawUnit)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	fsys := openTest(t, path, ReadWrite())
	// Six units: those of every other file become free again.
	var pending []*PendingFile
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		p, err := fsys.Create(name, rawUnit, Owner(3, 4))
		require.NoError(t, err)
		pending = append(pending, p)
	}
	var want []rawBytes
	for i, p := range pending {
		if i%2 == 0 {
			require.NoError(t, p.Close())
			continue
		}
		require.NoError(t, p.Commit())
		e := rawFile(uint64(len(want)), rawUnit, 3, 4, 0o644, p.name)
		e.u32(128, 1)
		e.extents(136, [3]uint64{0, uint64(5+i) * rawUnit, rawUnit})
		want = append(want, e)
	}
	p, err := fsys.Create("g", 3*rawUnit-100, Mode(0o640), Owner(5, 6))
	require.NoError(t, err)
	fillPattern(p.Bytes(), 9)
	require.NoError(t, p.Commit())
	e := rawFile(3, 3*rawUnit-100, 5, 6, 0o640, "g")
	e.u32(128, 3)
	e.extents(136, [3]uint64{0, 5 * rawUnit, rawUnit}, [3]uint64{0, 7 * rawUnit, rawUnit}, [3]uint64{0, 9 * rawUnit, rawUnit})
	requireLog(t, path, 8<<20, append(want, e)...)

	data := pattern(3*rawUnit-100, 9)
	for i := range 3 {
		part := data[i*rawUnit : min((i+1)*rawUnit, len(data))]
		requireBytes(t, part, readRaw(t, path, int64(5+2*i)*rawUnit, int64(len(part))), "an extent's data")
	}
}

func TestCreateBytesInterleaved(t *testing.T) {
	t.Parallel()
	fsys, path := on64MiB(t) // 32 units, in two buckets
	i := Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: rawUnit})
	p, err := fsys.Create("striped", 5<<20, i, Owner(1, 1))
	require.NoError(t, err)
	fillPattern(p.Bytes(), 21)
	require.NoError(t, p.Commit())
	// The next one begins with the next bucket.
	p, err = fsys.Create("again", 2*rawUnit, i, Owner(1, 1))
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	// A file of exactly one chunk is interleaved, a shorter one is not.
	p, err = fsys.Create("chunk", rawUnit, i, Owner(1, 1))
	require.NoError(t, err)
	require.Equal(t, Layout{Chunk: rawUnit, Extents: []Extent{{Offset: 8 * rawUnit, Length: rawUnit}, {Offset: 19 * rawUnit, Length: rawUnit}}}, p.home.place)
	require.NoError(t, p.Close())
	p, err = fsys.Create("short", rawUnit-1, i, Owner(1, 1))
	require.NoError(t, err)
	require.NoError(t, p.Commit())

	striped := rawFile(0, 5<<20, 1, 1, 0o644, "striped")
	striped.u32(120, 1)
	striped.u32(128, 1)
	striped.u64(136, 2)
	striped.u64(144, rawUnit)
	striped.extents(152, [3]uint64{0, 5 * rawUnit, 2 * rawUnit}, [3]uint64{0, 16 * rawUnit, 2 * rawUnit})
	again := rawFile(1, 2*rawUnit, 1, 1, 0o644, "again")
	again.u32(120, 1)
	again.u32(128, 1)
	again.u64(136, 2)
	again.u64(144, rawUnit)
	again.extents(152, [3]uint64{0, 18 * rawUnit, rawUnit}, [3]uint64{0, 7 * rawUnit, rawUnit})
	short := rawFile(2, rawUnit-1, 1, 1, 0o644, "short")
	short.u32(128, 1)
	short.extents(136, [3]uint64{0, 8 * rawUnit, rawUnit})
	requireLog(t, path, 8<<20, striped, again, short)

	data := pattern(5<<20, 21)
	requireBytes(t, data[:rawUnit], readRaw(t, path, 5*rawUnit, rawUnit), "first chunk, on strip 0")
	requireBytes(t, data[rawUnit:2*rawUnit], readRaw(t, path, 16*rawUnit, rawUnit), "second chunk, on strip 1")
	requireBytes(t, data[2*rawUnit:], readRaw(t, path, 6*rawUnit, 1<<20), "third chunk, on strip 0")
}
