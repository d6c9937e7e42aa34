package famfs

// Stale readers, on the simulated memory of sim_test.go: a master and several clients,
// each with a cache of its own, whose accesses are interleaved at random while their
// caches write back, keep, drop and fetch lines as they like. The writer's process may
// die between any two stores, and another one on the same host take over.
//
// A client's namespace is always the beginning of the log, never behind what was
// complete when it looked; files are where the master put them, and whole; and in the
// end everyone knows everything.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	staleDevice = 64 * mib
	staleLog    = logOffset + minLogSize // where it ends
)

// staleEntry is an entry of the log, with the lines of the file that have data.
type staleEntry struct {
	crashEntry
	lines []int64 // offsets in the file
	seed  uint64
}

// data returns what the line of the file at off holds.
func (e *staleEntry) data(off int64) (b lineData) {
	for i := 0; i < simLineSize; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], e.seed^uint64(off+int64(i))*0x9E3779B97F4A7C15|1)
	}
	return b
}

// stale is one schedule.
type stale struct {
	*simWorld
	sb       Superblock
	log      []staleEntry // what was begun
	complete int          // how many of those were
	ends     []int        // where what was appended at once ends
	named    int          // names that the log before this one had
	stats    *staleStats
	err      error
}

type staleStats struct{ entries, seals, replays, reads, deaths, pauses int }

// staleStage is what schedules use again and again.
type staleStage struct {
	medium  *simMedium
	sb      Superblock
	hosts   []*simHost
	scratch []*simScratch
	stats   staleStats
}

func newStaleStage(t *testing.T) *staleStage {
	t.Helper()
	s := &staleStage{medium: newSimMedium(staleDevice), sb: crashSuperblock(1, minLogSize)}
	require.NoError(t, writeFileSystem(&simImage{mem: s.medium.mem}, s.sb))
	for range 4 {
		h := newSimHost(s.medium)
		h.keep = true
		s.hosts = append(s.hosts, h)
		s.scratch = append(s.scratch, newSimScratch())
	}
	return s
}

// schedule returns a new one on n hosts.
func (g *staleStage) schedule(seed uint64, n int) *stale {
	g.medium.reset()
	s := &stale{simWorld: &simWorld{rng: rand.New(rand.NewPCG(seed, 0))}, sb: g.sb, stats: &g.stats}
	s.hosts = g.hosts[:n]
	s.calm = 1<<(1+s.rng.IntN(8)) - 1
	for _, h := range s.hosts {
		h.dropAll()
		h.world = s.simWorld
		h.splits = s.rng.IntN(2) == 0
	}
	// What is read and written: some of it may be in any cache from the beginning.
	s.interest = append(s.interest, 0, 64, 128, logOffset, logOffset, logOffset)
	for at := entryAt(0) &^ (simLineSize - 1); at < entryAt(14); at += simLineSize {
		s.interest = append(s.interest, at)
	}
	return s
}

// run plays one schedule.
func (g *staleStage) run(seed uint64, prepare func(*stale)) error {
	s := g.schedule(seed, 2+int(seed%3))
	if prepare != nil {
		prepare(s)
	}
	programs := []func(){func() { s.fail("the master", s.master(g.scratch[0])) }}
	clients := make([]*staleClient, 0, 3)
	for i, h := range s.hosts[1:] {
		c := &staleClient{stale: s, host: h, scratch: g.scratch[i+1], policy: failAtCorrupt}
		if s.rng.IntN(4) == 0 {
			c.policy = stopAtCorrupt
		}
		clients = append(clients, c)
		programs = append(programs, func() { s.fail(fmt.Sprintf("client %d", i), c.run()) })
	}
	s.simWorld.run(programs...)
	s.hosts[0].settle()
	if s.err == nil && s.complete != len(s.log) {
		s.err = fmt.Errorf("%d of %d operations are complete", s.complete, len(s.log))
	}
	for i, c := range clients {
		s.fail(fmt.Sprintf("client %d, at last", i), c.finish())
	}
	g.stats.entries += len(s.log)
	return s.err
}

// fail notes the first error, after which programs end.
func (s *stale) fail(who string, err error) {
	if s.err == nil && err != nil {
		s.err = fmt.Errorf("%s: %w", who, err)
	}
}

func (s *stale) replica(scratch *simScratch, h *simHost) *replica {
	return scratch.replica(h, s.sb, staleDevice, func() {
		s.stats.pauses++
		s.pass()
	})
}

