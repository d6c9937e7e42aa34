package famfs

// The pins protocol on simulated caches: a file system that gives memory out again, masters that
// remove and create files and may die, and readers on other hosts and on the master's that map,
// read and write files, lag, die, and are evicted when their host is off. Their accesses are
// interleaved at random, while caches write back, keep, drop and fetch lines of metadata and of
// data as they like.
//
// Every line of a file's data carries the file's tag. No reader may read a line with another
// tag, in the end every line of every file has its own, and no space is lost.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	pinsUnits  = 3 // of data
	pinsDevice = logOffset + minLogSize + pinsSize + pinsUnits*defaultUnit
	pinsData   = pinsDevice - pinsUnits*defaultUnit
	pinsLines  = 3 // lines of a unit that are looked at
)

// pinsFile is a file that was logged, or is about to be.
type pinsFile struct {
	tag     uint64
	layout  Layout
	lines   []int64 // offsets on the device
	written []bool  // these have the tag for certain,
	filled  []bool  // and these since the file was logged
}

// pinsMemory is a host's memory in which nothing happens where entries, hosts and slots are that nobody
// has: there are hundreds, and each load of one would be a chance for everybody else to run.
type pinsMemory struct {
	*simHost
	busy   map[int64]bool // lines of the pins unit that are in use
	logged int64          // where entries end, if the log has as many as it ever has
}

func (m *pinsMemory) quiet(off int64) bool {
	if off < logOffset+minLogSize {
		return off >= m.logged
	}
	return off < pinsData && !m.busy[off&^(simLineSize-1)]
}

func (m *pinsMemory) load(p []byte, off int64) {
	for len(p) > 0 {
		n := min(int64(len(p)), simLineSize-off%simLineSize)
		if m.quiet(off) {
			copy(p[:n], m.medium.mem[off:])
		} else {
			m.simHost.load(p[:n], off)
		}
		off, p = off+n, p[n:]
	}
}

func (m *pinsMemory) load64(off int64) uint64 {
	if m.quiet(off) {
		return binary.LittleEndian.Uint64(m.medium.mem[off:])
	}
	return m.simHost.load64(off)
}

// pinsRules are what readers and masters do beside pins.go; a test of teeth takes one out.
type pinsRules struct {
	forget     bool // the first use of used memory invalidates it
	throwOut   bool // what was mapped for writing is thrown out of the caches when it is closed
	giveUp     bool // so is what a pending file was filled with
	dead       bool // and everything when a dead process may have stored something
	deadWriter bool // which the next master does before it gives space out
	mark       bool // the flag is set before anything is mapped for writing
	lowest     bool // a pin is not above the removal of a file that is mapped
	check      bool // a read looks at the log after it has copied
	again      bool // who took a slot replays the log before the pin is raised
	wait       bool // removals that a pin keeps back are not given out
}

var allPinsRules = pinsRules{true, true, true, true, true, true, true, true, true, true}

// pinsStage is what schedules use again and again.
type pinsStage struct {
	medium   *simMedium
	sb       Superblock
	machines []*simHost
	scratch  []*simScratch
	places   []int          // of the hosts
	busy     map[int64]bool // see pinsMemory
	logged   int64
	stats    pinsStats
}

type pinsStats struct {
	created, removed, reused, reads, writes, gone, takes, deaths, evictions, refused int
}

const (
	pinsHosts   = 3
	pinsThreads = 6
)

func newPinsStage(t *testing.T) *pinsStage {
	t.Helper()
	sb := crashSuperblock(1, minLogSize)
	sb.Version |= featureReuse
	sb.DeviceSize = pinsDevice
	g := &pinsStage{medium: newSimMedium(pinsDevice), sb: sb, logged: entryAt(256)}
	img := &simImage{mem: g.medium.mem}
	require.NoError(t, writeFileSystem(img, sb))
	for i := range pinsHosts {
		h := newSimHost(g.medium)
		h.keep = true
		g.machines = append(g.machines, h)
		if i > 0 {
			_, err := admitHost(img, sb.logEnd(), pinsHostUUID(i))
			require.NoError(t, err)
		}
	}
	at := sb.logEnd()
	g.busy = map[int64]bool{at: true}
	for i := range pinsHosts {
		place := readHosts(img, at).find(pinsHostUUID(i))
		g.places = append(g.places, place)
		for _, off := range []int64{hostUUIDAt(place), hostStateAt(place), slotAt(place, 0), slotAt(place, 1), slotAt(place, 2)} {
			g.busy[(at+off)&^(simLineSize-1)] = true
		}
	}
	for range pinsThreads {
		g.scratch = append(g.scratch, newSimScratch())
	}
	return g
}

