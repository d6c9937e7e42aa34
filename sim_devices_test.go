package famfs

// Adding a device on the simulated memory: at every point between two of its stores everything
// stops, and whoever comes next finds the file system as it was, or with the device, which then
// has its superblock; or what can be finished to that.

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// simSecondaryAt is where on the medium the second device is: behind the log of the first.
const simSecondaryAt = logOffset + minLogSize + 2*mib

// shiftedMemory is a second device on the same medium.
type shiftedMemory struct {
	sharedMemory
	at int64
}

func (m shiftedMemory) load(p []byte, off int64)         { m.sharedMemory.load(p, m.at+off) }
func (m shiftedMemory) load64(off int64) uint64          { return m.sharedMemory.load64(m.at + off) }
func (m shiftedMemory) store(off int64, p []byte)        { m.sharedMemory.store(m.at+off, p) }
func (m shiftedMemory) store64(off int64, v uint64)      { m.sharedMemory.store64(m.at+off, v) }
func (m shiftedMemory) storePair(off int64, a, b uint64) { m.sharedMemory.storePair(m.at+off, a, b) }
func (m shiftedMemory) flush(off, n int64) error         { return m.sharedMemory.flush(m.at+off, n) }
func (m shiftedMemory) invalidate(off, n int64)          { m.sharedMemory.invalidate(m.at+off, n) }

func secondOf(m sharedMemory) sharedMemory { return shiftedMemory{m, simSecondaryAt} }

// crashAddition is an addition whose every state is explored.
type crashAddition struct {
	host   *simHost
	old    *crashModel
	x      *crashExplorer
	r      *replica
	device addedDevice
	done   bool
	// outcomes counts states: as it was, with the feature, to be finished, with the device.
	outcomes [4]int
	// copies counts those in which only the copy is sound, and torn those in which only the superblock is.
	copies, torn int
}

const simSecondarySize = 64 * mib

func newCrashAddition(h *simHost, rng *rand.Rand, old *crashModel, bound, sample int) (*crashAddition, error) {
	c := &crashAddition{host: h, old: old, device: addedDevice{simSecondarySize, UUID{7, 7}}}
	c.r = newSimScratch().replica(h, old.sb, crashDevice, func() {})
	if _, err := c.r.catchUp(failAtCorrupt, true); err != nil {
		return nil, err
	}
	c.x = newCrashExplorer(h, rng, bound, sample)
	c.x.verify = c.verify
	return c, nil
}

// run is what AddDevice does.
func (c *crashAddition) run() error {
	c.x.explore(nil)
	sb := c.old.sb
	if err := writeSecondary(secondOf(c.host), superblockArea+smallUnit, secondarySuperblock(&sb, c.device, "second")); err != nil {
		return err
	}
	if err := addFeature(c.host, &sb, crashDevice, math.MaxInt64); err != nil {
		return err
	}
	if err := c.r.sameFileSystem(); err != nil {
		return err
	}
	_, err := c.r.append(func() (int, error) { return 1, nil }, func(_ int, e *entry) {
		e.kind, e.path = typeAddDev, nil
		e.deviceSize, e.deviceUUID, e.deviceIndex = c.device.size, c.device.uuid, 1
	})
	if err != nil {
		return err
	}
	if c.done = true; c.host.stored != nil {
		c.x.allowed++
		c.x.explore(nil)
	}
	return c.x.err
}

func (c *crashAddition) verify(m *simImage) error {
	records := readRecords(m, superblockArea)
	standing, err := readSuperblock(m, crashDevice)
	switch copied, noCopy := crashCopy(m); {
	case copied == nil && err != nil:
		return fmt.Errorf("neither the superblock nor its copy: %w: %w", err, noCopy)
	case copied != nil && copied.hasDevices() && (err != nil || !standing.hasDevices()):
		return errors.New("the copy is there before its superblock")
	case copied != nil && err != nil:
		c.copies++
	case copied == nil:
		c.torn++
	}
	if underWay, stands, ok := records.underWay(m, crashDevice); ok {
		if c.done {
			return errors.New("done, and still under way")
		}
		if _, err := readSuperblock(m, crashDevice); (err == nil) != (stands != noneStands) {
			return fmt.Errorf("stands %d, but reading it gives: %w", stands, err)
		}
		c.outcomes[2]++
		if err := underWay.finish(m, &records, crashDevice, 0); err != nil {
			return fmt.Errorf("finish: %w", err)
		}
	}
	sb, err := readSuperblock(m, crashDevice)
	if err != nil {
		return fmt.Errorf("no superblock, and nothing to be finished: %w", err)
	}
	if copied, err := crashCopy(m); err != nil || *copied != sb {
		return fmt.Errorf("the copy is %+v: %w", copied, err)
	}
	with := c.old.sb
	with.Version |= featureDevices
	if sb != with && (sb != c.old.sb || c.done) {
		return fmt.Errorf("superblock: found %+v", sb)
	}
	records = readRecords(m, superblockArea)
	if from := records.usedFrom(sb.UUID); from != math.MaxInt64 {
		return fmt.Errorf("memory is used from entry %d on, and there was no record", from)
	}
	r := newSimScratch().replica(m, sb, crashDevice, func() {})
	if _, err := r.catchUp(failAtCorrupt, true); err != nil {
		return err
	}
	if problems := r.listProblems(); len(problems) > 0 {
		return problems[0]
	}
	if found := int(r.next); found != len(c.old.done)+len(r.devices) || c.done && len(r.devices) == 0 {
		return fmt.Errorf("found %d entries and %d devices, want %d and the devices", found, len(r.devices), len(c.old.done))
	}
	live := crashLive(c.old.done)
	for i := range c.old.done {
		if err := c.old.done[i].check(r, i, live); err != nil {
			return err
		}
	}
	switch {
	case len(r.devices) > 0:
		c.outcomes[3]++
		b := loadSuperblock(secondOf(m))
		second, err := decodeSecondary(&b)
		if err != nil || second.DeviceUUID != c.device.uuid || second.UUID != sb.UUID || !sb.hasDevices() {
			return fmt.Errorf("the log adds a device whose superblock is %+v: %w", second, err)
		}
		if copied, err := crashCopy(secondOf(m)); err != nil || *copied != second {
			return fmt.Errorf("the copy on the device is %+v: %w", copied, err)
		}
	case sb.hasDevices():
		c.outcomes[1]++
	default:
		c.outcomes[0]++
	}
	return nil
}

