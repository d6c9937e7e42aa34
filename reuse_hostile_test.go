package famfs

// Pins units with any bytes in them: nothing crashes, nothing takes long, and what a slot may
// hold back is held back.

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pinsAtOf is where the pins unit of these tests' file systems is.
const pinsAtOf = logOffset + minLogSize

// writeAt writes b to a file.
func writeBytes(t testing.TB, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
}

func word(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// What a forged slot may mean is taken for the worst.
func TestReuseHostileSlots(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		at    func(place int) int64
		b     []byte
		held  bool
		fails bool // it is not known who pins what
	}{
		"nothing":                       {func(int) int64 { return slotAt(0, 0) + slotFlagsAt }, word(0), false, false},
		"a pin of everything":           {func(p int) int64 { return slotAt(p, 3) }, word(1), true, false},
		"a pin at the end":              {func(p int) int64 { return slotAt(p, 126) }, word(1 + 2), false, false},
		"a pin beyond the end":          {func(p int) int64 { return slotAt(p, 5) }, word(1 + 3), true, false},
		"the highest pin":               {func(p int) int64 { return slotAt(p, 5) }, word(1<<64 - 1), true, false},
		"flags of a free slot":          {func(p int) int64 { return slotAt(p, 5) + slotFlagsAt }, word(1<<64 - 1), false, false},
		"before the first slot":         {func(p int) int64 { return slotAt(p, 0) - slotSize }, word(1), false, false},
		"a slot of nobody's":            {func(p int) int64 { return slotAt((p+1)%maxHosts, 3) }, word(1), false, false},
		"a state that is none":          {func(p int) int64 { return hostStateAt(p) }, word(9), false, false},
		"another magic":                 {func(int) int64 { return pinsMagicAt }, word(1), true, true},
		"another version, without sum":  {func(int) int64 { return pinsVersionAt }, word(2), true, true},
		"another file system":           {func(int) int64 { return pinsUUIDAt }, word(2), true, true},
		"another sum":                   {func(int) int64 { return pinsCRC }, word(2), true, true},
		"a sum with something above it": {func(int) int64 { return pinsCRC + 4 }, []byte{1}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, path := reusing(t)
			require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
			place := readHosts(m.replica.meta, m.replica.pinsAt()).find(otherHost)
			writeBytes(t, path, pinsAtOf+test.at(place), test.b)
			require.NoError(t, m.Remove("a"))
			err := m.WriteFile("b", big(6, 2), 0o644)
			if test.held {
				assert.ErrorIs(t, err, ErrNoSpace)
			} else {
				assert.NoError(t, err)
			}
			_, err = m.Reclaim()
			m.Hosts()
			c := openClient(t, path)
			_, mapErr := c.Map("a")
			if test.fails {
				assert.ErrorIs(t, err, ErrCorrupt)
				assert.ErrorIs(t, mapErr, ErrCorrupt)
				assert.ErrorIs(t, m.Admit(UUID{4}), ErrCorrupt)
				assert.ErrorIs(t, m.Evict(otherHost), ErrCorrupt)
				assert.Nil(t, m.Hosts())
			} else {
				assert.NoError(t, err)
			}
		})
	}
}

// Any bytes at all.
func TestReuseHostilePins(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	seed := testSeed(t)
	for round := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, round))
		m, path := reusing(t)
		require.NoError(t, m.WriteFile("a", big(2, 1), 0o644))
		require.NoError(t, m.WriteFile("b", big(2, 2), 0o644))
		require.NoError(t, m.Remove("b"))
		garbage := make([]byte, pinsSize)
		for range 1 + rng.IntN(2000) {
			garbage[rng.IntN(len(garbage))] = byte(rng.Uint32())
		}
		from := []int{0, pinsHostsAt, pinsStatesAt, pinsSlotsAt}[rng.IntN(4)]
		if from == 0 {
			header := encodePinsHeader(m.sb.UUID)
			copy(garbage, header[:])
			copy(garbage[pinsHostsAt:], testHost[:])
		}
		writeBytes(t, path, pinsAtOf+int64(from), garbage[from:])
		begin := time.Now()
		m.Hosts()
		_, _ = m.Reclaim()
		_ = m.Admit(UUID{7})
		_ = m.Evict(UUID{8})
		_ = m.WriteFile("c", big(6, 3), 0o644)
		c := openClient(t, path)
		data, err := c.ReadFile("a")
		require.NoError(t, err)
		require.Equal(t, hexSum(big(2, 1)), hexSum(data))
		if mapping, err := c.Map("a"); err == nil {
			require.Equal(t, hexSum(big(2, 1)), hexSum(mapping.Bytes()))
			require.NoError(t, mapping.Close())
		}
		_, err = Check(path)
		require.NoError(t, err)
		_ = c.Close()
		_ = m.Close()
		_ = Compact(path, WithSystemUUID(testHost))
		_ = Format(path, WithSystemUUID(testHost), Force())
		require.Less(t, time.Since(begin), time.Minute, "nothing takes long")
	}
}

// FuzzPins: whatever a pins unit holds is read without harm, and a slot that is in use never pins
// more than the log has.
func FuzzPins(f *testing.F) {
	header := encodePinsHeader(UUID{1})
	slot := pinSlot{word: 3, flags: slotWrites, owner: slotOwner{pid: 7, program: "program"}}
	b := slot.encode()
	f.Add(header[:], testHost[:], b[:])
	f.Add([]byte{}, []byte{}, []byte{})
	sb := crashSuperblock(1, minLogSize)
	sb.Version |= featureReuse
	mem := make([]byte, pinsDevice)
	require.NoError(f, writeFileSystem(&simImage{mem: mem}, sb))
	f.Fuzz(func(t *testing.T, header, hosts, slots []byte) {
		img := &simImage{mem: mem}
		at := sb.logEnd()
		lay := func(off, n int64, b []byte) {
			area := make([]byte, n)
			copy(area, b)
			img.store(at+off, area)
		}
		lay(0, pinsHeaderSize, header)
		lay(pinsHostsAt, 512, hosts)
		lay(pinsStatesAt, 512, append([]byte{1}, hosts...))
		lay(pinsSlotsAt, 2*pinsOfHost, slots)
		defer img.undo()
		r := newSimScratch().replica(img, sb, pinsDevice, func() {})
		if _, err := r.catchUp(failAtCorrupt, true); err != nil {
			t.Fatal(err)
		}
		lowest, err := r.lowestPin()
		if checkPins(img, at, sb.UUID) != nil {
			assert.Error(t, err)
		} else {
			assert.NoError(t, err)
		}
		found := readHosts(img, at)
		for place := range 2 {
			for _, s := range readSlots(img, at, place) {
				if s.pin(0) > 0 {
					t.Fatalf("slot %+v pins more than there is", s)
				}
				if err == nil && found.states[place] == hostAdmitted && lowest > 0 {
					t.Fatalf("slot %+v of host %d is passed over", s, place)
				}
			}
		}
		_, _ = admitHost(img, at, UUID{9, 9})
		_ = r.mayPin(1)
	})
}
