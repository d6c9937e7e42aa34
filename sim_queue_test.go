package famfs

// Queues on the simulated memory of sim_test.go: a producer and a consumer, each on one of
// two hosts at a time or both on one, whose caches do what they like. Either may die between
// any two accesses, its host may lose power, and either may move to its other host.
//
// Messages arrive whole and in order. One that was put is delivered; one that was taken for
// certain is not delivered again; several that were put at once are there or not.

import (
	"bytes"
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

// Where the files of a simulated queue lie.
const (
	simQueueConsumer = 0
	simQueueProducer = queueArrayOffset
	simQueueMedium   = 2*queueArrayOffset + 1<<10
)

// simFile is a file in simulated memory.
type simFile struct {
	m          sharedMemory
	base, size int64
	before     func()     // called before each access; may be nil
	rng        *rand.Rand // draws the order in which write stores; nil: ascending
}

// at checks a range and returns where it lies.
func (f *simFile) at(off, n int64) int64 {
	if off < 0 || n < 0 || off > f.size-n {
		panic(fmt.Sprintf("%d bytes at %d of a file of %d", n, off, f.size))
	}
	if f.before != nil {
		f.before()
	}
	return f.base + off
}

func (f *simFile) load(p []byte, off int64)    { f.m.load(p, f.at(off, int64(len(p)))) }
func (f *simFile) load64(off int64) uint64     { return f.m.load64(f.at(off, 8)) }
func (f *simFile) store64(off int64, v uint64) { f.m.store64(f.at(off, 8), v) }
func (f *simFile) flush(off, n int64) error    { return f.m.flush(f.at(off, n), n) }
func (f *simFile) invalidate(off, n int64)     { f.m.invalidate(f.at(off, n), n) }
func (f *simFile) fenceStores()                { f.at(0, 0); f.m.fenceStores() }
func (f *simFile) fenceLoads()                 { f.at(0, 0); f.m.fenceLoads() }

func (f *simFile) storePair(off int64, a, b uint64) { f.m.storePair(f.at(off, 16), a, b) }

func (f *simFile) store(off int64, p []byte) {
	for i := 0; i < len(p); i += 8 {
		f.m.store(f.at(off+int64(i), 8), p[i:i+8])
	}
}

func (f *simFile) write(off int64, p []byte) {
	words := make([]int, len(p)/8)
	for i := range words {
		words[i] = i
	}
	if f.rng != nil {
		f.rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	}
	for _, i := range words {
		f.m.store(f.at(off+int64(8*i), 8), p[8*i:8*i+8])
	}
	if err := f.flush(off, int64(len(p))); err != nil {
		panic(err)
	}
}

// simMessage is what message id holds.
func simMessage(p []byte, id uint64) {
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], id^uint64(i)*0x9E3779B97F4A7C15)
	}
}

// queueSim is one schedule.
type queueSim struct {
	*simWorld
	medium *simMedium
	shape  queueShape
	stats  *queueStats
	shared bool // all is on one host
	// reference says that the producer is the reference's, which never flushes its number.
	reference bool
	// remains says that the queue is new, over one that had its memory before.
	remains bool
	first   uint64
	// ids are the messages from sequence number first on; of the last some it may not be
	// known whether they are there. put is how many were put for certain, ends where what was
	// put at once ends.
	ids  []uint64
	put  uint64
	ends []uint64
	made uint64 // messages made so far
	over bool   // the producer is done
	// taken is how many messages were taken for certain, returned how many in all, begun how
	// many perhaps.
	taken, returned, begun uint64
	// living is how many ends are alive; power says that the one host that all is on loses
	// power as soon as none is.
	living int
	power  bool
	err    error
}

type queueStats struct{ messages, deliveries, deaths, cuts, moves, unsure int }

// queueStage is what schedules use again and again.
type queueStage struct {
	medium *simMedium
	hosts  []*simHost
	stats  queueStats
	// reference has the reference put.
	reference bool
}

func newQueueStage() *queueStage {
	g := &queueStage{medium: newSimMedium(simQueueMedium)}
	for range 4 {
		h := newSimHost(g.medium)
		h.keep = true
		g.hosts = append(g.hosts, h)
	}
	return g
}

