package famfs

// The second copy of the superblock: who writes it and who takes it away, when it is believed, and
// putting it back.

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bytesAt returns n bytes of a file.
func bytesAt(t testing.TB, path string, off int64, n int) []byte {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	b := make([]byte, n)
	readAt(t, file, b, off)
	return b
}

// writeTo writes b to a file at off.
func writeTo(t testing.TB, path string, off int64, b []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteAt(b, off)
	require.NoError(t, err)
}

// editCopy changes the copy and corrects its checksum. Then it applies damage, if given.
func (f *forgery) editCopy(edit, damage func(b []byte)) {
	f.t.Helper()
	b := f.read(copyAt, superblockSize)
	if edit != nil {
		edit(b)
	}
	fixed := encodeCopy((*[superblockSize]byte)(b))
	if damage != nil {
		damage(fixed[:])
	}
	f.write(copyAt, fixed[:])
}

// requireCopy fails unless the copy on a device is that of its superblock.
func requireCopy(t testing.TB, path string) {
	t.Helper()
	superblock := [superblockSize]byte(bytesAt(t, path, 0, superblockSize))
	want := encodeCopy(&superblock)
	require.Equal(t, want[:], bytesAt(t, path, copyAt, copySize), "the copy on %s", path)
}

// Everything that writes a superblock writes the copy too.
func TestCopyIsWritten(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 32*mib)
	for _, path := range paths {
		requireCopy(t, path)
	}
	require.NoError(t, m.Close())
	first, second := fileBacking(t, 32*mib), fileBacking(t, 32*mib)
	require.NoError(t, Format(first, WithSystemUUID(testHost)))
	requireCopy(t, first)
	m = openMaster(t, first)
	require.NoError(t, m.AddDevice(second))
	requireCopy(t, first)
	requireCopy(t, second)
	report, err := Check(first, WithDevices(second))
	require.NoError(t, err)
	require.True(t, report.Clean(), "%v", report.Err())
	require.NotNil(t, report.Copy)
	assert.Equal(t, report.Superblock, *report.Copy)
	assert.NoError(t, report.CopyErr)
	addFile(t, m, "f", 5*mib)
	addFile(t, m, "g", 5*mib)
	require.NoError(t, m.Remove("f"))
	require.NoError(t, m.Close())
	old := bytesAt(t, first, copyAt, copySize)
	require.NoError(t, Compact(first, WithSystemUUID(testHost), WithDevices(second)))
	requireCopy(t, first)
	requireCopy(t, second)
	require.NotEqual(t, old, bytesAt(t, first, copyAt, copySize))
	require.NoError(t, os.Truncate(first, 40*mib))
	m = openMaster(t, first, Grow(), WithDevices(second))
	assert.EqualValues(t, 40*mib, m.Superblock().DeviceSize)
	requireCopy(t, first)
	require.NoError(t, m.Close())
	require.NoError(t, Format(first, WithSystemUUID(testHost), Force(), LogSize(2*minLogSize)))
	requireCopy(t, first)
	for _, path := range []string{first, second} {
		require.NoError(t, Wipe(path))
		assert.Equal(t, make([]byte, copySize), bytesAt(t, path, copyAt, copySize))
	}
}

// Opening with ReadWrite writes a copy that is missing, damaged or old, and nobody else does.
func TestCopyIsRepaired(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(f *forgery){
		"missing": func(f *forgery) { f.write(copyAt, make([]byte, copySize)) },
		"damaged": func(f *forgery) { f.editCopy(nil, flip(70)) },
		"sum":     func(f *forgery) { f.editCopy(nil, flip(copyCRC)) },
		"size":    func(f *forgery) { f.editCopy(put64(deviceSizeAt, testSize/2), nil) },
		"another": func(f *forgery) { f.editCopy(flip(fsUUIDAt), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			damage(f)
			damaged := f.read(copyAt, copySize)
			openTest(t, f.path)
			_, err := Check(f.path)
			require.NoError(t, err)
			other := openTest(t, f.path, WithClientWrites(), WithSystemUUID(otherHost))
			require.NoError(t, other.Close())
			require.Equal(t, damaged, f.read(copyAt, copySize), "who only reads writes nothing")
			openMaster(t, f.path)
			requireCopy(t, f.path)
		})
	}
}