// master appends some entries. Its process may die.
func (s *stale) master(scratch *simScratch) error {
	h := s.hosts[0]
	for operations := 1 + s.rng.IntN(5); operations > 0 && s.err == nil; {
		r := s.replica(scratch, h)
		if _, err := r.catchUp(failAtCorrupt, true); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		// What was under way when the one before died is there or not.
		if int(r.next) < s.complete || int(r.next) > len(s.log) || !s.isEnd(int(r.next)) {
			return fmt.Errorf("found %d entries, %d are complete of %d", r.next, s.complete, len(s.log))
		}
		s.log, s.complete = s.log[:r.next], int(r.next)
		s.ends = slices.DeleteFunc(s.ends, func(n int) bool { return n > int(r.next) })
		countdown := -1
		if s.rng.IntN(4) == 0 {
			countdown = 1 + s.rng.IntN(200)
		}
		died, err := s.life(r, h, &operations, countdown)
		if err != nil {
			return err
		}
		if died {
			s.stats.deaths++
			operations = max(1, operations)
		}
	}
	return nil
}

// life is that of one of the master's processes, which ends before the store that
// countdown says.
func (s *stale) life(r *replica, h *simHost, operations *int, countdown int) (died bool, err error) {
	h.beforeStore = func() {
		if countdown--; countdown == 0 {
			panic(crashed{})
		}
	}
	defer func() {
		h.beforeStore = nil
		if p := recover(); p != nil {
			if died = p == (crashed{}); !died {
				panic(p)
			}
		}
	}()
	for ; *operations > 0 && s.err == nil; *operations-- {
		if err := s.append(r, h); err != nil {
			return false, err
		}
	}
	return false, nil
}

// isEnd says that n entries are none in part of what was appended at once.
func (s *stale) isEnd(n int) bool { return n == 0 || slices.Contains(s.ends, n) }

// live says which of the first n entries made what is there then.
func (s *stale) live(n int) map[string]int { return staleLive(s.log[:n]) }

func staleLive(log []staleEntry) map[string]int { return crashLive(crashEntries(log)) }

func crashEntries(log []staleEntry) []crashEntry {
	entries := make([]crashEntry, len(log))
	for i := range entries {
		entries[i] = log[i].crashEntry
	}
	return entries
}

// append makes directories and files, removes, replaces and seals them, as Mkdir, Commit,
// Remove and Seal do, one or several at once.
func (s *stale) append(r *replica, h *simHost) error {
	first := len(s.log)
	n := 1 + s.rng.IntN(4)*s.rng.IntN(2)
	for range n {
		live := s.live(len(s.log))
		path := ""
		unsealed := func(i int) bool {
			return !s.log[i].dir && !slices.ContainsFunc(s.log, func(e staleEntry) bool { return e.seal && e.removes == i })
		}
		if at, ok := drawLeaf(s.rng, live, unsealed); ok && s.rng.IntN(6) == 0 {
			s.log = append(s.log, staleEntry{crashEntry: sealOf(crashEntries(s.log), at, s.rng)})
			s.stats.seals++
			continue
		}
		if at, ok := drawLeaf(s.rng, live, func(int) bool { return true }); ok && s.rng.IntN(3) == 0 {
			path = s.log[at].path
			s.log = append(s.log, staleEntry{crashEntry: crashEntry{path: path, removal: true, removes: at}})
			if s.log[at].dir || s.rng.IntN(2) == 0 {
				continue
			}
		}
		if err := s.make(r, h, live, path); err != nil {
			return err
		}
	}
	s.ends = append(s.ends, len(s.log))
	entries := s.log[first:]
	_, err := r.append(func() (int, error) { return len(entries), nil }, func(i int, to *entry) { entries[i].encode().copyTo(to) })
	if err != nil {
		return err
	}
	s.complete = len(s.log)
	return nil
}

