package famfs

// Crash consistency, on the simulated memory of sim_test.go: at every point between
// two stores of Format, Mkdir and Create+Commit everything stops, and of each line
// that was not surely written back the medium has any of the versions since. Each
// such state is opened, checked and continued. Where a point has few states, all are
// visited, otherwise a sample of them.
//
// Points between two stores where nothing was stored since the point before add no
// states: what may be on the medium there, could be there before. And of the states
// at a point only those are new that have the last store in them. So these are
// visited, and, when an operation is complete, all that are still possible then: from
// there on less is allowed.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// crashDevice is a device of 256 units. Only its metadata is simulated.
	crashDevice = 512 * mib
	crashUnits  = crashDevice / defaultUnit
)

// crashEntry is a log entry as it must be found.
type crashEntry struct {
	path           string
	dir            bool
	removal        bool // of what entry removes made
	seal           bool // the same, with sum
	removes        int
	sum            Sum
	size           int64
	layout         Layout
	mode, uid, gid uint32
}

func (c *crashEntry) encode() *entry {
	e := &entry{kind: typeMkdir, path: []byte(c.path), mode: c.mode, uid: c.uid, gid: c.gid}
	switch {
	case c.removal:
		*e = entry{kind: typeRemoval, path: []byte(c.path), removes: uint64(c.removes)}
	case c.seal:
		*e = entry{kind: typeSeal, path: []byte(c.path), removes: uint64(c.removes), sum: c.sum}
	case !c.dir:
		e.kind, e.size, e.flags = typeFile, uint64(c.size), fileFlagReadWrite
		e.setLayout(c.layout)
	}
	return e
}

// units is how many allocation units c has.
func (c *crashEntry) units() (n int64) {
	for _, x := range c.layout.Extents {
		n += x.Length / defaultUnit
	}
	return n
}

// overlaps tells whether two entries share space.
func (c *crashEntry) overlaps(o *crashEntry) bool {
	for _, x := range c.layout.Extents {
		for _, y := range o.layout.Extents {
			if x.Offset < y.Offset+y.Length && y.Offset < x.Offset+x.Length {
				return true
			}
		}
	}
	return false
}

// crashLive says which entry made what is there of each path, after all of entries.
func crashLive(entries []crashEntry) map[string]int {
	live := make(map[string]int)
	for i := range entries {
		if c := &entries[i]; c.removal {
			delete(live, c.path)
		} else if !c.seal {
			live[c.path] = i
		}
	}
	return live
}

// check says how r's picture of entry index differs from c. What was removed stays as it
// is, but is not found.
func (c *crashEntry) check(r *replica, index int, live map[string]int) error {
	n := r.ns.node(int64(index))
	if c.removal {
		if !n.isRemoval() || n.size != int64(c.removes) {
			return fmt.Errorf("entry %d: want the removal of entry %d, found %+v", index, c.removes, *n.nodeRecord)
		}
		return nil
	}
	if c.seal {
		by, sealed := r.ns.node(int64(c.removes)).slab.sealedBy(int64(c.removes))
		if !n.isSeal() || n.size != int64(c.removes) || n.sum() != c.sum || !sealed || by != int64(index) {
			return fmt.Errorf("entry %d: want the seal %v of entry %d, found %v, %+v, by %d", index, c.sum, c.removes, sealed, *n.nodeRecord, by)
		}
		return nil
	}
	at, ok := r.ns.lookup(c.path)
	wantAt, want := live[c.path]
	place := Layout{}
	if !n.isDir() {
		place = n.place()
	}
	if ok != want || ok && at != int64(wantAt) || n.path() != c.path || n.isDir() != c.dir || n.size != c.size ||
		n.mode() != c.mode || n.uid != c.uid || n.gid != c.gid ||
		place.Chunk != c.layout.Chunk || !slices.Equal(place.Extents, c.layout.Extents) {
		return fmt.Errorf("entry %d: want %+v (%v at %d), found %q (%v at %d), dir %v, size %d, %+v", index, *c, want, wantAt, n.path(), ok, at, n.isDir(), n.size, place)
	}
	return nil
}

// crashModel is a file system as it must be found, and how states are verified.
type crashModel struct {
	sb      Superblock
	done    []crashEntry // complete: never missing
	pending []crashEntry // under way, at once: all of it is there, or nothing
	splits  bool         // the master stores the two counters one after the other
	scratch *simScratch
}

// open is what Open does, with every check of what is found. n is the number of
// entries.
func (c *crashModel) open(m sharedMemory, sb Superblock, entries []crashEntry, optional int) (*replica, error) {
	r := c.scratch.replica(m, sb, crashDevice, func() {})
	if _, err := r.catchUp(failAtCorrupt, true); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if err := r.checkCrashed(entries, optional); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return r, nil
}