// So it does on every device, and not on those of another file system.
func TestSecondaryCopyIsRepaired(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string][]byte{"missing": make([]byte, copySize), "damaged": pattern(copySize, 1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, paths := severalDevices(t, 3, 16*mib)
			require.NoError(t, m.Close())
			writeTo(t, paths[1], copyAt, damage)
			writeTo(t, paths[2], copyAt, damage)
			writeTo(t, paths[2], fsUUIDAt, []byte{1, 2, 3}) // it is another's
			openMaster(t, paths[0], WithDevices(paths[1:]...))
			requireCopy(t, paths[1])
			assert.Equal(t, damage, bytesAt(t, paths[2], copyAt, copySize))
		})
	}
}

// No CRC covers the end of the superblock, and the copy's does. So the copy is not made worse.
func TestCopyIsKept(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(b []byte){
		"name": flip(deviceNameAt), "flags": put32(flagsAt, 7), "less": put64(deviceSizeAt, testSize/2), "more than there is": put64(deviceSizeAt, testSize+1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			before := f.read(copyAt, copySize)
			f.superblock(nil, damage)
			openMaster(t, f.path)
			assert.Equal(t, before, f.read(copyAt, copySize))
		})
	}
}

// While another writer has the lock, a missing copy is no reason not to open the device.
func TestCopyIsLeftToTheWriter(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	writer := openMaster(t, f.path)
	p, err := writer.Create("pending", 1)
	require.NoError(t, err)
	f.write(copyAt, make([]byte, copySize))
	openMaster(t, f.path)
	assert.Equal(t, make([]byte, copySize), f.read(copyAt, copySize))
	require.NoError(t, p.Close())
	require.NoError(t, writer.Close())
	openMaster(t, f.path)
	requireCopy(t, f.path)
}

// The reference makes no copy: that is no problem. A copy harms none of its images.
func TestCopyGolden(t *testing.T) {
	t.Parallel()
	for _, name := range goldenNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, g := openGolden(t, name)
			before, err := Check(path)
			require.NoError(t, err)
			assert.Nil(t, before.Copy)
			assert.ErrorIs(t, before.CopyErr, ErrNotFormatted)
			openTest(t, path)
			require.Equal(t, make([]byte, copySize), bytesAt(t, path, copyAt, copySize))
			m := openMaster(t, path, WithSystemUUID(parseUUID(t, g.Superblock.SystemUUID)))
			require.NoError(t, m.Close())
			requireCopy(t, path)
			after, err := Check(path)
			require.NoError(t, err)
			assert.Equal(t, before.Problems, after.Problems)
			require.NotNil(t, after.Copy)
			assert.Equal(t, before.Superblock, *after.Copy)
			assert.Equal(t, before.Usage, after.Usage)
		})
	}
}

// lose are ways in which a superblock is lost.
var lose = map[string]func(f *forgery){
	"zeros":       func(f *forgery) { f.write(0, make([]byte, copyAt)) },
	"noise":       func(f *forgery) { f.write(0, pattern(4096, 5)) },
	"first line":  func(f *forgery) { f.write(0, pattern(64, 5)) },
	"second line": func(f *forgery) { f.write(64, pattern(64, 5)) },
	"magic":       func(f *forgery) { f.superblock(nil, flip(3)) },
	"version":     func(f *forgery) { f.superblock(nil, flip(versionAt)) },
	"features":    func(f *forgery) { f.superblock(nil, flip(versionAt+5)) },
	"CRC":         func(f *forgery) { f.superblock(nil, flip(superblockCRC)) },
	"log length":  func(f *forgery) { f.superblock(nil, flip(logSizeAt+2)) },
	"unit":        func(f *forgery) { f.superblock(nil, flip(allocUnitAt+1)) },
	"UUID":        func(f *forgery) { f.superblock(nil, flip(fsUUIDAt)) },
}

