package famfs

// The pins protocol with every order of what hosts do to the memory, up to a number of switches: two
// readers on hosts of their own, and a master that removes two files and creates others in their memory.
// A switch to another host may be wherever a line goes from a cache to the memory, or the other way.
// Between two such moments a host meets nobody. Caches keep what they have, and write back what they are
// told to; what they do by themselves is the concern of sim_pins_test.go's random schedules.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// orderSwitch is a switch to another program before the meeting at.
type orderSwitch struct{ at, to int }

// orderRun runs programs in an order that is given.
type orderRun struct {
	*simWorld
	first    []int // programs: each runs to its end before the next one begins,
	switches []orderSwitch
	alive    uint   // a bit for each program
	target   int    // of the switch that is under way, or -1
	trace    []uint // at each meeting, the programs that could have run instead
}

// meet is called where a line is about to go from a cache to the memory, or the other way.
func (o *orderRun) meet() {
	at := len(o.trace)
	o.trace = append(o.trace, o.alive&^(1<<o.current))
	if len(o.switches) > 0 && o.switches[0].at == at {
		o.target, o.switches = o.switches[0].to, o.switches[1:]
		o.pass()
	}
}

func (o *orderRun) run(programs ...func()) {
	next := make([]func() (struct{}, bool), len(programs))
	for i, p := range programs {
		var stop func()
		next[i], stop = iter.Pull(func(yield func(struct{}) bool) {
			o.yield, o.current = yield, i
			p()
		})
		defer stop()
	}
	defer func() { o.yield = nil }()
	for _, i := range o.first {
		o.alive |= 1 << i
	}
	for now := o.first[0]; o.alive != 0; {
		o.target = -1
		_, more := next[now]()
		if !more {
			o.alive &^= 1 << now
		}
		switch {
		case o.target >= 0:
			now = o.target
		case o.alive != 0: // it has ended, or waits for another
			at := slices.Index(o.first, now)
			for {
				at = (at + 1) % len(o.first)
				if now = o.first[at]; o.alive&(1<<now) != 0 {
					break
				}
			}
		}
	}
}

// runInOrder runs a master and two readers in this order.
func (g *pinsStage) runInOrder(rules pinsRules, first []int, switches []orderSwitch) (trace []uint, err error) {
	s := g.begin(1, rules)
	s.mortal, s.temper, s.still = false, pinsTempers[0], true
	if err := s.fill(); err != nil {
		return nil, err
	}
	o := &orderRun{simWorld: s.simWorld, first: first, switches: switches}
	s.meets = o.meet
	defer func() { s.meets = nil }()
	var programs []func()
	for i, life := range []func(*pinsProcess) error{(*pinsProcess).removeTwo, (*pinsProcess).readTwo, (*pinsProcess).readTwo} {
		name := "reader"
		if i == 0 {
			name = "master"
		}
		programs = append(programs, func() {
			p := &pinsProcess{pinsRun: s, n: i, host: g.machines[i], at: i, name: name, scratch: g.scratch[i]}
			s.fail(fmt.Sprint(name, " ", i), p.live(life))
		})
	}
	o.run(programs...)
	if s.err != nil {
		return o.trace, s.err
	}
	s.meets = nil
	return o.trace, s.finish()
}

// fill fills the memory with files of one unit.
func (s *pinsRun) fill() error {
	p := &pinsProcess{pinsRun: s, host: s.machines[0], name: "master", scratch: s.scratch[0]}
	for _, h := range s.machines {
		h.world = nil
	}
	if err := p.open(); err != nil {
		return err
	}
	for i := range pinsUnits {
		if err := p.createAt(fmt.Sprint(i)); err != nil {
			return err
		}
	}
	if err := p.slot.free(); err != nil {
		return err
	}
	clear(s.locks)
	s.machines[0].settle()
	for _, h := range s.machines {
		h.world = s.simWorld
	}
	return nil
}

