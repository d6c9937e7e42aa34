package famfs

// A simulated memory behind the seam of metadata: a medium of 64-byte lines that hosts share,
// and for every host a cache. A cache keeps lines as long as it likes, writes dirty ones back
// when it likes, and serves stale ones until they are invalidated. The crash tests
// (sim_crash_test.go) look at what the medium may hold when everything stops. The stale-reader
// tests (sim_stale_test.go) run several hosts against each other.
//
// The rules, which are those of hardware:
//
//   - A store of 8 aligned bytes is in the host's cache at once, whole, and seen by
//     nobody else. A line reaches the medium whole, as it was after any one of the
//     stores to it, at any time after that store.
//   - A pair of words is stored in one piece too, or, on hosts that cannot do that, as two
//     words, the second first.
//   - A flush starts the write-back of lines; that the medium has them is certain
//     only after the next fence for stores of the same host. The lines stay in the cache.
//   - An invalidate starts to write lines back and then to forget them; both are certain
//     only after the next fence for loads. Before it the lines may still be served.
//   - Each of the two fences completes what is named above and nothing else. Hardware's do
//     more (MFENCE and DSB do the work of both), but code that uses the wrong one is to be
//     found out.
//   - A load takes the line from the cache, or from the medium as it is then, and may
//     leave it in the cache. A cache may fetch lines that nobody asked for.
//
// All that is random comes from a seed, which failing tests print:
//
//	FAMFS_SIM_SEED       the seed to use
//	FAMFS_SIM_STATES     how many states after a crash to visit
//	FAMFS_SIM_SCHEDULES  how many schedules of several hosts to run

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const simLineSize = 64

type lineData [simLineSize]byte

// simMedium is the memory that hosts share, as it would be found after a loss of power.
type simMedium struct {
	mem []byte
	// journal has the content that writes have replaced, so that a medium of many megabytes can
	// be used again at the cost of what was written.
	journal []simSaved
	hash    uint64 // of the content, relative to that of an empty journal
}

type simSaved struct {
	at   int64
	data lineData
}

var simHashSeed = maphash.MakeSeed()

