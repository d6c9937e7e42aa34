package famfs

// Compaction against hosts that open the device, in every order (see sim_order_test.go): a master removes
// two files, writes the log anew, and creates others in their memory, and two readers open the device, map
// and read files, and follow the log, before, meanwhile and after.

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compactRules are what is done beside the order of stores; a test of teeth takes one out.
type compactRules struct {
	say    bool // the master says that it is about to compact,
	look   bool // and looks who has a slot,
	after  bool // after that
	listen bool // who takes a slot looks whether somebody said so, after it is in memory
	forget bool // the first use of memory that may have had another owner invalidates it
}

var allCompactRules = compactRules{true, true, true, true, true}

// compactRun is one order.
type compactRun struct {
	*pinsRun
	rules    compactRules
	old, new Superblock
	begun    bool // the old superblock is about to go
	over     bool // the new file system is complete
	outcomes map[string]int
}

// compactInOrder returns what runs a master and two readers in an order. If reuse, the file system gives
// memory out again. What the readers found is counted in outcomes.
func compactInOrder(t *testing.T, reuse bool, rules compactRules, outcomes map[string]int) orderRunner {
	g := newPinsStage(t)
	g.logged = entryAt(12)
	return func(first []int, switches []orderSwitch) ([]uint, error) {
		own := *g // whose superblock changes
		if !reuse {
			own.sb.Version &^= featureReuse
			own.medium.reset()
		}
		s := own.begin(1, allPinsRules)
		if !reuse {
			if err := writeFileSystem(&simImage{mem: s.medium.mem}, own.sb); err != nil {
				return nil, err
			}
		}
		s.rules.forget = rules.forget
		for _, h := range s.machines[1:] {
			h.ignore = func(op simOp) bool {
				return !rules.listen && op.kind == "invalidate" && slices.Contains(simCallers(), "notClosing")
			}
		}
		s.mortal, s.temper, s.still = false, pinsTempers[0], true
		if err := s.fill(); err != nil {
			return nil, err
		}
		c := &compactRun{pinsRun: s, rules: rules, old: own.sb, new: own.sb, outcomes: outcomes}
		c.new.UUID = UUID{9, 9}
		o := &orderRun{simWorld: s.simWorld, first: first, switches: switches}
		s.meets = o.meet
		defer func() { s.meets = nil }()
		programs := []func(){func() {
			p := c.process(0, "master")
			s.fail("master", p.live(func(p *pinsProcess) error { return c.master(p) }))
		}}
		for i := 1; i < 3; i++ {
			programs = append(programs, func() {
				p := c.process(i, "reader")
				s.fail(fmt.Sprint("reader ", i), c.reader(p))
			})
		}
		o.run(programs...)
		s.meets = nil
		if s.err != nil {
			return o.trace, s.err
		}
		return o.trace, s.finish()
	}
}

func (c *compactRun) process(i int, name string) *pinsProcess {
	return &pinsProcess{pinsRun: c.pinsRun, n: i, host: c.machines[i], at: i, name: name, scratch: c.scratch[i]}
}

// master removes two files, compacts, and creates two others.
func (c *compactRun) master(p *pinsProcess) error {
	for i := range 2 {
		path := fmt.Sprint(i)
		index, ok := p.r.ns.lookupLatest(path)
		if !ok {
			return fmt.Errorf("file %s is not there", path)
		}
		if err := p.log([]crashEntry{{path: path, removal: true, removes: int(index)}}); err != nil {
			return err
		}
	}
	switch err := c.compact(p.r); {
	case errors.Is(err, ErrBusy):
		c.outcomes["in use"]++
		return nil
	case err != nil:
		return err
	}
	c.over, c.pinsRun.pinsStage.sb = true, c.new
	if err := p.open(); err != nil {
		return err
	}
	for i := range 2 {
		if err := p.createAt(fmt.Sprint("new-", i)); err != nil {
			return err
		}
	}
	if p.slot != nil {
		return p.slot.free()
	}
	return nil
}

