package famfs

// A device that is formatted anew, or wiped, while an FS has it open.

import (
	"context"
	"io"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reformats are the ways in which a file system with two entries disappears while others have it
// open.
var reformats = map[string]func(t *testing.T, path string){
	"wiped":   func(t *testing.T, path string) { require.NoError(t, Wipe(path)) },
	"empty":   func(t *testing.T, path string) { refill(t, path, 0) },
	"fewer":   func(t *testing.T, path string) { refill(t, path, 1) },
	"as many": func(t *testing.T, path string) { refill(t, path, 2) },
	"more":    func(t *testing.T, path string) { refill(t, path, 5) },
	"longer log": func(t *testing.T, path string) {
		require.NoError(t, Format(path, Force(), WithSystemUUID(testHost), LogSize(2*minLogSize)))
	},
}

// refill formats a device as another host does, which ignores the lock, and makes n directories.
func refill(t *testing.T, path string, n int) {
	t.Helper()
	dev, err := openDevice(path, true, newOpenConfig(nil).log)
	require.NoError(t, err)
	defer dev.close()
	sb := crashSuperblock(9, minLogSize)
	sb.DeviceSize = dev.info.Size
	mem, err := dev.mapPrefix(sb.logEnd())
	require.NoError(t, err)
	defer mem.unmap()
	m := &mappedMemory{dev: dev, mem: mem.mem}
	require.NoError(t, writeFileSystem(m, sb))
	r := newReplica(m, sb, dev.info.Size, newOpenConfig(nil).log)
	for i := range n {
		_, err := r.appendOne(&entry{kind: typeMkdir, path: []byte(itoa(i)), mode: 0o755})
		require.NoError(t, err)
	}
}

// Once Refresh has found that the device was formatted anew, nothing of the FS can be used any
// more, except what is mapped.
func TestReformatted(t *testing.T) {
	t.Parallel()
	for name, reformat := range reformats {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := formatted(t, testSize)
			m, err := Open(path, withDevices(path), ReadWrite(), WithSystemUUID(testHost))
			require.NoError(t, err)
			require.NoError(t, m.Mkdir("d", 0o755))
			require.NoError(t, m.WriteFile("d/f", pattern(4096, 1), 0o644))
			for _, c := range []struct {
				name string
				opts []Option
			}{{"master", []Option{ReadWrite()}}, {"client", nil}, {"tolerant", []Option{Tolerant()}}} {
				t.Run(c.name, func(t *testing.T) { isReformatted(t, openTest(t, path, c.opts...), func() { reformat(t, path) }) })
				if c.name == "master" {
					require.NoError(t, m.Close())
				}
				require.NoError(t, Format(path, Force(), WithSystemUUID(testHost)))
				m, err = Open(path, withDevices(path), ReadWrite(), WithSystemUUID(testHost))
				require.NoError(t, err)
				require.NoError(t, m.Mkdir("d", 0o755))
				require.NoError(t, m.WriteFile("d/f", pattern(4096, 1), 0o644))
				require.NoError(t, m.Close())
			}
		})
	}
}

