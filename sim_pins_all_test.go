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
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inOrder returns what runs a master and two readers in an order.
func (g *pinsStage) inOrder(rules pinsRules) orderRunner {
	return func(first []int, switches []orderSwitch) ([]uint, error) { return g.runInOrder(rules, first, switches) }
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
	for i := range s.units() {
		if err := p.createAt(fmt.Sprint(i)); err != nil {
			return err
		}
	}
	if p.slot != nil {
		if err := p.slot.free(); err != nil {
			return err
		}
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
	if p.slot != nil {
		p.flags |= slotCreates
		if err := p.slot.mark(p.flags); err != nil {
			return err
		}
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

// pinsPrograms are the orders of the master (0) and two readers, which are alike.
var pinsPrograms = [][]int{{0, 1, 2}, {1, 0, 2}, {1, 2, 0}}

// In no order does a reader read a byte of another file, or is space lost.
func TestPinsEveryOrder(t *testing.T) {
	needsNoDevice(t)
	notUnderRace(t)
	t.Parallel()
	g := newPinsStage(t)
	begin := time.Now()
	nth := everyNth(t, 20)
	orders, err := everyOrder(g.inOrder(allPinsRules), pinsPrograms, 2, nth)
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
		orders, err := everyOrder(g.inOrder(rules), test.programs, test.most, test.of)
		assert.Error(t, err, "%s: nothing is found in %d orders", test.name, orders)
		t.Logf("without %s: found in order %d: %v", test.name, orders, err)
	}
}