// createAt creates a file of one unit, if there is space.
func (p *pinsProcess) createAt(path string) error {
	if ok, err := p.take(slotCreates); !ok || err != nil {
		return err
	}
	p.flags |= slotCreates
	if err := p.slot.mark(p.flags); err != nil {
		return err
	}
	p.nextID++
	f := &pinsFile{tag: p.nextID}
	layout, runs, err := p.r.allocate(int64(f.tag), nil, -1)
	if errors.Is(err, ErrNoSpace) {
		if !p.rules.wait {
			p.r.giveBack(p.r.next)
		} else if _, err := p.r.reclaim(); err != nil {
			return err
		}
		layout, runs, err = p.r.allocate(int64(f.tag), nil, -1)
	}
	if errors.Is(err, ErrNoSpace) {
		return p.endCreate()
	}
	if err != nil {
		return err
	}
	if p.r.space.wereUsed(layout.Extents) {
		p.pinsStage.stats.reused++
	}
	f.layout = layout
	at := runs[0].start * defaultUnit
	f.lines, f.written, f.filled = []int64{at, at + simLineSize}, []bool{true, true}, []bool{true, true}
	f.lines = append(f.lines, at+2*simLineSize)
	f.written, f.filled = append(f.written, true), append(f.filled, true)
	p.byTag[f.tag] = f
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], f.tag)
	for _, at := range f.lines {
		p.host.store(at, b[:])
		if err := p.host.flush(at, simLineSize); err != nil {
			return err
		}
	}
	if err := p.log([]crashEntry{{path: path, mode: 0o644, size: int64(f.tag), layout: layout}}); err != nil {
		return err
	}
	p.r.space.release(runs)
	p.pinsStage.stats.created++
	return p.endCreate()
}

// removeTwo is the master.
func (p *pinsProcess) removeTwo() error {
	for i := range 2 {
		path := fmt.Sprint(i)
		index, ok := p.r.ns.lookupLatest(path)
		if !ok {
			return fmt.Errorf("file %s is not there", path)
		}
		if err := p.log([]crashEntry{{path: path, removal: true, removes: int(index)}}); err != nil {
			return err
		}
		p.pinsStage.stats.removed++
		if err := p.raise(); err != nil {
			return err
		}
		if err := p.createAt(fmt.Sprint("new-", i)); err != nil {
			return err
		}
	}
	return p.slot.free()
}

// readTwo is a reader: it maps one file, learns what is new while it has it mapped, and reads another
// one without a slot that protects it.
func (p *pinsProcess) readTwo() error {
	if ok, err := p.take(0); !ok || err != nil {
		return err
	}
	if index, ok := p.r.ns.lookupLatest("0"); ok {
		f := p.byTag[uint64(p.r.ns.node(index).size)]
		p.firstUse(index, f)
		p.mapped = append(p.mapped, &pinsMapping{index, f, false})
		for i := range 2 {
			if tag, _ := p.line(f.lines[i]); tag != f.tag {
				return fmt.Errorf("line %d of file %d, which is mapped, has tag %d", i, f.tag, tag)
			}
			if err := errors.Join(p.catchUp(), p.raise()); err != nil {
				return err
			}
		}
		p.mapped = nil
		if err := p.raise(); err != nil {
			return err
		}
	}
	if err := p.slot.free(); err != nil {
		return err
	}
	p.slot = nil
	if err := p.readPath("1"); err != nil {
		return err
	}
	if err := p.catchUp(); err != nil {
		return err
	}
	return p.readPath("new-0") // which may be where the first one was
}

// readPath reads a file without a slot, if it is there.
func (p *pinsProcess) readPath(path string) error {
	index, ok := p.r.ns.lookupLatest(path)
	if !ok {
		return nil
	}
	f := p.byTag[uint64(p.r.ns.node(index).size)]
	p.firstUse(index, f)
	tag, _ := p.line(f.lines[0])
	if p.rules.check {
		if err := p.catchUp(); err != nil {
			return err
		}
		if p.r.ns.node(index).slab.removedBefore(index, p.r.ns.end()) {
			p.pinsStage.stats.gone++
			return nil
		}
	}
	p.pinsStage.stats.reads++
	if tag != f.tag {
		return fmt.Errorf("read of file %d found tag %d", f.tag, tag)
	}
	return nil
}