func isReformatted(t *testing.T, f *FS, reformat func()) {
	mapping, err := f.Map("d/f")
	require.NoError(t, err)
	file, err := f.Open("d/f")
	require.NoError(t, err)
	dir, err := f.Open("d")
	require.NoError(t, err)
	reformat()

	before := f.Usage()
	for range 3 {
		n, err := f.Refresh()
		assert.ErrorIs(t, err, ErrReformatted)
		assert.NotErrorIs(t, err, ErrCorrupt, "what is there now is sound")
		assert.Zero(t, n)
	}
	assert.Equal(t, before, f.Usage())
	assert.Empty(t, f.Problems())

	_, err = f.Open("d/f")
	assert.ErrorIs(t, err, ErrReformatted)
	_, err = f.Stat("d")
	assert.ErrorIs(t, err, ErrReformatted)
	_, err = f.Stat("0")
	assert.ErrorIs(t, err, ErrReformatted, "not fs.ErrNotExist: nobody knows")
	_, err = f.ReadFile("d/f")
	assert.ErrorIs(t, err, ErrReformatted)
	_, err = f.ReadDir(".")
	assert.ErrorIs(t, err, ErrReformatted)
	_, err = f.Map("d/f")
	assert.ErrorIs(t, err, ErrReformatted)
	assert.ErrorIs(t, f.View("d/f", nil), ErrReformatted)
	_, err = file.Read(make([]byte, 10))
	assert.ErrorIs(t, err, ErrReformatted)
	_, err = file.(io.ReaderAt).ReadAt(make([]byte, 10), 1<<40)
	assert.ErrorIs(t, err, ErrReformatted, "not io.EOF")
	_, err = file.(io.WriterTo).WriteTo(io.Discard)
	assert.ErrorIs(t, err, ErrReformatted)
	_, err = dir.(fs.ReadDirFile).ReadDir(-1)
	assert.ErrorIs(t, err, ErrReformatted)
	for _, err := range f.Log() {
		assert.ErrorIs(t, err, ErrReformatted)
	}
	if f.config.readWrite {
		_, err = f.Create("new", 1)
		assert.ErrorIs(t, err, ErrReformatted)
		assert.ErrorIs(t, f.Mkdir("new", 0o755), ErrReformatted)
		assert.ErrorIs(t, f.MkdirAll("d", 0o755), ErrReformatted)
		assert.ErrorIs(t, f.WriteFile("new", []byte("x"), 0o644), ErrReformatted)
	}

	assert.ErrorIs(t, f.Close(), ErrBusy)
	assert.Len(t, mapping.Bytes(), 4096, "what is mapped stays so, whatever is there now")
	_ = mapping.Bytes()[4095]
	require.NoError(t, mapping.Close())
	require.NoError(t, f.Close())
	_, err = f.Refresh()
	assert.ErrorIs(t, err, fs.ErrClosed)
}

// A pending file of the old file system is never committed, whatever the new one holds.
func TestReformattedCommit(t *testing.T) {
	t.Parallel()
	for name, reformat := range reformats {
		if name == "wiped" || name == "longer log" {
			continue // these take the lock, which a pending file keeps
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, path := master(t, testSize, Force())
			require.NoError(t, m.Mkdir("d", 0o755))
			require.NoError(t, m.Mkdir("e", 0o755))
			p, err := m.Create("f", 5000)
			require.NoError(t, err)
			reformat(t, path)
			before, used := openTest(t, path).Superblock(), openTest(t, path).Usage().LogUsed

			for range 2 {
				assert.ErrorIs(t, p.Commit(), ErrReformatted)
			}
			_, err = m.Stat("d")
			assert.ErrorIs(t, err, ErrReformatted, "Commit has noticed")
			require.NoError(t, p.Close())
			c := openTest(t, path)
			assert.Equal(t, before, c.Superblock())
			assert.Equal(t, used, c.Usage().LogUsed)
			assert.Empty(t, c.Problems())
			report, err := Check(path)
			require.NoError(t, err)
			assert.Empty(t, report.Problems)
			again := openTest(t, path, ReadWrite(), WithLockTimeout(0))
			assert.NoError(t, again.Mkdir("new", 0o755), "the lock is free")
		})
	}
}

// Watch reports once that the device was formatted anew, and ends.
func TestReformattedWatch(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.Close())
	client := openTest(t, path)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // if it is never noticed
	defer cancel()
	events := client.Watch(ctx, time.Millisecond)
	require.NoError(t, Format(path, Force(), WithSystemUUID(testHost)))
	for range 2 { // also if it is ranged over again
		n := 0
		for e, err := range events {
			assert.ErrorIs(t, err, ErrReformatted)
			assert.Zero(t, e)
			if n++; n > 1 {
				break
			}
		}
		assert.Equal(t, 1, n)
	}
}

// A damaged superblock is not another one: it may be repaired.
func TestReformattedOrDamaged(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	client := openTest(t, f.path)
	sb := client.Superblock()
	sound := sb.encode()
	for name, change := range map[string]func(b []byte){
		"bit of the magic": func(b []byte) { b[0] ^= 1 },
		"bit of the UUID":  func(b []byte) { b[fsUUIDAt] ^= 1 },
		"bit of the CRC":   func(b []byte) { b[superblockCRC] ^= 1 },
	} {
		bad := sound
		change(bad[:])
		f.write(0, bad[:])
		_, err := client.Refresh()
		if name != "bit of the CRC" { // which nobody looks at while nothing changes
			assert.ErrorIs(t, err, ErrCorrupt, name)
		}
		assert.NotErrorIs(t, err, ErrReformatted, name)
		assertGood(t, client, "first", firstUnit)
		f.write(0, sound[:])
		n, err := client.Refresh()
		assert.NoError(t, err, name)
		assert.Zero(t, n)
	}
}
