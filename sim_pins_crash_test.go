package famfs

// Admitting and evicting on the simulated memory: whatever a crash leaves, a host is in one state,
// has a place of its own, and the next master can go on.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reuseMedium is crashMedium with a file system that gives memory out again.
func reuseMedium(t *testing.T) (*simMedium, Superblock) {
	t.Helper()
	sb := crashSuperblock(1, minLogSize)
	sb.Version |= featureReuse
	sb.DeviceSize = pinsDevice
	m := newSimMedium(pinsDevice)
	require.NoError(t, writeFileSystem(&simImage{mem: m.mem}, sb))
	return m, sb
}

func TestCrashAdmit(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	medium, sb := reuseMedium(t)
	at := sb.logEnd()
	rng := rand.New(rand.NewPCG(simSeed(t), 0))
	a := UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	var empty pinHosts
	b := UUID{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1} // one that would have the same place
	for n := uint16(0); empty.vacant(b) != empty.vacant(a); n++ {
		binary.LittleEndian.PutUint16(b[14:], n)
	}
	for _, again := range []bool{false, true} {
		host := newSimHost(medium)
		states := map[uint64]int{}
		x := newCrashExplorer(host, rng, 4096, 0)
		x.verify = func(m *simImage) error {
			if err := checkPins(m, at, sb.UUID); err != nil {
				return err
			}
			hosts := readHosts(m, at)
			if place := hosts.find(testHost); hosts.states[place] != hostAdmitted {
				return fmt.Errorf("the master is in state %d", hosts.states[place])
			}
			state := uint64(hostUnknown)
			if place := hosts.find(a); place >= 0 {
				state = hosts.states[place]
			}
			states[state]++
			for place, s := range hosts.states {
				if s != hostUnknown && hosts.uuids[place] != a && hosts.uuids[place] != testHost {
					return fmt.Errorf("host %s is in state %d", hosts.uuids[place], s)
				}
			}
			// The next master admits both. A place that was begun for the one is not given to the other.
			begun := hosts.find(a)
			var pa, pb int
			var err, err2 error
			if begun >= 0 {
				pb, err = admitHost(m, at, b)
				pa, err2 = admitHost(m, at, a)
			} else {
				pa, err = admitHost(m, at, a)
				pb, err2 = admitHost(m, at, b)
			}
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			if begun >= 0 && pa != begun {
				return fmt.Errorf("place %d was begun, and %d is given", begun, pa)
			}
			hosts = readHosts(m, at)
			if pa == pb || hosts.uuids[pa] != a || hosts.uuids[pb] != b || hosts.states[pa] != hostAdmitted || hosts.states[pb] != hostAdmitted {
				return fmt.Errorf("places %d and %d", pa, pb)
			}
			return nil
		}
		x.explore(nil)
		place, err := admitHost(host, at, a)
		require.NoError(t, err)
		if again {
			require.NoError(t, evictHost(host, at, place))
			_, err = admitHost(host, at, a)
			require.NoError(t, err)
		}
		require.NoError(t, x.err)
		t.Logf("%d states at %d points: %v", x.states, x.points, states)
		assert.Positive(t, states[hostUnknown])
		assert.Positive(t, states[hostAdmitted])
		if again {
			assert.Positive(t, states[hostEvicted])
		}
		host.settle()
		medium.reset()
	}
}