func TestCrashAddDevice(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	medium := crashMedium(t)
	for _, n := range []int{0, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			defer medium.reset()
			old, err := crashUsed(medium, rng, n)
			require.NoError(t, err)
			c, err := newCrashAddition(newSimHost(medium), rng, old, 32, 4)
			require.NoError(t, err)
			require.NoError(t, c.run())
			t.Logf("%d states at %d points: as it was %d, with the feature %d, to be finished %d, with the device %d", c.x.states, c.x.points, c.outcomes[0], c.outcomes[1], c.outcomes[2], c.outcomes[3])
			for _, n := range append(c.outcomes[:], c.copies, c.torn) {
				assert.Positive(t, n)
			}
		})
	}
}

// crashAddRedundant are the flushes and fences without which nothing can go wrong in this model,
// with what does their work besides: see crashRedundant.
var crashAddRedundant = map[string][]string{
	// Nobody looks at the new device before the entry is there.
	"writeSecondary fenceStores 1": {"write fenceStores 1"},
	"writeSecondary fenceStores 2": {"write fenceStores 1"},
	"writeCopy fenceStores 1":      {"write fenceStores 1"},
	// Whichever of version and checksum comes first, the record says what is to stand there.
	"replaceSuperblock fenceStores 1": {"replaceSuperblock fenceStores 2"},
	// What comes behind it may find the record still under way, and finishes that again.
	"write fenceStores 2": {"append fenceStores 1"},
}

// With any one flush or fence removed, there is a state that is wrong.
func TestCrashAddDeviceTeeth(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	if raceEnabled || testing.Short() {
		t.Skip("it takes long, and finds the same without the race detector")
	}
	seed := simSeed(t)
	medium := crashMedium(t)
	run := func(confused int, removed ...int) (barriers []crashBarrier, states int, err error) {
		rng := rand.New(rand.NewPCG(seed, 7))
		defer medium.reset()
		old, err := crashUsed(medium, rng, 2)
		require.NoError(t, err)
		c, err := newCrashAddition(newSimHost(medium), rng, old, 16, 8)
		require.NoError(t, err)
		saboteur := sabotage(c.host, removed, confused)
		err = c.run()
		return saboteur.barriers, c.x.states, err
	}
	checkTeeth(t, run, crashAddRedundant, make(map[string]bool))
}

// A reader that has the file system open goes on while a device is added, and sees the device: it
// may get errors while the superblock changes, never ErrReformatted.
func TestStaleAddDevice(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	medium := crashMedium(t)
	rng := rand.New(rand.NewPCG(simSeed(t), 3))
	outcomes := make(map[bool]int)
	for range 200 {
		old, err := crashUsed(medium, rng, 2)
		require.NoError(t, err)
		c, err := newCrashAddition(newSimHost(medium), rng, old, 1, 1)
		require.NoError(t, err)
		reader := newSimScratch().replica(newSimHost(medium), old.sb, crashDevice, func() {})
		_, err = reader.catchUp(failAtCorrupt, true)
		require.NoError(t, err)
		c.host.stored = nil
		c.host.beforeStore = func() {
			if rng.IntN(8) == 0 {
				c.host.settle()
			}
			if rng.IntN(8) == 0 {
				_, err := reader.catchUp(failAtCorrupt, false)
				assert.NotErrorIs(t, err, ErrReformatted)
				outcomes[err == nil]++
			}
		}
		require.NoError(t, c.run())
		c.host.beforeStore = nil
		c.host.settle()
		_, err = reader.catchUp(failAtCorrupt, false)
		require.NoError(t, err)
		require.Len(t, reader.devices, 1)
		require.True(t, reader.sb.hasDevices())
		medium.reset()
	}
	t.Logf("looks without and with an error: %d, %d", outcomes[true], outcomes[false])
}