// lineHash identifies a line's content at its place. Hashes of several lines are
// combined by xor.
func lineHash(at int64, data *lineData) uint64 {
	// The product keeps lines of the same content, such as a superblock and its copy, from
	// cancelling each other out.
	h := (maphash.Bytes(simHashSeed, data[:]) ^ uint64(at)*0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9
	return h ^ h>>29
}

func newSimMedium(size int64) *simMedium { return &simMedium{mem: make([]byte, size)} }

func (m *simMedium) line(at int64) *lineData { return (*lineData)(m.mem[at:]) }

func (m *simMedium) write(at int64, data *lineData) {
	old := m.line(at)
	if *old == *data {
		return
	}
	m.hash ^= lineHash(at, old) ^ lineHash(at, data)
	m.journal = append(m.journal, simSaved{at, *old})
	*old = *data
}

// reset undoes all writes.
func (m *simMedium) reset() {
	for i := len(m.journal) - 1; i >= 0; i-- {
		*m.line(m.journal[i].at) = m.journal[i].data
	}
	m.journal, m.hash = m.journal[:0], 0
}

// simLine is a line in a cache.
type simLine struct {
	at int64
	// versions are the contents of the line after each store to it. The first is certain to be
	// on the medium, or is what a clean line had when it was read. The last is what its host
	// sees. Only dirty lines have more than one version.
	versions []lineData
	hashes   []uint64 // of versions; of dirty lines only
	flushed  int      // the version that the next fence for stores makes certain
	leaving  bool     // invalidated: the next fence for loads forgets it,
	left     int      // and makes this version certain
}

func (l *simLine) dirty() bool { return len(l.versions) > 1 }

func (l *simLine) newest() *lineData { return &l.versions[len(l.versions)-1] }

// simHost is a host's view of the medium, through its cache. It implements sharedMemory.
type simHost struct {
	medium *simMedium
	held   []*simLine // all lines in the cache, in no order
	places []int32    // of each line of the medium, 1 + its place in held, or 0
	dirty  []*simLine // those that are dirty, in the order in which they became so
	spare  []*simLine
	// waiting is room for the lines that a fence waits for.
	waiting []int64
	// keep says that loads leave lines in the cache. With one host that only affects speed.
	keep bool
	// world runs this host against others; nil where it is alone.
	world *simWorld

	// splits says that its processor cannot store two words in one piece.
	splits bool

	beforeStore func()           // where a test stops a program
	stored      func(*simLine)   // after each store that changed something
	ignore      func(simOp) bool // flushes, invalidates and fences that do nothing
	confuse     func(simOp) bool // fences instead of which the other kind is done
}

// simOp is what simHost.ignore and simHost.confuse decide about.
type simOp struct {
	kind   string // "flush", "invalidate", "fenceStores" or "fenceLoads"
	off, n int64
}

func newSimHost(m *simMedium) *simHost {
	return &simHost{medium: m, places: make([]int32, len(m.mem)/simLineSize)}
}

// cached returns a line if the cache has it.
func (h *simHost) cached(at int64) *simLine {
	if place := h.places[at/simLineSize]; place > 0 {
		return h.held[place-1]
	}
	return nil
}

// hold puts a line as it is on the medium into the cache.
func (h *simHost) hold(at int64) *simLine {
	h.meet()
	var l *simLine
	if n := len(h.spare); n > 0 {
		l, h.spare = h.spare[n-1], h.spare[:n-1]
	} else {
		l = new(simLine)
	}
	*l = simLine{at: at, versions: append(l.versions[:0], *h.medium.line(at)), hashes: l.hashes[:0]}
	h.held = append(h.held, l)
	h.places[at/simLineSize] = int32(len(h.held))
	return l
}

// drop drops a line, with everything stored to it that is not on the medium.
func (h *simHost) drop(l *simLine) {
	h.clean(l)
	last := h.held[len(h.held)-1]
	place := h.places[l.at/simLineSize]
	h.held[place-1], h.places[last.at/simLineSize] = last, place
	h.held = h.held[:len(h.held)-1]
	h.places[l.at/simLineSize] = 0
	h.spare = append(h.spare, l)
}

// dropAll does what a loss of power does to a cache.
func (h *simHost) dropAll() {
	for len(h.held) > 0 {
		h.drop(h.held[len(h.held)-1])
	}
}

// clean removes l from the list of dirty lines, which is short.
func (h *simHost) clean(l *simLine) {
	if !l.dirty() {
		return
	}
	for i, d := range h.dirty {
		if d == l {
			h.dirty = append(h.dirty[:i], h.dirty[i+1:]...)
			break
		}
	}
}

// reach puts a version of l on the medium. The versions before it are history.
func (h *simHost) reach(l *simLine, version int) {
	if version == 0 {
		return
	}
	h.meet()
	h.medium.write(l.at, &l.versions[version])
	if version == len(l.versions)-1 {
		h.clean(l)
	}
	l.versions = append(l.versions[:0], l.versions[version:]...)
	l.hashes = append(l.hashes[:0], l.hashes[version:]...)
	l.flushed, l.left = max(0, l.flushed-version), max(0, l.left-version)
}

// writeBack brings a line to the medium as it is now.
func (h *simHost) writeBack(l *simLine) { h.reach(l, len(l.versions)-1) }

// evict does what a cache does when it needs room.
func (h *simHost) evict(l *simLine) {
	h.writeBack(l)
	h.drop(l)
}

// settle empties the cache in an orderly way.
func (h *simHost) settle() {
	for len(h.held) > 0 {
		h.evict(h.held[len(h.held)-1])
	}
}

func (h *simHost) meet() {
	if h.world != nil && h.world.meets != nil {
		h.world.meets()
	}
}

func (h *simHost) step() {
	if h.world != nil {
		h.world.step()
	}
}

// see returns a line as this host sees it.
func (h *simHost) see(at int64) *lineData {
	l := h.cached(at)
	if l == nil {
		if !h.keep {
			return h.medium.line(at)
		}
		l = h.hold(at)
	}
	return l.newest()
}

func (h *simHost) load(p []byte, off int64) {
	// Lines that do not fit into a cache are not kept, and neither are lines that only one host
	// reads.
	if h.world == nil && !h.keep || len(p) >= 16<<10 {
		h.meet()
		h.step()
		copy(p, h.medium.mem[off:])
		held := h.held
		if !h.keep {
			held = h.dirty
		}
		for _, l := range held {
			if from, to := max(l.at, off), min(l.at+simLineSize, off+int64(len(p))); from < to {
				copy(p[from-off:to-off], l.newest()[from-l.at:])
			}
		}
		return
	}
	for len(p) > 0 {
		at := off &^ (simLineSize - 1)
		n := min(int64(len(p)), at+simLineSize-off)
		if h.world != nil && h.world.chance(1, 16) {
			n = 8 // now and then a line is gone, and back, between two words of it
		}
		h.step()
		copy(p[:n], h.see(at)[off-at:])
		off, p = off+n, p[n:]
	}
}

func (h *simHost) load64(off int64) uint64 {
	h.step()
	at := off &^ (simLineSize - 1)
	return binary.LittleEndian.Uint64(h.see(at)[off-at:])
}

func (h *simHost) store(off int64, p []byte) {
	for ; len(p) >= 8; off, p = off+8, p[8:] {
		h.step()
		if h.beforeStore != nil {
			h.beforeStore()
		}
		h.storeWord(off, p[:8])
	}
}

// storeWord stores the 8 bytes of p, or 16 of them, in one piece.
func (h *simHost) storeWord(off int64, p []byte) {
	at := off &^ (simLineSize - 1)
	l := h.cached(at)
	if l == nil {
		if bytes.Equal(h.medium.mem[off:off+int64(len(p))], p) {
			return // as good as a line that is written back unchanged
		}
		l = h.hold(at)
	}
	if bytes.Equal(l.newest()[off-at:off-at+int64(len(p))], p) {
		return
	}
	if !l.dirty() {
		h.dirty = append(h.dirty, l)
		l.hashes = append(l.hashes[:0], lineHash(at, &l.versions[0]))
	}
	l.versions = append(l.versions, *l.newest())
	copy(l.newest()[off-at:], p)
	l.hashes = append(l.hashes, lineHash(at, l.newest()))
	if h.stored != nil {
		h.stored(l)
	}
}

func (h *simHost) storePair(off int64, a, b uint64) {
	if h.splits {
		h.store64(off+8, b)
		h.store64(off, a)
		return
	}
	h.step()
	if h.beforeStore != nil {
		h.beforeStore()
	}
	var p [16]byte
	binary.LittleEndian.PutUint64(p[:], a)
	binary.LittleEndian.PutUint64(p[8:], b)
	h.storeWord(off, p[:])
}

func (h *simHost) store64(off int64, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	h.store(off, b[:])
}

func (h *simHost) ignored(kind string, off, n int64) bool {
	return h.ignore != nil && h.ignore(simOp{kind, off, n})
}

func (h *simHost) flush(off, n int64) error {
	h.step()
	if !h.ignored("flush", off, n) {
		for _, l := range h.dirty {
			if l.at+simLineSize > off && l.at < off+n {
				l.flushed = len(l.versions) - 1
			}
		}
	}
	return nil
}

func (h *simHost) invalidate(off, n int64) {
	h.step()
	if h.ignored("invalidate", off, n) {
		return
	}
	leave := func(l *simLine) {
		if l.at+simLineSize > off && l.at < off+n {
			l.leaving, l.left = true, len(l.versions)-1
		}
	}
	if n/simLineSize > int64(len(h.held)) {
		for _, l := range h.held {
			leave(l)
		}
		return
	}
	for at := off &^ (simLineSize - 1); at < off+n; at += simLineSize {
		if l := h.cached(at); l != nil {
			leave(l)
		}
	}
}

func (h *simHost) fenceStores() { h.fence(simFenceStores) }

func (h *simHost) fenceLoads() { h.fence(simFenceLoads) }

// The two kinds of fences.
const (
	simFenceStores = "fenceStores"
	simFenceLoads  = "fenceLoads"
)

// waits reports whether a fence of this kind has to complete something of l.
func (l *simLine) waits(kind string) bool {
	if kind == simFenceStores {
		return l.flushed > 0
	}
	return l.leaving
}

// fence completes the lines that wait for it, one after the other.
func (h *simHost) fence(kind string) {
	h.step()
	if h.ignored(kind, 0, 0) {
		return
	}
	if h.confuse != nil && h.confuse(simOp{kind: kind}) {
		kind = map[string]string{simFenceStores: simFenceLoads, simFenceLoads: simFenceStores}[kind]
	}
	waiting := h.waiting[:0]
	h.waiting = nil // another program on this host may have a fence of its own in between
	for _, l := range h.held {
		if l.waits(kind) {
			waiting = append(waiting, l.at)
		}
	}
	defer func() { h.waiting = waiting }()
	if h.world != nil && h.world.meets == nil {
		h.world.rng.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
	}
	for _, at := range waiting {
		h.step()
		l := h.cached(at)
		if l == nil || !l.waits(kind) {
			continue // evicted meanwhile
		}
		if kind == simFenceStores {
			h.reach(l, l.flushed)
			l.flushed = 0
			continue
		}
		h.reach(l, l.left)
		l.left, l.leaving = 0, false
		if !l.dirty() { // it is dirty again if something was stored since
			h.drop(l)
		}
	}
}

// inFlight reports whether this kind of fence would make anything certain.
func (h *simHost) inFlight(kind string) bool {
	for _, l := range h.dirty {
		if kind == simFenceStores && l.flushed > 0 || kind == simFenceLoads && l.left > 0 {
			return true
		}
	}
	return false
}

// simImage is a sharedMemory without any cache over a medium that nobody else uses: what the
// next host finds. Its stores can be undone.
type simImage struct {
	mem   []byte
	saved []simWord
}

type simWord struct {
	off int64
	was [8]byte
}

func (m *simImage) load(p []byte, off int64) { copy(p, m.mem[off:]) }

func (m *simImage) load64(off int64) uint64 { return binary.LittleEndian.Uint64(m.mem[off:]) }

func (m *simImage) store(off int64, p []byte) {
	for ; len(p) >= 8; off, p = off+8, p[8:] {
		word := (*[8]byte)(m.mem[off:])
		if *word != *(*[8]byte)(p) {
			m.saved = append(m.saved, simWord{off, *word})
			*word = *(*[8]byte)(p)
		}
	}
}

func (m *simImage) store64(off int64, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	m.store(off, b[:])
}

func (m *simImage) storePair(off int64, a, b uint64) {
	m.store64(off+8, b)
	m.store64(off, a)
}

func (m *simImage) flush(off, n int64) error { return nil }
func (m *simImage) invalidate(off, n int64)  {}
func (m *simImage) fenceStores()             {}
func (m *simImage) fenceLoads()              {}

// undo undoes all stores.
func (m *simImage) undo() {
	for i := len(m.saved) - 1; i >= 0; i-- {
		copy(m.mem[m.saved[i].off:], m.saved[i].was[:])
	}
	m.saved = m.saved[:0]
}

// simScratch is the large memory that a replica uses, for one replica after the other. Making it
// again would take most of the time.
type simScratch struct {
	buffer []byte
	slab   *slab
	log    *slog.Logger
}

func newSimScratch() *simScratch {
	return &simScratch{make([]byte, decodePiece*entrySize), newSlab(), slog.New(slog.DiscardHandler)}
}

// replica returns a new replica. The one from the call before must not be used any more.
func (s *simScratch) replica(m sharedMemory, sb Superblock, size int64, pause func()) *replica {
	r := newReplica(m, sb, size, s.log)
	r.pause = func(time.Duration) { pause() }
	r.single.buffer = s.buffer
	s.slab.text.Store(nil)
	s.slab.layouts.Store(nil)
	s.slab.removed.Store(nil)
	s.slab.sealed.Store(nil)
	r.ns.attach(0, s.slab)
	return r
}

// simWorld runs several hosts, each with its own program, in a random order. It may change at
// every access to memory. Between any two accesses any cache may write back, drop or fetch a
// line.
type simWorld struct {
	rng      *rand.Rand
	bits     uint64 // random ones not yet used
	left     int    // how many
	hosts    []*simHost
	interest []int64 // lines worth fetching
	yield    func(struct{}) bool
	current  int // which program runs
	// calm says how rarely caches act by themselves, and still that they do not.
	calm  uint64
	still bool
	// meets is called before a line goes from a cache to the memory, or the other way. If it is set,
	// nothing happens by chance.
	meets func()
}

// draw returns n random bits, cheaply.
func (w *simWorld) draw(n int) uint64 {
	if w.left < n {
		w.bits, w.left = w.rng.Uint64(), 64
	}
	v := w.bits & (1<<n - 1)
	w.bits >>= n
	w.left -= n
	return v
}

// chance is true k times out of n, a power of two up to 256.
func (w *simWorld) chance(k, n uint64) bool { return w.meets == nil && w.draw(8)&(n-1) < k }

// step is called before each access.
func (w *simWorld) step() {
	if w.meets != nil {
		return
	}
	x := w.draw(8)
	if x&w.calm == 0 && !w.still {
		w.disturb()
	}
	if x>>4 == 1 {
		w.pass()
	}
}

// pass lets other programs run.
func (w *simWorld) pass() {
	yield, current := w.yield, w.current
	if yield == nil {
		return
	}
	w.yield = nil
	if yield(struct{}{}) { // otherwise the run was given up
		w.yield, w.current = yield, current
	}
}

// disturb does one of the things that caches do by themselves.
func (w *simWorld) disturb() {
	h := w.hosts[w.rng.IntN(len(w.hosts))]
	x := w.draw(4)
	switch {
	case x < 6 && len(w.interest) > 0: // fetch
		if at := w.interest[w.rng.IntN(len(w.interest))]; h.cached(at) == nil {
			h.hold(at)
		}
	case x < 10 && len(h.dirty) > 0:
		h.writeBack(h.dirty[w.rng.IntN(len(h.dirty))])
	case x < 12 && len(h.dirty) > 0:
		h.evict(h.dirty[w.rng.IntN(len(h.dirty))])
	case len(h.held) > 0:
		if l := h.held[w.rng.IntN(len(h.held))]; !l.dirty() {
			h.drop(l)
		}
	}
}

// run runs all programs to their ends.
func (w *simWorld) run(programs ...func()) {
	type thread struct {
		next func() (struct{}, bool)
		stop func()
	}
	var threads []thread
	for i, p := range programs {
		next, stop := iter.Pull(func(yield func(struct{}) bool) {
			w.yield, w.current = yield, i
			p()
		})
		threads = append(threads, thread{next, stop})
	}
	defer func() {
		w.yield = nil
		for _, t := range threads {
			t.stop()
		}
	}()
	for len(threads) > 0 {
		i := w.rng.IntN(len(threads))
		// Sometimes one program runs for long while the others stand still.
		for range 1 << w.rng.IntN(6) {
			if _, more := threads[i].next(); !more {
				threads[i] = threads[len(threads)-1]
				threads = threads[:len(threads)-1]
				break
			}
		}
	}
}

// simSeed returns the seed of a test, which is printed if it fails.
func simSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("FAMFS_SIM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 0, 64)
		require.NoError(t, err, "FAMFS_SIM_SEED")
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to see this again: FAMFS_SIM_SEED=%d go test -run '^%s$'", seed, t.Name())
		}
	})
	return seed
}

