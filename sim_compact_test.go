package famfs

// Compaction on the simulated memory: at every point between two of its stores everything
// stops, and whoever comes next finds the old file system, or a compaction that can be
// finished to the new one, or the new one. That the one who finishes it is stopped too, is
// visited as well.

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crashCompaction is a compaction whose every state is explored.
type crashCompaction struct {
	host     *simHost
	old, new *crashModel
	x        *crashExplorer
	r        *replica
	log      newLog
	staged   int64
	done     bool
	finishes int // of how many states that can be finished one is
	outcomes [4]int
	copies   int // no superblock, but the copy of the old one
}

// crashCompacted is the model after a compaction of old: what is there of it, directories
// first.
func crashCompacted(old *crashModel) *crashModel {
	sb := old.sb
	sb.UUID = UUID{9, 9}
	c := &crashModel{sb: sb, scratch: newSimScratch()}
	live, renumbered := crashLive(old.done), make(map[int]int)
	for _, dirs := range []bool{true, false} {
		for i := range old.done {
			if e := old.done[i]; !e.removal && !e.seal && e.dir == dirs && live[e.path] == i {
				if at, ok := live[e.path]; ok && at == i {
					renumbered[i] = len(c.done)
					c.done = append(c.done, e)
				}
			}
		}
	}
	for _, e := range old.done { // seals stay, behind all files
		if at, ok := renumbered[e.removes]; e.seal && ok {
			e.removes = at
			c.done = append(c.done, e)
		}
	}
	return c
}

// newCrashCompaction prepares one of what is on the host's medium, which is old.
func newCrashCompaction(h *simHost, rng *rand.Rand, old *crashModel, inLog bool, bound, sample int) (*crashCompaction, error) {
	c := &crashCompaction{host: h, old: old, new: crashCompacted(old), finishes: 1}
	c.r = newSimScratch().replica(h, old.sb, crashDevice, func() {})
	if _, err := c.r.catchUp(failAtCorrupt, true); err != nil {
		return nil, err
	}
	var err error
	if c.log, err = c.r.planLog(math.MaxInt64); err != nil {
		return nil, err
	}
	c.staged = old.sb.dataStart()
	if inLog {
		if c.staged, err = c.r.stagingPlace(len(c.log.order)); err != nil {
			return nil, err
		}
	}
	c.x = newCrashExplorer(h, rng, bound, sample)
	c.x.verify = c.verify
	return c, nil
}

func (c *crashCompaction) verify(m *simImage) error {
	sb, err := readSuperblock(m, crashDevice)
	records := readRecords(m, superblockArea)
	underWay, stands, ok := records.underWay(m, crashDevice)
	copied, noCopy := crashCopy(m)
	switch {
	case copied == nil && c.done:
		return noCopy
	case copied != nil && err == nil && copied.UUID != sb.UUID, copied != nil && copied.UUID == c.new.sb.UUID && err != nil:
		return fmt.Errorf("the copy is of %v, and the superblock %v: %w", copied.UUID, sb.UUID, err)
	case copied != nil && err != nil: // nothing else was done: it is about a complete log
		c.copies++
		if err := crashPutBack(m); err != nil {
			return err
		}
		return c.old.verify(m)
	}
	switch {
	case !ok && err != nil:
		return fmt.Errorf("neither file system, nor a compaction under way: %w", err)
	case !ok && sb == c.old.sb && !c.done:
		c.outcomes[0]++
		return c.old.verify(m)
	case !ok && sb == c.new.sb:
		c.outcomes[1]++
		return c.verifyNew(m)
	case !ok || c.done:
		return fmt.Errorf("found %+v, under way: %v", sb, ok)
	}
	c.outcomes[2]++
	if stands == newStands { // readers may have it already
		if _, err := c.new.open(m, c.new.sb, c.new.done, 0); err != nil {
			return err
		}
		c.outcomes[3]++
	}
	if c.outcomes[2]%c.finishes != 0 {
		return nil
	}
	if err := underWay.finish(m, &records, crashDevice, c.log.fresh); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	records = readRecords(m, superblockArea)
	if _, _, ok := records.underWay(m, crashDevice); ok {
		return errors.New("finished, but still under way")
	}
	if copied, err := crashCopy(m); err != nil || *copied != c.new.sb {
		return fmt.Errorf("finished, with the copy %+v: %w", copied, err)
	}
	return c.verifyNew(m)
}

// verifyNew verifies the new file system, and that nothing else is left in the log.
func (c *crashCompaction) verifyNew(m *simImage) error {
	if from := readRecords(m, superblockArea); from.usedFrom(c.new.sb.UUID) != int64(c.log.fresh) {
		return fmt.Errorf("memory is used from entry %d on, want %d", from.usedFrom(c.new.sb.UUID), c.log.fresh)
	}
	end := entryAt(uint64(len(c.old.done) + len(c.new.done)))
	for at := entryAt(uint64(len(c.new.done))); at < end; at++ {
		if m.mem[at] != 0 {
			return fmt.Errorf("something old is left at %#x", at)
		}
	}
	return c.new.verify(m)
}

