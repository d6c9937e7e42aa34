package famfs

// Damaged metadata: what Salvage rescues, and what Check says about it.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSalvage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		damage func(f *forgery)
		lost   []string // of the four files
		wrong  []string // what the problems say, in order
	}{
		"nothing":           {func(*forgery) {}, nil, nil},
		"superblock's CRC":  {func(f *forgery) { f.superblock(nil, flip(70)) }, nil, []string{"superblock: found CRC"}},
		"magic":             {func(f *forgery) { f.superblock(nil, flip(1)) }, nil, []string{"superblock: found magic"}},
		"version":           {func(f *forgery) { f.superblock(nil, flip(8)) }, nil, []string{"superblock: found version 112"}},
		"all of superblock": {func(f *forgery) { f.write(0, make([]byte, superblockArea)) }, nil, []string{"superblock: found magic 0x0, want 0x87b282ff, yet here is a famfs log of 5 entries"}},
		"log header":        {func(f *forgery) { f.header(nil, flip(3)) }, nil, []string{"log header: found magic"}},
		"next index":        {func(f *forgery) { f.setNext(1 << 30) }, nil, []string{"log header: found next index"}},
		"both":              {func(f *forgery) { f.write(0, make([]byte, logOffset+logHeaderSize)) }, nil, []string{"superblock: found magic 0x0, want 0x87b282ff, yet here is entries", "log header: found magic"}},
		"both CRCs": {func(f *forgery) { f.superblock(nil, flip(superblockCRC)); f.header(nil, flip(logHeaderCRC)) }, nil,
			[]string{"superblock: found CRC", "log header: found CRC"}},
		"first entry":    {func(f *forgery) { f.entry(0, nil, flip(100)) }, []string{"a"}, []string{"log entry 0: found CRC"}},
		"middle entries": {func(f *forgery) { f.entry(1, nil, flip(100)); f.entry(3, nil, flip(100)) }, []string{"b", "d/c"}, []string{"log entry 1: found CRC", "log entry 3: found CRC"}},
		"a directory":    {func(f *forgery) { f.entry(2, nil, flip(100)) }, []string{"d/c"}, []string{"log entry 2: found CRC", `log entry 3: "d/c" lies in directory "d", which does not exist`}},
		"both and an entry": {func(f *forgery) { f.write(0, make([]byte, logOffset+logHeaderSize)); f.entry(0, nil, flip(0)) }, []string{"a"},
			[]string{"superblock:", "log header: found magic", "log entry 0: found CRC"}},
		"last entry, next index": {func(f *forgery) { f.entry(4, nil, flip(100)); f.setNext(1 << 30) }, []string{"e"}, []string{"log header:"}},
	}
	for name, test := range tests {
		for _, unit := range []int64{defaultUnit, smallUnit} {
			t.Run(fmt.Sprintf("%s in units of %d", name, unit), func(t *testing.T) {
				t.Parallel()
				f := newForgery(t)
				places := map[string]int64{"a": 8 * defaultUnit, "b": 9 * defaultUnit, "d/c": 11 * defaultUnit, "e": 13 * defaultUnit}
				if unit == smallUnit {
					f.superblock(put64(32, smallUnit), nil)
					for name := range places {
						places[name] += smallUnit
					}
				}
				for _, name := range []string{"a", "b", "d", "d/c", "e"} {
					if name == "d" {
						f.append(forgedDir("d"), nil)
						continue
					}
					f.write(places[name], pattern(3000, uint64(places[name])))
					f.append(forgedFile(name, 3000, rawExtent{0, uint64(places[name]), uint64(unit)}), nil)
				}
				test.damage(f)

				fsys := openTest(t, f.path, Salvage())
				for name, place := range places {
					if contains(test.lost, name) {
						assertAbsent(t, fsys, name)
						continue
					}
					data, err := fsys.ReadFile(name)
					require.NoError(t, err)
					requireBytes(t, pattern(3000, uint64(place)), data, name)
					m, err := fsys.Map(name)
					if unit < fsys.Device().Align {
						continue // pages of this system are larger
					}
					require.NoError(t, err)
					requireBytes(t, data, m.Bytes(), "mapped")
					require.NoError(t, m.Close())
				}
				require.Len(t, fsys.Problems(), len(test.wrong), "%v", fsys.Problems())
				for i, p := range fsys.Problems() {
					assert.ErrorContains(t, p, test.wrong[i])
				}
				assert.Equal(t, unit, fsys.Superblock().AllocUnit)
				assert.GreaterOrEqual(t, fsys.Superblock().LogSize, int64(minLogSize))
				// Check finds the same.
				report, err := Check(f.path)
				require.NoError(t, err)
				assert.Equal(t, len(test.wrong), len(report.Problems))
				assert.Equal(t, fsys.Usage(), report.Usage)
			})
		}
	}
}

