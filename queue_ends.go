package famfs

// The two ends of a queue on shared memory (format: queues): in which order they store,
// write back, invalidate and load, and what they make of what they find. Each writes its
// own file only, and there is one of each. Waiting and locks are queue.go's concern, memory
// that faults is that of queue.go, queue_producer.go and queue_consumer.go.
//
// The rules of a message: its bucket is on the medium before the producer's index says so,
// and it was copied and checked before the consumer's index lets the producer have the
// bucket again. The last bucket that an end is done with stays as it is until that end moves
// on: from it, whoever opens that end later knows the next sequence number, also where the
// number in the file was lost in a cache.

import (
	"fmt"
	"time"
)

// What ends are called in messages.
const (
	producerEnd = "producer"
	consumerEnd = "consumer"
)

// runBytes bounds the buckets that a consumer invalidates at once.
const runBytes = 64 << 10

// queueEnd is what both ends have.
type queueEnd struct {
	own, peer fileMemory
	shape     queueShape
	// indexAt and numberAt are where index and number lie in the end's own file.
	indexAt, numberAt int64
	index, number     uint64 // of the next message
	peerIndex         uint64 // as it was seen last
	// unsure says that the next message may be number, or 0: the index is 0, and whether a lap
	// is over cannot be told from the files.
	unsure bool
	// broken says that storing was broken off, as memory failed: what is in the file is not
	// known.
	broken bool
	bucket []byte // a copy of one
	pause  func(time.Duration)
}

// queueState is the part of both files that changes, as it was read.
type queueState struct {
	shape          queueShape
	producer       uint64 // index
	consumer       uint64
	producerNumber uint64
	consumerNumber uint64
}

// readMovingQueue is readQueueState for a queue that is in use: its producer's index is of a moment
// at which the consumer's was what is returned. Otherwise the consumer may pass in between, and the
// queue would seem to be full.
func readMovingQueue(producer, consumer fileMemory, producerSize, consumerSize int64) (s queueState, err error) {
	if consumerSize != queueArrayOffset {
		return readQueueState(producer, consumer, producerSize, consumerSize) // which refuses it
	}
	const tries = 100
	for range tries {
		consumer.invalidate(consumerIndexAt, 8)
		consumer.fenceLoads()
		before := consumer.load64(consumerIndexAt)
		if s, err = readQueueState(producer, consumer, producerSize, consumerSize); err != nil || s.consumer == before {
			break
		}
	}
	return s, err
}

// readQueueState reads and checks everything in both files except the buckets.
func readQueueState(producer, consumer fileMemory, producerSize, consumerSize int64) (s queueState, err error) {
	if producerSize >= producerFieldsEnd {
		producer.invalidate(queueMagicAt, producerIndexAt+8)
		producer.invalidate(producerNumberAt, producerFieldsEnd-producerNumberAt)
	}
	if consumerSize == queueArrayOffset {
		consumer.invalidate(consumerMagicAt, consumerIndexAt+8)
		consumer.invalidate(consumerNumberAt, consumerSizeAt+8-consumerNumberAt)
	}
	producer.fenceLoads()
	if s.shape, err = readQueueShape(producer, producerSize); err != nil {
		return s, err
	}
	if err = checkConsumerFile(consumer, consumerSize); err != nil {
		return s, err
	}
	s.producer, s.producerNumber = producer.load64(producerIndexAt), producer.load64(producerNumberAt)
	s.consumer, s.consumerNumber = consumer.load64(consumerIndexAt), consumer.load64(consumerNumberAt)
	switch n := s.shape.buckets; {
	case s.producer >= n:
		err = fmt.Errorf("queue: found producer index %d, want less than %d: %w", s.producer, n, ErrCorrupt)
	case s.consumer >= n:
		err = fmt.Errorf("queue: found consumer index %d, want less than %d: %w", s.consumer, n, ErrCorrupt)
	}
	return s, err
}