// everyOrder runs programs, of which firsts has the orders without switches, in each order with at most so many switches, or every nth of those with
// the most, and returns how many that were. It ends at the first error.
func (g *pinsStage) everyOrder(rules pinsRules, firsts [][]int, most, nth int) (orders int, err error) {
	skipped := 0
	var with func(first []int, switches []orderSwitch) error
	with = func(first []int, switches []orderSwitch) error {
		if len(switches) == most && most > 0 {
			if skipped++; skipped%nth != 0 {
				return nil
			}
		}
		trace, err := g.runInOrder(rules, first, switches)
		orders++
		if err != nil {
			return fmt.Errorf("programs %v with switches %v (before which meeting, to whom): %w", first, switches, err)
		}
		if len(switches) == most {
			return nil
		}
		from := 0
		if len(switches) > 0 {
			from = switches[len(switches)-1].at + 1
		}
		for at := from; at < len(trace); at++ {
			for others := trace[at]; others != 0; others &= others - 1 {
				more := append(switches[:len(switches):len(switches)], orderSwitch{at, bits.TrailingZeros(others)})
				if err := with(first, more); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, first := range firsts {
		if err := with(first, nil); err != nil {
			return orders, err
		}
	}
	return orders, nil
}

// pinsPrograms are the orders of the master (0) and two readers, which are alike.
var pinsPrograms = [][]int{{0, 1, 2}, {1, 0, 2}, {1, 2, 0}}

// In no order does a reader read a byte of another file, or is space lost.
func TestPinsEveryOrder(t *testing.T) {
	needsNoDevice(t)
	notUnderRace(t)
	t.Parallel()
	g := newPinsStage(t)
	begin := time.Now()
	nth := 20
	if testing.Short() {
		nth = 500
	}
	if s := os.Getenv("FAMFS_SIM_EVERY"); s != "" { // 1 is all of them
		var err error
		nth, err = strconv.Atoi(s)
		require.NoError(t, err, "FAMFS_SIM_EVERY")
	}
	orders, err := g.everyOrder(allPinsRules, pinsPrograms, 2, max(nth, 1))
	require.NoError(t, err)
	t.Logf("%d orders in %v: %+v", orders, time.Since(begin).Round(time.Millisecond), g.stats)
	assert.Positive(t, g.stats.reused)
	assert.Positive(t, g.stats.gone)
}

// Without any one of these rules, an order is found that is wrong: with two switches, or, where that
// takes three, among some of those.
func TestPinsEveryOrderTeeth(t *testing.T) {
	needsNoDevice(t)
	if slow() {
		t.Skip("it takes long, and finds the same elsewhere")
	}
	t.Parallel()
	g := newPinsStage(t)
	for _, test := range []struct {
		name     string
		without  func(*pinsRules)
		programs [][]int
		most, of int
	}{
		{"wait", func(r *pinsRules) { r.wait = false }, pinsPrograms, 2, 1},
		{"check", func(r *pinsRules) { r.check = false }, pinsPrograms, 2, 1},
		{"again", func(r *pinsRules) { r.again = false }, pinsPrograms, 2, 1},
		{"forget", func(r *pinsRules) { r.forget = false }, pinsPrograms, 2, 1},
		{"lowest", func(r *pinsRules) { r.lowest = false }, [][]int{{1, 0}}, 3, 29},
	} {
		rules := allPinsRules
		test.without(&rules)
		orders, err := g.everyOrder(rules, test.programs, test.most, test.of)
		assert.Error(t, err, "%s: nothing is found in %d orders", test.name, orders)
		t.Logf("without %s: found in order %d: %v", test.name, orders, err)
	}
}