func pinsHostUUID(i int) UUID {
	if i == 0 {
		return testHost
	}
	return UUID{byte(i), 7}
}

// pinsRun is one schedule.
type pinsRun struct {
	*simWorld
	*pinsStage
	rules   pinsRules
	files   map[string]*pinsFile // by path, of the log as it is begun
	byTag   map[uint64]*pinsFile
	nextID  uint64
	locked  bool // the writers' lock
	locks   map[[2]int]bool
	boots   [pinsHosts]uint64
	off     [pinsHosts]bool // the host is off
	wants   [pinsHosts]bool // to be evicted: it is off
	asks    [pinsHosts]bool // to be admitted again
	left    int             // masters that are not done
	mortal  bool            // processes die
	temper  pinsTemper
	running [pinsHosts]int // processes on each host
	err     error
}

// pinsTemper says how processes live.
type pinsTemper struct {
	death    int  // one operation in so many ends in death, and as many die in one of their next stores,
	stores   int  // of which there are so many
	writable int  // of 4 mappings, so many are for writing,
	flushes  int  // and of 4 stores, so many are written back
	lives    int  // of readers, at most
	masters  int  // at least
	gap      int  // between two lives of a master, in turns of others, at most
	survivor bool // the first master does not die
}

// pinsTempers are what schedules choose from: long lives; short ones of readers that leave lines of
// files behind; and those of creators that do, while readers write to what others create.
var pinsTempers = []pinsTemper{{32, 80, 2, 2, 3, 1, 1, false}, {6, 20, 4, 1, 6, 1, 1, false}, {4, 40, 4, 3, 3, 2, 300, true}}

// begin makes everything as it was at first.
func (g *pinsStage) begin(seed uint64, rules pinsRules) *pinsRun {
	g.medium.reset()
	s := &pinsRun{
		simWorld: &simWorld{rng: rand.New(rand.NewPCG(seed, 0)), calm: 1}, pinsStage: g, rules: rules,
		files: map[string]*pinsFile{}, byTag: map[uint64]*pinsFile{}, locks: map[[2]int]bool{},
	}
	s.calm = 1<<(1+s.rng.IntN(7)) - 1

	s.mortal = s.rng.IntN(2) == 0
	if s.temper = pinsTempers[0]; s.mortal {
		s.temper = pinsTempers[s.rng.IntN(len(pinsTempers))]
	}
	s.still = s.temper.survivor || s.rng.IntN(4) == 0 // what a dead process has left stays for long
	s.simWorld.hosts = g.machines
	at := g.sb.logEnd()
	s.interest = append(s.interest, 0, logOffset, logOffset, at)
	for i, h := range g.machines {
		h.dropAll()
		h.world, h.ignore, h.confuse, h.beforeStore = s.simWorld, nil, nil, nil
		h.splits = s.rng.IntN(2) == 0
		place := g.place(i)
		s.interest = append(s.interest, at+slotAt(place, 0), at+slotAt(place, 0), at+slotAt(place, 1), (at+hostStateAt(place))&^(simLineSize-1))
	}
	return s
}

func (g *pinsStage) run(seed uint64, rules pinsRules, prepare func(*pinsRun)) error {
	s := g.begin(seed, rules)
	if prepare != nil {
		prepare(s)
	}
	var programs []func()
	thread := func(host int, name string, life func(p *pinsProcess) error, lives int) {
		n := len(programs)
		programs = append(programs, func() {
			for range lives {
				if s.err != nil {
					return
				}
				p := &pinsProcess{pinsRun: s, n: n, host: g.machines[host], at: host, name: name, scratch: g.scratch[n]}
				s.fail(name, p.live(life))
			}
		})
	}
	masters := max(s.temper.masters, 1+s.rng.IntN(2))
	s.left = masters
	for i := range masters {
		thread(0, fmt.Sprintf("master %d", i), (*pinsProcess).master, 1)
	}
	thread(1, "reader on 1", (*pinsProcess).reader, 1+s.rng.IntN(s.temper.lives))
	thread(2, "reader on 2", (*pinsProcess).reader, 1+s.rng.IntN(s.temper.lives))
	if s.rng.IntN(2) == 0 {
		thread(1, "another on 1", (*pinsProcess).reader, 1+s.rng.IntN(s.temper.lives))
	}
	if s.rng.IntN(2) == 0 {
		thread(0, "reader on the master's", (*pinsProcess).reader, 1+s.rng.IntN(s.temper.lives))
	}
	s.simWorld.run(programs...)
	if s.err != nil {
		return s.err
	}
	return s.finish()
}

func (g *pinsStage) place(host int) int { return g.places[host] }

