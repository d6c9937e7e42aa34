package famfs

// What Format refuses to overwrite: other data, and damaged file systems of its own.

import (
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const formatArea = logOffset + minLogSize

// fileWith returns a file of testSize that holds b at off.
func fileWith(t testing.TB, off int64, b []byte) string {
	t.Helper()
	path := fileBacking(t, testSize)
	writeRaw(t, path, off, b)
	return path
}

func writeRaw(t testing.TB, path string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt(b, off)
	require.NoError(t, err)
}

// requireKept checks that Format without Force refuses path and changes nothing, and that no
// other error of the library suggests Format.
func requireKept(t testing.TB, path string, want error, says string) {
	t.Helper()
	before := readRaw(t, path, 0, formatArea)
	err := Format(path, WithSystemUUID(testHost))
	require.ErrorIs(t, err, want)
	assert.ErrorContains(t, err, says)
	assert.ErrorContains(t, err, "format with force to lose it")
	requireBytes(t, before, readRaw(t, path, 0, formatArea), "what is not to be lost")
	_, err = Open(path)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "format it")
	require.NoError(t, Format(path, WithSystemUUID(testHost), Force()))
	requireFresh(t, path, minLogSize, testSize)
}

func TestFormatKeepsData(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]int64{
		"first byte": 0, "behind the superblock": superblockSize, "end of its area": superblockArea - 1,
		"first entry": logOffset + logHeaderSize, "last byte of the log": formatArea - 1,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fileWith(t, off, []byte{1})
			_, err := Open(path)
			require.ErrorIs(t, err, ErrNotFormatted)
			require.ErrorIs(t, err, ErrNotEmpty)
			assert.ErrorIs(t, Wipe(path), ErrNotFormatted)
			requireKept(t, path, ErrNotEmpty, fmt.Sprintf("data, the first of it at offset %d", off))
		})
	}
	t.Run("behind what is overwritten", func(t *testing.T) {
		t.Parallel()
		path := fileWith(t, formatArea, []byte{1})
		require.ErrorIs(t, Format(path, WithSystemUUID(testHost), LogSize(16*mib)), ErrNotEmpty)
		require.NoError(t, Format(path, WithSystemUUID(testHost)))
		requireBytes(t, []byte{1}, readRaw(t, path, formatArea, 1), "data behind the log")
	})
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		path := fileBacking(t, testSize)
		_, err := Open(path)
		require.ErrorIs(t, err, ErrNotFormatted)
		assert.NotErrorIs(t, err, ErrNotEmpty)
		assert.ErrorContains(t, err, "it is empty: format it first")
	})
	t.Run("a text", func(t *testing.T) {
		t.Parallel()
		path := fileBacking(t, 1000)
		writeRaw(t, path, 0, []byte("root:x:0:0:root:/root:/bin/bash\n"))
		for _, err := range []error{func() error { _, err := Open(path); return err }(), func() error { _, err := Check(path); return err }()} {
			require.ErrorIs(t, err, ErrNotFormatted)
			require.ErrorIs(t, err, ErrNotEmpty)
			assert.ErrorContains(t, err, "device of 1000 bytes: too small for famfs")
		}
	})
}

// Every signature is refused by name, on files, and on devices, which may hold any other bytes.
// Nothing else counts as a signature.
func TestFormatSignatures(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	for _, s := range signatures {
		for _, at := range []int64{s.at[0], s.at[len(s.at)-1]} {
			m := &simImage{mem: make([]byte, formatArea)}
			for i := range m.mem[:signatureSpan] {
				m.mem[i] = 0xa5
			}
			require.NoError(t, checkVacant(m, formatArea, formatArea, false), "bytes that mean nothing, on a device")
			require.ErrorIs(t, checkVacant(m, formatArea, formatArea, true), ErrNotEmpty)
			copy(m.mem[at:], s.magic)
			for _, zeros := range []bool{false, true} {
				err := checkVacant(m, formatArea, formatArea, zeros)
				require.ErrorIs(t, err, ErrNotEmpty)
				assert.ErrorContains(t, err, fmt.Sprintf("holds %s (its signature is at offset %d)", s.what, at))
			}
			m.mem[at+int64(len(s.magic))-1] ^= 1
			require.NoError(t, checkVacant(m, formatArea, formatArea, false), "%s, with a byte changed", s.what)
		}
		assert.LessOrEqual(t, s.at[len(s.at)-1]+int64(len(s.magic)), int64(signatureSpan))
	}
	t.Run("partition table", func(t *testing.T) {
		m := &simImage{mem: make([]byte, formatArea)}
		m.mem[510], m.mem[511] = 0x55, 0xaa
		require.NoError(t, checkVacant(m, formatArea, formatArea, false), "without a partition")
		m.mem[446], m.mem[450] = 0x80, 0x83
		assert.ErrorContains(t, checkVacant(m, formatArea, formatArea, false), "a DOS partition table")
		m.mem[462] = 7
		require.NoError(t, checkVacant(m, formatArea, formatArea, false), "with a state that no partition has")
	})
	t.Run("on a file", func(t *testing.T) {
		requireKept(t, fileWith(t, 257, []byte("ustar\x0000")), ErrNotEmpty, "a tar archive")
	})
}