// checkCrashed compares a replica with what must be there; of the last so many entries it
// may have all or none.
func (r *replica) checkCrashed(entries []crashEntry, optional int) error {
	if problems := r.listProblems(); len(problems) > 0 {
		return problems[0].Err
	}
	if found := int(r.next); found != len(entries) && found != len(entries)-optional {
		return fmt.Errorf("found %d entries of %d, of which the last %d are optional", found, len(entries), optional)
	}
	live := crashLive(entries[:r.next])
	free, removed, files := int64(crashUnits)-(r.sb.dataStart()+defaultUnit-1)/defaultUnit, int64(0), 0
	for i := range entries[:r.next] {
		e := &entries[i]
		if err := e.check(r, i, live); err != nil {
			return err
		}
		free -= e.units() // also if it was removed
		if at, ok := live[e.path]; e.removal || e.seal || ok && at == i {
			continue
		}
		removed += e.units()
	}
	for _, i := range live {
		if !entries[i].dir {
			files++
		}
	}
	sealed := 0
	for i := range entries[:r.next] {
		if at, ok := live[entries[i].path]; entries[i].seal && ok && at == entries[i].removes {
			sealed++
		}
	}
	if u := r.usage(); u.Sealed != sealed {
		return fmt.Errorf("found %d sealed files, want %d", u.Sealed, sealed)
	}
	for i := range entries[r.next:] {
		e := &entries[int(r.next)+i]
		at, ok := r.ns.lookup(e.path)
		if wantAt, want := live[e.path]; ok != want || ok && at != int64(wantAt) {
			return fmt.Errorf("%q is there: %v, at %d, want %v, at %d: its last entry is not there", e.path, ok, at, want, wantAt)
		}
	}
	if found, _ := r.alloc.space(); found != free {
		return fmt.Errorf("found %d free units, want %d", found, free)
	}
	if u := r.usage(); u.Removed != removed*defaultUnit || u.Files != files || u.Dirs != len(live)-files {
		return fmt.Errorf("found %d files, %d directories and %d removed bytes, want %d, %d and %d", u.Files, u.Dirs, u.Removed, files, len(live)-files, removed*defaultUnit)
	}
	return nil
}

// verify opens, checks and continues the file system that m has, which must be sb's.
func (c *crashModel) verify(m sharedMemory) error {
	sb, err := readSuperblock(m, crashDevice)
	if err != nil {
		return err
	}
	if sb != c.sb {
		return fmt.Errorf("superblock: found %+v, want %+v", sb, c.sb)
	}
	if sb.reuses() {
		if err := checkPins(m, sb.logEnd(), sb.UUID); err != nil {
			return err
		}
	}
	return c.verifyLog(m)
}

func (c *crashModel) verifyLog(m sharedMemory) error {
	entries := c.done
	entries = append(entries[:len(entries):len(entries)], c.pending...)
	// What Check does.
	r := c.scratch.replica(m, c.sb, crashDevice, func() {})
	h, err := r.readLogHeader()
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if h.seq > h.next || h.seq < h.next && !c.splits {
		return fmt.Errorf("check: next index %d and sequence number %d", h.next, h.seq)
	}
	if h.next > 0 {
		if err := r.replay(h.next, skipCorrupt, true); err != nil {
			return fmt.Errorf("check: %w", err)
		}
	}
	if err := r.checkCrashed(entries, len(c.pending)); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	r, err = c.open(m, c.sb, entries, len(c.pending))
	if err != nil {
		return err
	}
	return c.proceed(m, r, entries[:r.next:r.next])
}

// proceed appends a directory with a file, and looks whether a new host finds all.
func (c *crashModel) proceed(m sharedMemory, r *replica, entries []crashEntry) error {
	dir := crashEntry{path: "~", dir: true, mode: 0o755}
	file := crashEntry{path: "~/f", size: defaultUnit + 1, mode: 0o644}
	if len(entries)%2 == 0 { // an append does it too
		if err := r.repairSequence(); err != nil {
			return fmt.Errorf("continue: %w", err)
		}
		if index, seq := m.load64(logOffset+nextIndexAt), m.load64(logOffset+nextSeqAt); index != seq || index != r.next {
			return fmt.Errorf("repaired: next index %d and sequence number %d, want %d", index, seq, r.next)
		}
	}
	if _, err := r.appendOne(dir.encode()); err != nil {
		return fmt.Errorf("continue: %w", err)
	}
	var err error
	if file.layout, _, err = r.allocate(file.size, nil, anyDevice); err != nil {
		return fmt.Errorf("continue: %w", err)
	}
	for i := range entries {
		if file.overlaps(&entries[i]) {
			return fmt.Errorf("continue: space of %q is given out again", entries[i].path)
		}
	}
	if _, err := r.appendOne(file.encode()); err != nil {
		return fmt.Errorf("continue: %w", err)
	}
	entries = append(entries, dir, file)
	if err := r.checkCrashed(entries, 0); err != nil {
		return fmt.Errorf("continue: %w", err)
	}
	if index, seq := m.load64(logOffset+nextIndexAt), m.load64(logOffset+nextSeqAt); index != seq || index != uint64(len(entries)) {
		return fmt.Errorf("continue: next index %d and sequence number %d, want %d", index, seq, len(entries))
	}
	if _, err := c.open(m, c.sb, entries, 0); err != nil {
		return fmt.Errorf("continued, then %w", err)
	}
	return nil
}

// crashExplorer visits the states that a crash can leave.
type crashExplorer struct {
	host  *simHost
	image simImage
	rng   *rand.Rand
	// A point with at most bound states has all of them visited, and sample of them
	// where it has more.
	bound, sample int
	limit         int                   // stop after so many states
	verify        func(*simImage) error // what is wrong with a state
	allowed       uint64                // changes when verify allows something else
	seen          map[uint64]struct{}

	points, exhausted, states int
	err                       error // the first state that was wrong

	choice, applied []int // versions: of the state to visit, and now in image
}

func newCrashExplorer(h *simHost, rng *rand.Rand, bound, sample int) *crashExplorer {
	x := &crashExplorer{host: h, image: simImage{mem: h.medium.mem}, rng: rng, bound: bound, sample: sample, limit: math.MaxInt, seen: make(map[uint64]struct{})}
	h.stored = x.explore
	return x
}

