package famfs

// What Format leaves on the medium, byte by byte. The bytes that are expected are put
// together here from the offsets of the format's description, never by the codecs, which
// could be wrong in both directions at once. What Create leaves is in create_bytes_test.go.

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rawBytes is a record that is put together by hand.
type rawBytes []byte

func (b rawBytes) u32(at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
func (b rawBytes) u64(at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }

// crc puts the CRC of all bytes before at to at.
func (b rawBytes) crc(at int) { b.u64(at, uint64(crc32.ChecksumIEEE(b[:at]))) }

// extents puts device index, offset and length of each to at.
func (b rawBytes) extents(at int, extents ...[3]uint64) {
	for i, x := range extents {
		for j, v := range x {
			b.u64(at+24*i+8*j, v)
		}
	}
}

// readRaw reads part of a device as a plain file.
func readRaw(t testing.TB, path string, off, n int64) []byte {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	b := make([]byte, n)
	readAt(t, f, b, off)
	return b
}

// requireBytes compares large slices, and tells only of the first difference.
func requireBytes(t testing.TB, want, got []byte, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	if bytes.Equal(want, got) {
		return
	}
	for i := range want {
		if want[i] != got[i] {
			end := min(i+16, len(want))
			require.Equal(t, want[i:end], got[i:end], "%s: from byte %d on", what, i)
		}
	}
}

// requireFresh checks that a device carries an empty file system of testHost, and not
// one byte else up to the end of the log.
func requireFresh(t testing.TB, path string, logSize, size int64) {
	t.Helper()
	image := readRaw(t, path, 0, 2<<20+logSize)

	// The two random ids are the only bytes that cannot be known.
	id, deviceID := UUID(image[48:64]), UUID(image[64:80])
	assertVersion4(t, id)
	assertVersion4(t, deviceID)
	assert.NotEqual(t, id, deviceID)

	want := make(rawBytes, len(image))
	want.u64(0, 0x87b282ff)
	want.u64(8, 48)
	want.u64(16, 0x200000)
	want.u64(24, uint64(logSize))
	want.u64(32, 0x200000)
	want.u32(40, 2)
	want.u32(44, 2)
	copy(want[48:], id[:])
	copy(want[64:], deviceID[:])
	copy(want[80:], "\x01\x23\x45\x67\x89\xab\x4c\xde\x8f\x01\x23\x45\x67\x89\xab\xcd")
	want[:104].crc(96)
	want.u32(104, 1) // primary
	want.u64(112, uint64(size))
	copy(want[136:200], path)
	const second = 65536 // its copy, with a checksum of all but the superblock's
	copy(want[second:], want[:200])
	want.u64(second+200, uint64(crc32.ChecksumIEEE(slices.Concat(want[:96], want[104:200]))))

	header := want[0x200000:]
	header.u64(0, 0xbadcafef00d)
	header.u64(8, uint64(logSize))
	header.u64(16, uint64((logSize-48)/544-1))
	header[:32].crc(24)

	clearRecords(image)
	requireBytes(t, want, image, "the image of a new file system")
}

// clearRecords clears the notes that there was a file system before.
func clearRecords(image []byte) {
	for i := range recordPlaces {
		b := image[recordPlace(i):][:recordSize]
		if _, ok := decodeRecord((*[recordSize]byte)(b)); ok {
			clear(b)
		}
	}
}

func TestFormatImage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		logSize, size int64
		opts          []FormatOption
	}{
		"default":        {8 << 20, 64 << 20, nil},
		"smallest":       {8 << 20, 12 << 20, nil},
		"a byte more":    {8 << 20, 12<<20 + 1, nil},
		"default, asked": {8 << 20, 16 << 20, []FormatOption{LogSize(DefaultLogSize)}},
		"16 MiB":         {16 << 20, 20 << 20, []FormatOption{LogSize(16 << 20)}},
		"64 MiB":         {64 << 20, 128 << 20, []FormatOption{LogSize(64 << 20)}},
		"last one wins":  {16 << 20, 64 << 20, []FormatOption{LogSize(1), LogSize(16 << 20)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fileBacking(t, test.size)
			require.NoError(t, Format(path, append(test.opts, WithSystemUUID(testHost))...))
			requireFresh(t, path, test.logSize, test.size)

			fsys := openTest(t, path)
			assert.Equal(t, Master, fsys.Role())
			assert.Equal(t, test.size, fsys.Superblock().DeviceSize)
			assert.Zero(t, fsys.Usage().LogUsed)
			entries, err := fsys.ReadDir(".")
			require.NoError(t, err)
			assert.Empty(t, entries)
			report, err := Check(path)
			require.NoError(t, err)
			assert.True(t, report.Clean(), "%v", report.Err())
		})
	}
}

