package famfs

// Allocation units of 4 KiB: what is smaller, and what is lost where pages are larger.

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallUnitsDevice formats a stand-in with units of 4 KiB.
func smallUnitsDevice(t *testing.T) string {
	t.Helper()
	path := fileBacking(t, testSize)
	require.NoError(t, Format(path, WithSystemUUID(testHost), AllocUnit(smallUnit)))
	return path
}

func TestAllocUnit(t *testing.T) {
	t.Parallel()
	path := smallUnitsDevice(t)
	m := openMaster(t, path)
	assert.EqualValues(t, smallUnit, m.Superblock().AllocUnit)
	before := m.Usage().Allocated
	const files = 50
	for i := range files {
		require.NoError(t, m.WriteFile(itoa(i), pattern(1000+i, uint64(i)), 0o644))
	}
	assert.EqualValues(t, files*smallUnit, m.Usage().Allocated-before)
	if os.Getpagesize() <= smallUnit {
		p, err := m.Create("wide", 5*smallUnit, Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: smallUnit}))
		require.NoError(t, err)
		copy(p.Bytes(), pattern(5*smallUnit, 7))
		require.NoError(t, p.Commit())
	}
	require.NoError(t, m.Remove(itoa(3)))
	require.NoError(t, m.Close())

	require.NoError(t, Compact(path, WithSystemUUID(testHost)))
	report, err := Check(path)
	require.NoError(t, err)
	assert.Empty(t, report.Problems)
	reader := openTest(t, path)
	for i := range files {
		if i == 3 {
			continue
		}
		want := pattern(1000+i, uint64(i))
		got, err := reader.ReadFile(itoa(i))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got))
		require.NoError(t, reader.View(itoa(i), func(data []byte) error {
			assert.True(t, bytes.Equal(want, data))
			return nil
		}))
	}
	for _, unit := range []int64{0, -1, 1, 8192, 1 << 20, 4 << 20} {
		assert.ErrorIs(t, Format(path, WithSystemUUID(testHost), Force(), AllocUnit(unit)), fs.ErrInvalid, unit)
	}
	assert.ErrorContains(t, Format(path, WithSystemUUID(testHost), Force(), AllocUnit(8192)), "allocation unit 8192, want 2097152 or 4096")
	require.NoError(t, Format(path, WithSystemUUID(testHost), Force(), AllocUnit(defaultUnit)))
	assert.EqualValues(t, defaultUnit, openTest(t, path).Superblock().AllocUnit)
}

// On a device with larger pages files are created and read, but mapped only if their pages are
// theirs alone.
func TestUnitsBelowPages(t *testing.T) {
	t.Parallel()
	if os.Getpagesize() > smallUnit {
		t.Skip("this system's own pages are larger than 4 KiB")
	}
	path := smallUnitsDevice(t)
	big := prepareOption(func(d *device) { d.info.Align = 2 * mib })
	m := openMaster(t, path, big)
	create := func(name string, content []byte) {
		t.Helper()
		p, err := m.Create(name, int64(len(content)))
		require.NoError(t, err)
		data := p.Bytes()
		require.Len(t, data, len(content))
		require.Equal(t, len(content), cap(data), "nothing behind it")
		copy(data, content)
		require.NoError(t, p.Commit())
	}
	for i := range 5 {
		create(fmt.Sprint(i), pattern(3000*(i+1), uint64(i)))
	}
	require.NoError(t, m.WriteFile("large", pattern(3*mib+5, 9), 0o644))
	for i := range 5 { // those beside are as they were
		got, err := m.ReadFile(fmt.Sprint(i))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(pattern(3000*(i+1), uint64(i)), got), i)
	}
	_, err := m.Map("1")
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, "maps only multiples of 2097152 bytes")
	require.NoError(t, m.View("1", func(data []byte) error {
		assert.True(t, bytes.Equal(pattern(6000, 1), data))
		return nil
	}))

	// In several runs: made where pages are small, read where they are not.
	other := openMaster(t, path)
	p, err := other.Create("wide", 5*smallUnit, Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: smallUnit}))
	require.NoError(t, err)
	copy(p.Bytes(), pattern(5*smallUnit, 7))
	require.NoError(t, p.Commit())
	reader := openTest(t, path, big)
	require.NoError(t, reader.View("wide", func(data []byte) error {
		assert.True(t, bytes.Equal(pattern(5*smallUnit, 7), data))
		data[0]++ // a copy of the caller's own
		return nil
	}))
	got, err := reader.ReadFile("wide")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(pattern(5*smallUnit, 7), got))
	_, err = reader.Map("wide")
	assert.ErrorIs(t, err, ErrDevice)
	assert.ErrorIs(t, reader.View("wide", func([]byte) error { return fs.ErrPermission }), fs.ErrPermission)

	// A file of several runs cannot be filled there: its pages are not side by side.
	p, err = m.Create("more", 5*smallUnit, Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: smallUnit}))
	require.NoError(t, err)
	assert.Nil(t, p.Bytes())
	assert.ErrorIs(t, p.Commit(), ErrDevice)
	require.NoError(t, p.Close())
}

// The same on whatever device the tests run on: one of devdax has pages of 2 MiB.
func TestUnitsOnDevice(t *testing.T) {
	t.Parallel()
	path := testBacking(t, testSize)
	require.NoError(t, Format(path, WithSystemUUID(testHost), Force(), AllocUnit(smallUnit)))
	m := openMaster(t, path)
	const files = 20
	content := func(i int) []byte { return pattern(1000+700*i, uint64(i)) }
	for i := range files {
		require.NoError(t, m.WriteFile(itoa(i), content(i), 0o644))
	}
	require.NoError(t, m.WriteFile("large", pattern(5*mib+5, 9), 0o644))
	require.NoError(t, m.Remove(itoa(3)))
	check := func(reader *FS) {
		t.Helper()
		for i := range files {
			got, err := reader.ReadFile(itoa(i))
			if i == 3 {
				assert.ErrorIs(t, err, fs.ErrNotExist)
				continue
			}
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content(i), got), i)
			require.NoError(t, reader.View(itoa(i), func(data []byte) error {
				assert.True(t, bytes.Equal(content(i), data), i)
				assert.Equal(t, len(data), cap(data))
				return nil
			}))
			mapping, err := reader.Map(itoa(i))
			if reader.Device().Align > smallUnit {
				assert.ErrorIs(t, err, ErrDevice)
				assert.ErrorContains(t, err, "maps only multiples of")
				continue
			}
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content(i), mapping.Bytes()), i)
			require.NoError(t, mapping.Close())
		}
		got, err := reader.ReadFile("large")
		require.NoError(t, err)
		assert.True(t, bytes.Equal(pattern(5*mib+5, 9), got))
	}
	check(openTest(t, path))
	require.NoError(t, m.Close())
	require.NoError(t, Compact(path, WithSystemUUID(testHost)))
	check(openTest(t, path))
	report, err := Check(path)
	require.NoError(t, err)
	assert.Empty(t, report.Problems)
}