// explore visits the states of this point. Those of which pinned has not its newest
// version have been visited before; nil visits all.
func (x *crashExplorer) explore(pinned *simLine) {
	if x.over() {
		return
	}
	x.points++
	lines := x.host.dirty
	x.choice, x.applied = slices.Grow(x.choice[:0], len(lines))[:len(lines)], slices.Grow(x.applied[:0], len(lines))[:len(lines)]
	first := make([]int, len(lines)) // the oldest version to choose
	states := 1
	for i, l := range lines {
		x.applied[i] = 0
		if l == pinned {
			first[i] = len(l.versions) - 1
		}
		states = min(states*(len(l.versions)-first[i]), x.bound+1)
	}
	copy(x.choice, first)
	if states <= x.bound {
		x.exhausted++
		for more := true; more; {
			x.visit()
			more = false
			for i, l := range lines {
				if x.choice[i]++; x.choice[i] < len(l.versions) {
					more = true
					break
				}
				x.choice[i] = first[i]
			}
		}
	} else {
		x.visitSome(first)
	}
	clear(x.choice)
	x.apply()
}

// visitSome visits a sample: those in which all lines, or all but one, are as old or
// as new as they can be, and others at random.
func (x *crashExplorer) visitSome(first []int) {
	lines := x.host.dirty
	last := func(i int) int { return len(lines[i].versions) - 1 }
	for k := range x.sample {
		odd := k/2 - 1 // the line that is not like the others
		for i := range lines {
			switch {
			case odd < len(lines):
				x.choice[i] = first[i]
				if (k%2 == 0) != (i == odd) {
					x.choice[i] = last(i)
				}
			case k%3 == 0:
				x.choice[i] = first[i]
				if x.rng.Uint64()&1 == 0 {
					x.choice[i] = last(i)
				}
			default:
				x.choice[i] = first[i] + x.rng.IntN(last(i)-first[i]+1)
			}
		}
		x.visit()
	}
}

// over says that there is nothing more to do.
func (x *crashExplorer) over() bool { return x.err != nil || x.states >= x.limit }

// apply brings the versions chosen into the image.
func (x *crashExplorer) apply() {
	for i, l := range x.host.dirty {
		if x.applied[i] != x.choice[i] {
			*(*lineData)(x.image.mem[l.at:]) = l.versions[x.choice[i]]
			x.applied[i] = x.choice[i]
		}
	}
}

func (x *crashExplorer) visit() {
	if x.over() {
		return
	}
	key := x.host.medium.hash ^ x.allowed*0xBF58476D1CE4E5B9
	for i, l := range x.host.dirty {
		key ^= l.hashes[0] ^ l.hashes[x.choice[i]]
	}
	if _, ok := x.seen[key]; ok {
		return
	}
	x.seen[key] = struct{}{}
	x.states++
	x.apply()
	if err := x.verify(&x.image); err != nil {
		var b strings.Builder
		for i, l := range x.host.dirty {
			if i == 16 {
				b.WriteString(" ...")
				break
			}
			fmt.Fprintf(&b, " %#x:%d/%d", l.at, x.choice[i], len(l.versions)-1)
		}
		x.err = fmt.Errorf("point %d, state %d, with these lines in these versions of so many:%s: %w", x.points, x.states, b.String(), err)
	}
	x.image.undo()
}

// crash makes one of the states of this point the medium's.
func (x *crashExplorer) crash() {
	for _, l := range x.host.dirty {
		x.host.medium.write(l.at, &l.versions[x.rng.IntN(len(l.versions))])
	}
	x.host.dropAll()
}

// crashScript is a master that runs operations while its every state is explored.
type crashScript struct {
	crashModel
	host *simHost
	x    *crashExplorer
	rng  *rand.Rand
	r    *replica
	own  *simScratch // the master's; crashModel's is for verifying
	file int
}

// newCrashScript opens the file system on medium.
func newCrashScript(medium *simMedium, rng *rand.Rand, bound, sample int) (*crashScript, error) {
	h := newSimHost(medium)
	h.splits = rng.IntN(2) == 0
	s := &crashScript{crashModel: crashModel{splits: h.splits}, host: h, x: newCrashExplorer(h, rng, bound, sample), rng: rng, own: newSimScratch()}
	s.scratch = newSimScratch()
	var err error
	if s.sb, err = readSuperblock(h, crashDevice); err != nil {
		return nil, err
	}
	s.x.verify = func(m *simImage) error { return s.verify(m) }
	return s, s.reopen()
}

// restart goes back to the medium as it was formatted.
func (s *crashScript) restart() error {
	s.host.dropAll()
	s.host.medium.reset()
	clear(s.x.seen)
	s.done, s.pending, s.file, s.x.allowed = nil, nil, 0, 0
	return s.reopen()
}

func (s *crashScript) reopen() error {
	s.r = s.own.replica(s.host, s.sb, crashDevice, func() {})
	_, err := s.r.catchUp(failAtCorrupt, true)
	return err
}

// crashed is what a program that is stopped panics with.
type crashed struct{}

// run appends entries at once, and explores. With a countdown above 0 it stops before that
// store, in a state that is then drawn, and a new master takes over.
func (s *crashScript) run(entries []crashEntry, countdown int) (err error) {
	for i := range s.done {
		for k := range entries {
			if entries[k].overlaps(&s.done[i]) {
				return fmt.Errorf("%q gets space of %q", entries[k].path, s.done[i].path)
			}
		}
	}
	s.pending = entries
	s.x.allowed++
	if s.host.stored != nil {
		s.x.explore(nil)
	}
	stopped := false
	s.host.beforeStore = func() {
		if countdown--; countdown == 0 {
			panic(crashed{})
		}
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				if _, stopped = p.(crashed); !stopped {
					panic(p)
				}
			}
		}()
		var index int64
		if index, err = s.r.appendAll(entries); err == nil && index != int64(len(s.done)) {
			err = fmt.Errorf("entry %d was written as %d", len(s.done), index)
		}
	}()
	s.host.beforeStore = nil
	if stopped {
		s.x.crash()
		if err := s.reopen(); err != nil {
			return err
		}
		if int(s.r.next) > len(s.done) {
			s.done = append(s.done, entries...)
		}
		s.pending = nil
		if err := s.r.repairSequence(); err != nil {
			return err
		}
	} else {
		s.done, s.pending = append(s.done, entries...), nil
	}
	if err == nil {
		err = s.r.checkCrashed(s.done, 0)
	}
	if err != nil {
		if problems := s.r.listProblems(); len(problems) > 0 {
			err = errors.Join(err, problems[0])
		}
		return fmt.Errorf("the master, after operation %d: %w", len(s.done), err)
	}
	s.x.allowed++
	if s.host.stored != nil {
		s.x.explore(nil)
	}
	return s.x.err
}