func (s *pinsRun) fail(who string, err error) {
	if s.err == nil && err != nil {
		s.err = fmt.Errorf("%s: %w", who, err)
	}
}

// finish looks at everything when all programs have ended, dead or alive.
func (s *pinsRun) finish() error {
	for _, h := range s.hosts {
		h.beforeStore = nil
		h.settle()
	}
	img := &simImage{mem: s.medium.mem}
	r := s.scratch[0].replica(img, s.sb, pinsDevice, func() {})
	if _, err := r.catchUp(failAtCorrupt, true); err != nil {
		return err
	}
	if problems := r.listProblems(); len(problems) > 0 {
		return problems[0].Err
	}
	// A master may have died behind its last append: the log says what there is.
	if err := (&pinsProcess{pinsRun: s, r: r}).syncModel(); err != nil {
		return err
	}
	if err := s.sameFiles(); err != nil {
		return err
	}
	// Everybody is dead or has closed: nothing is held once the slots are free.
	for i := range pinsHosts {
		if !s.sb.reuses() {
			break
		}
		place := s.place(i)
		m := &simImage{mem: s.medium.mem}
		kept, err := r.freeDead(place, m, s.sb.logEnd()+slotAt(place, 0), func(*pinSlot) bool { return true },
			func(int) (func() error, error) { return func() error { return nil }, nil }, func(*pinSlot) error { return nil })
		if err := errors.Join(kept, err); err != nil {
			return err
		}
	}
	if _, err := r.reclaim(); err != nil {
		return err
	}
	owned := int64(0)
	for _, f := range s.files {
		owned += int64(len(f.lines)) / pinsLines
	}
	if free, _ := r.alloc.space(); free != s.units()-owned || r.space.held() != 0 {
		return fmt.Errorf("%d units are free and %d held, and files have %d of %d", free, r.space.held(), owned, s.units())
	}
	return nil
}

// units is how many allocation units files may have.
func (g *pinsStage) units() int64 { return (pinsDevice - g.sb.dataStart()) / defaultUnit }

// sameFiles checks that the medium has the data of all files.
func (s *pinsRun) sameFiles() error {
	for _, f := range s.files {
		for i, at := range f.lines {
			if tag := binary.LittleEndian.Uint64(s.medium.mem[at:]); f.written[i] && tag != f.tag {
				return fmt.Errorf("in the end line %d of file %d, at %#x, has tag %d", i, f.tag, at, tag)
			}
		}
	}
	return nil
}

// pinsProcess is a program on a host, until it ends or dies.
type pinsProcess struct {
	*pinsRun
	n       int
	host    *simHost
	at      int // which host
	name    string
	scratch *simScratch
	r       *replica
	slot    *ownSlot
	number  int // of the slot
	flags   uint64
	mapped  []*pinsMapping
	used    map[int64]bool
	// usedFrom is that of FS.
	usedFrom int64
	holds    bool // the writers' lock
	boot     uint64
}

type pinsMapping struct {
	index    int64
	file     *pinsFile
	writable bool
}

// live runs a program until it ends or dies.
func (p *pinsProcess) live(life func(*pinsProcess) error) (err error) {
	if p.off[p.at] {
		p.turnOn()
	}
	p.boot = p.boots[p.at]
	p.running[p.at]++
	defer func() {
		p.running[p.at]--
		if e := recover(); e != nil {
			if e != (crashed{}) {
				panic(e)
			}
			p.pinsStage.stats.deaths++
		}
		if p.boot == p.boots[p.at] { // otherwise they are gone with the host
			if p.slot != nil {
				delete(p.locks, [2]int{p.at, p.number})
			}
		}
		if p.holds {
			p.locked = false
		}
		if p.r != nil && life != nil && p.isMaster() {
			p.left--
		}
	}()
	if err := p.open(); err != nil {
		return err
	}
	return life(p)
}

func (p *pinsProcess) isMaster() bool { return p.name[0] == 'm' }

// mayDie ends the process now and then, between two operations or before one of its next stores.
func (p *pinsProcess) mayDie() {
	p.alive()
	if !p.mortal || p.temper.survivor && p.n == 0 {
		return
	}
	switch p.rng.IntN(p.temper.death) {
	case 0:
		panic(crashed{})
	case 1:
		countdown := 1 + p.rng.IntN(p.temper.stores)
		p.host.beforeStore = func() {
			if p.current != p.n {
				return // it is another process
			}
			if countdown--; countdown == 0 {
				p.host.beforeStore = nil
				panic(crashed{})
			}
		}
	}
}

// alive ends the process if its host is off.
func (p *pinsProcess) alive() {
	if p.boot != p.boots[p.at] {
		panic(crashed{})
	}
}

