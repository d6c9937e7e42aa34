package famfs

// File systems that give memory out again: when memory comes back, and what those notice who are
// behind. Several FSs of one process stand for processes here, and UUIDs for hosts; processes that
// die are in reuse_process_linux_test.go, the order of stores in sim_pins_test.go.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// needsSlots skips a test on systems on which nothing can be mapped on a file system with Reuse.
func needsSlots(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("there are slots only on Linux")
	}
	if underEmulator() {
		t.Skip("under an emulator, which does not pass on locks of open files")
	}
}

// reuseUnits is how many allocation units the file systems of these tests have.
const reuseUnits = 8

const reuseSize = logOffset + minLogSize + pinsSize + reuseUnits*defaultUnit

// reusing returns a new file system of eight units that gives memory out again, open for writing.
func reusing(t testing.TB) (*FS, string) {
	t.Helper()
	needsSlots(t)
	needsFile(t, "it must be full after a few files")
	needsOneDevice(t, "it must be full after a few files")
	m, path := master(t, reuseSize, Reuse())
	require.NoError(t, m.Admit(otherHost))
	return m, path
}

// openClient opens a device as another host.
func openClient(t testing.TB, path string, opts ...Option) *FS {
	t.Helper()
	c, err := Open(path, append([]Option{WithSystemUUID(otherHost), withDevices(path)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// big is the content of a file of n units.
func big(n int, seed uint64) []byte { return pattern(n*defaultUnit, seed) }

// Memory comes back at once if nobody has mapped anything, any number of times.
func TestReuseComesBack(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	free := m.Usage().Free
	assert.EqualValues(t, reuseUnits*defaultUnit, free)
	for i := range uint64(20) {
		require.NoError(t, m.WriteFile("a", big(6, i), 0o644))
		require.NoError(t, m.Remove("a"))
		assert.Equal(t, free, m.Usage().Free)
		assert.Zero(t, m.Usage().Removed)
	}
	require.NoError(t, m.WriteFile("a", big(4, 1), 0o644))
	p, err := m.Create("a", 4*defaultUnit, Replace())
	require.NoError(t, err)
	_, err = p.Write(big(4, 2))
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	assert.Equal(t, free/2, m.Usage().Free)
	report, err := Check(path)
	require.NoError(t, err)
	assert.NoError(t, report.Err())
	// Another master learns from log and slots what is free.
	other := openMaster(t, path)
	require.NoError(t, other.WriteFile("b", big(4, 3), 0o644))
	data, err := openTest(t, path).ReadFile("a")
	require.NoError(t, err)
	assert.Equal(t, hexSum(big(4, 2)), hexSum(data))
}

// What a client has mapped is kept until it has closed it and followed the log.
func TestReuseWaits(t *testing.T) {
	t.Parallel()
	for _, use := range []string{"mapped", "behind", "closed without Refresh"} {
		t.Run(use, func(t *testing.T) {
			t.Parallel()
			m, path := reusing(t)
			require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
			require.NoError(t, m.WriteFile("small", []byte("x"), 0o644))
			c := openClient(t, path)
			name := map[bool]string{true: "small", false: "a"}[use == "behind"]
			mapping, err := c.Map(name)
			require.NoError(t, err)
			require.NoError(t, m.Remove("a"))
			assert.EqualValues(t, 6*defaultUnit, m.Usage().Removed)
			r, err := m.Reclaim()
			require.NoError(t, err)
			assert.EqualValues(t, 6*defaultUnit, r.Held)
			assert.Zero(t, r.Freed)
			require.Len(t, r.Holders, 1)
			assert.Equal(t, otherHost, r.Holders[0].Host)
			assert.EqualValues(t, 6*defaultUnit, r.Holders[0].Holds)
			assert.Equal(t, 1, r.Holders[0].Behind)
			err = m.WriteFile("b", big(6, 2), 0o644)
			assert.ErrorIs(t, err, ErrNoSpace)
			assert.ErrorContains(t, err, "held back")
			if use == "mapped" {
				refreshed(t, c)
				assert.ErrorIs(t, m.WriteFile("b", big(6, 2), 0o644), ErrNoSpace, "it is still mapped")
				assert.Equal(t, hexSum(big(6, 1)), hexSum(mapping.Bytes()), "and stays what it was")
				require.NoError(t, mapping.Close())
			} else {
				if use != "behind" {
					require.NoError(t, mapping.Close())
					assert.ErrorIs(t, m.WriteFile("b", big(6, 2), 0o644), ErrNoSpace, "it may map it again")
				}
				refreshed(t, c)
			}
			require.NoError(t, m.WriteFile("b", big(6, 2), 0o644))
			assert.Zero(t, m.Usage().Removed)
			require.NoError(t, c.View("small", func([]byte) error { return nil }))
			data, err := refreshed(t, c).ReadFile("b")
			require.NoError(t, err)
			assert.Equal(t, hexSum(big(6, 2)), hexSum(data))
		})
	}
}

// Closing an FS gives up what it held.
func TestReuseClose(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
	c := openClient(t, path)
	mapping, err := c.Map("a")
	require.NoError(t, err)
	require.NoError(t, m.Remove("a"))
	require.NoError(t, mapping.Close())
	closeAlone(t, c)
	require.NoError(t, m.WriteFile("b", big(6, 2), 0o644))
	hosts := m.Hosts()
	require.Len(t, hosts, 2)
	for _, h := range hosts {
		assert.Equal(t, HostAdmitted, h.State)
		assert.Empty(t, h.Slots)
	}
}

// An open file that was removed is not read any more; one that is mapped is.
func TestReuseRemovedWhileOpen(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
	c := openClient(t, path)
	file, err := c.Open("a")
	require.NoError(t, err)
	b := make([]byte, 4096)
	_, err = file.Read(b)
	require.NoError(t, err)
	require.NoError(t, m.Remove("a"))
	require.NoError(t, m.WriteFile("b", big(6, 2), 0o644), "reading holds nothing back")
	clear(b)
	n, err := file.Read(b)
	assert.Zero(t, n)
	assert.ErrorIs(t, err, ErrRemoved)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Equal(t, make([]byte, 4096), b, "nothing of the other file is left in the buffer")
	_, err = file.(io.WriterTo).WriteTo(io.Discard)
	assert.ErrorIs(t, err, ErrRemoved)
	_, err = c.ReadFile("a")
	assert.ErrorIs(t, err, fs.ErrNotExist, "it has seen the removal by now")
	data, err := c.ReadFile("b")
	require.NoError(t, err)
	assert.Equal(t, hexSum(big(6, 2)), hexSum(data))
	var all bytes.Buffer
	again, err := c.Open("b")
	require.NoError(t, err)
	_, err = again.(io.WriterTo).WriteTo(&all)
	require.NoError(t, err)
	assert.Equal(t, hexSum(big(6, 2)), hexSum(all.Bytes()))
}

// View holds what it shows for the length of the call, and others do not starve the pin.
func TestReuseView(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
	require.NoError(t, m.WriteFile("small", []byte("x"), 0o644))
	c := openClient(t, path)
	require.NoError(t, c.View("a", func(data []byte) error {
		require.NoError(t, m.Remove("a"))
		refreshed(t, c)
		assert.ErrorIs(t, m.WriteFile("b", big(6, 2), 0o644), ErrNoSpace)
		assert.Equal(t, hexSum(big(6, 1)), hexSum(data))
		return nil
	}))
	// There is always somebody in View, but not always the same.
	view := func() (leave func()) {
		inside, end, done := make(chan bool), make(chan bool), make(chan bool)
		go func() {
			defer close(done)
			_ = c.View("small", func([]byte) error { close(inside); <-end; return nil })
		}()
		<-inside
		return func() { close(end); <-done }
	}
	leave := view()
	refreshed(t, c)
	for range 2 {
		next := view()
		leave()
		leave = next
		refreshed(t, c)
	}
	require.NoError(t, m.WriteFile("b", big(6, 2), 0o644))
	leave()
}

// A host that was not admitted reads, but maps nothing.
func TestReuseNotAdmitted(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	stranger := UUID{5, 5, 5}
	require.NoError(t, m.WriteFile("a", []byte("content"), 0o644))
	c, err := Open(path, WithSystemUUID(stranger))
	require.NoError(t, err)
	defer c.Close()
	c.pins.hosts = []UUID{stranger} // this host has a UUID besides
	data, err := c.ReadFile("a")
	require.NoError(t, err)
	assert.Equal(t, "content", string(data))
	_, err = c.Map("a")
	assert.ErrorIs(t, err, ErrNotAdmitted)
	assert.ErrorContains(t, err, stranger.String())
	assert.ErrorIs(t, c.View("a", func([]byte) error { return nil }), ErrNotAdmitted)
	require.NoError(t, m.Admit(stranger))
	require.NoError(t, m.Admit(stranger), "a second time changes nothing")
	require.NoError(t, c.View("a", func(data []byte) error {
		assert.Equal(t, "content", string(data))
		return nil
	}))
	assert.ErrorIs(t, m.Admit(UUID{}), fs.ErrInvalid)
	assert.ErrorIs(t, c.Admit(otherHost), ErrNotMaster)
	assert.ErrorIs(t, c.Evict(otherHost), ErrNotMaster)
	_, err = c.Reclaim()
	assert.ErrorIs(t, err, ErrNotMaster)
	assert.Len(t, c.Hosts(), 3, "who else is there, anybody may see")
}

// A host that was evicted notices it before it does anything, and its mappings fault.
func TestReuseEvicted(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	for _, notices := range []string{"Refresh", "Map", "View", "Read"} {
		t.Run(notices, func(t *testing.T) {
			t.Parallel()
			m, path := reusing(t)
			require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
			c := openClient(t, path)
			mapping, err := c.Map("a")
			require.NoError(t, err)
			defer mapping.Close()
			file, err := c.Open("a")
			require.NoError(t, err)
			require.NoError(t, m.Remove("a"))
			assert.ErrorIs(t, m.Evict(testHost), fs.ErrInvalid)
			assert.ErrorIs(t, m.Evict(UUID{3}), ErrNotAdmitted)
			require.NoError(t, m.Evict(otherHost))
			assert.ErrorIs(t, m.Admit(otherHost), ErrBusy, "its slot is in use")
			require.NoError(t, m.WriteFile("b", big(6, 2), 0o644), "it is not waited for")
			switch notices {
			case "Refresh":
				_, err = c.Refresh()
			case "Map":
				_, err = c.Map("a")
			case "View":
				err = c.View("a", func([]byte) error { return nil })
			case "Read":
				_, err = file.Read(make([]byte, 10))
			}
			assert.ErrorIs(t, err, ErrEvicted)
			var fault *FaultError
			assert.ErrorAs(t, Guard(func() error { return fmt.Errorf("it can be read: %d", mapping.Bytes()[0]) }), &fault)
			_, err = c.Map("b")
			assert.ErrorIs(t, err, ErrEvicted, "for good")
			_, err = file.Read(make([]byte, 10))
			assert.ErrorIs(t, err, ErrEvicted)
			_, err = c.Refresh()
			assert.ErrorIs(t, err, ErrEvicted)
			again := openClient(t, path)
			_, err = again.Map("b")
			assert.ErrorIs(t, err, ErrEvicted, "so it is for others on this host")
			require.NoError(t, m.Admit(otherHost), "nothing of it is left")
			data, err := again.Map("b")
			require.NoError(t, err)
			assert.Equal(t, hexSum(big(6, 2)), hexSum(data.Bytes()))
			require.NoError(t, data.Close())
			_, err = c.Map("b")
			assert.ErrorIs(t, err, ErrEvicted)
			require.NoError(t, mapping.Close())
			require.NoError(t, c.Close())
		})
	}
}

// Nothing is compacted, formatted or wiped while somebody may have files mapped.
func TestReuseInUse(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(2, 1), 0o644))
	require.NoError(t, m.WriteFile("b", big(2, 2), 0o644))
	require.NoError(t, m.Remove("a"))
	c := openClient(t, path)
	mapping, err := c.Map("b")
	require.NoError(t, err)
	require.NoError(t, m.Close())
	for name, destroy := range map[string]func() error{
		"Compact": func() error { return Compact(path, WithSystemUUID(testHost)) },
		"Format":  func() error { return Format(path, WithSystemUUID(testHost), Force()) },
		"Wipe":    func() error { return Wipe(path) },
	} {
		err := destroy()
		assert.ErrorIs(t, err, ErrBusy, name)
		assert.ErrorContains(t, err, otherHost.String(), name)
		assert.NoError(t, c.View("b", func([]byte) error { return nil }))
		assert.NoError(t, openClient(t, path).View("b", func([]byte) error { return nil }), "%s has left no trace", name)
	}
	require.NoError(t, mapping.Close())
	require.NoError(t, c.Close())
	for _, c := range []*FS{openClient(t, path)} {
		require.NoError(t, c.Close())
	}
}

func TestReuseCompact(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	for i := range 5 {
		require.NoError(t, m.WriteFile("a", big(2, uint64(i)), 0o644))
		require.NoError(t, m.Remove("a"))
	}
	require.NoError(t, m.WriteFile("b", big(3, 7), 0o644))
	require.NoError(t, m.Close())
	require.NoError(t, Compact(path, WithSystemUUID(testHost)))
	m = openMaster(t, path)
	assert.Equal(t, 1, m.Usage().LogUsed)
	c := openClient(t, path)
	mapping, err := c.Map("b")
	require.NoError(t, err, "hosts stay admitted")
	assert.Equal(t, hexSum(big(3, 7)), hexSum(mapping.Bytes()))
	require.NoError(t, m.WriteFile("c", big(5, 8), 0o644))
	require.NoError(t, mapping.Close())
	report, err := Check(path)
	require.NoError(t, err)
	assert.NoError(t, report.Err())
}

func TestReuseSmallUnits(t *testing.T) {
	t.Parallel()
	path := fileBacking(t, testSize)
	assert.ErrorIs(t, Format(path, WithSystemUUID(testHost), Reuse(), AllocUnit(smallUnit)), fs.ErrInvalid)
}

// Without Reuse there are no hosts, and nothing is given out.
func TestReuseOff(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	assert.Nil(t, m.Hosts())
	_, err := m.Reclaim()
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorIs(t, m.Admit(otherHost), errors.ErrUnsupported)
	assert.ErrorIs(t, m.Evict(otherHost), errors.ErrUnsupported)
	require.NoError(t, m.Close())
	_, err = m.Reclaim()
	assert.ErrorIs(t, err, fs.ErrClosed)
	assert.Nil(t, m.Hosts())
	_ = path
}

// Many slots: one for each FS, all in use at last.
func TestReuseManySlots(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", []byte("content"), 0o644))
	var open []*FS
	for range hostSlots {
		c := openClient(t, path)
		require.NoError(t, c.View("a", func([]byte) error { return nil }))
		open = append(open, c)
	}
	late := openClient(t, path)
	err := late.View("a", func([]byte) error { return nil })
	assert.ErrorIs(t, err, ErrNotAdmitted)
	assert.ErrorContains(t, err, fmt.Sprint(hostSlots))
	for _, h := range m.Hosts() {
		if h.UUID == otherHost {
			require.Len(t, h.Slots, hostSlots)
			assert.NotZero(t, h.Slots[0].PID)
			assert.True(t, strings.HasPrefix(h.Slots[0].Program, "famfs") || h.Slots[0].Program != "", h.Slots[0].Program)
		}
	}
	require.NoError(t, open[70].Close())
	require.NoError(t, late.View("a", func([]byte) error { return nil }))
}

// Behind a corrupt entry nobody knows whose memory is whose: only names are served.
func TestReuseCorrupt(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(2, 1), 0o644))
	require.NoError(t, m.WriteFile("b", big(2, 2), 0o644))
	tolerant := openClient(t, path, Tolerant())
	data, err := tolerant.ReadFile("a")
	require.NoError(t, err)
	assert.Equal(t, hexSum(big(2, 1)), hexSum(data))
	salvaging := openClient(t, path, Salvage())
	_, err = salvaging.ReadFile("a")
	require.NoError(t, err)
	_, err = salvaging.Map("a")
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	require.NoError(t, m.Remove("a"))
	_, err = salvaging.ReadFile("b")
	assert.ErrorIs(t, err, ErrCorrupt, "it cannot know what has gone since")
	require.NoError(t, m.Close())
	corruptByte(t, path, entryAt(2)+removalPathAt)
	for name, option := range map[string]Option{"Tolerant": Tolerant(), "Salvage": Salvage()} {
		c := openClient(t, path, option)
		_, err := c.Stat("a")
		require.NoError(t, err, name)
		_, err = c.ReadFile("a")
		assert.ErrorIs(t, err, ErrCorrupt, name)
		_, err = c.Map("a")
		assert.Error(t, err, name)
		assert.Error(t, c.View("a", func([]byte) error { return nil }), name)
	}
	_, err = tolerant.ReadFile("a")
	assert.ErrorIs(t, err, ErrCorrupt)
}