// appendAll appends entries at once.
func (r *replica) appendAll(entries []crashEntry) (int64, error) {
	return r.append(func() (int, error) { return len(entries), nil }, func(i int, to *entry) { entries[i].encode().copyTo(to) })
}

// crashKinds are the kinds of operations.
var crashKinds = []string{"mkdir", "simple", "extents", "interleaved", "removal", "replacement", "sealed", "seal"}

// batch draws operations of these kinds, which are to be appended at once.
func (s *crashScript) batch(kinds ...string) (entries []crashEntry) {
	for _, kind := range kinds {
		all := append(s.done[:len(s.done):len(s.done)], entries...)
		if kind == "seal" {
			if at, ok := drawLeaf(s.rng, crashLive(all), func(i int) bool {
				return !all[i].dir && !slices.ContainsFunc(all, func(e crashEntry) bool { return e.seal && e.removes == i })
			}); ok {
				entries = append(entries, sealOf(all, at, s.rng))
				continue
			}
			kind = "sealed"
		}
		switch at, ok := s.leaf(all, kind == "replacement"); {
		case kind == "sealed":
			e := s.operation(all, "simple")
			if entries = append(entries, *e); !e.dir {
				entries = append(entries, sealOf(append(all, *e), len(all), s.rng))
			}
		case kind == "removal" && ok:
			entries = append(entries, crashEntry{path: all[at].path, removal: true, removes: at})
		case kind == "replacement" && ok:
			e := s.operation(all, "simple")
			if e.dir {
				break // no space
			}
			e.path = all[at].path
			entries = append(entries, crashEntry{path: e.path, removal: true, removes: at}, *e)
		case kind == "removal" || kind == "replacement": // of what is not there yet
			entries = append(entries, *s.operation(all, "simple"))
		default:
			entries = append(entries, *s.operation(all, kind))
		}
	}
	return entries
}

// sealOf seals the file of entry at with any sum.
func sealOf(entries []crashEntry, at int, rng *rand.Rand) crashEntry {
	sum := crcSum(rng.Uint32())
	if rng.IntN(2) == 0 {
		sum.Kind = SHA256
		fillPattern(sum.Bytes[:], rng.Uint64())
	}
	return crashEntry{path: entries[at].path, seal: true, removes: at, sum: sum}
}

// leaf draws an entry whose file, or empty directory, is there after all of entries.
func (s *crashScript) leaf(entries []crashEntry, file bool) (at int, ok bool) {
	return drawLeaf(s.rng, crashLive(entries), func(i int) bool { return !file || !entries[i].dir })
}

// drawLeaf draws one of the entries that suit, whose file or empty directory is there.
func drawLeaf(rng *rand.Rand, live map[string]int, suits func(i int) bool) (at int, ok bool) {
	var leaves []int
	for path, i := range live {
		empty := true
		for other := range live {
			empty = empty && !strings.HasPrefix(other, path+"/")
		}
		if empty && suits(i) {
			leaves = append(leaves, i)
		}
	}
	if len(leaves) == 0 {
		return 0, false
	}
	slices.Sort(leaves)
	return leaves[rng.IntN(len(leaves))], true
}

// operation draws one of a kind, which comes after entries. Where there is no space for it,
// it is a mkdir.
func (s *crashScript) operation(entries []crashEntry, kind string) *crashEntry {
	s.file++
	live := crashLive(entries)
	name := fmt.Sprintf("%c%s%d", 'a'+s.rng.IntN(26), strings.Repeat("x", s.rng.IntN(40)), s.file)
	for i := range entries {
		d := &entries[i]
		if at, ok := live[d.path]; ok && at == i && d.dir && len(d.path) < 30 && s.rng.IntN(3) == 0 {
			name = d.path + "/" + name
			break
		}
	}
	e := &crashEntry{path: name, mode: 0o644 | s.rng.Uint32N(2), uid: s.rng.Uint32N(3), gid: s.rng.Uint32()}
	e.size = 1 + s.rng.Int64N(4*defaultUnit)
	var runs []spaceRun
	var err error
	switch kind {
	case "simple":
		e.layout, runs, err = s.r.allocate(e.size, nil, anyDevice)
	case "interleaved":
		n := 1 + s.rng.IntN(8)
		e.size += int64(n-1) * defaultUnit
		e.layout, runs, err = s.r.allocate(e.size, &Interleaving{Strips: n, Buckets: n + s.rng.IntN(8), Chunk: defaultUnit << s.rng.IntN(2)}, anyDevice)
	case "extents":
		// As on a device without any long run.
		n := 2 + s.rng.IntN(maxExtents-1)
		for range n {
			from := s.rng.Int64N(crashUnits)
			run, ok := s.r.alloc.allocate(1, from, crashUnits)
			if !ok {
				break
			}
			runs = append(runs, spaceRun{0, run})
			e.layout.Extents = append(e.layout.Extents, Extent{Offset: run.start * defaultUnit, Length: defaultUnit})
		}
		e.size = e.units()*defaultUnit - s.rng.Int64N(defaultUnit)
	}
	if kind == "mkdir" || len(runs) == 0 || err != nil {
		e.dir, e.size, e.layout = true, 0, Layout{}
	}
	return e
}