// simAmount returns how much a test should do: n, unless the environment says otherwise; a tenth
// of it with -short; and little under the race detector, which has nothing to find if all
// goroutines take turns, and under an emulator, which shows the same on any processor.
func simAmount(t *testing.T, variable string, n int) int {
	t.Helper()
	if s := os.Getenv(variable); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err, variable)
		return n
	}
	if testing.Short() {
		n /= 10
	}
	if raceEnabled || underEmulator() {
		n /= 50
	}
	return n
}

// notUnderRace skips a test of one goroutine under the race detector, which finds nothing in it and
// makes it about ten times slower.
func notUnderRace(t testing.TB) {
	t.Helper()
	if raceEnabled {
		t.Skip("it has one goroutine, in which the race detector finds nothing")
	}
}

// simCaller returns the name of the library's function that called the simulated memory, to say
// which flush or fence it was. It returns "?" if the test itself called.
func simCaller() string {
	for _, name := range simCallers() {
		if name != "flushAndFence" {
			return name
		}
	}
	return "?"
}

// simCallers returns the names of the library's functions that are being called, the innermost first.
func simCallers() (names []string) {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, "famfs.") && !strings.HasSuffix(f.File, "_test.go") {
			names = append(names, f.Function[strings.LastIndexByte(f.Function, '.')+1:])
		}
		if !more {
			return names
		}
	}
}