// make draws a file, or a directory, and stores its data. With a path it is a file, which
// replaces one.
func (s *stale) make(r *replica, h *simHost, live map[string]int, path string) error {
	index := len(s.log)
	e := staleEntry{crashEntry: crashEntry{path: fmt.Sprintf("%d", s.named+index), mode: 0o644, uid: s.rng.Uint32()}, seed: s.rng.Uint64()}
	for i := range s.log {
		d := &s.log[i]
		if at, ok := live[d.path]; ok && at == i && d.dir && s.rng.IntN(2) == 0 {
			e.path = d.path + "/" + e.path
			break
		}
	}
	if path != "" {
		e.path = path
	}
	var err error
	e.size = 1 + s.rng.Int64N(3*defaultUnit)
	switch s.rng.IntN(6) {
	case 0:
		e.dir, e.size = true, 0
	case 1:
		e.layout, _, err = r.allocate(e.size, &Interleaving{Strips: 2, Buckets: 4, Chunk: defaultUnit}, anyDevice)
		if errors.Is(err, ErrNoSpace) { // single units here and there may leave too few buckets
			e.layout, _, err = r.allocate(e.size, nil, anyDevice)
		}
	case 2:
		for range 2 + s.rng.IntN(2) {
			run, ok := r.alloc.allocate(1, s.rng.Int64N(staleDevice/defaultUnit), staleDevice/defaultUnit)
			if !ok {
				continue
			}
			e.layout.Extents = append(e.layout.Extents, Extent{Offset: run.start * defaultUnit, Length: defaultUnit})
		}
		if e.dir = len(e.layout.Extents) == 0; e.dir {
			e.size = 0
			break
		}
		e.size = e.units()*defaultUnit - s.rng.Int64N(defaultUnit)
	default:
		e.layout, _, err = r.allocate(e.size, nil, anyDevice)
	}
	if errors.Is(err, ErrNoSpace) {
		e.dir, e.size, e.layout, err = true, 0, Layout{}, nil
	}
	if err != nil {
		return err
	}
	if !e.dir {
		e.lines = append(e.lines, 0, (e.size-1)&^(simLineSize-1), s.rng.Int64N(e.size)&^(simLineSize-1))
		for _, off := range e.lines {
			_, at, _ := e.layout.locate(off)
			s.interest = append(s.interest, at, at)
		}
		for range s.rng.IntN(8) {
			s.disturb() // readers may have them in their caches, as they were before
		}
		for _, off := range e.lines {
			_, at, _ := e.layout.locate(off)
			data := e.data(off)
			h.store(at, data[:])
		}
		for _, off := range e.lines {
			_, at, _ := e.layout.locate(off)
			if err := h.flush(at, simLineSize); err != nil {
				return err
			}
		}
		// No fence here, as in Commit: append's first one is for the data too.
	}
	s.log = append(s.log, e)
	return nil
}

// staleClient is a reader.
type staleClient struct {
	*stale
	host    *simHost
	scratch *simScratch
	policy  onCorrupt
	r       *replica
}

func (c *staleClient) run() error {
	if err := c.open(); err != nil {
		return err
	}
	for range c.rng.IntN(6) {
		if c.err != nil {
			return nil
		}
		var err error
		switch c.rng.IntN(8) {
		case 0:
			err = c.open() // another process
		case 1, 2, 3, 4:
			err = c.refresh(false)
		default:
			if c.r.next > 0 {
				err = c.read(c.rng.IntN(int(c.r.next)))
			}
		}
		if err != nil {
			return err
		}
		c.pass()
	}
	return nil
}

// open makes a new replica, as Open does.
func (c *staleClient) open() error {
	sb, err := readSuperblock(c.host, staleDevice)
	if err != nil {
		return err
	}
	if sb != c.sb {
		return fmt.Errorf("superblock: found %+v", sb)
	}
	c.r = c.replica(c.scratch, c.host)
	return c.refresh(true)
}

// refresh replays what is new and checks what is there.
func (c *staleClient) refresh(fresh bool) error {
	complete, before := c.complete, c.r.next
	n, err := c.r.catchUp(c.policy, fresh)
	if err != nil {
		return err
	}
	c.stats.replays++
	found := int(c.r.next)
	switch {
	case n != found-int(before):
		return fmt.Errorf("says that it replayed %d entries from %d to %d", n, before, found)
	case found < complete:
		return fmt.Errorf("found %d entries when %d were complete", found, complete)
	case found > len(c.log):
		return fmt.Errorf("found %d entries when only %d were begun", found, len(c.log))
	case !c.isEnd(found):
		return fmt.Errorf("found %d entries, which is a part of what was appended at once: that ends at %v", found, c.ends)
	}
	if problems := c.r.listProblems(); len(problems) > 0 {
		return problems[0].Err
	}
	live := c.live(found)
	for i := range found {
		if err := c.log[i].check(c.r, i, live); err != nil {
			return err
		}
	}
	for i := found; i < len(c.log); i++ {
		at, ok := c.r.ns.lookup(c.log[i].path)
		if wantAt, want := live[c.log[i].path]; ok != want || ok && at != int64(wantAt) {
			return fmt.Errorf("%q is there: %v, at %d, want %v, at %d", c.log[i].path, ok, at, want, wantAt)
		}
	}
	return nil
}