// run plays one schedule.
func (g *queueStage) run(seed uint64, prepare func(*queueSim)) error {
	g.medium.reset()
	s := &queueSim{simWorld: &simWorld{rng: rand.New(rand.NewPCG(seed, 0))}, medium: g.medium, stats: &g.stats}
	s.hosts = g.hosts
	s.calm = 1<<(1+s.rng.IntN(8)) - 1
	for _, h := range s.hosts {
		h.dropAll()
		h.world, h.ignore, h.confuse = s.simWorld, nil, nil
	}
	s.shape = queueShape{uint64(2 + s.rng.IntN(5)), 32 << s.rng.IntN(3)}
	s.shared = s.rng.IntN(4) == 0
	if s.reference = g.reference; s.reference {
		s.shared = false
	}
	s.lay()
	if prepare != nil {
		prepare(s)
	}
	s.interest = append(s.interest, simQueueProducer, simQueueProducer, simQueueProducer+1024, simQueueConsumer, simQueueConsumer, consumerNumberAt&^(simLineSize-1))
	for at := int64(queueArrayOffset); at < s.shape.size(); at += simLineSize {
		s.interest = append(s.interest, simQueueProducer+at)
	}
	s.simWorld.run(
		func() { s.fail("the producer", s.producer()) },
		func() { s.fail("the consumer", s.consumer()) },
	)
	g.stats.messages += len(s.ids)
	return s.err
}

func (s *queueSim) fail(who string, err error) {
	if s.err == nil && err != nil {
		s.err = fmt.Errorf("%s: %w", who, err)
	}
}

// lay makes the queue: new, over memory that had another one, or empty in some lap.
func (s *queueSim) lay() {
	h := newSimHost(s.medium)
	producer, consumer := s.files(h, nil, nil)
	s.shape.writeProducerFile(producer)
	writeConsumerFile(consumer)
	n := s.shape.buckets
	number := uint64(0) // of the next message
	if s.rng.IntN(2) == 0 {
		number = uint64(s.rng.IntN(30))
	}
	old := number
	if s.rng.IntN(4) == 0 { // what was here before was a queue too
		old = uint64(s.rng.IntN(30))
		s.remains = number == 0
	}
	b := make([]byte, s.shape.bucketSize)
	for k := max(old, n) - n; k < old; k++ {
		simMessage(b[:s.shape.payload()], ^k)
		sealBucket(b, k)
		if old != number && number > 0 && k%n == (number-1)%n {
			sealBucket(b, number-1) // what this queue had last is its own
		}
		producer.write(s.shape.offset(k%n), b)
	}
	if number > 0 {
		sealBucket(b, number-1)
		producer.write(s.shape.offset((number-1)%n), b)
	}
	producer.store64(producerIndexAt, number%n)
	producer.store64(producerNumberAt, number)
	consumer.store64(consumerIndexAt, number%n)
	consumer.store64(consumerNumberAt, number)
	if s.reference { // and so may the consumer before have been
		for file, at := range map[*simFile]int64{producer: producerNumberAt, consumer: consumerNumberAt} {
			if s.rng.IntN(2) == 0 {
				file.store64(at, 0)
			}
		}
	}
	h.settle()
	s.first = number
}

// files are both files as a host sees them.
func (s *queueSim) files(m sharedMemory, before func(), rng *rand.Rand) (producer, consumer *simFile) {
	return &simFile{m, simQueueProducer, s.shape.size(), before, rng}, &simFile{m, simQueueConsumer, queueArrayOffset, before, rng}
}

// medium64 is what a word of a file is on the medium.
func (s *queueSim) medium64(base, off int64) uint64 {
	return binary.LittleEndian.Uint64(s.medium.mem[base+off:])
}

// lives plays the lives of an end, on the hosts that it may be on, until life says that all is
// done. Each life may be ended before any access; cut is called when the host loses power.
func (s *queueSim) lives(hosts []*simHost, cut func(), life func(h *simHost, access func()) (done bool, err error)) error {
	h := hosts[s.rng.IntN(len(hosts))]
	for s.err == nil {
		countdown := -1
		if s.rng.IntN(2) == 0 {
			countdown = 1 + s.rng.IntN(300)
		}
		power := s.rng.IntN(3) == 0
		done, died, err := false, false, error(nil)
		s.living++
		func() {
			defer func() {
				s.living--
				if p := recover(); p != nil {
					if died = p == (crashed{}); !died {
						panic(p)
					}
				}
			}()
			done, err = life(h, func() {
				if countdown--; countdown == 0 || s.power {
					panic(crashed{})
				}
			})
		}()
		switch {
		case err != nil || done:
			return err
		case died && s.shared && (power || s.power):
			// The other one dies too, at its next access.
			for s.power = true; s.power && s.living > 0; {
				s.pass()
			}
			if s.power {
				s.power = false
				s.cut(h)
				s.returned = s.taken
			}
		case died && power:
			s.cut(h)
			cut()
		case died:
			s.stats.deaths++
			continue // the next one is on this host
		}
		if next := hosts[s.rng.IntN(len(hosts))]; next != h {
			s.stats.moves++
			h = next
		}
	}
	return nil
}