// compact is FS.compact.
func (c *compactRun) compact(r *replica) error {
	records := readRecords(r.meta, pinsDevice)
	log, err := r.planLog(records.usedFrom(c.old.UUID))
	if err != nil {
		return err
	}
	look := func() error {
		if !c.rules.look {
			return nil
		}
		return slotsInUse(r.meta, c.old.logEnd(), func(*pinSlot) bool { return false })
	}
	if c.old.reuses() {
		if !c.rules.after {
			if err := look(); err != nil {
				return err
			}
		}
		if c.rules.say {
			if err := beginClosing(r.meta, pinsDevice, c.old.UUID); err != nil {
				return err
			}
		}
		if c.rules.after {
			if err := look(); err != nil {
				return errors.Join(err, voidClosing(r.meta, pinsDevice, c.old.UUID))
			}
		}
	}
	at, err := r.stagingPlace(len(log.order))
	if err != nil {
		return err
	}
	records = readRecords(r.meta, pinsDevice)
	staged, err := r.stageLog(r.meta, &records, log, at, c.new.UUID)
	if err != nil {
		return err
	}
	c.begun = true
	return staged.finish(r.meta, &records, pinsDevice, log.fresh)
}

// reader opens the device twice.
func (c *compactRun) reader(p *pinsProcess) error {
	for range 2 {
		if err := c.session(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *compactRun) session(p *pinsProcess) error {
	begun, over := c.begun, c.over
	meta := &pinsMemory{p.host, p.busy, p.logged}
	f := &FS{
		member: member{window: &region{mem: p.medium.mem}, dev: &device{}},
		config: openConfig{systemUUID: pinsHostUUID(p.at), log: slog.New(slog.DiscardHandler), pause: func(time.Duration) { p.pass() }},
	}
	switch err := f.findFileSystem(meta); {
	case errors.Is(err, ErrBusy) && (!over && c.begun):
		c.outcomes["busy"]++
		return nil
	case err != nil:
		return fmt.Errorf("open (compaction begun %v, over %v): %w", begun, over, err)
	case f.sb != c.old && f.sb != c.new, over && f.sb != c.new, !c.begun && f.sb != c.old:
		return fmt.Errorf("found %+v (compaction begun %v, over %v)", f.sb, c.begun, over)
	}
	p.r = p.scratch.replica(meta, f.sb, pinsDevice, p.pass)
	p.used, p.usedFrom, p.mapped = map[int64]bool{}, f.usedFrom, nil
	_, err := p.r.catchUp(failAtCorrupt, true)
	if err == nil {
		err = c.use(p, f)
	}
	name := "new"
	if f.sb == c.old {
		name = "old"
	}
	switch {
	case err == nil && over && f.sb == c.old:
		return errors.New("the log was compacted, which goes unnoticed")
	case err == nil:
		c.outcomes[name]++
	case f.sb == c.old && c.begun && (errors.Is(err, ErrReformatted) || errors.Is(err, ErrCorrupt)):
		c.outcomes["gone"]++
		err = nil
	case errors.Is(err, ErrBusy) && f.sb == c.old:
		c.outcomes["closing"]++
		err = nil
	}
	return err
}

// use maps a file, and reads another one.
func (c *compactRun) use(p *pinsProcess, f *FS) error {
	if err := c.compare(p, f); err != nil {
		return err
	}
	if f.sb.reuses() {
		if err := c.mapFirst(p, f); err != nil {
			return err
		}
	}
	for _, path := range []string{"1", "new-1"} {
		if err := p.readPath(path); err != nil {
			return err
		}
	}
	return c.compare(p, f)
}

// mapFirst maps a file, learns what is new while it is mapped, and reads on.
func (c *compactRun) mapFirst(p *pinsProcess, f *FS) error {
	if ok, err := p.take(0); !ok || err != nil {
		return err
	}
	for _, path := range []string{"0", "new-0", "2"} {
		index, ok := p.r.ns.lookupLatest(path)
		if !ok {
			continue
		}
		file := p.byTag[uint64(p.r.ns.node(index).size)]
		p.firstUse(index, file)
		p.mapped = append(p.mapped, &pinsMapping{index, file, false})
		for i := range 2 {
			if tag, _ := p.line(file.lines[i]); tag != file.tag {
				return fmt.Errorf("line %d of %s, file %d, which is mapped, has tag %d", i, path, file.tag, tag)
			}
			if err := errors.Join(p.catchUp(), p.raise()); err != nil {
				return fmt.Errorf("the log was compacted while a file was mapped: %v", err)
			}
		}
		break
	}
	p.mapped = nil
	if err := p.slot.free(); err != nil {
		return err
	}
	delete(p.locks, [2]int{p.at, p.number})
	p.slot = nil
	return nil
}

// compare says where the namespace is none that was.
func (c *compactRun) compare(p *pinsProcess, f *FS) error {
	want := map[string]bool{}
	filled, next := int(c.units()), int(p.r.next)
	for i := 2; i < filled; i++ {
		want[fmt.Sprint(i)] = true
	}
	if f.sb == c.old {
		for i := range 2 {
			if next <= filled+i { // the removals come behind all files
				want[fmt.Sprint(i)] = true
			}
		}
	} else {
		for i := range next - (filled - 2) {
			want[fmt.Sprint("new-", i)] = true
		}
	}
	found := map[string]bool{}
	for _, index := range p.r.ns.children(p.r.ns.node(rootIndex)) {
		n := p.r.ns.node(index)
		if n.slab.removedBefore(index, p.r.ns.end()) {
			continue
		}
		file := p.byTag[uint64(n.size)]
		if file == nil || len(n.place().Extents) != 1 || n.place().Extents[0] != file.layout.Extents[0] {
			return fmt.Errorf("%s is at %v, in %d entries of %v: an entry of the other file system", n.ownPath(), n.place(), next, f.sb.UUID)
		}
		found[n.ownPath()] = true
	}
	if !assert.ObjectsAreEqual(want, found) {
		return fmt.Errorf("%d entries of %v made %v, want %v", next, f.sb.UUID, found, want)
	}
	return nil
}

// In no order does a reader take entries of one file system for those of the other, or read a byte of
// another file, or finds a device that it cannot open when the compaction is done.
func TestCompactEveryOrder(t *testing.T) {
	needsNoDevice(t)
	notUnderRace(t)
	t.Parallel()
	for _, test := range []struct {
		name  string
		reuse bool
		nth   int
		want  []string
	}{
		{"without reuse", false, 400, []string{"old", "new", "gone", "busy"}},
		{"reuse", true, 400, []string{"old", "new", "gone", "busy", "closing", "in use"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			outcomes := map[string]int{}
			begin := time.Now()
			orders, err := everyOrder(compactInOrder(t, test.reuse, allCompactRules, outcomes), pinsPrograms, 2, everyNth(t, test.nth))
			require.NoError(t, err)
			t.Logf("%d orders in %v: %v", orders, time.Since(begin).Round(time.Millisecond), outcomes)
			for _, outcome := range test.want {
				assert.Positive(t, outcomes[outcome], outcome)
			}
		})
	}
}

// Without any one of these rules, an order is found that is wrong: with two switches, or, where that
// takes three, among some of those.
func TestCompactEveryOrderTeeth(t *testing.T) {
	needsNoDevice(t)
	if slow() {
		t.Skip("it takes long, and finds the same elsewhere")
	}
	t.Parallel()
	for _, test := range []struct {
		name     string
		without  func(*compactRules)
		programs [][]int
		most, of int
	}{
		{"say", func(r *compactRules) { r.say = false }, pinsPrograms, 2, 50},
		{"look", func(r *compactRules) { r.look = false }, pinsPrograms, 2, 50},
		{"after", func(r *compactRules) { r.after = false }, pinsPrograms, 2, 50},
		{"listen", func(r *compactRules) { r.listen = false }, [][]int{{1, 0}}, 3, 197},
		{"forget", func(r *compactRules) { r.forget = false }, pinsPrograms, 2, 50},
	} {
		rules := allCompactRules
		test.without(&rules)
		orders, err := everyOrder(compactInOrder(t, true, rules, map[string]int{}), test.programs, test.most, test.of)
		assert.Error(t, err, "%s: nothing is found in %d orders", test.name, orders)
		t.Logf("without %s: found in order %d: %v", test.name, orders, err)
	}
}
