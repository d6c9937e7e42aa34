package famfs

// File systems that give memory out again, where something goes wrong: pins units that are damaged or
// forged, hosts that are evicted while something is being mapped, and operations that fail half way.

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever is waited for is listed and can be evicted, whatever stands in the pins unit.
func TestReuseForgedHosts(t *testing.T) {
	t.Parallel()
	for name, forged := range map[string]struct {
		host  UUID
		state uint64
	}{
		"no UUID":          {UUID{}, hostAdmitted},
		"a second place":   {otherHost, hostAdmitted},
		"the master again": {testHost, hostAdmitted},
		"an odd state":     {UUID{9}, 77},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, path := reusing(t)
			require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
			meta, at := m.replica.meta, m.replica.pinsAt()
			places := readHosts(meta, at)
			place := maxHosts - 1
			for places.states[place] != hostUnknown {
				place--
			}
			meta.store(at+hostUUIDAt(place), forged.host[:])
			meta.store64(at+hostStateAt(place), forged.state)
			slot := pinSlot{word: 1, owner: slotOwner{pid: 1, program: "forged"}}
			b := slot.encode()
			meta.store(at+slotAt(place, 3), b[:])
			require.NoError(t, m.Remove("a"))
			r, err := m.Reclaim()
			require.NoError(t, err)
			require.EqualValues(t, 6*defaultUnit, r.Held)
			require.Len(t, r.Holders, 1, "it says who holds it back")
			assert.Equal(t, forged.host, r.Holders[0].Host)
			require.NoError(t, m.Evict(r.Holders[0].Host))
			r, err = m.Reclaim()
			require.NoError(t, err)
			assert.Zero(t, r.Held)
			assert.ErrorIs(t, m.Evict(UUID{8}), ErrNotAdmitted)
			require.NoError(t, m.Close())
			require.NoError(t, Format(path, WithSystemUUID(testHost), Force()), "nor does it prevent anything else")
		})
	}
}

// What stands in slots of a host that was never admitted, and in a pins unit that is damaged so that
// nobody can be evicted, does not keep a device from being formatted anew.
func TestReuseDamagedPins(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(m *FS){
		"a slot of nobody": func(m *FS) {
			place := 0
			for hosts := readHosts(m.replica.meta, m.replica.pinsAt()); hosts.states[place] != hostUnknown; {
				place++
			}
			m.replica.meta.store64(m.replica.pinsAt()+slotAt(place, 0), 1)
		},
		"header and slot": func(m *FS) {
			at := m.replica.pinsAt()
			place := readHosts(m.replica.meta, at).find(otherHost)
			m.replica.meta.store64(at+slotAt(place, 0), 1)
			m.replica.meta.store64(at+pinsMagicAt, 1)
		},
	} {
		for what, destroy := range map[string]func(path string) error{
			"Format": func(path string) error { return Format(path, WithSystemUUID(testHost), Force()) },
			"Wipe":   Wipe,
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				m, path := reusing(t)
				damage(m)
				require.NoError(t, m.Close())
				require.NoError(t, destroy(path))
			})
		}
	}
}

// Hosts says of any number of slots what they hold.
func TestReuseHolds(t *testing.T) {
	t.Parallel()
	m, _ := reusing(t)
	at := m.replica.pinsAt()
	place := readHosts(m.replica.meta, at).find(otherHost)
	for i := range hostSlots {
		m.replica.meta.store64(at+slotAt(place, i), 1+uint64(i))
	}
	for i := range 5 {
		require.NoError(t, m.WriteFile(fmt.Sprint("f", i), big(1, 1), 0o644))
	}
	for i := range 5 {
		require.NoError(t, m.Remove(fmt.Sprint("f", i))) // entry 5+i
	}
	for _, h := range m.Hosts() {
		if h.UUID == otherHost {
			require.Len(t, h.Slots, hostSlots)
			for i, s := range h.Slots {
				holds, behind := min(5, max(0, 10-i)), max(0, 10-i)
				if i > 10 { // nobody can have promised that
					holds, behind = 5, 10
				}
				assert.EqualValues(t, holds*defaultUnit, s.Holds, i)
				assert.Equal(t, behind, s.Behind, i)
			}
		}
	}
}