func TestRestoreSuperblock(t *testing.T) {
	t.Parallel()
	for name, damage := range lose {
		for _, reuse := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " with reuse"}[reuse], func(t *testing.T) {
				t.Parallel()
				f := newForgery(t)
				if reuse {
					require.NoError(t, Format(f.path, WithSystemUUID(testHost), Force(), Reuse()))
				}
				f.good("first", firstUnit)
				want := f.read(0, copyAt+copySize)
				sb := openTest(t, f.path).Superblock()
				damage(f)
				damaged := f.read(0, copyAt)

				// It is lost, and what is known of it comes from the copy.
				_, err := Open(f.path)
				require.Error(t, err)
				assert.ErrorContains(t, err, "its second copy is sound")
				s := openTest(t, f.path, Salvage())
				assert.Equal(t, sb, s.Superblock())
				assert.Equal(t, Master, s.Role())
				if reuse { // who has the memory by now is not known without a superblock
					_, err := s.ReadFile("first")
					assert.ErrorIs(t, err, ErrCorrupt)
				} else {
					assertGood(t, s, "first", firstUnit)
				}
				require.Len(t, s.Problems(), 1)
				assert.ErrorContains(t, s.Problems()[0], "its second copy is sound, and is used")
				report, err := Check(f.path)
				require.NoError(t, err)
				assert.Len(t, report.Problems, 1)
				assert.Equal(t, sb, report.Superblock)
				assert.Equal(t, &sb, report.Copy)
				assert.ErrorIs(t, Format(f.path, WithSystemUUID(testHost)), fs.ErrExist)

				// Only the master puts it back.
				err = RestoreSuperblock(f.path, WithSystemUUID(otherHost))
				require.ErrorIs(t, err, ErrNotMaster)
				assert.Equal(t, damaged, f.read(0, copyAt), "refused, and unchanged")
				require.NoError(t, RestoreSuperblock(f.path, WithSystemUUID(testHost)))
				requireBytes(t, want[:superblockSize], f.read(0, superblockSize), "the superblock")
				requireBytes(t, want[copyAt:], f.read(copyAt, copySize), "the copy")
				requireBytes(t, damaged[superblockSize:], f.read(superblockSize, copyAt-superblockSize), "what is behind the superblock")
				m := openMaster(t, f.path)
				assert.Equal(t, sb, m.Superblock())
				assertGood(t, m, "first", firstUnit)
				err = RestoreSuperblock(f.path, WithSystemUUID(testHost))
				assert.ErrorIs(t, err, fs.ErrExist)
			})
		}
	}
}

// What no copy can be put back from, and what is not believed.
func TestRestoreSuperblockRefused(t *testing.T) {
	t.Parallel()
	zeros := func(f *forgery) { f.write(0, make([]byte, superblockSize)) }
	of := func(edit func(b []byte)) func(f *forgery) { // a copy that is complete, but other
		return func(f *forgery) {
			b := f.read(copyAt, copySize)
			edit(b)
			fixCRC(b, superblockCRC)
			fixed := encodeCopy((*[superblockSize]byte)(b))
			f.write(copyAt, fixed[:])
		}
	}
	for name, test := range map[string]struct {
		damage, change func(f *forgery)
		is             error
		says           string
	}{
		"no copy":                 {zeros, func(f *forgery) { f.write(copyAt, make([]byte, copySize)) }, ErrNotFormatted, "no second copy"},
		"killed":                  {zeros, func(f *forgery) { f.write(copyAt, make([]byte, 8)) }, ErrNotFormatted, "no second copy"},
		"damaged":                 {zeros, func(f *forgery) { f.editCopy(nil, flip(20)) }, ErrChecksum, "second copy has CRC"},
		"damaged size":            {zeros, func(f *forgery) { f.editCopy(nil, flip(deviceSizeAt)) }, ErrCorrupt, "second copy has CRC"},
		"wrong inner CRC":         {zeros, func(f *forgery) { f.editCopy(flip(superblockCRC), nil) }, ErrCorrupt, "second copy: superblock: found CRC"},
		"newer":                   {zeros, of(put32(omfMinorAt, 9)), ErrVersion, "on-media format 2.9"},
		"unknown feature":         {zeros, of(flip(versionAt + 7)), ErrVersion, "features"},
		"a longer log":            {zeros, of(put64(logSizeAt, 2*minLogSize)), ErrCorrupt, "the log has 8388608 bytes, in the copy 16777216"},
		"a log past the end":      {zeros, of(put64(logSizeAt, 1<<40)), ErrCorrupt, "passes the end"},
		"other UUIDs":             {func(f *forgery) { f.superblock(nil, flip(superblockCRC)) }, of(func(b []byte) { copy(b[fsUUIDAt:], pattern(32, 3)) }), ErrCorrupt, "other UUIDs"},
		"other UUIDs, no magic":   {func(f *forgery) { f.superblock(nil, func(b []byte) { clear(b[:16]) }) }, of(func(b []byte) { copy(b[fsUUIDAt:], pattern(32, 3)) }), ErrCorrupt, "other UUIDs"},
		"the superblock is sound": {func(*forgery) {}, func(*forgery) {}, fs.ErrExist, "it is sound"},
		"something else":          {func(f *forgery) { f.write(0, []byte("XFSB")); f.write(4, make([]byte, superblockSize)) }, func(*forgery) {}, ErrNotEmpty, "XFS"},
		"files in other units": {func(f *forgery) {
			zeros(f)
			f.append(forgedFile("a", 1, rawExtent{0, 20*mib + smallUnit, smallUnit}), nil)
			f.append(forgedFile("b", 1, rawExtent{0, 22*mib + smallUnit, smallUnit}), nil)
		}, func(*forgery) {}, ErrCorrupt, "of the first 3 extents in the log, 2 do not lie where its files can"},
		"files in the pins unit": {func(f *forgery) {
			zeros(f)
			f.append(forgedFile("a", 1, inUnits(forgedDataUnits, 1)), nil)
			f.append(forgedFile("b", 1, inUnits(forgedDataUnits, 1)), nil)
		}, of(flipOne(versionAt + 4)), ErrCorrupt, "do not lie where its files can"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			test.damage(f)
			test.change(f)
			before := f.read(0, logOffset)
			err := RestoreSuperblock(f.path, WithSystemUUID(testHost))
			require.ErrorIs(t, err, test.is)
			assert.ErrorContains(t, err, test.says)
			requireBytes(t, before, f.read(0, logOffset), "refused, and unchanged")
			// What is not believed is not used either.
			report, err := Check(f.path)
			require.NoError(t, err)
			if test.is != ErrNotEmpty && test.is != fs.ErrExist && name != "newer" {
				assert.Nil(t, report.Copy)
				assert.Error(t, report.CopyErr)
			}
		})
	}
}