func contains(all []string, s string) bool {
	for _, one := range all {
		if one == s {
			return true
		}
	}
	return false
}

// A salvaged file system does not change, and cannot be changed.
func TestSalvageIsOfOneMoment(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	fsys := openTest(t, f.path, Salvage())
	f.good("last", lastUnit)
	_, err := fsys.Refresh()
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorContains(t, err, "opened with Salvage")
	assertAbsent(t, fsys, "last")
	assert.ErrorIs(t, fsys.WriteFile("new", []byte("x"), 0o644), ErrReadOnly)
	_, err = fsys.Map("first", Writable())
	assert.ErrorIs(t, err, ErrReadOnly)
	for _, option := range []Option{ReadWrite(), WithClientWrites()} {
		_, err = Open(f.path, Salvage(), option, WithSystemUUID(testHost))
		assert.ErrorIs(t, err, fs.ErrInvalid)
	}
	tolerant := openTest(t, f.path, Salvage(), Tolerant())
	assertGood(t, tolerant, "last", lastUnit)
}

// A file system of another version that is not damaged, or a device without famfs, is not salvaged.
func TestSalvageRefuses(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	for _, edit := range []func([]byte){put64(8, 49), put32(40, 3)} {
		sound := f.read(0, superblockSize)
		f.superblock(edit, nil)
		_, err := Open(f.path, Salvage())
		assert.ErrorIs(t, err, ErrVersion)
		f.write(0, sound)
	}
	f.write(0, make([]byte, formatArea))
	_, err := Open(f.path, Salvage())
	assert.ErrorIs(t, err, ErrNotFormatted)
	f.write(logOffset+5000, []byte("not a log"))
	_, err = Open(f.path, Salvage())
	assert.ErrorIs(t, err, ErrNotEmpty)
	f.superblock(put64(0, superblockMagic), flip(superblockCRC))
	_, err = Open(f.path, Salvage())
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "neither superblock, log header nor entries say how long it is")
}

// Entries are served even behind more problems than are listed.
func TestSalvagePastManyProblems(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	const logSize, bad = 64 * mib, maxProblems + 10
	path := fileBacking(t, logOffset+logSize+8*mib)
	require.NoError(t, Format(path, WithSystemUUID(testHost), LogSize(logSize)))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	f := &forgery{t: t, path: path, file: file}
	f.setNext(bad)
	f.append(forgedDir("behind"), nil)
	fsys := openTest(t, path, Salvage())
	st, err := fsys.Stat("behind")
	require.NoError(t, err)
	assert.True(t, st.IsDir())
	assert.Len(t, fsys.Problems(), maxProblems+1)
}

// Guesses never use lines that this host had in its cache before.
func TestSalvageInvalidates(t *testing.T) {
	t.Parallel()
	needsNoDevice(t)
	medium := newSimMedium(testSize)
	old, now := newSimHost(medium), newSimHost(medium)
	old.keep = true
	var b [16 << 10]byte
	for _, off := range []int64{0, logOffset} {
		for at := int64(0); at < int64(len(b)); at += 512 {
			old.load(b[:512], off+at) // this host has looked before the device was formatted
		}
	}
	require.NoError(t, writeFileSystem(now, crashSuperblock(1, 2*minLogSize)))
	e := forgedFile("f", 10, rawExtent{0, 40 * mib, smallUnit})
	record := e.encode()
	now.store(entryAt(0), record[:])
	require.NoError(t, now.flush(entryAt(0), entrySize))
	now.store64(0, 1)
	now.store64(superblockCRC, 1)
	require.NoError(t, now.flush(0, superblockSize))
	now.fenceStores()
	sb, err := guessSuperblock(old, testSize)
	require.NoError(t, err)
	assert.EqualValues(t, 2*minLogSize, sb.LogSize)
	assert.EqualValues(t, smallUnit, sb.AllocUnit)
	old.keep = true
	assert.EqualValues(t, 1, scanEntries(old, 10, nil))
	assert.Contains(t, remains(old, testSize, testSize), "famfs log")
}