// turnOff turns the host of a reader off: its processes end, and its caches are lost.
func (p *pinsProcess) turnOff() {
	p.boots[p.at]++
	p.off[p.at] = true
	p.host.dropAll()
	for lock := range p.locks {
		if lock[0] == p.at {
			delete(p.locks, lock)
		}
	}
	p.wants[p.at] = p.rng.IntN(4) > 0
	panic(crashed{})
}

func (p *pinsProcess) turnOn() {
	for p.wants[p.at] && p.left > 0 {
		p.pass() // it comes back when the operator has said that it is off
	}
	p.off[p.at] = false
}

func (p *pinsProcess) open() error {
	p.r = p.scratch.replica(&pinsMemory{p.host, p.busy, p.logged}, p.sb, pinsDevice, p.pass)
	p.used, p.usedFrom = map[int64]bool{}, math.MaxInt64
	_, err := p.r.catchUp(failAtCorrupt, true)
	return err
}

func (p *pinsProcess) catchUp() error {
	_, err := p.r.catchUp(failAtCorrupt, false)
	return err
}

// owner says who this process is.
func (p *pinsProcess) owner() slotOwner { return slotOwner{pid: uint32(p.n + 1), boot: p.boot} }

// tryLock locks a slot of this host.
func (p *pinsProcess) tryLock(slot int) (func() error, error) {
	lock := [2]int{p.at, slot}
	if p.locks[lock] {
		return nil, nil
	}
	p.locks[lock] = true
	return func() error { delete(p.locks, lock); return nil }, nil
}

// forgetAll throws all data out of the host's caches.
func (p *pinsProcess) forgetAll(*pinSlot) error {
	if p.rules.dead {
		p.host.invalidate(pinsData, pinsDevice-pinsData)
		p.host.fenceLoads()
	}
	return nil
}

// sweep frees the slots of dead processes of this host.
func (p *pinsProcess) sweep(only uint64) error {
	place := p.place(p.at)
	hosts := readHosts(p.r.meta, p.sb.logEnd())
	dead := func(s *pinSlot) bool {
		if only != 0 && s.flags&only == 0 {
			return false
		}
		return s.owner.boot == p.boot || p.at == 0 || hosts.states[place] == hostEvicted
	}
	kept, err := p.r.freeDead(place, p.host, p.sb.logEnd()+slotAt(place, 0), dead, p.tryLock, p.forgetAll)
	return errors.Join(kept, err)
}

// take takes a slot, as who maps something first does.
func (p *pinsProcess) take(flags uint64) (bool, error) {
	if p.slot != nil || !p.sb.reuses() {
		return true, nil
	}
	if err := p.sweep(0); err != nil {
		return false, err
	}
	place := p.place(p.at)
	for n := range 3 {
		unlock, _ := p.tryLock(n)
		if unlock == nil {
			continue
		}
		s := &ownSlot{r: p.r, place: place, m: p.host, off: p.sb.logEnd() + slotAt(place, n)}
		if p.host.load64(s.off+slotWordAt) != 0 {
			unlock()
			continue
		}
		p.slot, p.number = s, n
		caughtUp := p.catchUp
		if !p.rules.again {
			caughtUp = func() error { return nil }
		}
		err := s.take(p.owner(), flags, pinsDevice, caughtUp)
		if err == nil {
			p.flags = flags
			p.pinsStage.stats.takes++
			return true, p.raise()
		}
		p.slot = nil
		unlock()
		p.pinsStage.stats.refused++
		if errors.Is(err, ErrEvicted) {
			p.asks[p.at] = true
			return false, nil
		}
		return false, err
	}
	return false, nil
}

// raise raises the pin as far as what is mapped allows it.
func (p *pinsProcess) raise() error {
	if p.slot == nil {
		return nil
	}
	pin := p.r.next
	for _, m := range p.mapped {
		n := p.r.ns.node(m.index)
		if by, ok := n.slab.removedBy(m.index); ok && p.rules.lowest {
			pin = min(pin, uint64(by))
		}
	}
	return p.slot.raise(pin)
}

// reader is a program that maps, reads and writes files.
func (p *pinsProcess) reader() error {
	for range 4 + p.rng.IntN(30) {
		p.mayDie()
		var err error
		switch p.rng.IntN(14) {
		case 0, 1, 2:
			if err = p.catchUp(); err == nil {
				err = p.raise()
			}
		case 3, 4, 5:
			err = p.mapOne()
		case 6, 7, 8:
			err = p.useMapped()
		case 9, 10:
			err = p.unmapOne()
		case 11, 12:
			err = p.readOne()
		default:
			if p.mortal && p.at > 0 && p.rng.IntN(3) == 0 && p.running[p.at] == 1 {
				p.turnOff()
			}
			for range p.rng.IntN(200) { // it is paused
				p.pass()
			}
			p.alive()
		}
		if errors.Is(err, ErrEvicted) {
			return errors.New("evicted while it runs")
		}
		if err != nil || p.err != nil {
			return err
		}
	}
	for len(p.mapped) > 0 {
		if err := p.unmapOne(); err != nil {
			return err
		}
	}
	if p.slot != nil {
		if err := p.slot.free(); err != nil {
			return err
		}
		delete(p.locks, [2]int{p.at, p.number})
		p.slot = nil
	}
	return nil
}