// A file system with a damaged superblock, or even a damaged log header, still counts as one: by the second
// copy of the superblock, and without one too.
func TestFormatKeepsDamaged(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		damage func(f *forgery)
		says   string
	}{
		"a bit of the magic": {func(f *forgery) { f.superblock(nil, flip(0)) }, "(without its magic)"},
		"no magic":           {func(f *forgery) { f.superblock(nil, put64(0, 0)) }, "(without its magic)"},
		"and no log header": {func(f *forgery) {
			f.superblock(nil, flip(3))
			f.header(nil, flip(0))
		}, "(without its magic)"},
		"no superblock":      {func(f *forgery) { f.write(0, make([]byte, 4096)) }, "a famfs log of 2 entries"},
		"and bad counters":   {func(f *forgery) { f.write(0, make([]byte, 4096)); f.setNext(1 << 40) }, "a famfs log"},
		"and no header":      {func(f *forgery) { f.write(0, make([]byte, logOffset+logHeaderSize)) }, "entries of a famfs log"},
		"another version":    {func(f *forgery) { f.superblock(put64(8, 49), nil) }, "famfs file system"},
		"superblock and CRC": {func(f *forgery) { f.superblock(nil, flip(50)) }, "famfs file system"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range 4 {
				wipe, copied := i%2 == 1, i/2 == 1
				f := newForgery(t)
				f.good("first", firstUnit)
				f.good("last", lastUnit)
				test.damage(f)
				says := test.says
				if !copied {
					f.write(copyAt, make([]byte, copySize))
				} else if name != "and no header" { // nor copy
					says = "famfs file system"
				}
				_, err := Open(f.path)
				assert.NotErrorIs(t, err, ErrNotFormatted)
				report, err := Check(f.path)
				require.NoError(t, err)
				assert.Equal(t, 2, report.Usage.Files)
				if !wipe {
					requireKept(t, f.path, fs.ErrExist, says)
					continue
				}
				require.NoError(t, Wipe(f.path))
				require.ErrorIs(t, Wipe(f.path), ErrNotFormatted)
				require.NoError(t, Format(f.path, WithSystemUUID(testHost)))
			}
		})
	}
	t.Run("without entries nothing is lost", func(t *testing.T) {
		t.Parallel()
		f := newForgery(t)
		f.write(0, make([]byte, 8))
		require.NoError(t, Format(f.path, WithSystemUUID(testHost)))
	})
}

// After a Format that was killed at any point, the same call succeeds.
func TestFormatInterrupted(t *testing.T) {
	t.Parallel()
	sb := crashSuperblock(1, minLogSize)
	medium := newSimMedium(formatArea)
	for stores, killed := 0, true; killed; stores++ {
		h := newSimHost(medium)
		left := stores
		h.beforeStore = func() {
			if left--; left < 0 {
				panic(crashed{})
			}
		}
		func() {
			defer func() { killed = recover() != nil }()
			require.NoError(t, writeFileSystem(h, sb))
		}()
		h.settle()
		if killed {
			require.NoError(t, checkVacant(&simImage{mem: medium.mem}, formatArea, formatArea, true), "after %d stores", stores)
		}
		if stores > 200 {
			require.Fail(t, "stores without end")
		}
	}
	_, err := readSuperblock(&simImage{mem: medium.mem}, testSize)
	require.NoError(t, err)
}