// nextNumber returns the sequence number of this end's next message. told is the number in the
// end's own file. used says that, by the other end's file, an index of 0 means that a lap is
// over, and not that nothing was put. If it does not, and told is less than a lap, nothing
// was put, whatever stood in this memory before; but if doubt is set, and the last bucket says that
// a lap is over, nextNumber believes it and sets e.unsure. m is the file with the buckets.
func (e *queueEnd) nextNumber(m fileMemory, told uint64, used, doubt bool) (uint64, error) {
	n := e.shape.buckets
	begins := e.index == 0 && told < n && !used
	if begins && !doubt {
		return 0, nil
	}
	last := e.shape.after(e.index, n-1)
	at := e.shape.offset(last)
	m.invalidate(at, e.shape.bucketSize)
	m.fenceLoads()
	m.load(e.bucket, at)
	number, sound := openBucket(e.bucket)
	switch {
	case sound && number < maxNumber && (number+1)%n == e.index:
		e.unsure = begins
		return number + 1, nil
	case begins:
		return 0, nil
	case told < maxNumber && told%n == e.index:
		return told, nil // that bucket was damaged after it was used
	}
	return 0, fmt.Errorf("queue: index %d of %d, and the file's sequence number %d and that of bucket %d, %d (sound: %v), do not belong together: %w",
		e.index, n, told, last, number, sound, ErrCorrupt)
}

// repairNumber makes the file say the number that was found.
func (e *queueEnd) repairNumber(told uint64) error {
	if told == e.number {
		return nil
	}
	e.own.store64(e.numberAt, e.number)
	return flushAndFence(e.own, e.numberAt, 8)
}

// mine fails if the file's index is not the one that this end has stored: then there are two
// of its kind.
func (e *queueEnd) mine(what string) error {
	if e.broken {
		return fmt.Errorf("queue: storing was broken off before; close this %s and open it again: %w", what, ErrDevice)
	}
	if found := e.own.load64(e.indexAt); found != e.index {
		return fmt.Errorf("queue: found %s index %d, want %d, which was stored here: there is another %s: %w", what, found, e.index, what, ErrBusy)
	}
	return nil
}

// keep makes certain what this end has seen of the other's index. Where both are on one host it
// may have come from their cache: acting on it would reach the medium first, and a loss of power
// leave an index behind that the other end has not come to.
func (e *queueEnd) keep(at int64) error { return flushAndFence(e.peer, at, 8) }

// putEnd is the producer's.
type putEnd struct{ queueEnd }

// openPutEnd finds out where the producer of a queue stands.
func openPutEnd(own, peer fileMemory, ownSize, peerSize int64, pause func(time.Duration)) (*putEnd, error) {
	s, err := readQueueState(own, peer, ownSize, peerSize)
	if err != nil {
		return nil, err
	}
	e := &putEnd{queueEnd{
		own: own, peer: peer, shape: s.shape, indexAt: producerIndexAt, numberAt: producerNumberAt,
		index: s.producer, peerIndex: s.consumer, bucket: make([]byte, s.shape.bucketSize), pause: pause,
	}}
	if e.number, err = e.nextNumber(own, s.producerNumber, s.consumer != 0 || s.consumerNumber != 0, false); err != nil {
		return nil, err
	}
	// What a producer that died here has left in this host's caches of buckets that it had not
	// made messages is written back now: later it would be over what a producer on another
	// host has put there.
	own.invalidate(queueArrayOffset, ownSize-queueArrayOffset)
	own.fenceLoads()
	if err := e.keep(consumerIndexAt); err != nil {
		return nil, err
	}
	if err := e.repairNumber(s.producerNumber); err != nil {
		return nil, err
	}
	return e, nil
}

// free is how many messages there is room for, by the consumer's index that is known.
func (e *putEnd) free() uint64 {
	return e.shape.buckets - 1 - e.shape.between(e.peerIndex, e.index)
}

