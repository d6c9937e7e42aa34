package famfs

// Superblocks and log headers that are wrong, or say something impossible.

import (
	"encoding/binary"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// badRecord is a superblock or log header that is invalid.
type badRecord struct {
	name         string
	edit, damage func(b []byte)
	want         string
	is           []error
	files        int // how many of two files Check still finds
}

func TestInvalidSuperblock(t *testing.T) {
	t.Parallel()
	version := []error{ErrVersion}
	badSum := []error{ErrChecksum, ErrCorrupt}
	for _, c := range []badRecord{
		{name: "magic", edit: put64(0, superblockMagic+1), want: "superblock: found magic 0x87b28300, want 0x87b282ff", is: isCorrupt, files: 2},
		{name: "magic in its upper half", edit: put64(0, 1<<32|superblockMagic), want: "found magic 0x187b282ff", is: isCorrupt, files: 2},
		{name: "zeros", damage: func(b []byte) { clear(b) }, want: "found magic 0x0", is: isCorrupt, files: 2},
		{name: "version before", edit: put64(8, 47), want: "superblock: found version 47, want 48", is: version, files: 2},
		{name: "a feature", edit: put64(8, 48|1<<63), want: "superblock: found features 0x80000000, of which this package does not know 0x80000000", is: version, files: 2},
		{name: "version after", edit: put64(8, 49), want: "found version 49, want 48", is: version, files: 2},
		{name: "version after, and a CRC of its own", edit: put64(8, 49), damage: flip(superblockCRC), want: "found version 49", is: version, files: 2},
		{name: "format major before", edit: put32(40, 1), want: "superblock: found on-media format 1.2, want 2.2 or a higher minor version", is: version, files: 2},
		{name: "format major after", edit: put32(40, 3), want: "found on-media format 3.2, want 2.2", is: version, files: 2},
		{name: "format minor before", edit: put32(44, 1), want: "found on-media format 2.1, want 2.2", is: version, files: 2},
		{name: "format minor after, and major too", edit: func(b []byte) { put32(40, 3)(b); put32(44, 3)(b) }, want: "found on-media format 3.3, want 2.2", is: version, files: 2},
		{name: "CRC", damage: flip(superblockCRC), want: "superblock: found CRC", is: badSum, files: 2},
		{name: "upper half of the CRC", damage: flip(superblockCRC + 4), want: "found CRC", is: badSum, files: 2},
		{name: "byte under the CRC", damage: flip(50), want: "found CRC", is: badSum, files: 2},
		{name: "log offset 0", edit: put64(16, 0), want: "superblock: found log offset 0x0, want 0x200000", is: isCorrupt, files: 2},
		{name: "log offset elsewhere", edit: put64(16, 0x400000), want: "found log offset 0x400000", is: isCorrupt, files: 2},
		{name: "log length 0", edit: put64(24, 0), want: "superblock: log length 0, want a power of two of at least 8388608", is: isCorrupt, files: 2},
		{name: "log length too small", edit: put64(24, 4*mib), want: "log length 4194304, want", is: isCorrupt, files: 2},
		{name: "log length no power of two", edit: put64(24, 12*mib), want: "log length 12582912, want a power of two", is: isCorrupt, files: 2},
		{name: "log passes the end of the device", edit: put64(24, 64*mib), want: "log of 67108864 bytes from 2097152 passes the end of the device at 67108864", is: isCorrupt, files: 2},
		{name: "log far beyond the device", edit: put64(24, 1<<62), want: "passes the end of the device", is: isCorrupt, files: 2},
		{name: "log length beyond int64", edit: put64(24, 1<<63), want: "found log length 0x8000000000000000, more than any device has", is: isCorrupt, files: 2},
		{name: "allocation unit 0", edit: put64(32, 0), want: "superblock: found allocation unit 0, want 2097152 or 4096", is: isCorrupt, files: 2},
		{name: "allocation unit 1", edit: put64(32, 1), want: "found allocation unit 1, want", is: isCorrupt, files: 2},
		{name: "allocation unit another", edit: put64(32, 4*mib), want: "found allocation unit 4194304", is: isCorrupt, files: 2},
		{name: "allocation unit huge", edit: put64(32, 1<<63), want: "found allocation unit 9223372036854775808", is: isCorrupt, files: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			f.good("last", lastUnit)
			f.superblock(c.edit, c.damage)
			c.assertInvalid(t, f)
		})
	}
}