// someFile returns a file that this process can find.
func (p *pinsProcess) someFile() (int64, *pinsFile) {
	indexes := p.r.ns.children(p.r.ns.node(rootIndex))
	if len(indexes) == 0 {
		return 0, nil
	}
	index := indexes[p.rng.IntN(len(indexes))]
	n := p.r.ns.node(index)
	return index, p.byTag[uint64(n.size)%defaultUnit]
}

// firstUse forgets lines of earlier owners.
func (p *pinsProcess) firstUse(index int64, f *pinsFile) {
	if n := p.r.ns.node(index); !n.inUsedMemory() && index < p.usedFrom || p.used[index] || !p.rules.forget {
		return
	}
	p.invalidate(f)
	p.used[index] = true
}

func (p *pinsProcess) invalidate(f *pinsFile) {
	for _, at := range f.lines {
		p.host.invalidate(at, simLineSize)
	}
	p.host.fenceLoads()
}

func (p *pinsProcess) mapOne() error {
	if len(p.mapped) > 2 {
		return nil
	}
	writable := p.rng.IntN(4) < p.temper.writable
	flags := p.flags
	if writable && p.rules.mark {
		flags |= slotWrites
	}
	if ok, err := p.take(flags); !ok || err != nil {
		return err
	}
	if flags != p.flags {
		if err := p.slot.mark(flags); err != nil {
			return err
		}
		p.flags = flags
	}
	index, f := p.someFile()
	if f == nil {
		return nil
	}
	p.firstUse(index, f)
	p.mapped = append(p.mapped, &pinsMapping{index, f, writable})
	return nil
}

func (p *pinsProcess) unmapOne() error {
	if len(p.mapped) == 0 {
		return nil
	}
	i := p.rng.IntN(len(p.mapped))
	m := p.mapped[i]
	if m.writable && p.rules.throwOut {
		p.invalidate(m.file)
	}
	p.mapped = slices.Delete(p.mapped, i, i+1)
	if p.rng.IntN(2) == 0 {
		return p.raise()
	}
	return nil
}

// line returns the tag and the version of a line.
func (p *pinsProcess) line(at int64) (tag, version uint64) {
	var b lineData
	p.host.load(b[:], at)
	return binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
}

// useMapped reads or writes a file that is mapped.
func (p *pinsProcess) useMapped() error {
	if len(p.mapped) == 0 {
		return nil
	}
	m := p.mapped[p.rng.IntN(len(p.mapped))]
	i := p.rng.IntN(len(m.file.lines))
	at := m.file.lines[i]
	if m.writable && p.rng.IntN(2) == 0 {
		p.pinsStage.stats.writes++
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], m.file.tag)
		binary.LittleEndian.PutUint64(b[8:], p.rng.Uint64())
		p.host.store(at, b[:])
		if p.rng.IntN(4) < p.temper.flushes {
			if err := flushAndFence(p.host, at, simLineSize); err != nil {
				return err
			}
			m.file.written[i] = true
		}
		return nil
	}
	return p.checkLine(m.file, i)
}

func (p *pinsProcess) checkLine(f *pinsFile, i int) error {
	sure, at := f.written[i], f.lines[i]
	if !sure {
		return nil
	}
	if !f.filled[i] || p.rng.IntN(4) == 0 { // as who shares data in turns does
		p.host.invalidate(at, simLineSize)
		p.host.fenceLoads()
	}
	p.pinsStage.stats.reads++
	if tag, _ := p.line(at); tag != f.tag {
		return fmt.Errorf("line %d of file %d, at %#x, has tag %d", i, f.tag, at, tag)
	}
	return nil
}