// crashMedium returns a medium with an empty file system.
func crashMedium(t *testing.T) *simMedium { return crashMediumOf(t, crashSuperblock(1, minLogSize)) }

func crashMediumOf(t *testing.T, sb Superblock) *simMedium {
	t.Helper()
	m := newSimMedium(logOffset + 2*minLogSize)
	require.NoError(t, writeFileSystem(&simImage{mem: m.mem}, sb))
	return m
}

func crashSuperblock(n byte, logSize int64) Superblock {
	return Superblock{
		Version: formatVersion, LogOffset: logOffset, LogSize: logSize, AllocUnit: defaultUnit, OMFMajor: omfMajor, OMFMinor: omfMinor,
		UUID: UUID{n, 1}, DeviceUUID: UUID{n, 2}, SystemUUID: testHost, DeviceSize: crashDevice, DeviceName: fmt.Sprintf("/dev/dax%d.0", n),
	}
}

// Every kind of operation, as the first of a log and after others, on a clean log and
// on one where something of an operation that crashed is left: all states where a
// point has few.
func TestCrashAppend(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	budget := simAmount(t, "FAMFS_SIM_STATES", 200_000)
	medium := crashMedium(t)
	bound, total := 4096, 0
	for _, kind := range crashKinds {
		for i, when := range []string{"first", "later", "over", "first", "later", "over"} {
			splits := i >= 3
			name := map[bool]string{false: "pairs", true: "words"}[splits]
			t.Run(kind+"/"+when+"/"+name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 0))
				s, err := newCrashScript(medium, rng, bound, max(64, budget/4000))
				require.NoError(t, err)
				s.splits, s.host.splits = splits, splits
				require.NoError(t, s.restart())
				s.host.stored = nil
				if when != "first" {
					for _, k := range crashKinds {
						require.NoError(t, s.run(s.batch(k), 0))
					}
				}
				if when == "over" {
					require.NoError(t, s.run(s.batch("extents"), 40))
				}
				s.host.stored = s.x.explore
				require.NoError(t, s.run(s.batch(kind), 0))
				t.Logf("%d states at %d points, %d of them exhaustively", s.x.states, s.x.points, s.x.exhausted)
				total += s.x.states
			})
		}
	}
	t.Logf("%d states", total)
}

// Batches of one to five operations, of every kind, on a clean log and on one where something
// of a batch that crashed is left: all of a batch is there, or nothing.
func TestCrashBatch(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	budget := simAmount(t, "FAMFS_SIM_STATES", 200_000)
	medium := crashMedium(t)
	bound, sample, total := 512, max(8, budget/20_000), 0
	batches := [][]string{
		{"removal"}, {"replacement"}, {"seal"}, {"sealed"}, {"sealed", "removal", "seal", "mkdir"},
		{"mkdir", "simple"}, {"removal", "removal"}, {"removal", "simple"},
		{"mkdir", "removal", "simple"}, {"replacement", "extents"}, {"interleaved", "removal", "mkdir"},
		{"replacement", "replacement"}, {"mkdir", "simple", "removal", "extents"},
		{"simple", "simple", "mkdir", "interleaved", "extents"}, {"removal", "removal", "removal", "removal", "removal"},
		{"mkdir", "replacement", "removal", "replacement"},
	}
	if testing.Short() { // one of each size
		bound, sample = 16, 4
		batches = [][]string{{"removal"}, {"sealed"}, {"removal", "simple"}, {"mkdir", "replacement"}, {"replacement", "replacement"}, {"simple", "simple", "mkdir", "interleaved", "removal"}}
	}
	for _, kinds := range batches {
		for i, when := range []string{"later", "over", "later", "over"} {
			splits := i >= 2
			t.Run(strings.Join(kinds, "+")+"/"+when+"/"+map[bool]string{false: "pairs", true: "words"}[splits], func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 5))
				s, err := newCrashScript(medium, rng, bound, sample)
				require.NoError(t, err)
				s.splits, s.host.splits = splits, splits
				require.NoError(t, s.restart())
				s.host.stored = nil
				for _, k := range []string{"mkdir", "simple", "extents", "interleaved", "simple", "mkdir", "simple"} {
					require.NoError(t, s.run(s.batch(k), 0))
				}
				if when == "over" {
					require.NoError(t, s.run(s.batch("extents", "removal", "simple"), 100))
				}
				s.host.stored = s.x.explore
				require.NoError(t, s.run(s.batch(kinds...), 0))
				total += s.x.states
				// The second comes upon what the first has left.
				require.NoError(t, s.run(s.batch(kinds...), 0))
			})
		}
	}
	t.Logf("%d states", total)
	assert.Greater(t, total, 1000)
}