// A device is full of what was there before: garbage, an old log, the superblock of
// something else. None of it shines through, and no file data is touched.
func TestFormatOverGarbage(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	garbage := bytes.Repeat([]byte{0xaa}, size)
	tests := map[string]struct {
		content func(t *testing.T, path string)
		opts    []FormatOption
		logSize int64
		data    []byte // what the data area holds before and after
	}{
		"bytes of 0xAA": {
			func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, garbage, 0o600)) },
			[]FormatOption{Force()}, 8 << 20, garbage,
		},
		"and a longer log": {
			func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, garbage, 0o600)) },
			[]FormatOption{LogSize(16 << 20), Force()}, 16 << 20, garbage,
		},
		"an old file system": {
			func(t *testing.T, path string) {
				require.NoError(t, os.WriteFile(path, garbage, 0o600))
				require.NoError(t, Format(path, WithSystemUUID(otherHost), LogSize(16<<20), Force()))
				fsys, err := Open(path, ReadWrite(), WithSystemUUID(otherHost))
				require.NoError(t, err)
				for _, name := range []string{"a", "b", "c"} {
					require.NoError(t, fsys.Mkdir(name, 0o700))
					require.NoError(t, fsys.WriteFile(name+"/f", bytes.Repeat([]byte{0xaa}, 2*mib), 0o600))
				}
				require.NoError(t, fsys.Close())
			},
			[]FormatOption{Force()}, 8 << 20, nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fileBacking(t, size)
			test.content(t, path)
			require.NoError(t, Format(path, append(test.opts, WithSystemUUID(testHost))...))
			requireFresh(t, path, test.logSize, size)
			assert.Empty(t, mustProblems(t, path))
			if test.data != nil {
				from := int64(2<<20) + test.logSize
				requireBytes(t, test.data[from:], readRaw(t, path, from, size-from), "file data")
			}
		})
	}
}

func mustProblems(t testing.TB, path string) []Problem {
	t.Helper()
	report, err := Check(path)
	require.NoError(t, err)
	return report.Problems
}

func TestFormatRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		size int64
		opts []FormatOption
		says string
	}{
		"log of 0":                  {64 << 20, []FormatOption{LogSize(0)}, "log length 0"},
		"log of 1":                  {64 << 20, []FormatOption{LogSize(1)}, "log length 1"},
		"negative log":              {64 << 20, []FormatOption{LogSize(-8 << 20)}, "log length -8388608"},
		"smallest number":           {64 << 20, []FormatOption{LogSize(-1 << 63)}, "log length"},
		"log of 4 MiB":              {64 << 20, []FormatOption{LogSize(4 << 20)}, "want a power of two of at least 8388608"},
		"log of no power of two":    {64 << 20, []FormatOption{LogSize(12 << 20)}, "want a power of two"},
		"log a byte too long":       {64 << 20, []FormatOption{LogSize(8<<20 + 1)}, "want a power of two"},
		"log as large as device":    {64 << 20, []FormatOption{LogSize(64 << 20)}, "pass the end of the device"},
		"log larger than device":    {64 << 20, []FormatOption{LogSize(1 << 40)}, "pass the end of the device"},
		"largest power of two":      {64 << 20, []FormatOption{LogSize(1 << 62)}, "pass the end of the device"},
		"no room for a file":        {10 << 20, nil, "want at least 12582912"},
		"a byte short of a file":    {12<<20 - 1, nil, "want at least 12582912"},
		"short of it, longer log":   {20<<20 - 1, []FormatOption{LogSize(16 << 20)}, "want at least 20971520"},
		"no room for the log":       {9 << 20, nil, "pass the end of the device"},
		"a page":                    {4096, nil, "pass the end of the device"},
		"a byte":                    {1, nil, "pass the end of the device"},
		"a byte, though formatting": {1, []FormatOption{Force()}, "pass the end of the device"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fileBacking(t, test.size)
			err := Format(path, append(test.opts, WithSystemUUID(testHost))...)
			require.ErrorIs(t, err, fs.ErrInvalid)
			assert.ErrorContains(t, err, "famfs: format "+path)
			assert.ErrorContains(t, err, test.says)
			requireBytes(t, make([]byte, min(test.size, 4096)), readRaw(t, path, 0, min(test.size, 4096)), "the device is as it was")
		})
	}
}

func TestFormatRefusesPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	tests := map[string]struct {
		path string
		want error
	}{
		"directory": {dir, ErrDevice},
		"missing":   {filepath.Join(dir, "missing"), fs.ErrNotExist},
		"empty":     {empty, ErrDevice},
		"no device": {os.DevNull, ErrDevice},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Format(test.path, WithSystemUUID(testHost), Force())
			require.ErrorIs(t, err, test.want)
			assert.ErrorContains(t, err, "famfs: format "+test.path)
		})
	}
	assert.NoFileExists(t, filepath.Join(dir, "missing"), "the device is never created")
}