// readOne reads a file without a slot, as reads through fs.FS do.
func (p *pinsProcess) readOne() error {
	index, f := p.someFile()
	if f == nil {
		return nil
	}
	i := p.rng.IntN(len(f.lines))
	sure := f.written[i]
	p.firstUse(index, f)
	for range p.rng.IntN(20) {
		p.pass()
	}
	p.alive()
	if !f.filled[i] {
		p.host.invalidate(f.lines[i], simLineSize)
		p.host.fenceLoads()
	}
	tag, _ := p.line(f.lines[i])
	if p.rules.check {
		if err := p.catchUp(); err != nil {
			return err
		}
		if n := p.r.ns.node(index); n.slab.removedBefore(index, p.r.ns.end()) {
			p.pinsStage.stats.gone++
			return nil
		}
	}
	p.pinsStage.stats.reads++
	if sure && tag != f.tag {
		return fmt.Errorf("read of line %d of file %d, at %#x, found tag %d", i, f.tag, f.lines[i], tag)
	}
	return nil
}

// master is a program that creates and removes files.
func (p *pinsProcess) master() error {
	if p.temper.survivor && p.n == 0 { // it has a slot before others die
		if ok, err := p.take(0); !ok || err != nil {
			return err
		}
	}
	for range 6 + p.rng.IntN(24) {
		if p.err != nil {
			return nil
		}
		died := p.operationMayDie()
		if died != nil {
			return died
		}
	}
	if p.slot != nil {
		if err := p.slot.free(); err != nil {
			return err
		}
		delete(p.locks, [2]int{p.at, p.number})
		p.slot = nil
	}
	return nil
}

// operationMayDie is an operation of a master. If it dies, another process takes over.
func (p *pinsProcess) operationMayDie() (err error) {
	defer func() {
		if e := recover(); e != nil {
			if e != (crashed{}) {
				panic(e)
			}
			p.pinsStage.stats.deaths++
			if p.slot != nil {
				delete(p.locks, [2]int{p.at, p.number})
				p.slot, p.flags = nil, 0
			}
			if p.holds {
				p.holds, p.locked = false, false
			}
			for range p.rng.IntN(p.temper.gap) { // until another takes over
				p.pass()
			}
			err = p.open()
		}
		if p.holds {
			p.holds, p.locked = false, false
		}
	}()
	p.mayDie()
	for p.locked {
		p.pass()
	}
	p.locked, p.holds = true, true
	if p.rules.deadWriter {
		if err := p.sweep(slotCreates); err != nil {
			return err
		}
	}
	if err := p.catchUp(); err != nil {
		return err
	}
	if err := p.syncModel(); err != nil {
		return err
	}
	if p.slot != nil {
		if err := p.raise(); err != nil {
			return err
		}
	}
	switch p.rng.IntN(10) {
	case 0, 1, 2, 3, 4:
		return p.create()
	case 5, 6, 7:
		return p.removeOne()
	case 8:
		_, err = p.r.reclaim()
		return err
	default:
		return p.operate()
	}
}

// operate does what an operator asks for: evicts hosts that are off, and admits hosts again.
func (p *pinsProcess) operate() error {
	for i := 1; i < pinsHosts; i++ {
		at := p.sb.logEnd()
		switch {
		case p.wants[i]:
			p.pinsStage.stats.evictions++
			if err := evictHost(p.r.meta, at, p.place(i)); err != nil {
				return err
			}
			p.wants[i] = false
		case p.asks[i]:
			if _, err := admitHost(p.r.meta, at, pinsHostUUID(i)); err != nil && !errors.Is(err, ErrBusy) {
				return err
			}
			p.asks[i] = false
		}
	}
	return nil
}

// syncModel makes the model what the log says, after an operation that may have died.
func (p *pinsProcess) syncModel() error {
	there := map[string]*pinsFile{}
	for _, index := range p.r.ns.children(p.r.ns.node(rootIndex)) {
		n := p.r.ns.node(index)
		f := p.byTag[uint64(n.size)%defaultUnit]
		if f == nil {
			return fmt.Errorf("entry %d is of no file", index)
		}
		there[n.ownPath()] = f
	}
	p.pinsRun.files = there
	return nil
}