// flipOne changes the lowest bit of a byte.
func flipOne(at int) func(b []byte) { return func(b []byte) { b[at] ^= 1 } }

// With the pins unit of another file system, the copy is of another.
func TestRestoreSuperblockOtherPins(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	require.NoError(t, Format(f.path, WithSystemUUID(testHost), Force(), Reuse()))
	f.write(0, make([]byte, superblockSize))
	f.edit(logOffset+minLogSize, pinsHeaderSize, pinsCRC, flip(pinsUUIDAt), nil)
	err := RestoreSuperblock(f.path, WithSystemUUID(testHost))
	require.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "the pins unit is of")
}

// A copy that is of the file system that an interrupted compaction leaves is not put back: the
// compaction is to be finished.
func TestRestoreSuperblockCompacting(t *testing.T) {
	t.Parallel()
	for step := range 12 {
		f, live := interrupted(t, 1+step*100)
		superblock, copied := f.read(0, superblockSize), f.read(copyAt, copySize)
		err := RestoreSuperblock(f.path, WithSystemUUID(testHost))
		require.Error(t, err)
		require.Equal(t, superblock, f.read(0, superblockSize))
		require.Equal(t, copied, f.read(copyAt, copySize))
		requireFiles(t, live, openMaster(t, f.path))
		requireCopy(t, f.path)
	}
}