// read reads a file's data where this client maps it, as with Mapping.Invalidate.
func (c *staleClient) read(index int) error {
	n, e := c.r.ns.node(int64(index)), &c.log[index]
	if err := e.check(c.r, index, c.live(int(c.r.next))); err != nil {
		return err
	}
	if n.isDir() || e.removal || e.seal {
		return nil
	}
	c.stats.reads++
	place := n.place()
	for _, off := range e.lines {
		_, at, _ := place.locate(off)
		c.host.invalidate(at, simLineSize)
	}
	c.host.fenceLoads()
	for _, off := range e.lines {
		_, at, _ := place.locate(off)
		var found lineData
		c.host.load(found[:], at)
		if found != e.data(off) {
			return fmt.Errorf("%q, offset %d (%#x): found %x, want %x", e.path, off, at, found, e.data(off))
		}
	}
	return nil
}

// finish is called when the master is done: now all must be there.
func (c *staleClient) finish() error {
	if c.err != nil {
		return nil
	}
	if err := c.refresh(false); err != nil {
		return err
	}
	if int(c.r.next) != len(c.log) {
		return fmt.Errorf("found %d entries of %d", c.r.next, len(c.log))
	}
	for i := range c.log {
		if err := c.read(i); err != nil {
			return err
		}
	}
	return nil
}

func TestStaleReaders(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	schedules := simAmount(t, "FAMFS_SIM_SCHEDULES", 100_000)
	g := newStaleStage(t)
	done := 0
	for ; done < schedules; done++ {
		// The first schedule's seed is the test's, so that one can be seen alone.
		if err := g.run(seed+uint64(done), nil); err != nil {
			t.Fatalf("schedule %d: %v\nthis one alone: FAMFS_SIM_SCHEDULES=1 FAMFS_SIM_SEED=%d", done, err, seed+uint64(done))
		}
	}
	t.Logf("%d schedules: %+v", done, g.stats)
	assert.GreaterOrEqual(t, done, schedules)
	assert.True(t, g.stats.seals > 0 || schedules < 100)
	assert.Zero(t, g.stats.pauses, "nothing that a reader is shown is unsound, not even for a moment")
}

// A device is formatted over a file system that is in use, and then filled. Those who
// open it meanwhile find the old file system, none, or the new one; those who have
// the old one open keep what they know or fail. They never take entries of the new
// one for theirs.
func TestStaleFormat(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	schedules := max(20, simAmount(t, "FAMFS_SIM_SCHEDULES", 100_000)/50)
	g := newStaleStage(t)
	outcomes := make(map[string]int)
	for n := range schedules {
		s := g.schedule(seed+uint64(n), 3)
		s.calm |= 7 // the scan of a whole log is long
		for range s.rng.IntN(4) {
			r := s.replica(g.scratch[0], s.hosts[0])
			_, err := r.catchUp(failAtCorrupt, true)
			require.NoError(t, err)
			require.NoError(t, s.append(r, s.hosts[0]))
		}
		f := &staleFormat{stale: s, old: s.log, oldSB: s.sb, outcomes: outcomes}
		s.log, s.complete, s.ends, s.sb = nil, 0, nil, crashSuperblock(2, minLogSize)
		f.take = func(h *simHost) error { return writeFileSystem(h, f.sb) }
		require.NoError(t, f.play(g), "schedule %d, alone: FAMFS_SIM_SCHEDULES=1 FAMFS_SIM_SEED=%d", n, seed+uint64(n))
	}
	t.Logf("%d schedules: %v", schedules, outcomes)
}

// staleFormat is a schedule in which a file system takes the place of another.
type staleFormat struct {
	*stale
	old      []staleEntry
	oldSB    Superblock
	over     bool                   // the master is done
	take     func(h *simHost) error // has the new file system take the place of the old
	outcomes map[string]int
}