// A superblock that comes while a host looks, because the device is being formatted, is not taken for
// one that was lost: the host finds the file system, or none yet. The magic comes before each of the
// loads in turn.
func TestFormatWhileOthersLook(t *testing.T) {
	t.Parallel()
	// On two devices, the log has an entry from the beginning, which counts, so that looking again is what helps.
	for name, devices := range map[string]int{"one device": 1, "two devices": 2} {
		for how, look := range map[string]func(f *FS, m sharedMemory) error{
			"open": (*FS).findFileSystem,
			"salvage": func(f *FS, m sharedMemory) (err error) {
				f.sb, err = readOrExplain(m, f.size(), f.config.pause)
				return err
			},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				m, paths := severalDevices(t, devices, 16*mib)
				require.NoError(t, m.Close())
				path := paths[0]
				magic, none := bytesAt(t, path, magicAt, 8), make([]byte, 8)
				loads := 1
				for at := 0; at < loads; at++ {
					c := newOpenConfig(nil)
					c.pause = func(time.Duration) { writeTo(t, path, magicAt, magic) }
					f, err := openMedium(path, c)
					require.NoError(t, err)
					writeTo(t, path, magicAt, none)
					loads = 0
					err = look(f, &toldMemory{&mappedMemory{dev: f.dev, mem: f.window.mem}, func(int64, int) {
						if loads == at {
							writeTo(t, path, magicAt, magic)
						}
						loads++
					}})
					require.NoError(t, f.release())
					if err != nil {
						require.ErrorIs(t, err, ErrNotFormatted, "load %d", at)
					} else {
						require.NotZero(t, f.sb.UUID)
					}
				}
				require.Greater(t, loads, 3)
			})
		}
	}
}

// A lost superblock of a file system on several devices that holds no file yet is found in its copy, and
// put back. So is a file behind many devices, though the log header is lost, too.
func TestLostOfSeveral(t *testing.T) {
	t.Parallel()
	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		paths := formatDevices(t, 2, 16*mib)
		writeTo(t, paths[0], magicAt, make([]byte, 8))
		_, err := Open(paths[0])
		require.ErrorIs(t, err, ErrCorrupt)
		fsys, err := Open(paths[0], Salvage())
		require.NoError(t, err)
		require.NoError(t, fsys.Close())
		require.NoError(t, RestoreSuperblock(paths[0], WithSystemUUID(testHost)))
		openTest(t, paths[0], WithDevices(paths[1]))
	})
	for _, n := range []int{1, scanPiece - 1, scanPiece, scanPiece + 1} {
		t.Run(fmt.Sprintf("%d devices", n), func(t *testing.T) {
			t.Parallel()
			fsys, path := oneDevice(t, 16*mib)
			sb := fsys.Superblock()
			require.NoError(t, fsys.Close())
			d := testDevice(t, path, true)
			r, err := d.mapPrefix(d.info.Size)
			require.NoError(t, err)
			t.Cleanup(func() { r.unmap() })
			m := &mappedMemory{dev: d, mem: r.mem}
			added := make([]addedDevice, n)
			for i := range added {
				added[i] = addedDevice{1 << 40, UUID{1, byte(i)}}
			}
			require.NoError(t, writeFileSystem(m, sb, added...))
			file := entry{seq: uint64(n), kind: typeFile, path: []byte("f"), size: 3, count: 1, extents: []rawExtent{{0, 6 * defaultUnit, defaultUnit}}}
			b := file.encode()
			m.store(entryAt(uint64(n)), b[:])
			m.store(magicAt, make([]byte, 8))
			m.store(logOffset, make([]byte, logHeaderSize))
			_, err = Open(path)
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorIs(t, Format(path, WithSystemUUID(testHost)), fs.ErrExist)
			f, err := Open(path, Salvage())
			require.NoError(t, err)
			_, err = f.Stat("f")
			assert.NoError(t, err)
			require.NoError(t, f.Close())
		})
	}
}