// The superblock of a secondary device is lost: Salvage and Check use its copy, and it can be put back.
func TestRestoreSecondary(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, 16*mib)
	content := addFile(t, m, "file", mib, OnDevice(2))
	require.NoError(t, m.Close())
	all := WithDevices(paths[1:]...)
	want := bytesAt(t, paths[2], 0, superblockSize)
	for _, damage := range [][]byte{make([]byte, 200), pattern(4096, 3)} {
		writeTo(t, paths[2], 0, damage)
		reader := openTest(t, paths[0], all)
		_, err := reader.ReadFile("file")
		require.ErrorIs(t, err, ErrDevice)
		s := openTest(t, paths[0], Salvage(), all)
		assertContent(t, s, "file", content)
		require.Len(t, s.Problems(), 1)
		assert.ErrorContains(t, s.Problems()[0], "its second copy is sound, and is used")
		assert.ErrorContains(t, s.Problems()[0], paths[2])
		report, err := Check(paths[0], all)
		require.NoError(t, err)
		assert.Len(t, report.Problems, 1)
		assert.NoError(t, report.Devices[2].Err)
		assert.ErrorIs(t, Format(paths[2], WithSystemUUID(testHost)), fs.ErrExist, "its files would be lost")
		_, err = Open(paths[2], Salvage())
		assert.ErrorIs(t, err, ErrDevice)
		master := openMaster(t, paths[0], all)
		assert.ErrorIs(t, master.AddDevice(paths[2]), ErrBusy)
		require.NoError(t, master.Close())

		require.ErrorIs(t, RestoreSuperblock(paths[2], WithSystemUUID(otherHost)), ErrNotMaster)
		require.NoError(t, RestoreSuperblock(paths[2], WithSystemUUID(testHost)))
		requireBytes(t, want, bytesAt(t, paths[2], 0, superblockSize), "the superblock")
		assertContent(t, openTest(t, paths[0], all), "file", content)
	}
	// The primary's, with devices that are of another file system.
	other, otherPaths := severalDevices(t, 2, 16*mib)
	require.NoError(t, other.Close())
	writeTo(t, paths[0], 0, make([]byte, superblockSize))
	b := bytesAt(t, otherPaths[1], 0, superblockSize)
	copy(b[deviceUUIDAt:][:16], want[deviceUUIDAt:])
	fixCRC(b, superblockCRC)
	writeTo(t, otherPaths[1], 0, b)
	err := RestoreSuperblock(paths[0], WithSystemUUID(testHost), WithDevices(paths[1], otherPaths[1]))
	require.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "a device contradicts it")
	require.NoError(t, RestoreSuperblock(paths[0], WithSystemUUID(testHost), all))
	assertContent(t, openTest(t, paths[0], all), "file", content)
	// Wipe takes away a copy without a superblock.
	writeTo(t, paths[2], 0, make([]byte, superblockSize))
	require.NoError(t, Wipe(paths[2]))
	assert.Equal(t, make([]byte, copySize), bytesAt(t, paths[2], copyAt, copySize))
	assert.ErrorIs(t, RestoreSuperblock(paths[2], WithSystemUUID(testHost)), ErrNotFormatted)
}

// A copy without anything else is what an interrupted Format leaves, and nothing is lost with it; but
// nothing says that where the superblock was overwritten, or there are entries. Wipe takes it away.
func TestCopyRemains(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage func(f *forgery)
		lost   bool
	}{
		"zeros":            {func(f *forgery) { f.write(0, make([]byte, copyAt)) }, false},
		"zeros, no header": {func(f *forgery) { f.write(0, make([]byte, copyAt)); f.write(logOffset, make([]byte, logHeaderSize)) }, false},
		"no magic":         {func(f *forgery) { f.write(0, make([]byte, 8)) }, false},
		"noise":            {func(f *forgery) { f.write(0, pattern(4096, 3)) }, true},
		"entries": {func(f *forgery) {
			f.good("first", firstUnit)
			f.write(0, make([]byte, copyAt))
			f.write(logOffset, make([]byte, logHeaderSize))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			test.damage(f)
			if test.lost {
				require.ErrorIs(t, Format(f.path, WithSystemUUID(testHost)), fs.ErrExist)
			}
			require.NoError(t, Wipe(f.path))
			assert.True(t, bytes.Equal(make([]byte, recordAt), f.read(0, recordAt)))
			require.ErrorIs(t, Wipe(f.path), ErrNotFormatted)
			f = newForgery(t)
			test.damage(f)
			if test.lost {
				require.NoError(t, Format(f.path, WithSystemUUID(testHost), Force()))
			} else {
				require.NoError(t, Format(f.path, WithSystemUUID(testHost)))
			}
			requireCopy(t, f.path)
		})
	}
}

// Files in the last, partial 2 MiB of a device contradict no copy.
func TestRestoreSuperblockOddSize(t *testing.T) {
	t.Parallel()
	needsFile(t, "a device of its own size")
	path := fileBacking(t, 11*mib)
	require.NoError(t, Format(path, WithSystemUUID(testHost), AllocUnit(smallUnit)))
	m := openMaster(t, path)
	content := addFile(t, m, "f", 5000)
	require.NoError(t, m.Close())
	writeTo(t, path, 0, make([]byte, superblockSize))
	_, err := SuperblockCopy(path)
	require.NoError(t, err)
	require.NoError(t, RestoreSuperblock(path, WithSystemUUID(testHost)))
	assertContent(t, openTest(t, path), "f", content)
}

// All superblocks are lost: that of a secondary device, whose copy is used, contradicts nothing.
func TestRestoreBothSuperblocks(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 16*mib)
	content := addFile(t, m, "file", mib, OnDevice(1))
	require.NoError(t, m.Close())
	for _, path := range paths {
		writeTo(t, path, 0, make([]byte, superblockSize))
	}
	all := WithDevices(paths[1])
	require.NoError(t, RestoreSuperblock(paths[0], WithSystemUUID(testHost), all))
	require.NoError(t, RestoreSuperblock(paths[1], WithSystemUUID(testHost)))
	assertContent(t, openTest(t, paths[0], all), "file", content)
}