// A file that was being mapped when its host was evicted is not shown.
func TestReuseEvictedMeanwhile(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	m, path := reusing(t)
	addFile(t, m, "a", 2*defaultUnit, Interleave(Interleaving{Chunk: defaultUnit, Buckets: 2, Strips: 2}))
	c := openClient(t, path)
	require.NoError(t, c.View("a", func([]byte) error { return nil }))
	index, n, err := c.lookup("a")
	require.NoError(t, err)
	// Its region is being mapped, and all others were made inaccessible.
	c.revoke()
	err = c.viewRegion(index, n, func([]byte) error {
		t.Error("it is shown")
		return nil
	})
	assert.ErrorIs(t, err, ErrEvicted)
}

// What an evicted process has stored is thrown out of the caches before its slot is free.
func TestReuseEvictedForgets(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(2, 1), 0o644))
	lines, ops := recordLines()
	c := openClient(t, path, WithClientWrites(), prepareOption(func(d *device) { d.shared, d.cache = true, lines }))
	mapping, err := c.Map("a", Writable())
	require.NoError(t, err)
	require.NoError(t, m.Evict(otherHost))
	*ops = nil
	_, err = c.Refresh()
	assert.ErrorIs(t, err, ErrEvicted)
	data := uintptr(0)
	for _, op := range *ops {
		if op.kind == "invalidate" {
			data += op.lines * lineSize
		}
	}
	assert.GreaterOrEqual(t, data, uintptr(reuseUnits*defaultUnit))
	require.NoError(t, m.Admit(otherHost))
	require.NoError(t, mapping.Close())
}

// What is done to all data is done to the devices that are here, although one is not.
func TestReuseDeviceMissing(t *testing.T) {
	t.Parallel()
	_, paths := severalDevices(t, 3, reuseSize)
	c := openTest(t, paths[0], WithDevices(paths[2]))
	done := 0
	err := c.eachData(func(*device, []byte) error { done++; return nil })
	assert.ErrorIs(t, err, ErrDevice)
	assert.Equal(t, 2, done)
}

// Who shares the writers' lock relies on the slot only if it stands.
func TestReuseCreatorsSlot(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.Close())
	shared, _ := asSharedMemory()
	m = openMaster(t, path, shared)
	m.pins.creators = 1 // another goroutine is taking the slot, and will fail
	require.NoError(t, m.lockWriters(t.Context()))
	assert.NotNil(t, m.pins.slot)
	assert.EqualValues(t, slotCreates, m.pins.flags)
	require.NoError(t, m.unlockWriters())
	m.pins.creators = 0
}

// Two that create the same name at once, when space has to be given back first, do not both get it.
func TestReuseCreateAtOnce(t *testing.T) {
	t.Parallel()
	m, _ := reusing(t)
	promised := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.promised
	}
	require.NoError(t, m.Mkdir("dir", 0o755))
	for i := range 3 {
		require.NoError(t, m.WriteFile(fmt.Sprint("f", i), big(2, 1), 0o644))
	}
	mapping, err := m.Map("f0")
	require.NoError(t, err)
	require.NoError(t, m.Remove("f0"))
	// The first that finds no space waits for this, and has let go of FS.mu.
	m.pins.mu.Lock()
	made := make(chan *PendingFile, 1)
	looks := m.replica.looks.Load()
	go func() {
		p, err := m.Create("dir/a", 3*defaultUnit)
		assert.ErrorIs(t, err, fs.ErrExist)
		made <- p
	}()
	for m.replica.looks.Load() == looks { // it looks at the log while it has FS.mu
		runtime.Gosched()
	}
	second, err := m.Create("dir/a", defaultUnit)
	closeErr := mapping.Close()
	m.pins.mu.Unlock()
	require.NoError(t, err)
	require.NoError(t, closeErr)
	first := <-made
	if first != nil {
		require.NoError(t, first.Close())
	}
	require.NoError(t, second.Close())
	assert.Zero(t, promised())
}

