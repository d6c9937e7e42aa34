package famfs

// The codec of the superblock, compared with the bytes that the reference implementation wrote
// (testdata) and with itself. hostile_superblock_test.go has forged superblocks.

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

// Offsets of the superblock's fields that no reference image sets.
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

// The bytes that the reference leaves undefined, including everything between the superblock and
// the log, may hold anything. Nothing that opens, checks or writes the device uses them.
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