// assertInvalid fails if the device can be opened in any way.
func (c *badRecord) assertInvalid(t testing.TB, f *forgery) {
	t.Helper()
	assertError := func(err error) {
		t.Helper()
		for _, is := range c.is {
			assert.ErrorIs(t, err, is)
		}
		assert.ErrorContains(t, err, c.want)
	}
	for _, opts := range [][]Option{nil, {Tolerant()}, {ReadWrite()}, {WithClientWrites()}} {
		_, err := Open(f.path, append(opts, WithSystemUUID(testHost))...)
		assertError(err)
		assert.ErrorContains(t, err, f.path)
	}
	report, err := Check(f.path)
	require.NoError(t, err)
	require.NotEmpty(t, report.Problems)
	assert.False(t, report.Clean())
	assert.Equal(t, -1, report.Problems[0].Index)
	assertError(report.Problems[0])
	assert.Len(t, report.Problems, 1)
	assert.Equal(t, c.files, report.Usage.Files)
}

// Nobody believes what is behind the CRC, above all not the size.
func TestSuperblockOverstatesDevice(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	f.superblock(nil, put64(deviceSizeAt, math.MaxUint64))
	f.append(badFile(inUnits(31, 2)), nil)
	fsys := openTest(t, f.path)
	assert.EqualValues(t, testSize, fsys.Device().Size)
	assert.EqualValues(t, testSize, fsys.Usage().Size)
	require.Len(t, fsys.Problems(), 1)
	assert.ErrorContains(t, fsys.Problems()[0], "passes the end of the device at 67108864")
	assertAbsent(t, fsys, "bad")
	assertGood(t, fsys, "first", firstUnit)

	report, err := Check(f.path)
	require.NoError(t, err)
	require.Len(t, report.Problems, 2)
	assert.Equal(t, -1, report.Problems[0].Index)
	assert.ErrorIs(t, report.Problems[0], ErrDevice)
	assert.ErrorContains(t, report.Problems[0], "now it has 67108864")
	assert.Equal(t, 1, report.Problems[1].Index)
}

// A device that was cut: files that are no longer completely on it are problems.
func TestDeviceCut(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	f.append(badFile(inUnits(badUnit, 2)), nil)

	// Within the last unit of the file.
	require.NoError(t, os.Truncate(f.path, (badUnit+1)*defaultUnit+4096))
	within := openTest(t, f.path)
	require.Len(t, within.Problems(), 1)
	assert.ErrorContains(t, within.Problems()[0], "passes the end of the device at 44044288")
	require.NoError(t, within.Close())

	// At the start of that unit.
	require.NoError(t, os.Truncate(f.path, (badUnit+1)*defaultUnit))
	fsys := openTest(t, f.path)
	require.Len(t, fsys.Problems(), 1)
	assert.Equal(t, 1, fsys.Problems()[0].Index)
	assert.ErrorContains(t, fsys.Problems()[0], "passes the end of the device at 44040192")
	assertGood(t, fsys, "first", firstUnit)

	// So that not even the log is complete.
	require.NoError(t, fsys.Close())
	require.NoError(t, os.Truncate(f.path, 9*mib))
	_, err := Open(f.path)
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.NotErrorIs(t, err, ErrNotFormatted, "that it is famfs is known")
	assert.ErrorContains(t, err, "passes the end of the device at 9437184")

	// Not even the superblock.
	require.NoError(t, os.Truncate(f.path, superblockSize-1))
	_, err = Open(f.path)
	assert.ErrorIs(t, err, ErrNotFormatted)
	assert.ErrorContains(t, err, "device of 199 bytes: too small")
}

// badHeaders are log headers that are invalid, for a log of two entries.
func badHeaders() []badRecord {
	badSum := []error{ErrChecksum, ErrCorrupt}
	longer := func(b []byte) {
		put64(8, 16*mib)(b)
		put64(16, lastIndex(16*mib))(b)
	}
	beyond := func(b []byte) {
		put64(8, 1<<40)(b)
		put64(16, lastIndex(1<<40))(b)
	}
	return []badRecord{
		{name: "magic", edit: put64(0, logMagic+1), want: "log header: found magic 0xbadcafef00e, want 0xbadcafef00d", is: isCorrupt, files: 2},
		{name: "zeros", damage: func(b []byte) { clear(b) }, want: "log header: found magic 0x0", is: isCorrupt, files: 2},
		{name: "CRC", damage: flip(logHeaderCRC), want: "log header: found CRC", is: badSum, files: 2},
		{name: "upper half of the CRC", damage: flip(logHeaderCRC + 4), want: "log header: found CRC", is: badSum, files: 2},
		{name: "byte under the CRC", damage: flip(17), want: "log header: found CRC", is: badSum, files: 2},
		{name: "length other than the superblock's", edit: longer, want: "log header: found length 16777216, want 8388608 as in the superblock", is: isCorrupt, files: 2},
		{name: "length past the end of the device", edit: beyond, want: "log header: found length 1099511627776, want 8388608", is: isCorrupt, files: 2},
		{name: "length 0", edit: put64(8, 0), want: "log header: found length 0, want 8388608", is: isCorrupt, files: 2},
		{name: "last index less than the length's", edit: put64(16, 15418), want: "log header: found last index 15418, want 15419 for a log of 8388608 bytes", is: isCorrupt, files: 2},
		{name: "last index more than the length's", edit: put64(16, 15420), want: "log header: found last index 15420, want 15419", is: isCorrupt, files: 2},
		{name: "last index huge", edit: put64(16, math.MaxUint64), want: "log header: found last index 18446744073709551615", is: isCorrupt, files: 2},
		{name: "next index beyond last index", edit: put64(nextIndexAt, 15421), want: "log header: found next index 15421, beyond last index 15419", is: isCorrupt, files: 2},
		{name: "next index huge", edit: put64(nextIndexAt, math.MaxUint64), want: "log header: found next index 18446744073709551615, beyond last index 15419", is: isCorrupt, files: 2},
	}
}