// cut has a host lose power: of each line that is dirty any version may be there.
func (s *queueSim) cut(h *simHost) {
	s.stats.cuts++
	for _, l := range slices.Clone(h.dirty) {
		h.reach(l, s.rng.IntN(len(l.versions)))
	}
	h.dropAll()
}

// unsound is called where the other end is waited for because memory does not add up.
func (s *queueSim) unsound(time.Duration) {
	s.fail("somebody", errors.New("what is announced is not sound, for a moment"))
	s.pass()
}

// putAsReference puts messages as the reference's producer does, on a host that stays up.
func (s *queueSim) putAsReference() error {
	own, peer := s.files(s.hosts[0], nil, s.rng)
	n := s.shape.buckets
	for range 1 + s.rng.IntN(20) {
		number := s.first + s.put
		for {
			peer.invalidate(consumerIndexAt, 8)
			peer.fenceLoads()
			if (number+1)%n != peer.load64(consumerIndexAt) {
				break
			}
			if s.err != nil {
				return nil
			}
			s.pass()
		}
		s.made++
		s.ids = append(s.ids, s.made)
		b := make([]byte, s.shape.bucketSize)
		simMessage(b[:s.shape.payload()], s.made)
		sealBucket(b, number)
		own.write(s.shape.offset(number%n), b)
		own.fenceStores()
		own.store64(producerNumberAt, number+1) // and it stays in the cache as long as that likes
		own.store64(producerIndexAt, (number+1)%n)
		if err := flushAndFence(own, producerIndexAt, 8); err != nil {
			return err
		}
		s.put++
	}
	s.over = true
	return nil
}