// create makes a file, which may replace one, or gives it up before it is logged.
func (p *pinsProcess) create() error {
	if p.r.next >= 150 {
		return nil
	}
	if ok, err := p.take(slotCreates); !ok || err != nil {
		return err
	}
	if p.flags&slotCreates == 0 {
		p.flags |= slotCreates
		if err := p.slot.mark(p.flags); err != nil {
			return err
		}
	}
	units := 1 + p.rng.Int64N(2)
	p.nextID++
	f := &pinsFile{tag: p.nextID}
	size := (units-1)*defaultUnit + int64(f.tag)
	layout, runs, err := p.r.allocate(size, nil, -1)
	if errors.Is(err, ErrNoSpace) {
		if !p.rules.wait {
			p.r.giveBack(p.r.next)
		} else if _, err := p.r.reclaim(); err != nil {
			return err
		}
		layout, runs, err = p.r.allocate(size, nil, -1)
	}
	if errors.Is(err, ErrNoSpace) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.r.space.wereUsed(layout.Extents) {
		p.pinsStage.stats.reused++
	}
	f.layout = layout
	for _, run := range runs {
		for u := run.start; u < run.end(); u++ {
			for l := range int64(pinsLines) {
				f.lines = append(f.lines, u*defaultUnit+l*simLineSize)
				filled := l == 0 || p.rng.IntN(2) == 0
				f.written, f.filled = append(f.written, filled), append(f.filled, filled)
			}
		}
	}
	p.byTag[f.tag] = f
	for i, at := range f.lines {
		if f.written[i] {
			var b [16]byte
			binary.LittleEndian.PutUint64(b[:], f.tag)
			p.host.store(at, b[:])
		}
	}
	if p.rng.IntN(5) == 0 { // it is given up
		if p.rules.giveUp {
			p.invalidate(f)
		}
		p.r.space.release(runs)
		return p.endCreate()
	}
	for i, at := range f.lines {
		if f.written[i] {
			if err := p.host.flush(at, simLineSize); err != nil {
				return err
			}
		}
	}
	path := fmt.Sprint(p.rng.IntN(4))
	var entries []crashEntry
	if index, ok := p.r.ns.lookupLatest(path); ok {
		entries = append(entries, crashEntry{path: path, removal: true, removes: int(index)})
		p.pinsStage.stats.removed++
	}
	entries = append(entries, crashEntry{path: path, mode: 0o644, size: size, layout: layout})
	if err := p.log(entries); err != nil {
		return err
	}
	p.r.space.release(runs)
	p.files[path] = f
	p.pinsStage.stats.created++
	for _, at := range f.lines { // from now on caches may fetch them unasked
		if !slices.Contains(p.interest, at) {
			p.interest = append(p.interest, at)
		}
	}
	return p.endCreate()
}

func (p *pinsProcess) endCreate() error {
	if p.slot == nil { // memory is not given out again
		return nil
	}
	p.flags &^= slotCreates
	return p.slot.mark(p.flags)
}

func (p *pinsProcess) log(entries []crashEntry) error {
	_, err := p.r.append(func() (int, error) { return len(entries), nil }, func(i int, to *entry) { entries[i].encode().copyTo(to) })
	return err
}

func (p *pinsProcess) removeOne() error {
	index, f := p.someFile()
	if f == nil || p.r.next >= 150 {
		return nil
	}
	path := p.r.ns.node(index).ownPath()
	if err := p.log([]crashEntry{{path: path, removal: true, removes: int(index)}}); err != nil {
		return err
	}
	p.pinsStage.stats.removed++
	delete(p.files, path)
	return nil
}

func TestPins(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	schedules := simAmount(t, "FAMFS_SIM_SCHEDULES", 10_000)
	g := newPinsStage(t)
	begin, done := time.Now(), 0
	for ; done < schedules; done++ {
		if err := g.run(seed+uint64(done), allPinsRules, nil); err != nil {
			t.Fatalf("schedule %d: %v\nthis one alone: FAMFS_SIM_SCHEDULES=1 FAMFS_SIM_SEED=%d", done, err, seed+uint64(done))
		}
	}
	t.Logf("%d schedules in %v: %+v", done, time.Since(begin).Round(time.Millisecond), g.stats)
	assert.Positive(t, g.stats.reused)
}