func (c *crashCompaction) run() error {
	c.x.explore(nil)
	records := readRecords(c.host, crashDevice)
	underWay, err := c.r.stageLog(c.host, &records, c.log, c.staged, c.new.sb.UUID)
	if err == nil {
		err = underWay.finish(c.host, &records, crashDevice, c.log.fresh)
	}
	return c.end(err)
}

// again finishes what a crash has left, and explores that too.
func (c *crashCompaction) again() error {
	records := readRecords(c.host, crashDevice)
	underWay, _, ok := records.underWay(c.host, crashDevice)
	if !ok {
		return nil
	}
	return c.end(underWay.finish(c.host, &records, crashDevice, c.log.fresh))
}

func (c *crashCompaction) end(err error) error {
	if err != nil {
		return err
	}
	if c.done = true; c.host.stored != nil {
		c.x.allowed++
		c.x.explore(nil)
	}
	return c.x.err
}

// interrupt runs it until a store, and leaves one of the states that are possible then.
func (c *crashCompaction) interrupt(countdown int) (err error) {
	c.host.stored = nil
	c.host.beforeStore = func() {
		if countdown--; countdown == 0 {
			panic(crashed{})
		}
	}
	defer func() {
		c.host.beforeStore = nil
		if p := recover(); p != nil {
			if p != (crashed{}) {
				panic(p)
			}
			c.x.crash()
			c.host.stored = c.x.explore
		}
	}()
	return c.run()
}

// crashUsed makes a file system with entries of all kinds on medium, several of them removed.
func crashUsed(medium *simMedium, rng *rand.Rand, n int) (*crashModel, error) {
	s, err := newCrashScript(medium, rng, 0, 0)
	if err != nil {
		return nil, err
	}
	s.host.stored = nil
	kinds := []string{"mkdir", "sealed", "simple", "replacement", "seal", "extents", "removal", "interleaved"}
	for i := range n {
		if err := s.run(s.batch(kinds[i%len(kinds)]), 0); err != nil {
			return nil, err
		}
	}
	s.host.settle()
	return &s.crashModel, nil
}

func TestCrashCompact(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	budget := simAmount(t, "FAMFS_SIM_STATES", 200_000)
	bound, sample := 32, max(4, budget/50_000)
	if raceEnabled || testing.Short() {
		bound, sample = 8, 2
	}
	reuse := crashSuperblock(1, minLogSize)
	reuse.Version |= featureReuse
	media := map[int]*simMedium{2: crashMedium(t), 7: crashMediumOf(t, reuse)}
	media[6], media[12] = media[2], media[2]
	for _, inLog := range []bool{true, false} {
		for _, n := range []int{2, 6, 7, 12} { // with 7, memory is given out again
			t.Run(fmt.Sprintf("in log %v/%d", inLog, n), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, uint64(n)))
				medium := media[n]
				defer medium.reset()
				old, err := crashUsed(medium, rng, n)
				require.NoError(t, err)
				c, err := newCrashCompaction(newSimHost(medium), rng, old, inLog, bound, sample)
				require.NoError(t, err)
				c.finishes = n
				require.NoError(t, c.run())
				t.Logf("%d states at %d points, %d of them exhaustively: old %d, new %d, to be finished %d, of which the new one can be read in %d",
					c.x.states, c.x.points, c.x.exhausted, c.outcomes[0], c.outcomes[1], c.outcomes[2], c.outcomes[3])
				for _, n := range c.outcomes {
					assert.Positive(t, n)
				}
			})
		}
	}
}

// A compaction crashes, and so may the one that finishes it, several times.
func TestCrashCompactAgain(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	medium := crashMedium(t)
	rounds := 40
	if raceEnabled || testing.Short() {
		rounds = 5
	}
	finished := 0
	for round := range rounds {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		old, err := crashUsed(medium, rng, 5+rng.IntN(4))
		require.NoError(t, err)
		c, err := newCrashCompaction(newSimHost(medium), rng, old, rng.IntN(2) == 0, 8, 2)
		require.NoError(t, err)
		c.finishes = 16
		require.NoError(t, c.interrupt(1+rng.IntN(900)), "round %d", round)
		if !c.done {
			require.NoError(t, c.again(), "round %d", round)
			if c.done {
				finished++
			}
		}
		medium.reset()
	}
	t.Logf("%d of %d compactions were finished after a crash", finished, rounds)
	assert.Positive(t, finished)
}

// crashCompactRedundant are the flushes and fences without which nothing can go wrong in this
// model, with what does their work besides: see crashRedundant.
var crashCompactRedundant = map[string][]string{
	// Whoever finds the old superblock finds the record too, and finishes what has begun.
	// Readers that have opened the old one need it: see TestStaleCompact.
	"moveLog fenceStores 1": {"write fenceStores 1"},
	// Between these and that one nothing is stored that they must come before.
	"read fenceLoads 6":     {"moveLog fenceStores 3"},
	"zero fenceLoads 1":     {"moveLog fenceStores 3"},
	"zero fenceStores 1":    {"moveLog fenceStores 3"},
	"moveLog fenceStores 2": {"moveLog fenceStores 3"},
	// So it is with the pins unit's header.
	"writePinsHeader fenceStores 1": {"moveLog fenceStores"},
	// What comes behind it finds the record under way, and writes the copy again.
	"writeCopy fenceStores 1": {"zero fenceStores", "write fenceStores 2"},
}

