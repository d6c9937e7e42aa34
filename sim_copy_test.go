package famfs

// The second copy of the superblock on the simulated memory: at every point between two stores of
// Grow, of writing a copy that is missing, and of putting one back, everything stops. The
// superblock or its copy is sound then, and who does the same again comes to the same end. What
// Format, Compact and AddDevice do to it is in the tests of these.

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crashRenewal changes superblock or copy, and its every state is explored.
type crashRenewal struct {
	host *simHost
	x    *crashExplorer
	sb   Superblock // what both are in the end
	old  Superblock // what they may be before
	put  bool       // the copy is put back: it is there all the time
	done bool
	// outcomes counts states: both sound, only the superblock, only the copy.
	outcomes [3]int
}

func newCrashRenewal(t *testing.T, medium *simMedium, rng *rand.Rand) *crashRenewal {
	t.Helper()
	sb := crashSuperblock(1, minLogSize)
	require.NoError(t, writeFileSystem(&simImage{mem: medium.mem}, sb))
	h := newSimHost(medium)
	c := &crashRenewal{host: h, sb: sb, old: sb, x: newCrashExplorer(h, rng, 4096, 256)}
	c.x.verify = c.verify
	return c
}

func (c *crashRenewal) verify(m *simImage) error {
	standing, err := readSuperblock(m, crashDevice)
	copied, noCopy := crashCopy(m)
	switch {
	case err == nil && standing != c.sb && (standing != c.old || c.done):
		return fmt.Errorf("superblock: found %+v", standing)
	case copied != nil && *copied != c.sb && (*copied != c.old || c.done):
		return fmt.Errorf("copy: found %+v", *copied)
	case c.done && (err != nil || noCopy != nil), err != nil && noCopy != nil, c.put && noCopy != nil:
		return fmt.Errorf("superblock: %w, copy: %w", err, noCopy)
	case err != nil:
		c.outcomes[2]++
	case noCopy != nil:
		c.outcomes[1]++
	default:
		c.outcomes[0]++
	}
	// Whoever comes next does the rest of it.
	if c.put && err != nil {
		b := c.sb.encode()
		err = putSuperblock(m, &b)
	} else {
		err = renewCopy(m, crashDevice)
	}
	standing, sbErr := readSuperblock(m, crashDevice)
	copied, noCopy = crashCopy(m)
	if err != nil || sbErr != nil || noCopy != nil || *copied != standing {
		return fmt.Errorf("done again: superblock %+v: %w, copy: %w", standing, sbErr, noCopy)
	}
	return nil
}

func (c *crashRenewal) run(do func(m sharedMemory) error) error {
	c.x.explore(nil)
	if err := do(c.host); err != nil {
		return err
	}
	c.done = true
	c.x.allowed++
	c.x.explore(nil)
	return c.x.err
}

// crashRenewals are the ways in which superblock and copy change.
var crashRenewals = []struct {
	name    string
	prepare func(c *crashRenewal)
	do      func(m sharedMemory) error
	// redundant are the flushes and fences without which nothing can go wrong there, with what does
	// their work besides: see crashRedundant.
	redundant map[string][]string
}{
	{"grow", func(c *crashRenewal) {
		c.old.DeviceSize = crashDevice / 2
		b := c.old.encode()
		copied := encodeCopy(&b)
		copy(c.host.medium.mem, b[:])
		copy(c.host.medium.mem[copyAt:], copied[:])
	}, func(m sharedMemory) error {
		if err := writeDeviceSize(m, crashDevice); err != nil {
			return err
		}
		return renewCopy(m, crashDevice)
	}, map[string][]string{
		// The superblock is read again for the copy, which writes it back.
		"writeDeviceSize flush 1":       {"loadSuperblock invalidate"},
		"writeDeviceSize fenceStores 1": {"loadSuperblock invalidate", "writeCopy fenceStores 1"},
	}},
	{"missing", func(c *crashRenewal) { clear(c.host.medium.mem[copyAt : copyAt+copySize]) }, func(m sharedMemory) error { return renewCopy(m, crashDevice) }, nil},
	{"of another", func(c *crashRenewal) {
		other := crashSuperblock(2, 2*minLogSize)
		b := other.encode()
		copied := encodeCopy(&b)
		copy(c.host.medium.mem[copyAt:], copied[:])
		c.old = other
		c.sb = crashSuperblock(1, minLogSize)
	}, func(m sharedMemory) error { return renewCopy(m, crashDevice) }, nil},
	{"put back", func(c *crashRenewal) {
		c.put = true
		clear(c.host.medium.mem[:superblockSize])
		c.host.medium.mem[100] = 1
	}, putCopyBack, nil},
	{"put back under its magic", func(c *crashRenewal) {
		c.put = true
		c.host.medium.mem[logSizeAt] ^= 1
		c.host.medium.mem[systemUUIDAt] ^= 1
		c.host.medium.mem[deviceSizeAt+3] ^= 1
		c.host.medium.mem[deviceNameAt] ^= 1
	}, putCopyBack, nil},
}

func putCopyBack(m sharedMemory) error {
	b, _, err := secondCopy(m, crashDevice, crashDevice)
	if err != nil {
		return err
	}
	return putSuperblock(m, &b)
}

func TestCrashCopy(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	for _, way := range crashRenewals {
		t.Run(way.name, func(t *testing.T) {
			medium := newSimMedium(logOffset + 2*minLogSize)
			c := newCrashRenewal(t, medium, rand.New(rand.NewPCG(seed, 11)))
			way.prepare(c)
			require.NoError(t, c.run(way.do))
			t.Logf("%d states at %d points: both sound %d, only the superblock %d, only the copy %d", c.x.states, c.x.points, c.outcomes[0], c.outcomes[1], c.outcomes[2])
			assert.Positive(t, c.outcomes[0])
			assert.Positive(t, c.outcomes[1]+c.outcomes[2])
		})
	}
}

// With any one flush or fence removed, or done by the other kind of fence, there is a state that
// is wrong.
func TestCrashCopyTeeth(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	for _, way := range crashRenewals {
		t.Run(way.name, func(t *testing.T) {
			run := func(confused int, removed ...int) ([]crashBarrier, int, error) {
				medium := newSimMedium(logOffset + 2*minLogSize)
				c := newCrashRenewal(t, medium, rand.New(rand.NewPCG(seed, 12)))
				way.prepare(c)
				saboteur := sabotage(c.host, removed, confused)
				err := c.run(way.do)
				return saboteur.barriers, c.x.states, err
			}
			redundant := make(map[string]bool)
			checkTeeth(t, run, way.redundant, redundant)
			for name := range way.redundant {
				assert.True(t, redundant[name], "%s was found to be necessary", name)
			}
		})
	}
}