// Series of operations, drawn, of which some crash and are continued from.
func TestCrashSeries(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	budget := simAmount(t, "FAMFS_SIM_STATES", 200_000)
	medium := crashMedium(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	s, err := newCrashScript(medium, rng, 256, 32)
	require.NoError(t, err)
	s.x.limit = budget
	series, operations, crashes := 0, 0, 0
	for ; s.x.states < budget; series++ {
		s.splits = rng.IntN(2) == 0
		s.host.splits = s.splits
		require.NoError(t, s.restart())
		for range 1 + rng.IntN(8) {
			countdown := 0
			if rng.IntN(2) == 0 {
				countdown = 1 + rng.IntN(70*(1+rng.IntN(3)))
				crashes++
			}
			operations++
			kinds := make([]string, 1+rng.IntN(5)*rng.IntN(2))
			for i := range kinds {
				kinds[i] = crashKinds[rng.IntN(len(crashKinds))]
			}
			require.NoError(t, s.run(s.batch(kinds...), countdown))
		}
	}
	t.Logf("%d states at %d points of %d operations in %d series, in which %d crashed and were continued", s.x.states, s.x.points, operations, series, crashes)
	assert.GreaterOrEqual(t, s.x.states, budget)
}

// crashPutBack puts the copy of the superblock back.
func crashPutBack(m sharedMemory) error {
	b, err := loadCopy(m)
	if err != nil {
		return err
	}
	return putSuperblock(m, &b)
}

// crashFormat is a Format, over whatever stands on medium, whose every state is
// explored.
type crashFormat struct {
	old, new   *crashModel // old is nil where there is no file system
	x          *crashExplorer
	inProgress bool
	forced     bool    // something was there that needs Force
	residue    []int64 // lines where something stood
	outcomes   [3]int  // none, old, new
	copies     int     // no superblock, but the copy of the old one
}

// crashCopy returns what the copy of the superblock says, or nil if there is none.
func crashCopy(m sharedMemory) (*Superblock, error) {
	b, err := loadCopy(m)
	if err != nil {
		return nil, err
	}
	sb := fieldsOf(&b)
	return &sb, nil
}

func newCrashFormat(h *simHost, rng *rand.Rand, old *crashModel, sb Superblock, bound, sample int) *crashFormat {
	f := &crashFormat{old: old, new: &crashModel{sb: sb, scratch: newSimScratch()}, x: newCrashExplorer(h, rng, bound, sample), inProgress: true}
	f.x.verify = f.verify
	for at := int64(0); at < sb.logEnd(); at += simLineSize {
		inRecord := at >= recordAt && at < recordAt+recordPlaces*recordSpacing
		inCopy := at >= copyAt && at < copyAt+copySize
		if !inRecord && !inCopy && *h.medium.line(at) != (lineData{}) {
			f.residue = append(f.residue, at)
		}
	}
	return f
}

func (f *crashFormat) verify(m *simImage) error {
	sb, err := readSuperblock(m, crashDevice)
	copied, noCopy := crashCopy(m)
	switch {
	case copied == nil && !f.inProgress:
		return fmt.Errorf("there is no copy: %w", noCopy)
	case copied != nil && err == nil && copied.UUID != sb.UUID:
		return fmt.Errorf("the copy is of %v, the superblock of %v", copied.UUID, sb.UUID)
	}
	switch {
	case errors.Is(err, ErrNotFormatted):
		if !f.inProgress {
			return err
		}
		if copied != nil { // what it is about is complete
			f.copies++
			about := f.old
			if copied.UUID == f.new.sb.UUID {
				about = f.new
			}
			if about == nil { // an interrupted Format left it
				return nil
			}
			if err := crashPutBack(m); err != nil {
				return err
			}
			return about.verify(m)
		}
		if err := f.remains(m); err != nil {
			return err
		}
		if records := readRecords(m, crashDevice); f.forced && records.latest() < 0 {
			return errors.New("that memory was used is forgotten")
		}
		if f.outcomes[0]++; f.outcomes[0]%1000 == 1 {
			// Rarely, as it takes long: that is continued by formatting again, which is not
			// refused unless the first was forced.
			if err := checkVacant(m, f.new.sb.logEnd(), crashDevice, false); !f.forced && err != nil {
				return fmt.Errorf("format again: %w", err)
			}
			if err := writeFileSystem(m, f.new.sb); err != nil {
				return fmt.Errorf("format again: %w", err)
			}
			return f.new.verify(m)
		}
		return nil
	case err != nil:
		return err
	case f.old != nil && f.inProgress && sb.UUID == f.old.sb.UUID:
		f.outcomes[1]++
		return f.old.verify(m)
	}
	f.outcomes[2]++
	if records := readRecords(m, crashDevice); f.forced && records.usedFrom(sb.UUID) != 0 {
		return errors.New("that memory was used is forgotten")
	}
	for _, at := range f.residue {
		used := int64(superblockSize)
		if at >= logOffset {
			used = logOffset + logHeaderSize
		}
		for i := max(at, used); i < at+simLineSize; i++ {
			if m.mem[i] != 0 {
				return fmt.Errorf("the new file system has something old at %#x", i)
			}
		}
	}
	return f.new.verify(m)
}

// remains looks at a device whose superblock's magic is gone: who goes by what is left of
// the superblock, or by the log header, finds all of the old log, or a log without entries.
func (f *crashFormat) remains(m *simImage) error {
	superblock, header := [superblockSize]byte(m.mem), [logHeaderSize]byte(m.mem[logOffset:])
	restoreMagic(&superblock)
	if f.old == nil || !hasSum(superblock[:], superblockCRC) && !isSoundHeader(&header) || UUID(superblock[fsUUIDAt:]) == f.new.sb.UUID {
		return nil
	}
	sound := 0
	scanEntries(m, uint64(len(f.old.done)), func(*[entrySize]byte) { sound++ })
	if want := len(f.old.done); sound != want && binary.LittleEndian.Uint64(header[nextIndexAt:]) != 0 {
		return fmt.Errorf("what is left of the old file system shows %d of its %d entries", sound, want)
	}
	return nil
}

func (f *crashFormat) run() error {
	f.x.explore(nil)
	if err := writeFileSystem(f.x.host, f.new.sb); err != nil {
		return err
	}
	f.inProgress = false
	f.x.allowed++
	f.x.explore(nil)
	return f.x.err
}

// crashFill makes a file system with n entries of all kinds on medium, and leaves
// stray bytes where famfs has none.
func crashFill(medium *simMedium, rng *rand.Rand, n int) (*crashModel, error) {
	s, err := newCrashScript(medium, rng, 0, 0)
	if err != nil {
		return nil, err
	}
	s.host.stored = nil
	for range n {
		if err := s.run(s.batch(crashKinds[rng.IntN(len(crashKinds))]), 0); err != nil {
			return nil, err
		}
	}
	crashStrays(s.host, rng)
	return &s.crashModel, nil
}

func crashStrays(h *simHost, rng *rand.Rand) {
	for range rng.IntN(6) {
		h.store64(superblockSize+8*rng.Int64N((superblockArea-superblockSize)/8), rng.Uint64())
	}
	h.settle()
}

// crashInterrupt begins a Format that crashes, and returns what is there then: old,
// the new file system, or nil.
func crashInterrupt(h *simHost, rng *rand.Rand, old *crashModel, sb Superblock) (left *crashModel, err error) {
	x := newCrashExplorer(h, rng, 0, 0)
	countdown := 1 + rng.IntN(100)
	if rng.IntN(4) == 0 {
		countdown = 1
	}
	h.stored = func(*simLine) {
		if countdown--; countdown == 0 {
			panic(crashed{})
		}
	}
	defer func() {
		h.stored = nil
		if p := recover(); p != nil && p != (crashed{}) {
			panic(p)
		}
		x.crash()
		var found Superblock
		switch found, err = readSuperblock(h, crashDevice); {
		case errors.Is(err, ErrNotFormatted):
			left, err = nil, nil
		case err == nil && found == sb:
			left = &crashModel{sb: sb, scratch: old.scratch}
		default:
			left = old
		}
	}()
	return nil, writeFileSystem(h, sb)
}

// Format over nothing, over what is no file system, over file systems with logs of
// the same, a smaller and a larger size, and over what an earlier Format left that
// crashed.
func TestCrashFormat(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	budget := simAmount(t, "FAMFS_SIM_STATES", 200_000)
	rng := rand.New(rand.NewPCG(seed, 2))
	small, large := int64(minLogSize), int64(2*minLogSize)
	medium := newSimMedium(logOffset + large)
	cases := []struct {
		name     string
		old, new int64 // sizes of logs
		again    bool
	}{
		{"over nothing", 0, small, false},
		{"over the like", small, small, false},
		{"over a smaller", small, large, false},
		{"over a larger", large, small, false},
		{"over an interrupted", small, small, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			states, points, exhausted, rounds := 0, 0, 0, 0
			var outcomes [3]int
			for ; rounds < 2 || states < budget/10; rounds++ {
				img := &simImage{mem: medium.mem}
				h := newSimHost(medium)
				var old *crashModel
				if c.old > 0 {
					require.NoError(t, writeFileSystem(img, crashSuperblock(1, c.old)))
					var err error
					old, err = crashFill(medium, rng, rng.IntN(7))
					require.NoError(t, err)
				} else if rounds > 0 {
					crashStrays(h, rng)
				}
				if c.again {
					var err error
					old, err = crashInterrupt(h, rng, old, crashSuperblock(3, c.new))
					require.NoError(t, err)
				}
				f := newCrashFormat(h, rng, old, crashSuperblock(2, c.new), 1024, 32)
				f.forced = c.old > 0
				require.NoError(t, f.run(), "format %d", rounds)
				states, points, exhausted = states+f.x.states, points+f.x.points, exhausted+f.x.exhausted
				for i := range outcomes {
					outcomes[i] += f.outcomes[i]
				}
				medium.reset()
				img.undo()
			}
			t.Logf("%d formats: %d states at %d points, %d of them exhaustively: not formatted %d, old %d, new %d", rounds, states, points, exhausted, outcomes[0], outcomes[1], outcomes[2])
			assert.Positive(t, outcomes[0])
			if !c.again {
				assert.Equal(t, c.old > 0, outcomes[1] > 0)
			}
			assert.Positive(t, outcomes[2])
		})
	}
}