// With any one flush or fence removed, or done by the other kind of fence, there is a state
// that is wrong.
func TestCrashCompactTeeth(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	if raceEnabled || testing.Short() {
		t.Skip("it takes long, and finds the same without the race detector")
	}
	seed := simSeed(t)
	for _, reuse := range []bool{false, true} {
		sb := crashSuperblock(1, minLogSize)
		if reuse {
			sb.Version |= featureReuse
		}
		medium := crashMediumOf(t, sb)
		run := func(confused int, removed ...int) (barriers []crashBarrier, states int, err error) {
			rng := rand.New(rand.NewPCG(seed, 7))
			defer medium.reset()
			old, err := crashUsed(medium, rng, 6)
			require.NoError(t, err)
			c, err := newCrashCompaction(newSimHost(medium), rng, old, true, 16, 8)
			require.NoError(t, err)
			c.finishes = 2
			saboteur := sabotage(c.host, removed, confused)
			err = c.run()
			return saboteur.barriers, c.x.states, err
		}
		checkTeeth(t, run, crashCompactRedundant, make(map[string]bool))
	}
}

// The log is compacted while others have it open, and open it. Those who open it find the old
// file system, the new one, or that they must wait; those who have the old one open keep what
// they know, or fail, and notice it in the end. They never take entries of one for those of
// the other.
func TestStaleCompact(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	schedules := max(20, simAmount(t, "FAMFS_SIM_SCHEDULES", 100_000)/200)
	g := newStaleStage(t)
	outcomes := make(map[string]int)
	for n := range schedules {
		require.NoError(t, g.runCompact(seed+uint64(n), outcomes, nil), "schedule %d, alone: FAMFS_SIM_SCHEDULES=1 FAMFS_SIM_SEED=%d", n, seed+uint64(n))
	}
	t.Logf("%d schedules: %v", schedules, outcomes)
	if schedules > 100 {
		for _, outcome := range []string{"old", "old has gone", "new", "busy"} {
			assert.Positive(t, outcomes[outcome], outcome)
		}
	}
}

// Without the flushes, or the fences, of what takes the old superblock away and brings the new
// one, some do.
func TestStaleCompactTeeth(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	if raceEnabled || testing.Short() {
		t.Skip("it takes long, and finds the same without the race detector")
	}
	seed := simSeed(t)
	for _, missing := range []struct{ kind, caller string }{
		{"flush", "moveLog"}, {simFenceStores, "moveLog"},
	} {
		g := newStaleStage(t)
		var err error
		n := uint64(0)
		for ; err == nil && n < 5000; n++ {
			err = g.runCompact(seed+n, make(map[string]int), func(op simOp) bool { return op.kind == missing.kind && simCaller() == missing.caller })
		}
		assert.Error(t, err, "%s of %s", missing.kind, missing.caller)
		t.Logf("without each %s of %s: found in schedule %d: %v", missing.kind, missing.caller, n, err)
	}
}

// runCompact plays one schedule, in which the master ignores what ignore says.
func (g *staleStage) runCompact(seed uint64, outcomes map[string]int, ignore func(simOp) bool) error {
	s := g.schedule(seed, 3)
	s.calm |= 7
	h := s.hosts[0]
	h.ignore = nil
	r := s.replica(g.scratch[0], h)
	if _, err := r.catchUp(failAtCorrupt, true); err != nil {
		return err
	}
	for range 2 + s.rng.IntN(4) {
		if err := s.append(r, h); err != nil {
			return err
		}
	}
	f := &staleFormat{stale: s, old: s.log, oldSB: s.sb, outcomes: outcomes}
	s.sb.UUID, s.named = UUID{9, 9}, len(s.log)
	s.log, s.complete, s.ends = nil, 0, nil
	live, renumbered := staleLive(f.old), make(map[int]int)
	add := func(e staleEntry) {
		s.log = append(s.log, e)
		s.complete++
		s.ends = append(s.ends, s.complete)
	}
	for _, dirs := range []bool{true, false} {
		for i, e := range f.old {
			if at, ok := live[e.path]; ok && at == i && e.dir == dirs {
				renumbered[i] = len(s.log)
				add(e)
			}
		}
	}
	for _, e := range f.old {
		if at, ok := renumbered[e.removes]; e.seal && ok {
			e.removes = at
			add(e)
		}
	}
	f.take = func(h *simHost) error {
		h.ignore = ignore
		defer func() { h.ignore = nil }()
		log, err := r.planLog(math.MaxInt64)
		if err != nil {
			return err
		}
		records := readRecords(h, staleDevice)
		c, err := r.stageLog(h, &records, log, entryAt(r.next), s.sb.UUID)
		if err != nil {
			return err
		}
		return c.finish(h, &records, staleDevice, log.fresh)
	}
	return f.play(g)
}