// producer puts messages.
func (s *queueSim) producer() error {
	if s.reference {
		return s.putAsReference()
	}
	hosts := s.hosts[:2]
	if s.shared {
		hosts = s.hosts[:1]
	}
	total := 1 + s.rng.IntN(20)
	err := s.lives(hosts, func() {}, func(h *simHost, access func()) (bool, error) {
		own, peer := s.files(h, access, s.rng)
		e, err := openPutEnd(own, peer, own.size, peer.size, s.unsound)
		if err != nil {
			return false, fmt.Errorf("open: %w", err)
		}
		found := e.number - s.first
		if found < s.put || found > uint64(len(s.ids)) || !s.isEnd(found) {
			return false, fmt.Errorf("found %d messages, %d were put of %d, at once up to %v", found, s.put, len(s.ids), s.ends)
		}
		if found < s.begun {
			return false, fmt.Errorf("found %d messages, of which %d were taken", found, s.begun)
		}
		s.ids, s.put = s.ids[:found], found
		s.ends = slices.DeleteFunc(s.ends, func(n uint64) bool { return n > found })
		if err := s.onMedium("the producer's", simQueueProducer, producerNumberAt, e.number); err != nil {
			return false, err
		}
		for ops := 1 + s.rng.IntN(10); ops > 0 && s.err == nil; ops-- {
			if len(s.ids) >= total {
				return true, nil
			}
			n := 1 + s.rng.IntN(min(3, int(s.shape.buckets)-1))
			for {
				taken := s.taken
				ok, err := e.room(n)
				if err != nil {
					return false, err
				}
				if ok {
					break
				}
				if used := s.put - taken; used+uint64(n) < s.shape.buckets {
					return false, fmt.Errorf("no room for %d beside %d in %d buckets", n, used, s.shape.buckets)
				}
				if s.err != nil {
					return false, nil
				}
				s.pass()
			}
			var buckets [][]byte
			for range n {
				b := make([]byte, s.shape.bucketSize)
				s.made++
				simMessage(b[:s.shape.payload()], s.made)
				s.ids = append(s.ids, s.made)
				buckets = append(buckets, b)
			}
			s.ends = append(s.ends, uint64(len(s.ids)))
			if err := e.put(buckets); err != nil {
				return false, err
			}
			s.put = uint64(len(s.ids))
			if other := s.hosts[s.rng.IntN(2)]; !s.shared && other != h && s.rng.IntN(8) == 0 {
				other.settle() // what it has of this queue comes out at last
			}
			if err := s.onMedium("the producer's", simQueueProducer, producerNumberAt, e.number); err != nil {
				return false, err
			}
			if err := s.onMedium("the producer's index", simQueueProducer, producerIndexAt, e.index); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	s.over = true
	return err
}

func (s *queueSim) isEnd(n uint64) bool { return n == 0 || slices.Contains(s.ends, n) }

// onMedium fails if a word that is certain is not there.
func (s *queueSim) onMedium(what string, base, off int64, want uint64) error {
	if found := s.medium64(base, off); found != want {
		return fmt.Errorf("%s word at %d is %d on the medium, want %d", what, off, found, want)
	}
	return nil
}

// stands is how many messages an end has taken; one that is not sure says two numbers.
func (s *queueSim) stands(e *getEnd) uint64 {
	if at := e.number - s.first; !e.unsure || at >= s.returned && at <= s.begun {
		return at
	}
	return -s.first
}

// consumer takes all of them.
func (s *queueSim) consumer() error {
	hosts := s.hosts[2:]
	if s.shared {
		hosts = s.hosts[:1]
	}
	return s.lives(hosts, func() { s.returned = s.taken }, func(h *simHost, access func()) (bool, error) {
		peer, own := s.files(h, access, s.rng)
		unsound := s.unsound
		if s.remains { // the first message is looked at again until it is certain that no lap is over
			unsound = func(time.Duration) { s.pass() }
		}
		e, err := openGetEnd(own, peer, own.size, peer.size, unsound)
		if err != nil {
			return false, fmt.Errorf("open: %w", err)
		}
		found := s.stands(e)
		if e.unsure {
			s.stats.unsure++
		}
		if found < s.returned || found > s.begun {
			return false, fmt.Errorf("found %d messages taken, %d were of %d", found, s.returned, s.begun)
		}
		s.taken, s.returned, s.begun = found, found, found
		if !e.unsure {
			if err := s.onMedium("the consumer's", simQueueConsumer, consumerNumberAt, e.number); err != nil {
				return false, err
			}
		}
		for ops := 1 + s.rng.IntN(20); ops > 0 && s.err == nil; ops-- {
			over, sure := s.over, s.put
			message, ok, err := e.get()
			at := s.stands(e)
			switch {
			case err != nil:
				return false, err
			case !ok && over && at == uint64(len(s.ids)):
				return true, nil
			case !ok && at < sure:
				return false, fmt.Errorf("found %d messages where %d were put", at, sure)
			case !ok:
				s.pass()
				continue
			case at >= uint64(len(s.ids)):
				return false, fmt.Errorf("found message %d of %d", at, len(s.ids))
			}
			want := make([]byte, s.shape.payload())
			if simMessage(want, s.ids[at]); !bytes.Equal(want, message) {
				return false, fmt.Errorf("message %d: found %x, want %x", at, message, want)
			}
			s.stats.deliveries++
			s.begun = at + 1
			if err := e.take(s.rng.IntN(2) == 0); err != nil {
				return false, err
			}
			s.returned = at + 1
			if !e.uncertain {
				s.taken = at + 1
				if err := s.onMedium("the consumer's", simQueueConsumer, consumerNumberAt, e.number); err != nil {
					return false, err
				}
				if err := s.onMedium("the consumer's index", simQueueConsumer, consumerIndexAt, e.index); err != nil {
					return false, err
				}
			}
		}
		e.settle()
		s.taken = s.returned
		return false, nil
	})
}

func TestSimQueue(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	schedules := simAmount(t, "FAMFS_SIM_SCHEDULES", 10_000)
	g := newQueueStage()
	for n := range schedules {
		if err := g.run(seed+uint64(n), nil); err != nil {
			t.Fatalf("schedule %d: %v\nthis one alone: FAMFS_SIM_SCHEDULES=1 FAMFS_SIM_SEED=%d", n, err, seed+uint64(n))
		}
	}
	t.Logf("%d schedules: %+v", schedules, g.stats)
}

// The reference's producer never flushes its number, so that nothing but buckets says in which lap
// a consumer stands whose host lost power with one of the lines of its number and its index.
func TestSimQueueReference(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	schedules := simAmount(t, "FAMFS_SIM_SCHEDULES", 10_000)
	g := newQueueStage()
	g.reference = true
	for n := range schedules {
		if err := g.run(seed+uint64(n), nil); err != nil {
			t.Fatalf("schedule %d: %v\nthis one alone: FAMFS_SIM_SCHEDULES=1 FAMFS_SIM_SEED=%d", n, err, seed+uint64(n))
		}
	}
	t.Logf("%d schedules: %+v", schedules, g.stats)
	assert.True(t, schedules < 1000 || g.stats.unsure > 0)
}

// TestSimQueue must find out what is missing or is a fence of the wrong kind.
func TestSimQueueTeeth(t *testing.T) {
	needsNoDevice(t)
	if raceEnabled {
		t.Skip("goroutines take turns here: the race detector has nothing to find")
	}
	t.Parallel()
	seed := simSeed(t)
	by := func(kind, caller string) func(op simOp) bool {
		return func(op simOp) bool { return op.kind == kind && simCaller() == caller }
	}
	at := func(kind, caller string, base, from, to int64) func(op simOp) bool {
		return func(op simOp) bool {
			return op.kind == kind && op.off >= base+from && op.off < base+to && simCaller() == caller
		}
	}
	const buckets = int64(1) << 62
	// nth is every second one of those, from the first or the second on.
	nth := func(first bool, is func(op simOp) bool) func(op simOp) bool {
		odd := false
		return func(op simOp) bool {
			if !is(op) {
				return false
			}
			odd = !odd
			return odd == first
		}
	}
	for _, c := range []struct {
		name            string
		producer        bool // whose are removed, or confused
		ignore, confuse func(op simOp) bool
	}{
		{"put: flush of buckets", true, at("flush", "put", simQueueProducer, queueArrayOffset, buckets), nil},
		{"put: flush of the number", true, at("flush", "put", simQueueProducer, producerNumberAt, producerNumberAt+8), nil},
		{"put: first fence", true, nth(true, by(simFenceStores, "put")), nil},
		{"put: first fence for loads", true, nil, nth(true, by(simFenceStores, "put"))},
		{"put: flush of the index", true, at("flush", "put", simQueueProducer, producerIndexAt, producerIndexAt+8), nil},
		{"put: second fence", true, nth(false, by(simFenceStores, "put")), nil},
		{"put: second fence for loads", true, nil, nth(false, by(simFenceStores, "put"))},
		{"put: invalidate of the consumer's index", true, by("invalidate", "look"), nil},
		{"put: fence after that", true, by(simFenceLoads, "look"), nil},
		{"put: fence after that for stores", true, nil, by(simFenceLoads, "look")},
		{"open to put: invalidate of index", true, at("invalidate", "readQueueState", simQueueProducer, 0, 64), nil},
		{"open to put: invalidate of number", true, at("invalidate", "readQueueState", simQueueProducer, producerNumberAt, producerFieldsEnd), nil},
		{"open to put: invalidate of the consumer's index", true, at("invalidate", "readQueueState", simQueueConsumer, 0, 64), nil},
		{"open to put: fence after those", true, by(simFenceLoads, "readQueueState"), nil},
		{"open to put: fence after those for stores", true, nil, by(simFenceLoads, "readQueueState")},
		{"open to put: invalidate of the last bucket", true, by("invalidate", "nextNumber"), nil},
		{"open to put: fence after that", true, by(simFenceLoads, "nextNumber"), nil},
		{"open to put: invalidate of buckets", true, by("invalidate", "openPutEnd"), nil},
		{"open to put: fence after invalidate of buckets", true, by(simFenceLoads, "openPutEnd"), nil},
		{"open to put: fence after invalidate of buckets for stores", true, nil, by(simFenceLoads, "openPutEnd")},
		{"open to put: flush of the number", true, by("flush", "repairNumber"), nil},
		{"open to put: fence after that", true, by(simFenceStores, "repairNumber"), nil},
		{"open to put: fence after that for loads", true, nil, by(simFenceStores, "repairNumber")},
		{"open to get: invalidate of index", false, at("invalidate", "readQueueState", simQueueConsumer, 0, 64), nil},
		{"open to get: invalidate of number", false, at("invalidate", "readQueueState", simQueueConsumer, consumerNumberAt, consumerNumberAt+16), nil},
		{"open to get: fence after those", false, by(simFenceLoads, "readQueueState"), nil},
		{"open to get: invalidate of the last bucket", false, by("invalidate", "nextNumber"), nil},
		{"open to get: flush of the number", false, by("flush", "repairNumber"), nil},
		{"open to get: fence after that", false, by(simFenceStores, "repairNumber"), nil},
		{"get: invalidate of the producer's index", false, by("invalidate", "look"), nil},
		{"get: fence after that", false, by(simFenceLoads, "look"), nil},
		{"get: fence after that for stores", false, nil, by(simFenceLoads, "look")},
		{"get: invalidate of buckets", false, by("invalidate", "ready"), nil},
		{"get: invalidate of buckets at the beginning", false, at("invalidate", "ready", simQueueProducer, queueArrayOffset, queueArrayOffset+1), nil},
		{"get: fence after those", false, by(simFenceLoads, "ready"), nil},
		{"get: fence after those for stores", false, nil, by(simFenceLoads, "ready")},
		{"take: flush of the number", false, at("flush", "take", simQueueConsumer, consumerNumberAt, consumerNumberAt+8), nil},
		{"take: flush of the index", false, at("flush", "take", simQueueConsumer, consumerIndexAt, consumerIndexAt+8), nil},
		{"take: fence after those", false, by(simFenceStores, "settle"), nil},
		{"take: fence after those for loads", false, nil, by(simFenceStores, "settle")},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newQueueStage()
			begin, n := time.Now(), uint64(0)
			var err error
			for ; err == nil && n < 100_000; n++ {
				err = g.run(seed+n, func(s *queueSim) {
					s.shared = false
					if strings.Contains(c.name, "of buckets") {
						s.calm = 255
					}
					for i, h := range s.hosts {
						if (i < 2) == c.producer {
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

// A producer whose stores go their own ways, as one without fences, announces a bucket before
// all of it has arrived: it is read again, from the medium, and what stays unsound is
// ErrCorrupt.
func TestSimQueueLate(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	run := func(arrives int, prepare func(h *simHost)) (message []byte, pauses int, err error) {
		g := newQueueStage()
		s := &queueSim{medium: g.medium, shape: queueShape{4, 64}}
		p, c := g.hosts[0], g.hosts[1]
		producer, consumer := s.files(p, nil, nil)
		s.shape.writeProducerFile(producer)
		writeConsumerFile(consumer)
		p.settle()
		prepare(c)
		peer, own := s.files(c, nil, nil)
		b := make([]byte, 64)
		simMessage(b[:48], 7)
		sealBucket(b, 0)
		e, err := openGetEnd(own, peer, own.size, peer.size, func(time.Duration) {
			if pauses++; pauses == arrives {
				producer.write(s.shape.offset(0), b)
				p.fenceStores()
			}
		})
		require.NoError(t, err)
		producer.store64(producerIndexAt, 1)
		require.NoError(t, flushAndFence(producer, producerIndexAt, 8))
		message, ok, err := e.get()
		require.True(t, ok || err != nil)
		return bytes.Clone(message), pauses, err
	}
	want := make([]byte, 48)
	simMessage(want, 7)
	for arrives := 1; arrives <= len(settleTimes); arrives++ {
		message, pauses, err := run(arrives, func(*simHost) {})
		require.NoError(t, err)
		assert.Equal(t, want, message)
		assert.Equal(t, arrives, pauses)
	}
	_, pauses, err := run(len(settleTimes)+1, func(*simHost) {})
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "bucket 0")
	assert.Equal(t, len(settleTimes), pauses)
	for _, kind := range []string{"invalidate", simFenceLoads} { // each of them is needed
		_, _, err = run(2, func(h *simHost) {
			h.ignore = func(op simOp) bool { return op.kind == kind && simCaller() == "get" }
		})
		assert.ErrorIs(t, err, ErrCorrupt, kind)
	}
}

// hookedFile calls hook before a word at an offset is loaded, once.
type hookedFile struct {
	*simFile
	off  int64
	hook func()
}

func (f *hookedFile) load64(off int64) uint64 {
	if hook := f.hook; hook != nil && off == f.off {
		f.hook = nil
		hook()
	}
	return f.simFile.load64(off)
}

// Where both ends are on one host, one sees what the other has stored and not written back yet.
// It makes that certain before it acts on it: the host may lose power at any moment behind that,
// when all else that is dirty has reached the medium.
func TestSimQueueOneHost(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	pause := func(time.Duration) {}
	// catch runs what is to end before its time.
	catch := func(do func()) {
		defer func() { require.Equal(t, crashed{}, recover()) }()
		do()
	}
	// run has the other end die when it has stored its index, just before this one looks at it:
	// when it opens, or later.
	run := func(producerDies, opening bool, ignore, confuse func(op simOp) bool) error {
		g := newQueueStage()
		s := &queueSim{medium: g.medium, shape: queueShape{3, 64}}
		h := g.hosts[0]
		producer, consumer := s.files(h, nil, nil)
		s.shape.writeProducerFile(producer)
		writeConsumerFile(consumer)
		h.settle()
		messages := [][]byte{make([]byte, 64), make([]byte, 64)}
		p, err := openPutEnd(producer, consumer, producer.size, consumer.size, pause)
		require.NoError(t, err)
		c, err := openGetEnd(consumer, producer, consumer.size, producer.size, pause)
		require.NoError(t, err)
		take := func() {
			_, ok, err := c.get()
			require.NoError(t, err)
			require.True(t, ok)
			require.NoError(t, c.take(false))
		}
		// The other end's file, as this one sees it.
		peer := &hookedFile{simFile: &simFile{m: h, base: producer.base, size: producer.size}, off: producerIndexAt}
		other, dying := producer, func() { _ = p.put(messages) }
		if !producerDies {
			peer = &hookedFile{simFile: &simFile{m: h, base: consumer.base, size: consumer.size}, off: consumerIndexAt}
			other, dying = consumer, take
			require.NoError(t, p.put(messages))
			take()
		}
		dies := func() {
			other.before = func() {
				if l := h.cached(other.base); l != nil && l.newest()[peer.off] == 2 {
					panic(crashed{})
				}
			}
			catch(dying)
			other.before = nil
		}
		h.ignore, h.confuse = func(op simOp) bool {
			if caller := simCaller(); op.kind == simFenceStores && (caller == "put" || caller == "settle") && peer.hook == nil && other.before == nil {
				panic(crashed{})
			}
			return ignore != nil && ignore(op)
		}, confuse
		act := func() {
			if peer.hook = dies; !opening {
				peer.hook = nil
			}
			if producerDies {
				if c, err = openGetEnd(consumer, peer, consumer.size, producer.size, pause); err == nil {
					peer.hook = map[bool]func(){false: dies}[opening]
					take()
					take()
				}
			} else if p, err = openPutEnd(producer, peer, producer.size, consumer.size, pause); err == nil {
				peer.hook = map[bool]func(){false: dies}[opening]
				ok, err := p.room(2)
				require.NoError(t, err)
				require.True(t, ok)
				_ = p.put(messages)
			}
			require.NoError(t, err)
		}
		catch(act)
		h.ignore, h.confuse = nil, nil
		for _, l := range slices.Clone(h.dirty) {
			if l.at != other.base {
				h.writeBack(l)
			}
		}
		h.dropAll()
		if p, err = openPutEnd(producer, consumer, producer.size, consumer.size, pause); err != nil {
			return err
		}
		if c, err = openGetEnd(consumer, producer, consumer.size, producer.size, pause); err != nil {
			return err
		}
		if p.number != 2 || c.number != 2 {
			return fmt.Errorf("found %d messages put and %d taken, want 2 and 2", p.number, c.number)
		}
		_, ok, err := c.get()
		if ok {
			return errors.New("there is one more")
		}
		return err
	}
	for _, producerDies := range []bool{false, true} {
		for _, opening := range []bool{false, true} {
			what := fmt.Sprintf("the producer dies: %v, before this end opens: %v", producerDies, opening)
			require.NoError(t, run(producerDies, opening, nil, nil), what)
			by := func(kind string) func(op simOp) bool {
				return func(op simOp) bool { return op.kind == kind && simCaller() == "keep" }
			}
			assert.Error(t, run(producerDies, opening, by("flush"), nil), "without the flush: %s", what)
			assert.Error(t, run(producerDies, opening, by(simFenceStores), nil), "without the fence: %s", what)
			assert.Error(t, run(producerDies, opening, nil, by(simFenceStores)), "with the other fence: %s", what)
		}
	}
}

// crashQueue is a producer and a consumer, on a host each, whose every state is explored.
type crashQueue struct {
	s          *queueSim
	p, c       *simHost
	xp, xc     *crashExplorer
	putter     *putEnd
	getter     *getEnd
	put, taken uint64 // messages that are certain
	putting    uint64 // those that may be there besides, all of them
	taking     bool   // one more may be taken
}

// verify opens both ends on what a crash has left, takes everything, and goes on.
func (q *crashQueue) verify(m *simImage) error {
	producer, consumer := q.s.files(m, nil, nil)
	pause := func(time.Duration) {}
	putter, err := openPutEnd(producer, consumer, producer.size, consumer.size, pause)
	if err != nil {
		return fmt.Errorf("open to put: %w", err)
	}
	getter, err := openGetEnd(consumer, producer, consumer.size, producer.size, pause)
	if err != nil {
		return fmt.Errorf("open to get: %w", err)
	}
	if n := putter.number; n != q.put && n != q.put+q.putting {
		return fmt.Errorf("found %d messages put, want %d, and %d or none more", n, q.put, q.putting)
	}
	if n := getter.number; n != q.taken && !(q.taking && n == q.taken+1) {
		return fmt.Errorf("found %d messages taken, want %d, and perhaps one more: %v", n, q.taken, q.taking)
	}
	if told := producer.load64(producerNumberAt); told != putter.number {
		return fmt.Errorf("the producer's number is %d, want %d", told, putter.number)
	}
	if told := consumer.load64(consumerNumberAt); told != getter.number {
		return fmt.Errorf("the consumer's number is %d, want %d", told, getter.number)
	}
	end := putter.number
	want := make([]byte, q.s.shape.payload())
	take := func() error {
		message, ok, err := getter.get()
		if !ok || err != nil {
			return fmt.Errorf("message %d of %d: %w", getter.number, end, err)
		}
		if simMessage(want, getter.number); !bytes.Equal(want, message) {
			return fmt.Errorf("message %d: found %x, want %x", getter.number, message, want)
		}
		return getter.take(true)
	}
	for getter.number < end {
		if err := take(); err != nil {
			return err
		}
	}
	for range q.s.shape.buckets { // a lap and one
		if _, ok, err := getter.get(); ok || err != nil {
			return fmt.Errorf("a message where there is none, or %w", err)
		}
		if ok, err := putter.room(1); !ok || err != nil {
			return fmt.Errorf("no room in an empty queue: %w", err)
		}
		b := make([]byte, q.s.shape.bucketSize)
		simMessage(b[:q.s.shape.payload()], putter.number)
		if err := putter.put([][]byte{b}); err != nil {
			return err
		}
		end++
		if err := take(); err != nil {
			return err
		}
	}
	return nil
}

// step puts some messages, or takes one.
func (q *crashQueue) step(rng *rand.Rand) error {
	used := q.put - q.taken
	most := q.s.shape.buckets - 1
	if used == 0 || used < most && rng.IntN(2) == 0 {
		q.putting = 1 + rng.Uint64N(most-used)
		if ok, err := q.putter.room(int(q.putting)); !ok || err != nil {
			return fmt.Errorf("no room for %d beside %d: %w", q.putting, used, err)
		}
		var buckets [][]byte
		for i := range q.putting {
			b := make([]byte, q.s.shape.bucketSize)
			simMessage(b[:q.s.shape.payload()], q.put+i)
			buckets = append(buckets, b)
		}
		q.xp.allowed++
		if err := q.putter.put(buckets); err != nil {
			return err
		}
		q.put, q.putting = q.put+q.putting, 0
		q.xp.allowed++
		q.xp.explore(nil)
		return q.xp.err
	}
	if _, ok, err := q.getter.get(); !ok || err != nil {
		return fmt.Errorf("no message where %d are: %w", used, err)
	}
	q.taking = true
	q.xc.allowed++
	if err := q.getter.take(true); err != nil {
		return err
	}
	q.taken, q.taking = q.taken+1, false
	q.xc.allowed++
	q.xc.explore(nil)
	return q.xc.err
}

// Everything stops between any two stores of either end, and of each line that was not
// surely written back the medium has any version since: whoever opens the queue then finds
// all that was put, and what was being put whole or not at all, and goes on.
func TestCrashQueue(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	seed := simSeed(t)
	rng := rand.New(rand.NewPCG(seed, 6))
	states := 0
	for range max(1, simAmount(t, "FAMFS_SIM_STATES", 20_000)/1000) {
		medium := newSimMedium(simQueueMedium)
		q := &crashQueue{s: &queueSim{medium: medium, shape: queueShape{uint64(2 + rng.IntN(4)), 32 << rng.IntN(3)}}, p: newSimHost(medium), c: newSimHost(medium)}
		producer, consumer := q.s.files(q.p, nil, nil)
		q.s.shape.writeProducerFile(producer)
		writeConsumerFile(consumer)
		q.p.settle()
		q.xp, q.xc = newCrashExplorer(q.p, rng, 500, 100), newCrashExplorer(q.c, rng, 500, 100)
		q.xp.verify, q.xc.verify = q.verify, q.verify
		pause := func(time.Duration) {}
		var err error
		producer.rng, consumer.rng = rng, rng
		q.putter, err = openPutEnd(producer, consumer, producer.size, consumer.size, pause)
		require.NoError(t, err)
		peer, own := q.s.files(q.c, nil, rng)
		q.getter, err = openGetEnd(own, peer, own.size, peer.size, pause)
		require.NoError(t, err)
		for range 30 {
			require.NoError(t, q.step(rng), "seed %d, %d buckets of %d", seed, q.s.shape.buckets, q.s.shape.bucketSize)
		}
		require.Empty(t, q.p.dirty)
		require.Empty(t, q.c.dirty)
		states += q.xp.states + q.xc.states
	}
	t.Logf("%d states", states)
	assert.Positive(t, states)
}