// With any one of these rules, flushes or fences taken out, somebody reads or overwrites what is
// another's, or space is lost. Not among them, as schedules find nothing without them:
//
//   - freeing the slots of creators that have died, which is rarely too late: TestPinsDeadCreator;
//   - the flush of a slot's flags, which only its own host acts on;
//   - the flush of the log's header in lowestPin: whoever asks has replayed the log, and has
//     invalidated the header before, which brings to the medium what a dead writer has left;
//   - looking at the host's state before a slot is written: only hosts that are off may be evicted,
//     and no cache outlasts that. It is for hosts that are evicted although they are not.
func TestPinsTeeth(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	if raceEnabled || testing.Short() {
		t.Skip("it takes long, and finds the same without the race detector")
	}
	seed := simSeed(t)
	without := func(change func(*pinsRules)) pinsRules {
		rules := allPinsRules
		change(&rules)
		return rules
	}
	by := func(kind, caller string) func(op simOp) bool {
		return func(op simOp) bool { return op.kind == kind && simCaller() == caller }
	}
	for _, c := range []struct {
		name            string
		rules           pinsRules
		ignore, confuse func(op simOp) bool
		short           bool // only with short lives of readers, and caches that keep lines for long
	}{
		{"invalidating used memory", without(func(r *pinsRules) { r.forget = false }), nil, nil, false},
		{"throwing out what was mapped for writing", without(func(r *pinsRules) { r.throwOut = false }), nil, nil, false},
		{"throwing out what was given up", without(func(r *pinsRules) { r.giveUp = false }), nil, nil, false},
		{"pins below what is mapped", without(func(r *pinsRules) { r.lowest = false }), nil, nil, false},
		{"looking at the log after a read", without(func(r *pinsRules) { r.check = false }), nil, nil, false},
		{"replaying after a slot is taken", without(func(r *pinsRules) { r.again = false }), nil, nil, false},
		{"throwing out what a dead process stored", without(func(r *pinsRules) { r.dead = false }), nil, nil, true},
		{"saying who writes", without(func(r *pinsRules) { r.mark = false }), nil, nil, true},
		{"waiting", without(func(r *pinsRules) { r.wait = false }), nil, nil, false},
		{"flush of the slot", allPinsRules, by("flush", "put"), nil, false},
		{"fence of the slot", allPinsRules, by(simFenceStores, "put"), nil, false},
		{"fence of the slot for loads", allPinsRules, nil, by(simFenceStores, "put"), false},
		{"invalidate of the header", allPinsRules, by("invalidate", "look"), nil, false},
		{"fence of the header", allPinsRules, by(simFenceLoads, "look"), nil, false},
		{"fence of the header for loads", allPinsRules, nil, by(simFenceLoads, "look"), false},
		{"invalidate of the slots", allPinsRules, by("invalidate", "lowestPin"), nil, false},
		{"fence of the slots", allPinsRules, by(simFenceLoads, "lowestPin"), nil, false},
		{"fence of the slots for loads", allPinsRules, nil, by(simFenceLoads, "lowestPin"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newPinsStage(t)
			begin, n := time.Now(), uint64(0)
			var err error
			for ; err == nil && n < 40_000; n++ {
				err = g.run(seed+n, c.rules, func(s *pinsRun) {
					for _, h := range s.machines {
						h.ignore, h.confuse = c.ignore, c.confuse
					}
					if c.short {
						s.mortal, s.still, s.temper = true, true, pinsTempers[1]
					}
				})
			}
			require.Error(t, err)
			t.Logf("found in %v, in schedule %d: %v", time.Since(begin).Round(time.Millisecond), n, err)
		})
	}
}

// A creator has died, and its lines are in the master's cache. Whoever makes a file in their place
// throws them out first: otherwise they come over what a client writes to that file.
func TestPinsDeadCreator(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	for _, thrown := range []bool{true, false} {
		g := newPinsStage(t)
		s := g.begin(1, allPinsRules)
		s.still = true
		process := func(n, host int) *pinsProcess {
			p := &pinsProcess{pinsRun: s, n: n, host: g.machines[host], at: host, scratch: g.scratch[n]}
			require.NoError(t, p.open())
			return p
		}
		take := func(p *pinsProcess, flags uint64) {
			ok, err := p.take(flags)
			require.True(t, ok)
			require.NoError(t, err)
		}
		store := func(p *pinsProcess, at int64, tag uint64) {
			p.host.store(at, binary.LittleEndian.AppendUint64(nil, tag))
		}
		master, dead, client := process(0, 0), process(1, 0), process(2, 1)
		take(master, 0)
		take(dead, slotCreates)
		_, died, err := dead.r.allocate(100, nil, -1)
		require.NoError(t, err)
		first := died[0].start * defaultUnit
		second := first + simLineSize
		store(dead, first, 1)
		store(dead, second, 1)
		delete(s.locks, [2]int{0, dead.number})

		if thrown {
			require.NoError(t, master.sweep(slotCreates))
		}
		require.NoError(t, master.catchUp())
		layout, runs, err := master.r.allocate(100, nil, -1)
		require.NoError(t, err)
		require.Equal(t, died, runs)
		store(master, first, 2)
		require.NoError(t, flushAndFence(master.host, first, simLineSize))
		require.NoError(t, master.log([]crashEntry{{path: "a", mode: 0o644, size: 100, layout: layout}}))

		take(client, slotWrites)
		require.NoError(t, client.catchUp())
		store(client, second, 3)
		require.NoError(t, flushAndFence(client.host, second, simLineSize))
		for _, h := range g.machines {
			h.settle()
		}
		assert.EqualValues(t, 2, binary.LittleEndian.Uint64(g.medium.mem[first:]))
		found := binary.LittleEndian.Uint64(g.medium.mem[second:])
		if thrown {
			assert.EqualValues(t, 3, found)
		} else {
			assert.EqualValues(t, 1, found, "without that rule the client's line is lost")
		}
	}
}