// play runs the master against all clients.
func (f *staleFormat) play(g *staleStage) error {
	programs := []func(){func() { f.fail("the master", f.master(g.scratch[0])) }}
	for i, h := range f.hosts[1:] {
		programs = append(programs, func() { f.fail(fmt.Sprintf("client %d", i), f.client(g.scratch[i+1], h)) })
	}
	f.run(programs...)
	return f.err
}

func (f *staleFormat) master(scratch *simScratch) error {
	defer func() { f.over = true }()
	h := f.hosts[0]
	if err := f.take(h); err != nil {
		return err
	}
	r := f.replica(scratch, h)
	if _, err := r.catchUp(failAtCorrupt, true); err != nil {
		return err
	}
	for range 1 + f.rng.IntN(5) {
		if err := f.append(r, h); err != nil {
			return err
		}
	}
	return nil
}

// client opens and refreshes until the master is done, and a little longer.
func (f *staleFormat) client(scratch *simScratch, h *simHost) error {
	for left := 1 + f.rng.IntN(4); left > 0 && f.err == nil; {
		if f.over {
			left--
		}
		for range f.rng.IntN(64) {
			f.pass()
		}
		err := f.session(scratch, h)
		switch {
		case err == nil:
		case errors.Is(err, ErrNotFormatted):
			f.outcomes["not formatted"]++
		default:
			return err
		}
	}
	return nil
}

var errRace = errors.New("race with Format")

// session opens, and refreshes a few times.
func (f *staleFormat) session(scratch *simScratch, h *simHost) error {
	sb, err := readSuperblock(h, staleDevice)
	switch {
	case errors.Is(err, ErrNotFormatted):
		return err
	case err != nil:
		return fmt.Errorf("%w: a torn superblock", errRace)
	case sb != f.sb && sb != f.oldSB:
		return fmt.Errorf("%w: a superblock torn where no CRC covers it", errRace)
	}
	records := readRecords(h, staleDevice)
	if _, stands, ok := records.underWay(h, staleDevice); ok && stands != newStands {
		f.outcomes["busy"]++
		return nil
	}
	entries, name := func() []staleEntry { return f.log }, "new"
	if sb == f.oldSB {
		entries, name = func() []staleEntry { return f.old }, "old"
	}
	r := scratch.replica(h, sb, staleDevice, f.pass)
	fresh := true
	for range 1 << f.rng.IntN(7) {
		before, over := r.next, f.over
		_, err := r.catchUp(failAtCorrupt, fresh)
		if over && sb != f.sb && !errors.Is(err, ErrReformatted) {
			return fmt.Errorf("the device is formatted anew, and with %d entries before and %d now it goes unnoticed: %v", len(f.old), len(f.log), err)
		}
		if err == nil {
			err = f.compare(r, entries())
		} else if sb != f.sb && (errors.Is(err, ErrCorrupt) || errors.Is(err, ErrReformatted)) {
			f.outcomes[name+" has gone"]++
			if fresh || r.next != before {
				return nil
			}
			err = f.compare(r, entries()) // it keeps what it knows
		}
		if err != nil {
			return err
		}
		f.outcomes[name]++
		fresh = false
		for range f.rng.IntN(64) {
			f.pass()
		}
	}
	return nil
}

// compare says where r's entries are not the first of these.
func (f *staleFormat) compare(r *replica, entries []staleEntry) error {
	if int(r.next) > len(entries) {
		return fmt.Errorf("%w: %d entries of %d", errRace, r.next, len(entries))
	}
	live := staleLive(entries[:r.next])
	for i := range entries[:r.next] {
		if err := entries[i].check(r, i, live); err != nil {
			return fmt.Errorf("%w: an entry of the other file system", errRace)
		}
	}
	return nil
}

// A device is formatted, and filled to any length, by another host while a master has it
// open, with any of its lines in the cache. What that master then makes goes nowhere: it
// finds out before it stores anything.
func TestStaleWriter(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	g := newStaleStage(t)
	schedules := max(20, simAmount(t, "FAMFS_SIM_SCHEDULES", 100_000)/50)
	for n := range schedules {
		require.NoError(t, g.runWriter(seed+uint64(n), nil), "schedule %d, alone: FAMFS_SIM_SCHEDULES=1 FAMFS_SIM_SEED=%d", n, seed+uint64(n))
	}
}