func TestSimVisibility(t *testing.T) {
	m := newSimMedium(4096)
	a, b := newSimHost(m), newSimHost(m)
	a.keep, b.keep = true, true
	assert.Zero(t, b.load64(128))

	a.store64(128, 7)
	assert.EqualValues(t, 7, a.load64(128), "a host sees its own stores at once")
	b.invalidate(128, 8)
	b.fenceLoads()
	assert.Zero(t, b.load64(128), "others do not while the line is in its cache")

	require.NoError(t, a.flush(128, 8))
	assert.Zero(t, m.mem[128], "a flush alone is no promise")
	a.fenceLoads()
	assert.Zero(t, m.mem[128], "nor is it one with a fence for loads")
	a.fenceStores()
	assert.EqualValues(t, 7, m.mem[128])
	assert.Empty(t, a.dirty)
	assert.Zero(t, b.load64(128), "a stale line is served until it is invalidated")
	b.invalidate(128, 8)
	assert.Zero(t, b.load64(128), "and until a fence")
	b.fenceStores()
	assert.Zero(t, b.load64(128), "which must be one for loads")
	b.fenceLoads()
	assert.EqualValues(t, 7, b.load64(128))

	var p [16]byte
	a.store64(184, 9)
	a.load(p[:], 184)
	assert.Equal(t, [16]byte{9}, p, "a load crosses lines, of which one is dirty")
	a.keep = false
	a.load(p[:], 184)
	assert.Equal(t, [16]byte{9}, p)
}

