package famfs

// Queues between hosts: making and removing one, looking at one, and what both ends have in common: opening,
// closing, the lock that keeps a second one out, and waiting for the other end. The ends
// themselves are queue_producer.go and queue_consumer.go. Bytes are queue_format.go's concern,
// and the order of stores is queue_ends.go's.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"time"
)

// CreateQueue makes a queue: a ring of so many buckets of bucketSize bytes, through which one
// producer, on any host, sends messages to one consumer, on any host, in their order. It is
// two files, name and name.consumer, which come to exist at one moment, with the options of
// Create. The bytes are those of the C reference's pcq, which may have either end.
//
// buckets is at least 2, and one less is how many messages fit; bucketSize is a power of
// two from 32 bytes to 1 GiB, and 16 less is the size of a message. The producer's file takes
// 2 MiB and all buckets, the consumer's 2 MiB.
//
// Several producers, or several consumers, take several queues: one for each pair of
// hosts. A Producer may be shared by goroutines, and so may a Consumer.
//
// Errors: those of Create, for either file, and fs.ErrInvalid for a shape that no queue has, and
// for Seal.
func (f *FS) CreateQueue(name string, buckets int, bucketSize int64, opts ...CreateOption) error {
	if err := f.createQueue(name, buckets, bucketSize, opts); err != nil {
		return &fs.PathError{Op: "create queue", Path: name, Err: err}
	}
	return nil
}

func (f *FS) createQueue(name string, buckets int, bucketSize int64, opts []CreateOption) error {
	shape, err := newQueueShape(buckets, bucketSize)
	if err != nil {
		return err
	}
	if f.newCreateConfig(opts).seal != 0 {
		return fmt.Errorf("a queue cannot be sealed: its ends write to it: %w", fs.ErrInvalid)
	}
	var files []*PendingFile
	defer func() {
		for _, p := range files {
			p.Close()
		}
	}()
	create := func(name string, size int64, fields func(m sharedMemory)) error {
		p, err := f.Create(name, size, opts...)
		if err != nil {
			return err
		}
		files = append(files, p)
		mem := p.Bytes()
		if mem == nil {
			return p.Commit() // which says why
		}
		return Guard(func() error {
			// What stood here before must not look like messages.
			clear(mem)
			fields(newMappedFile(p.home.strictest(), mem))
			return nil
		})
	}
	if err := create(name+consumerSuffix, queueArrayOffset, writeConsumerFile); err != nil {
		return err
	}
	if err := create(name, shape.size(), shape.writeProducerFile); err != nil {
		return err
	}
	return f.Commit(files...)
}

// RemoveQueue removes both files of a queue, at one moment. An end that is open on another host
// keeps what it has, and does not notice: close both ends before.
//
// Errors: those of Remove, for either file: fs.ErrNotExist also if only one of both is there, which
// Remove removes; fs.ErrInvalid if one is a directory; and ErrBusy if an end is open on this host,
// as for Producer.
func (f *FS) RemoveQueue(name string) error {
	defer f.journal.tell()
	if err := f.removeQueue(name); err != nil {
		return &fs.PathError{Op: "remove queue", Path: name, Err: err}
	}
	return nil
}

func (f *FS) removeQueue(name string) (err error) {
	var releases []func() error
	// The locks go last: who opens an end then knows that the queue is gone, or finds all of it.
	defer func() {
		for _, release := range releases {
			err = errors.Join(err, release())
		}
	}()
	return f.removeAtOnce(name, func(b *batch) error {
		for _, end := range []struct{ name, what string }{{name, producerEnd}, {name + consumerSuffix, consumerEnd}} {
			index, ok := f.replica.ns.lookupLatest(end.name)
			switch {
			case !ok:
				// An earlier call that failed may have removed it.
				return errors.Join(f.replica.makeCertain(), fmt.Errorf("there is no %s: %w", end.name, fs.ErrNotExist))
			case f.replica.ns.node(index).isDir():
				return fmt.Errorf("%s is a directory: %w", end.name, fs.ErrInvalid)
			}
			release, err := f.hold(index, end.what)
			if err != nil {
				return err
			}
			releases = append(releases, release)
			b.addTree(f.replica.ns, index)
		}
		return f.checkRoom(len(b.items))
	})
}

// QueueInfo is what StatQueue finds.
type QueueInfo struct {
	// Buckets and BucketSize are as they were given to CreateQueue.
	Buckets    int
	BucketSize int64
	// MessageSize is that of a message, in bytes.
	MessageSize int
	// Waiting is how many messages were put and not taken, from 0 to Buckets-1.
	Waiting int
	// Put and Taken are how many messages were put and taken since the queue was made.
	Put, Taken uint64
}