// crashBarrier is one call of flush, invalidate or fence.
type crashBarrier struct {
	operation int
	name      string // the caller, the kind, and which of these in the operation
	works     bool   // there was something for it to write back, or to wait for
}

// crashSaboteur removes barriers from a host by their numbers, or has another fence done,
// and notes all.
type crashSaboteur struct {
	host      *simHost
	removed   []int
	confused  int // the barrier instead of which the other kind of fence is done
	barriers  []crashBarrier
	operation int
	count     map[string]int
}

func sabotage(h *simHost, removed []int, confused int) *crashSaboteur {
	s := &crashSaboteur{host: h, removed: removed, confused: confused, count: make(map[string]int)}
	h.ignore = s.ignore
	h.confuse = func(simOp) bool { return len(s.barriers)-1 == s.confused }
	return s
}

func (s *crashSaboteur) next() {
	s.operation++
	clear(s.count)
}

func (s *crashSaboteur) ignore(op simOp) bool {
	b := crashBarrier{operation: s.operation, name: simCaller() + " " + op.kind, works: s.host.inFlight(op.kind)}
	if op.kind == "flush" || op.kind == "invalidate" {
		b.works = slices.ContainsFunc(s.host.dirty, func(l *simLine) bool {
			return l.at+simLineSize > op.off && l.at < op.off+op.n && l.flushed < len(l.versions)-1
		})
	}
	s.count[b.name]++
	b.name = fmt.Sprintf("%s %d", b.name, s.count[b.name])
	s.barriers = append(s.barriers, b)
	return slices.Contains(s.removed, len(s.barriers)-1)
}