// runWriter plays one schedule of a master that another host takes the device from.
func (g *staleStage) runWriter(seed uint64, prepare func(*stale)) error {
	s := g.schedule(seed, 2)
	if prepare != nil {
		prepare(s)
	}
	old, other := s.hosts[0], s.hosts[1]
	r := s.replica(g.scratch[0], old)
	if _, err := r.catchUp(failAtCorrupt, true); err != nil {
		return err
	}
	for range s.rng.IntN(4) {
		if err := s.append(r, old); err != nil {
			return err
		}
	}
	was := len(s.log)
	s.log, s.complete, s.ends, s.sb = nil, 0, nil, crashSuperblock(2, minLogSize)
	if s.rng.IntN(4) == 0 { // or only wiped
		other.store64(0, 0)
		if err := flushAndFence(other, 0, 8); err != nil {
			return err
		}
	} else {
		if err := writeFileSystem(other, s.sb); err != nil {
			return err
		}
		n := s.replica(g.scratch[1], other)
		if _, err := n.catchUp(failAtCorrupt, true); err != nil {
			return err
		}
		for range []int{was, s.rng.IntN(6)}[s.rng.IntN(2)] {
			if err := s.append(n, other); err != nil {
				return err
			}
		}
	}
	for range s.rng.IntN(64) {
		s.disturb()
	}
	other.settle()
	before := g.medium.hash
	e := crashEntry{path: "late", dir: true, mode: 0o755}
	_, err := r.appendOne(e.encode())
	old.settle()
	switch {
	case !errors.Is(err, ErrReformatted):
		return fmt.Errorf("the old master appends: %w", err)
	case g.medium.hash != before:
		return errors.New("the old master has stored something")
	}
	return nil
}

// TestStaleReaders must find out what is missing or is a fence of the wrong kind: flushes
// and fences of the master, or invalidates and fences of the readers.
func TestStaleTeeth(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	isData := func(op simOp) bool { return op.off >= staleLog }
	by := func(kind, caller string) func(op simOp) bool {
		return func(op simOp) bool { return op.kind == kind && simCaller() == caller }
	}
	for _, c := range []struct {
		name            string
		master          bool // whose are removed, or confused
		ignore, confuse func(op simOp) bool
	}{
		{"flush of entries", true, func(op simOp) bool { return op.kind == "flush" && op.off > logOffset && !isData(op) }, nil},
		{"fences of append", true, by(simFenceStores, "append"), nil},
		{"fences of append for stores", true, nil, by(simFenceStores, "append")},
		{"flush of data", true, func(op simOp) bool { return op.kind == "flush" && isData(op) }, nil},
		{"invalidate of the header", false, func(op simOp) bool { return op.kind == "invalidate" && op.off == logOffset && simCaller() == "look" }, nil},
		{"fence after that", false, by(simFenceLoads, "look"), nil},
		{"fence after that for loads", false, nil, by(simFenceLoads, "look")},
		{"invalidate of entries", false, by("invalidate", "decode"), nil},
		{"fence after that", false, by(simFenceLoads, "decode"), nil},
		{"fence after that for loads", false, nil, by(simFenceLoads, "decode")},
		{"invalidate of data", false, func(op simOp) bool { return op.kind == "invalidate" && isData(op) }, nil},
		{"fence after that", false, by(simFenceLoads, "?"), nil},
		{"fence after that for loads", false, nil, by(simFenceLoads, "?")},
		{"writer: invalidate of the superblock", true, func(op simOp) bool { return op.kind == "invalidate" && op.off == 0 && simCaller() == "look" }, nil},
		{"writer: fence after that", true, by(simFenceLoads, "look"), nil},
		{"writer: fence after that for loads", true, nil, by(simFenceLoads, "look")},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newStaleStage(t)
			play := g.run
			if strings.HasPrefix(c.name, "writer: ") {
				play = g.runWriter
			}
			begin, n := time.Now(), uint64(0)
			var err error
			for ; err == nil && n < 10_000; n++ {
				err = play(seed+n, func(s *stale) {
					for i, h := range s.hosts {
						h.ignore, h.confuse = nil, nil
						if (i == 0) == c.master {
							h.ignore, h.confuse = c.ignore, c.confuse
						}
					}
				})
			}
			require.Error(t, err)
			t.Logf("found in %v, in schedule %d: %v", time.Since(begin).Round(time.Millisecond), n, err)
		})
	}
}