// StatQueue looks at a queue without disturbing it. Waiting is as of one moment if the queue
// is still; while it is in use Put and Taken may be of moments that are a little apart, and
// Taken is never more than Put. Put and Taken may be behind, by whole laps of the ring, if the
// reference puts, which does not flush its sequence number.
//
// Errors: those of Map, and ErrCorrupt if it is no queue, or none that can be.
func (f *FS) StatQueue(name string) (QueueInfo, error) {
	info, err := f.statQueue(name)
	if err != nil {
		return QueueInfo{}, &fs.PathError{Op: "stat queue", Path: name, Err: err}
	}
	return info, nil
}

func (f *FS) statQueue(name string) (info QueueInfo, err error) {
	q, err := f.mapQueue(name, false, false)
	if err != nil {
		return QueueInfo{}, err
	}
	defer func() { err = errors.Join(err, q.unmap()) }()
	err = Guard(func() error {
		s, err := readMovingQueue(q.memory(q.producer), q.memory(q.consumer), q.producer.size, q.consumer.size)
		if err != nil {
			return err
		}
		n := s.shape.buckets
		info = QueueInfo{
			Buckets: int(n), BucketSize: s.shape.bucketSize, MessageSize: s.shape.payload(),
			Waiting: int(s.shape.between(s.consumer, s.producer)),
		}
		// The number may be ahead of the index, by less than a lap.
		ahead := (s.producerNumber%n + n - s.producer) % n
		if info.Put = s.producer; s.producerNumber >= ahead {
			info.Put = s.producerNumber - ahead
		}
		info.Taken = max(info.Put, uint64(info.Waiting)) - uint64(info.Waiting)
		return nil
	})
	return info, err
}

// queueFiles are the two files of a queue, mapped.
type queueFiles struct {
	fs                 *FS
	producer, consumer *Mapping
}

// mapQueue maps both files of a queue, of one and the same queue.
func (f *FS) mapQueue(name string, writeProducer, writeConsumer bool) (*queueFiles, error) {
	options := func(write bool) []MapOption {
		if write {
			return []MapOption{Writable()}
		}
		return nil
	}
	for {
		producer, err := f.Map(name, options(writeProducer)...)
		if err != nil {
			return nil, err
		}
		consumer, err := f.Map(name+consumerSuffix, options(writeConsumer)...)
		if err != nil {
			return nil, errors.Join(err, producer.Close())
		}
		q := &queueFiles{fs: f, producer: producer, consumer: consumer}
		// Another queue may have taken the place of both in between.
		if f.isStill(name, producer) && f.isStill(name+consumerSuffix, consumer) {
			return q, nil
		}
		if err := q.unmap(); err != nil {
			return nil, err
		}
	}
}

// isStill says that m is the file of that name, or that there is none any more.
func (f *FS) isStill(name string, m *Mapping) bool {
	_, ok := f.replica.ns.lookup(name)
	return !ok || f.has(name, m)
}

// has says that m is the file of that name.
func (f *FS) has(name string, m *Mapping) bool {
	index, ok := f.replica.ns.lookup(name)
	return ok && index == m.shared.Load().key.index
}

func (q *queueFiles) memory(m *Mapping) fileMemory {
	return newMappedFile(m.home.strictest(), m.Bytes())
}

func (q *queueFiles) unmap() error { return errors.Join(q.producer.Close(), q.consumer.Close()) }

// queueHolds are the ends of queues that an FS has open, by the log entries of their files:
// locks of the device keep only others out.
type queueHolds struct {
	mu   sync.Mutex
	held map[int64]bool
}

func (h *queueHolds) take(index int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[index] {
		return false
	}
	if h.held == nil {
		h.held = make(map[int64]bool)
	}
	h.held[index] = true
	return true
}

func (h *queueHolds) leave(index int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, index)
}

// lockByte returns the byte of the device with the superblock, on which all locks are, that stands
// for an extent, and for no other.
func lockByte(x Extent) int64 {
	const beyond = 48 // no device has an offset of so many bits
	return int64(x.Device)<<beyond | x.Offset
}