// Where files lie does not contradict a copy, although Format looks only at the beginning of the device.
func TestFormatKeepsWhatOnlyItsCopyTells(t *testing.T) {
	t.Parallel()
	for name, log := range map[string]int64{"same log": minLogSize, "longer log": 4 * minLogSize} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fileBacking(t, 64*mib)
			require.NoError(t, Format(path, WithSystemUUID(testHost), LogSize(log)))
			m := openMaster(t, path)
			addFile(t, m, "f", 5*mib)
			uuid := m.Superblock().UUID
			require.NoError(t, m.Close())
			writeTo(t, path, 0, pattern(4096, 3))
			err := Format(path, WithSystemUUID(testHost))
			require.ErrorIs(t, err, fs.ErrExist)
			assert.ErrorContains(t, err, uuid.String())
		})
	}
}

// Whoever has a file system open while its superblock is put back goes on with it: at no moment is that
// a device which is formatted anew, unless the damage itself looks like that.
func TestRestoreBesideReaders(t *testing.T) {
	t.Parallel()
	for name, damage := range lose {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			m := openMaster(t, f.path)
			reader := openTest(t, f.path, openOption(func(c *openConfig) { c.pause = func(time.Duration) {} }))
			look := func() error {
				reader.mu.Lock()
				defer reader.mu.Unlock()
				return reader.replica.sameFileSystem()
			}
			b := [superblockSize]byte(f.read(copyAt, superblockSize))
			damage(f)
			if errors.Is(look(), ErrReformatted) {
				require.Contains(t, []string{"zeros", "noise", "first line"}, name)
				return
			}
			done := false
			for stores := 0; !done; stores++ {
				func() {
					defer func() {
						if r := recover(); r != nil {
							require.Equal(t, crashed{}, r)
						}
					}()
					left := stores
					require.NoError(t, putSuperblock(stoppingMemory{m.replica.meta, &left}, &b))
					done = true
				}()
				require.NotErrorIs(t, look(), ErrReformatted, "after %d stores", stores)
			}
			assert.NoError(t, look())
		})
	}
}

// The flags of a secondary device, which no CRC covers, are damaged: it can be put back like the rest.
func TestRestoreSecondaryFlags(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 16*mib)
	content := addFile(t, m, "file", mib, OnDevice(1))
	require.NoError(t, m.Close())
	all := WithDevices(paths[1])
	want := bytesAt(t, paths[1], 0, superblockSize)
	writeTo(t, paths[1], flagsAt, []byte{3})
	_, err := openTest(t, paths[0], all).ReadFile("file")
	require.ErrorIs(t, err, ErrDevice)
	require.NoError(t, RestoreSuperblock(paths[1], WithSystemUUID(testHost)))
	requireBytes(t, want, bytesAt(t, paths[1], 0, superblockSize), "the superblock")
	assertContent(t, openTest(t, paths[0], all), "file", content)
}

// tornMemory is stoppingMemory that stops between the words of a store, as when a process is killed.
type tornMemory struct{ stoppingMemory }

func (m tornMemory) store(off int64, p []byte) {
	for ; len(p) > 0; off, p = off+8, p[8:] {
		m.stoppingMemory.store(off, p[:8])
	}
}

// RestoreSuperblock is interrupted between any two words: the same call succeeds then.
func TestRestoreInterrupted(t *testing.T) {
	t.Parallel()
	for name, damage := range lose {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			m := openMaster(t, f.path)
			want := f.read(0, superblockSize)
			done := false
			for stores := 0; !done; stores++ {
				damage(f)
				func() {
					defer func() {
						if r := recover(); r != nil {
							require.Equal(t, crashed{}, r)
						}
					}()
					left := stores
					require.NoError(t, putSuperblock(tornMemory{stoppingMemory{m.replica.meta, &left}}, (*[superblockSize]byte)(want)))
					done = true
				}()
				err := RestoreSuperblock(f.path, WithSystemUUID(testHost))
				if !errors.Is(err, fs.ErrExist) { // all words that count are there
					assert.NoError(t, err, "after %d words", stores)
				}
				if err == nil {
					requireBytes(t, want, f.read(0, superblockSize), "the superblock")
				}
				f.write(0, want)
			}
		})
	}
}