// look sees what the consumer has taken.
func (e *putEnd) look() error {
	e.peer.invalidate(consumerIndexAt, 8)
	e.peer.fenceLoads()
	found := e.peer.load64(consumerIndexAt)
	if found >= e.shape.buckets || e.shape.between(found, e.index) > e.shape.between(e.peerIndex, e.index) {
		return fmt.Errorf("queue: found consumer index %d of %d, want one from %d, where it was, to the producer's, %d: %w",
			found, e.shape.buckets, e.peerIndex, e.index, ErrCorrupt)
	}
	if found == e.peerIndex {
		return nil
	}
	e.peerIndex = found
	return e.keep(consumerIndexAt)
}

// room says whether n more messages fit.
func (e *putEnd) room(n int) (bool, error) {
	if e.free() >= uint64(n) {
		return true, nil
	}
	if err := e.mine(producerEnd); err != nil {
		return false, err
	}
	if err := e.look(); err != nil {
		return false, err
	}
	return e.free() >= uint64(n), nil
}

// put puts the messages in buckets, all at once. Each is a whole bucket in which only the message
// is filled in. There must be room.
func (e *putEnd) put(buckets [][]byte) error {
	if err := e.mine(producerEnd); err != nil {
		return err
	}
	e.broken = true
	at := e.index
	for i, b := range buckets {
		sealBucket(b, e.number+uint64(i))
		e.own.write(e.shape.offset(at), b)
		at = e.shape.after(at, 1)
	}
	// The number comes before the index: as long as it is less than the number of buckets, and
	// the index 0, nothing was put.
	number := e.number + uint64(len(buckets))
	e.own.store64(e.numberAt, number)
	if err := flushAndFence(e.own, e.numberAt, 8); err != nil {
		return err
	}
	e.own.store64(e.indexAt, at)
	if err := flushAndFence(e.own, e.indexAt, 8); err != nil {
		return err
	}
	e.index, e.number, e.broken = at, number, false
	return nil
}

// getEnd is the consumer's.
type getEnd struct {
	queueEnd
	fresh uint64 // buckets from index on that were invalidated since they were announced
	// uncertain says that taking a message was not fenced yet.
	uncertain bool
}

// openGetEnd finds out where the consumer of a queue stands.
func openGetEnd(own, peer fileMemory, ownSize, peerSize int64, pause func(time.Duration)) (*getEnd, error) {
	s, err := readQueueState(peer, own, peerSize, ownSize)
	if err != nil {
		return nil, err
	}
	e := &getEnd{queueEnd: queueEnd{
		own: own, peer: peer, shape: s.shape, indexAt: consumerIndexAt, numberAt: consumerNumberAt,
		index: s.consumer, peerIndex: s.producer, bucket: make([]byte, s.shape.bucketSize), pause: pause,
	}}
	// The reference's producer does not flush its number: that it is less than a lap says nothing.
	if e.number, err = e.nextNumber(peer, s.consumerNumber, s.producerNumber >= s.shape.buckets, true); err != nil {
		return nil, err
	}
	if err := e.keep(producerIndexAt); err != nil {
		return nil, err
	}
	if e.unsure {
		return e, nil // the next message says what number it is
	}
	if err := e.repairNumber(s.consumerNumber); err != nil {
		return nil, err
	}
	return e, nil
}

// look sees what the producer has put.
func (e *getEnd) look() error {
	e.peer.invalidate(producerIndexAt, 8)
	e.peer.fenceLoads()
	found := e.peer.load64(producerIndexAt)
	if found >= e.shape.buckets || e.shape.between(e.index, found) < e.shape.between(e.index, e.peerIndex) {
		return fmt.Errorf("queue: found producer index %d of %d, want one from %d, where it was, to the consumer's, %d: %w",
			found, e.shape.buckets, e.peerIndex, e.index, ErrCorrupt)
	}
	if found == e.peerIndex {
		return nil
	}
	e.peerIndex = found
	return e.keep(producerIndexAt)
}