// corruptByte changes one byte of a file.
func corruptByte(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	require.NoError(t, err)
	b[0] ^= 0x55
	_, err = f.WriteAt(b[:], at)
	require.NoError(t, err)
}

// Hosts says of each slot who has it, and how far behind it is.
func TestReuseHosts(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(1, 1), 0o644))
	c := openClient(t, path, WithClientWrites())
	before := time.Now().Add(-time.Second)
	mapping, err := c.Map("a", Writable())
	require.NoError(t, err)
	require.NoError(t, m.Mkdir("d", 0o755))
	slots := func() (slots []Slot) {
		for _, h := range m.Hosts() {
			slots = append(slots, h.Slots...)
		}
		return slots
	}
	require.Len(t, slots(), 1)
	s := slots()[0]
	assert.Equal(t, Slot{Host: otherHost, PID: os.Getpid(), Program: s.Program, Since: s.Since, Behind: 1, Writes: true}, s)
	assert.NotEmpty(t, s.Program)
	assert.WithinRange(t, s.Since, before, time.Now())
	require.NoError(t, mapping.Close())
	refreshed(t, c)
	assert.Equal(t, 0, slots()[0].Behind)
	assert.False(t, slots()[0].Writes, "nothing is mapped for writing any more")
	assert.Equal(t, "admitted", HostAdmitted.String())
	assert.Equal(t, "evicted", HostEvicted.String())
	assert.Equal(t, "HostState(7)", HostState(7).String())
}