func TestFormatAgain(t *testing.T) {
	t.Parallel()
	path := fileBacking(t, 32<<20)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	fsys := openTest(t, path, ReadWrite())
	require.NoError(t, fsys.WriteFile("precious", pattern(100_000, 1), 0o600))
	require.NoError(t, fsys.Close())
	before := readRaw(t, path, 0, 32<<20)

	for _, id := range []UUID{testHost, otherHost} {
		err := Format(path, WithSystemUUID(id), LogSize(16<<20))
		require.ErrorIs(t, err, fs.ErrExist)
		assert.ErrorContains(t, err, UUID(before[48:64]).String())
		assert.ErrorContains(t, err, "format with force to lose it")
	}
	// Nor is one of another version lost, or a damaged one.
	image, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = image.WriteAt([]byte{99}, 8)
	require.NoError(t, err)
	require.ErrorIs(t, Format(path, WithSystemUUID(testHost)), fs.ErrExist)
	_, err = image.WriteAt(before[8:9], 8)
	require.NoError(t, err)
	require.NoError(t, image.Close())
	requireBytes(t, before, readRaw(t, path, 0, 32<<20), "a device that is not to be formatted")

	require.NoError(t, Format(path, WithSystemUUID(testHost), Force()))
	requireFresh(t, path, 8<<20, 32<<20)
	assert.NotEqual(t, before[48:64], readRaw(t, path, 48, 16), "it is another file system")
	reopened := openTest(t, path)
	_, err = reopened.Stat("precious")
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// The device's name takes up to 64 bytes, and then has no NUL.
func TestFormatDeviceName(t *testing.T) {
	t.Parallel()
	needsFile(t, "the test names devices")
	for _, length := range []int{63, 64, 65, 200} {
		dir := testDir(t)
		if len(dir)+2 > length {
			dir = t.TempDir()
		}
		if len(dir)+2 > length {
			t.Skipf("no folder has a name short enough: %s", dir)
		}
		path := filepath.Join(dir, strings.Repeat("n", length-len(dir)-1))
		require.Len(t, path, length)
		require.NoError(t, CreateBacking(path, 16<<20))
		require.NoError(t, Format(path, WithSystemUUID(testHost)))
		requireFresh(t, path, 8<<20, 16<<20)

		want := path[:min(length, 64)]
		field := make([]byte, 64)
		copy(field, want)
		assert.Equal(t, field, readRaw(t, path, 136, 64))
		requireBytes(t, make([]byte, 65536-200), readRaw(t, path, 200, 65536-200), "behind the superblock")
		requireBytes(t, make([]byte, 2<<20-65536-208), readRaw(t, path, 65536+208, 2<<20-65536-208), "behind its copy")
		assert.Equal(t, want, openTest(t, path).Superblock().DeviceName)
	}
}

func TestFormatRecordsMaster(t *testing.T) {
	t.Parallel()
	path := testBacking(t, testSize)
	for _, id := range []UUID{testHost, otherHost} {
		require.NoError(t, Format(path, WithSystemUUID(id), Force()))
		for _, host := range []UUID{testHost, otherHost} {
			want := Client
			if host == id {
				want = Master
			}
			fsys, err := Open(path, WithSystemUUID(host))
			require.NoError(t, err)
			assert.Equal(t, want, fsys.Role())
			assert.Equal(t, id, fsys.Superblock().SystemUUID)
			require.NoError(t, fsys.Close())

			fsys, err = Open(path, WithSystemUUID(host), ReadWrite())
			if want == Client {
				require.ErrorIs(t, err, ErrNotMaster)
				continue
			}
			require.NoError(t, err)
			require.NoError(t, fsys.Close())
		}
	}
}

func TestWipe(t *testing.T) {
	t.Parallel()
	for name, logSize := range map[string]int64{"least log": minLogSize, "longer log": 2 * minLogSize} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, path := master(t, testSize, LogSize(logSize))
			require.NoError(t, m.Mkdir("d", 0o755))
			require.NoError(t, m.WriteFile("d/f", pattern(100, 1), 0o644))
			require.NoError(t, m.Close())
			require.NoError(t, Wipe(path))
			_, err := Open(path)
			assert.ErrorIs(t, err, ErrNotFormatted)
			image := readMetadata(t, path)
			clearRecords(image)
			assert.Zero(t, bytes.Trim(image, "\x00"))
			assert.ErrorIs(t, Wipe(path), ErrNotFormatted)
			require.NoError(t, Format(path, WithSystemUUID(testHost), LogSize(logSize)), "without Force")
			assert.Zero(t, openTest(t, path).Usage().LogUsed)
		})
	}
	t.Run("missing", func(t *testing.T) {
		assert.ErrorIs(t, Wipe(filepath.Join(t.TempDir(), "missing")), fs.ErrNotExist)
	})
	t.Run("small file", func(t *testing.T) {
		t.Parallel()
		path := fileWith(t, 0, []byte("text"))
		require.NoError(t, os.Truncate(path, 5000))
		err := Wipe(path)
		assert.ErrorIs(t, err, ErrNotFormatted)
		assert.ErrorContains(t, err, "device of 5000 bytes: too small for famfs, whose metadata alone takes 10485760")
		requireBytes(t, []byte("text"), readRaw(t, path, 0, 4), "a file that is no famfs")
	})
}