// crashRedundant are the flushes and fences without which nothing can go wrong in
// this model, and what does their work besides: names, or how they begin. An invalidate of dirty
// lines writes them back, and a fence makes certain whatever was on its way.
var crashRedundant = map[string][]string{
	// Superblock and log are invalidated before they are zeroed, which writes back what
	// takes the old ones away.
	"unmake flush 1":       {"zero invalidate 1", "zero flush 1"},
	"unmake flush 2":       {"zero invalidate 2"}, // behind the compaction record
	"unmake fenceStores 1": {"zero fenceLoads", "zero fenceStores 1"},
	// Between these and the next fence nothing is stored that they must come before.
	"zero fenceStores 1":            {"writeFileSystem fenceStores", "writeCopy fenceStores 1"},
	"zero fenceStores 2":            {"writeFileSystem fenceStores", "writeCopy fenceStores 1"},
	"writeFileSystem fenceStores 1": {"writeFileSystem fenceStores 2"},
	"writeFileSystem fenceStores 2": {"writeFileSystem fenceStores 1", "writeCopy fenceStores 1"},
	"writeCopy fenceStores 1":       {"writeFileSystem fenceStores 3"},
}

// The tests above must find out if a flush or fence is missing, or a fence is of the other
// kind: with any one of them removed there is a state that is wrong. If another does the same
// work, that one must be necessary, or a state must be wrong with both removed.
func TestCrashTeeth(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	medium := crashMedium(t)
	bound, sample := 256, 64
	format := func(confused int, removed ...int) ([]crashBarrier, int, error) {
		rng := rand.New(rand.NewPCG(seed, 3))
		defer medium.reset()
		old, err := crashFill(medium, rng, 6)
		require.NoError(t, err)
		medium.write(superblockArea/4, &lineData{1}) // something to zero before the record
		f := newCrashFormat(newSimHost(medium), rng, old, crashSuperblock(2, minLogSize), bound, sample)
		f.forced = true
		saboteur := sabotage(f.x.host, removed, confused)
		err = f.run()
		return saboteur.barriers, f.x.states, err
	}
	// Two operations, so that the second comes upon what the first leaves.
	appendTwo := func(before int, kinds ...string) crashScenario {
		return func(confused int, removed ...int) ([]crashBarrier, int, error) {
			rng := rand.New(rand.NewPCG(seed, 4))
			defer medium.reset()
			s, err := newCrashScript(medium, rng, bound, sample)
			require.NoError(t, err)
			s.host.stored = nil
			for i := range before {
				require.NoError(t, s.run(s.batch(crashKinds[i%len(crashKinds)]), 0))
			}
			s.host.stored = s.x.explore
			saboteur := sabotage(s.host, removed, confused)
			for _, kind := range kinds {
				if err := s.run(s.batch(strings.Split(kind, "+")...), 0); err != nil {
					return nil, s.x.states, err
				}
				saboteur.next()
			}
			return saboteur.barriers, s.x.states, nil
		}
	}
	redundant := make(map[string]bool)
	for _, c := range []struct {
		name string
		run  crashScenario
	}{
		{"Format", format},
		{"in an empty log", appendTwo(0, "mkdir", "simple")},
		{"in a log in use", appendTwo(5, "extents", "interleaved")},
		{"several at once", appendTwo(5, "removal+simple", "replacement+mkdir")},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkTeeth(t, c.run, crashRedundant, redundant)
		})
	}
	for name := range crashRedundant {
		assert.True(t, redundant[name], "%s was found to be necessary", name)
	}
}

// crashScenario explores the states of something, with barriers removed or one of them done
// by the other kind of fence.
type crashScenario func(confused int, removed ...int) (barriers []crashBarrier, states int, err error)

// checkTeeth runs a scenario without each of its barriers. covered says what does the work of
// those without which nothing goes wrong; their names are added to redundant.
func checkTeeth(t *testing.T, run crashScenario, covered map[string][]string, redundant map[string]bool) {
	t.Helper()
	const none = -1
	barriers, _, err := run(none)
	require.NoError(t, err, "nothing is removed")
	found := make(map[int]bool)
	for i, b := range barriers {
		if strings.Contains(b.name, " invalidate ") || !b.works {
			continue // it only orders loads: see TestStaleTeeth
		}
		begin := time.Now()
		_, states, err := run(none, i)
		if found[i] = err != nil; found[i] {
			t.Logf("without %s of operation %d: found in %v, after %d states\n  %v", b.name, b.operation, time.Since(begin).Round(time.Millisecond), states, err)
		}
		if found[i] && strings.Contains(b.name, " fence") {
			_, _, err := run(i)
			assert.Error(t, err, "with the other kind of fence instead of %s of operation %d nothing is found", b.name, b.operation)
		}
	}
	require.NotEmpty(t, found)
	for i, b := range barriers {
		if alone, tried := found[i]; alone || !tried {
			continue
		}
		begin := time.Now()
		redundant[b.name] = true
		removed, necessary := []int{i}, false
		for k, other := range barriers {
			covers := func(name string) bool { return strings.HasPrefix(other.name, name) }
			if other.operation == b.operation && slices.ContainsFunc(covered[b.name], covers) {
				removed = append(removed, k)
				necessary = necessary || found[k]
			}
		}
		if necessary {
			t.Logf("without %s of operation %d: nothing to find, as there is %v", b.name, b.operation, covered[b.name])
			continue
		}
		_, states, err := run(none, removed...)
		assert.Error(t, err, "without %s and %v of operation %d nothing is found", b.name, covered[b.name], b.operation)
		t.Logf("without %s and %v of operation %d: found in %v, after %d states\n  %v", b.name, covered[b.name], b.operation, time.Since(begin).Round(time.Millisecond), states, err)
	}
}