func TestSimInvalidateOfDirtyLine(t *testing.T) {
	m := newSimMedium(4096)
	a := newSimHost(m)
	a.store64(0, 1)
	a.invalidate(0, 4096)
	a.store64(0, 2)
	a.fenceLoads()
	assert.EqualValues(t, 1, m.mem[0], "it is written back as it was")
	assert.EqualValues(t, 2, a.load64(0), "what was stored after is not lost")
	a.invalidate(0, 8)
	a.fenceLoads()
	assert.EqualValues(t, 2, m.mem[0])
	assert.Empty(t, a.held)
}

func TestSimFlushKeepsWhatFollows(t *testing.T) {
	m := newSimMedium(4096)
	a := newSimHost(m)
	a.store64(8, 1)
	require.NoError(t, a.flush(0, 64))
	a.store64(8, 2)
	a.fenceStores()
	assert.EqualValues(t, 1, m.mem[8], "only what was flushed is certain")
	require.Len(t, a.dirty, 1)
	a.dropAll()
	assert.EqualValues(t, 1, a.load64(8), "the rest is gone with the power")

	a.store64(8, 3)
	require.NoError(t, a.flush(0, 64))
	a.store64(8, 4)
	a.evict(a.dirty[0])
	assert.EqualValues(t, 4, m.mem[8])
	a.fenceStores()
	assert.EqualValues(t, 4, m.mem[8], "a fence brings nothing older back")
}