// What fails leaves no note that nobody may map anything.
func TestReuseFailedFormat(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", []byte("content"), 0o644))
	require.NoError(t, m.Close())
	missing := filepath.Join(testDir(t), "missing")
	require.ErrorIs(t, Format(path, WithSystemUUID(testHost), Force(), Secondaries(missing)), fs.ErrNotExist)
	require.NoError(t, openClient(t, path).View("a", func([]byte) error { return nil }))
	_, err := os.Stat(missing)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestReuseFailedCompact(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(reuseUnits, 1), 0o644))
	require.NoError(t, m.Mkdir("gone", 0o755))
	require.NoError(t, m.Remove("gone"))
	dirs := make([]crashEntry, m.Usage().LogCapacity-m.Usage().LogUsed)
	for i := range dirs {
		dirs[i] = crashEntry{path: fmt.Sprintf("dir%d", i), dir: true, mode: 0o755}
	}
	_, err := m.replica.appendAll(dirs)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	require.ErrorIs(t, Compact(path, WithSystemUUID(testHost)), ErrNoSpace)
	require.NoError(t, openClient(t, path).View("a", func([]byte) error { return nil }))
}

// Usage and reads look at what the log says while a replay finds a further device and, with
// Tolerant, a corrupt entry.
func TestReuseNoticedBesideReaders(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(1, 1), 0o644))
	c := openClient(t, path, Tolerant())
	ended := make(chan struct{})
	var readers sync.WaitGroup
	for _, look := range []func(){
		func() { c.Usage() },
		func() { c.UsageByDevice() },
		func() { _ = c.View("a", func([]byte) error { return nil }) },
		func() { _, _ = c.ReadFile("a") },
	} {
		readers.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					look()
				}
			}
		})
	}
	require.NoError(t, m.AddDevice(fileBacking(t, testSize)))
	_, err := c.Refresh()
	assert.NoError(t, err)
	c.mu.Lock() // so that nobody replays the entry before it is corrupt
	require.NoError(t, m.WriteFile("b", big(1, 2), 0o644))
	require.NoError(t, m.WriteFile("c", big(1, 3), 0o644))
	corruptByte(t, path, entryAt(2)+entrySize-1)
	c.mu.Unlock()
	_, err = c.Refresh()
	assert.NoError(t, err)
	close(ended)
	readers.Wait()
	assert.NotEmpty(t, c.Problems())
	_, err = c.ReadFile("a")
	assert.ErrorIs(t, err, ErrCorrupt, "what the entry removed is not known")
}

// Taking a slot reads the log, too: a device that is added then is looked for, and so is the next one.
func TestReuseDeviceComesWithSlot(t *testing.T) {
	t.Parallel()
	needsSlots(t)
	needsFile(t, "it needs several devices")
	first := formatDevices(t, 1, reuseSize, Reuse())[0]
	second, third := fileBacking(t, reuseSize), fileBacking(t, reuseSize)
	m := openMaster(t, first)
	require.NoError(t, m.Admit(otherHost))
	addFile(t, m, "a", mib)
	c := openClient(t, first, WithDevices(second, third))
	require.NoError(t, m.AddDevice(second))
	mapping, err := c.Map("a") // takes a slot, and reads the log for that
	require.NoError(t, err)
	require.NoError(t, mapping.Close())
	assert.Nil(t, c.devices.search, "what is not used is closed")
	require.Len(t, c.Devices(), 2)
	require.NoError(t, m.AddDevice(third))
	content := addFile(t, m, "b", mib, OnDevice(2))
	refreshed(t, c)
	require.NoError(t, c.absent())
	assertContent(t, c, "b", content)
}