// ready says whether there is a message, and has this host's caches forget what its bucket,
// and some behind it, held a lap ago.
func (e *getEnd) ready() (bool, error) {
	if e.fresh > 0 {
		return true, nil
	}
	if e.index == e.peerIndex {
		if err := e.look(); err != nil || e.index == e.peerIndex {
			return false, err
		}
	}
	run := min(e.shape.between(e.index, e.peerIndex), uint64(max(1, runBytes/e.shape.bucketSize)))
	ahead := min(run, e.shape.buckets-e.index) // before the end of the buckets
	e.peer.invalidate(e.shape.offset(e.index), int64(ahead)*e.shape.bucketSize)
	if run > ahead {
		e.peer.invalidate(queueArrayOffset, int64(run-ahead)*e.shape.bucketSize)
	}
	e.peer.fenceLoads()
	e.fresh = run
	return true, nil
}

// get copies the next message, if there is one, and checks it. It stays the next one until
// take. The bytes are the end's own.
func (e *getEnd) get() ([]byte, bool, error) {
	if err := e.mine(consumerEnd); err != nil {
		return nil, false, err
	}
	if ok, err := e.ready(); !ok || err != nil {
		return nil, false, err
	}
	at := e.shape.offset(e.index)
	for try := 0; ; try++ {
		e.peer.load(e.bucket, at)
		found, sound := openBucket(e.bucket)
		// A bucket that has not arrived yet may have the number 0 since the first lap.
		first := e.unsure && found == 0 && try == len(settleTimes)
		if sound && (found == e.number || first) {
			if err := e.decide(found); err != nil {
				return nil, false, err
			}
			return e.inHand(), true, nil
		}
		if try == len(settleTimes) {
			what := fmt.Sprintf("sequence number %d, want %d", found, e.number)
			if !sound {
				what = "a checksum that does not match"
			}
			return nil, false, fmt.Errorf("queue: bucket %d: found %s: %w", e.index, what, ErrCorrupt)
		}
		// A producer without fences announces a bucket before all of it has arrived.
		e.pause(settleTimes[try])
		e.peer.invalidate(at, e.shape.bucketSize)
		e.peer.fenceLoads()
	}
}

// inHand is the message that get has copied.
func (e *getEnd) inHand() []byte {
	size := e.shape.payload()
	return e.bucket[:size:size]
}

// holds says that the message that get has copied last is the next one, and that nobody has changed
// the copy.
func (e *getEnd) holds() bool {
	number, sound := openBucket(e.bucket)
	return sound && number == e.number
}

// decide makes the number of a message that was found that of the next one, and has the file say so,
// if that was left open.
func (e *getEnd) decide(number uint64) error {
	if !e.unsure {
		return nil
	}
	e.number = number
	if err := e.repairNumber(e.own.load64(e.numberAt)); err != nil {
		return err
	}
	e.unsure = false
	return nil
}

// take gives the bucket of the message that get has copied back to the producer. Without
// certain, a host that loses power may find the message again.
//
// No fence is needed before: whether anything is stored depends on all that was copied.
func (e *getEnd) take(certain bool) error {
	if err := e.mine(consumerEnd); err != nil {
		return err
	}
	e.broken = true
	index, number := e.shape.after(e.index, 1), e.number+1
	e.own.store64(e.numberAt, number)
	e.own.store64(e.indexAt, index)
	if err := e.own.flush(e.numberAt, 8); err != nil {
		return err
	}
	if err := e.own.flush(e.indexAt, 8); err != nil {
		return err
	}
	e.index, e.number, e.broken = index, number, false
	e.fresh--
	e.uncertain = true
	// A run that ends may be followed by a wait.
	if certain || e.fresh == 0 {
		e.settle()
	}
	return nil
}

// settle makes certain that what was taken is not found again.
func (e *getEnd) settle() {
	if e.uncertain {
		e.own.fenceStores()
		e.uncertain = false
	}
}