func TestSimOrderOfEviction(t *testing.T) {
	m := newSimMedium(4096)
	a := newSimHost(m)
	a.store64(0, 1)
	a.store64(64, 2)
	a.store64(0, 3)
	assert.Equal(t, []int64{0, 64}, []int64{a.dirty[0].at, a.dirty[1].at})
	a.evict(a.cached(64))
	assert.Zero(t, m.mem[0], "the later store is on the medium, the earlier is not")
	assert.EqualValues(t, 2, m.mem[64])
	assert.Len(t, a.cached(0).versions, 3, "0, 1 and 3 may be there after a crash")
	a.settle()
	assert.EqualValues(t, 3, m.mem[0])
	assert.Empty(t, a.held)

	m.reset()
	assert.Equal(t, make([]byte, 4096), m.mem)
	assert.Zero(t, m.hash)
}

func TestSimStoresAreOfEightBytes(t *testing.T) {
	m := newSimMedium(4096)
	a := newSimHost(m)
	var seen []string
	a.stored = func(l *simLine) { seen = append(seen, string(l.newest()[:24])) }
	word := func(c string) string { return strings.Repeat(c, 8) }
	a.store(0, []byte(word("a")+word("b")+word("c")))
	zero := word("\x00")
	assert.Equal(t, []string{word("a") + zero + zero, word("a") + word("b") + zero, word("a") + word("b") + word("c")}, seen,
		"in ascending order, each whole")
	a.store(8, []byte(word("b")))
	assert.Len(t, seen, 3, "a store that changes nothing is none")
}