func TestInvalidLogHeader(t *testing.T) {
	t.Parallel()
	for _, c := range badHeaders() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			early := openTest(t, f.path)
			f.good("last", lastUnit)
			sound := f.read(logOffset, logHeaderSize)
			f.header(c.edit, c.damage)
			c.assertInvalid(t, f)

			// An FS that was open stays as it was, until the header is repaired.
			_, err := early.Refresh()
			assert.ErrorContains(t, err, c.want)
			for _, is := range c.is {
				assert.ErrorIs(t, err, is)
			}
			assertGood(t, early, "first", firstUnit)
			assertAbsent(t, early, "last")
			f.write(logOffset, sound)
			n, err := early.Refresh()
			require.NoError(t, err)
			assert.Equal(t, 1, n)
			assertGood(t, early, "last", lastUnit)
		})
	}
}

// Neither superblock nor log header gives the length of the log.
func TestInvalidSuperblockAndLogHeader(t *testing.T) {
	t.Parallel()
	for _, c := range badHeaders() {
		if strings.HasPrefix(c.name, "next index") || strings.HasPrefix(c.name, "length other") {
			continue // these do say it, rightly or wrongly
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			f.superblock(nil, flip(superblockCRC))
			f.header(c.edit, c.damage)
			_, err := Open(f.path, Tolerant())
			assert.ErrorIs(t, err, ErrChecksum)
			report, err := Check(f.path)
			require.NoError(t, err)
			require.NotEmpty(t, report.Problems)
			for _, p := range report.Problems {
				assert.Equal(t, -1, p.Index)
				assert.ErrorIs(t, p, ErrCorrupt)
			}
		})
	}
}

// No CRC covers the counters, and only next index is believed.
func TestSequenceCounterAdrift(t *testing.T) {
	t.Parallel()
	for _, seq := range []uint64{0, 1, 3, math.MaxUint64} {
		f := newForgery(t)
		f.good("first", firstUnit)
		f.good("last", lastUnit)
		f.header(put64(nextSeqAt, seq), nil)
		fsys := openTest(t, f.path, ReadWrite())
		assert.Empty(t, fsys.Problems())
		assertGood(t, fsys, "last", lastUnit)
		require.NoError(t, fsys.Mkdir("new", 0o755))
		assert.EqualValues(t, 3, f.next())
		assert.EqualValues(t, 3, binary.LittleEndian.Uint64(f.read(logOffset+nextSeqAt, 8)))
		openTest(t, f.path)
	}
}

// If next index counts entries that nobody has written, all of those are corrupt.
func TestNextIndexBeyondEntries(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	f.setNext(15420)
	_, err := Open(f.path)
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "log entry 1: found CRC 0x0")
	tolerant := openTest(t, f.path, Tolerant())
	assertGood(t, tolerant, "first", firstUnit)
	assert.Len(t, tolerant.Problems(), 15419)
	report, err := Check(f.path)
	require.NoError(t, err)
	assert.Len(t, report.Problems, 15419)
	assert.Equal(t, 1, report.Usage.Files)
}

// A log that shrinks in the same file system has lost entries.
func TestNextIndexGoesBack(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	f.good("last", lastUnit)
	fsys := openTest(t, f.path)
	f.setNext(1)
	_, err := fsys.Refresh()
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "found next index 1 after 2 entries were replayed")
	assertGood(t, fsys, "last", lastUnit)
	f.setNext(2)
	n, err := fsys.Refresh()
	require.NoError(t, err)
	assert.Zero(t, n)
}