// hold gives this caller alone, of all on this host, the end of a queue that writes the file of a
// log entry. release gives it back.
func (f *FS) hold(index int64, what string) (release func() error, err error) {
	busy := fmt.Errorf("another %s of this queue is open on this host: %w", what, ErrBusy)
	if !f.queues.take(index) {
		return nil, busy
	}
	place := f.replica.ns.node(index).place()
	at := lockByte(place.Extents[0])
	ok, err := f.dev.tryByte(at)
	if !ok {
		f.queues.leave(index)
		if err == nil {
			err = busy
		}
		return nil, err
	}
	return func() error {
		err := f.dev.unlockByte(at)
		f.queues.leave(index)
		return err
	}, nil
}

// queueHandle is what Producer and Consumer have in common.
type queueHandle struct {
	fs      *FS
	name    string
	files   *queueFiles
	release func() error
	closed  chan struct{} // closed by Close
	// mu is held during each step, and never while waiting for the other end.
	mu    sync.Mutex
	steps uint64
}

// openQueue maps a queue for one of its ends, and holds that end; open then looks at both
// files. The handle's lock is not needed yet.
func (f *FS) openQueue(h *queueHandle, name, what string, open func(q *queueFiles) error) error {
	var q *queueFiles
	var release func() error
	for held := false; !held; {
		var err error
		if q, err = f.mapQueue(name, what == producerEnd, what == consumerEnd); err != nil {
			return err
		}
		own := q.producer
		if what == consumerEnd {
			own = q.consumer
		}
		if release, err = f.hold(own.shared.Load().key.index, what); err != nil {
			return errors.Join(err, q.unmap())
		}
		// RemoveQueue may have held both ends in between.
		if held = f.has(name, q.producer) && f.has(name+consumerSuffix, q.consumer); !held {
			if err := errors.Join(release(), q.unmap()); err != nil {
				return err
			}
		}
	}
	if err := Guard(func() error { return open(q) }); err != nil {
		return errors.Join(err, release(), q.unmap())
	}
	h.fs, h.name, h.files, h.release, h.closed = f, name, q, release, make(chan struct{})
	return nil
}

func (h *queueHandle) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: h.name, Err: err}
}

// looksEvery is how many steps of an end there are between two looks at the superblock. One takes
// about as long as a step or two.
const looksEvery = 1024

// usable says why the handle cannot be used. Its lock must be held. It is called for each step.
func (h *queueHandle) usable() error {
	if h.files == nil {
		return fs.ErrClosed
	}
	if h.steps++; h.steps%looksEvery == 0 {
		return h.fs.lookForOther()
	}
	return h.fs.sameDevice()
}

// wait waits until it is time to ask the other end again. It must not hold the handle's lock.
func (h *queueHandle) wait(ctx context.Context, w *queueWait, why string) error {
	if err := w.next(ctx, h.closed, why); err != nil {
		return err
	}
	if w.pause < lastPause {
		return nil // the other end is at work
	}
	return h.fs.lookForOther()
}

// close ends what waits, and gives everything back after last, which is the end's.
func (h *queueHandle) close(last func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		return fs.ErrClosed
	}
	close(h.closed)
	err := Guard(func() error { last(); return nil })
	// The lock goes first: without its mappings, nothing keeps the FS from being closed.
	err = errors.Join(err, h.release(), h.files.unmap())
	h.files = nil
	return err
}

// queueWait is one caller's waiting for the other end: it asks again at once for a while,
// then less and less often.
type queueWait struct {
	begun time.Time
	pause time.Duration
	timer *time.Timer
}

const (
	// spinFor is how long a caller asks without a pause: longer than an answer takes where
	// the other end is at work.
	spinFor = 50 * time.Microsecond
	// Pauses grow from the first to the last.
	firstPause = 20 * time.Microsecond
	lastPause  = time.Millisecond
)

// next waits until it is time to ask again. It fails if ctx is done or the handle closed.
func (w *queueWait) next(ctx context.Context, closed <-chan struct{}, why string) error {
	switch {
	case w.begun.IsZero():
		w.begun, w.pause = time.Now(), firstPause
		fallthrough
	case w.pause == firstPause && time.Since(w.begun) < spinFor:
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", why, context.Cause(ctx))
		}
		runtime.Gosched()
		return nil
	}
	pause := w.pause
	w.pause = min(2*w.pause, lastPause)
	if pause < lastPause && pauseShortly(pause) {
		select {
		case <-closed:
			return fs.ErrClosed
		default:
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", why, context.Cause(ctx))
		}
		return nil
	}
	if w.timer == nil {
		w.timer = time.NewTimer(pause)
	} else {
		w.timer.Reset(pause)
	}
	select {
	case <-w.timer.C:
		return nil
	case <-closed:
		return fs.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", why, context.Cause(ctx))
	}
}

// done gives up what waiting needed.
func (w *queueWait) done() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