func TestSimImageUndo(t *testing.T) {
	img := &simImage{mem: make([]byte, 4096)}
	img.store64(8, 1)
	img.store(0, []byte("0123456789abcdef"))
	img.store64(8, 2)
	assert.EqualValues(t, 2, img.load64(8))
	img.undo()
	assert.Equal(t, make([]byte, 4096), img.mem)
}

// Programs must be interleaved and caches disturbed, and the same seed must give the same run.
func TestSimWorld(t *testing.T) {
	needsNoDevice(t)
	run := func(seed uint64) (trace []uint64) {
		m := newSimMedium(4096)
		w := &simWorld{rng: rand.New(rand.NewPCG(seed, 0)), calm: 7, interest: []int64{0, 64}}
		for range 2 {
			h := newSimHost(m)
			h.keep, h.world = true, w
			w.hosts = append(w.hosts, h)
		}
		w.run(func() {
			for i := range uint64(200) {
				w.hosts[0].store64(0, i+1)
				w.hosts[0].store64(64, i+1)
			}
		}, func() {
			for range 200 {
				w.hosts[1].invalidate(0, 128)
				w.hosts[1].fenceLoads()
				trace = append(trace, w.hosts[1].load64(0), w.hosts[1].load64(64))
			}
		})
		return trace
	}
	ahead, behind := 0, 0
	for seed := range uint64(50) {
		trace := run(seed)
		require.Equal(t, trace, run(seed))
		for i := 0; i < len(trace); i += 2 {
			if trace[i] > trace[i+1] {
				ahead++
			} else if trace[i] < trace[i+1] {
				behind++
			}
		}
	}
	assert.Positive(t, ahead, "lines reach the medium in the order of the stores")
	assert.Positive(t, behind, "and in the other")
}

// appendOne appends e.
func (r *replica) appendOne(e *entry) (int64, error) {
	return r.append(func() (int, error) { return 1, nil }, func(_ int, to *entry) { e.copyTo(to) })
}

// copyTo sets to to the same entry, with its own extents.
func (e *entry) copyTo(to *entry) {
	*to = *e
	to.extents = to.extentSpace[:len(e.extents)]
	copy(to.extents, e.extents)
}
