package famfs

// The producer of a queue: putting messages, one at a time, or several with the fences of one.

import (
	"context"
	"fmt"
	"io/fs"
)

// Producer is the end of a queue that messages are put into. It must be closed. Its methods
// may be called concurrently, but Next and Publish belong to one goroutine at a time.
type Producer struct {
	queueHandle
	end *putEnd
	// staged are buckets that Next gave out, spare those that it can give out again.
	staged, spare [][]byte
	single        [][]byte // what Put puts
}

// Producer opens the end of a queue that messages are put into. A queue has one producer at a
// time. A second one on the same host fails with ErrBusy, whichever process has the first. (On
// systems other than Linux and Windows, and between device nodes in different time namespaces,
// only a second one of the same FS does.) Nothing prevents a second one on another host: the caller must.
//
// A producer continues where the last one stopped, even if that died: a message that was put is
// there, and one that was not is not. If a producer's process dies and its host does not, open a
// producer on that host once more before another host puts: lines that the dead process left in
// the host's caches could be written back later, over newer messages.
//
// An open end keeps the files that it has, and is not told that the queue was removed or replaced.
// An end that waits, or takes a thousand steps, notices that the device was formatted anew, and so
// does Refresh of the FS: after that every method fails with ErrReformatted. To remove a queue,
// close both ends on all hosts before; see RemoveQueue.
//
// The FS must have been opened with ReadWrite or WithClientWrites, and must know the queue: call
// Refresh if it was made since. Errors: those of Map for
// either file; ErrBusy; ErrCorrupt if the files are none of a queue, or what they say does not
// fit together.
func (f *FS) Producer(name string) (*Producer, error) {
	p := &Producer{}
	err := f.openQueue(&p.queueHandle, name, producerEnd, func(q *queueFiles) (err error) {
		p.end, err = openPutEnd(q.memory(q.producer), q.memory(q.consumer), q.producer.size, q.consumer.size, f.config.pause)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open producer", Path: name, Err: err}
	}
	p.single = [][]byte{p.end.bucket}
	return p, nil
}

// MessageSize returns the size of a message in bytes.
func (p *Producer) MessageSize() int { return cap(p.single[0]) - bucketNumberEnd }

// Put puts a message, and waits while the queue is full. One that is shorter than MessageSize
// is padded with zeros. When Put returns without an error, the message is on the medium: it is
// delivered, whatever fails on this host. It takes two flushes and two fences; see Next for
// less.
//
// On a plain file, which only processes of one host share, the queue outlives these, but is not
// written to a disk.
//
// Errors: fs.ErrInvalid for a message that is too long, and while what Next gave out waits for
// Publish; the cause of ctx, if that ends the waiting: then nothing was put; ErrBusy if another
// producer has put something; ErrCorrupt if the consumer's index cannot be; ErrReformatted;
// fs.ErrClosed, also if Close ends the waiting; ErrDevice if memory fails: the message may be
// there or not, and the producer must be opened again.
func (p *Producer) Put(ctx context.Context, message []byte) error {
	var w queueWait
	defer w.done()
	for {
		if ok, err := p.TryPut(message); ok || err != nil {
			return err
		}
		if err := p.wait(ctx, &w, "the queue is full"); err != nil {
			return p.fail("put", err)
		}
	}
}

// TryPut is Put, and reports false instead of waiting.
func (p *Producer) TryPut(message []byte) (ok bool, err error) {
	if size := p.MessageSize(); len(message) > size {
		return false, p.fail("put", fmt.Errorf("message of %d bytes, want at most %d: %w", len(message), size, fs.ErrInvalid))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(); err != nil {
		return false, p.fail("put", err)
	}
	if len(p.staged) > 0 {
		return false, p.fail("put", fmt.Errorf("%d messages that Next gave out wait for Publish: %w", len(p.staged), fs.ErrInvalid))
	}
	err = Guard(func() (err error) {
		if ok, err = p.end.room(1); !ok || err != nil {
			return err
		}
		ok = false
		b := p.single[0]
		clear(b[copy(b, message):])
		if err = p.end.put(p.single); err == nil {
			ok = true
		}
		return err
	})
	if err != nil {
		return false, p.fail("put", err)
	}
	return ok, nil
}

// Next returns memory for the next message, MessageSize bytes that are zero, to be filled in. It
// becomes a message with Publish, together with all others that Next gave out since the last
// one. Next waits while the queue has no room for one more. The memory is the program's own,
// and not that of the queue, so that a queue holds nothing that is half filled; it is valid
// until Publish or Close.
//
// Errors: those of Put; fs.ErrInvalid if all of the queue waits for Publish.
func (p *Producer) Next(ctx context.Context) ([]byte, error) {
	var w queueWait
	defer w.done()
	for {
		b, err := p.tryNext()
		if err != nil {
			return nil, p.fail("next", err)
		}
		if b != nil {
			return b, nil
		}
		if err := p.wait(ctx, &w, "the queue is full"); err != nil {
			return nil, p.fail("next", err)
		}
	}
}

// tryNext is Next, and returns nil instead of waiting.
func (p *Producer) tryNext() (message []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(); err != nil {
		return nil, err
	}
	n := len(p.staged)
	if uint64(n) == p.end.shape.buckets-1 {
		return nil, fmt.Errorf("all %d messages that the queue holds wait for Publish: %w", n, fs.ErrInvalid)
	}
	ok := false
	err = Guard(func() (err error) {
		ok, err = p.end.room(n + 1)
		return err
	})
	if !ok || err != nil {
		return nil, err
	}
	var b []byte
	if last := len(p.spare) - 1; last >= 0 {
		b, p.spare = p.spare[last], p.spare[:last]
	} else {
		b = make([]byte, p.end.shape.bucketSize)
	}
	size := p.end.shape.payload()
	clear(b[:size])
	p.staged = append(p.staged, b)
	return b[:size:size], nil
}

// Publish puts all messages that Next gave out, in that order and at once: a consumer that
// sees one sees all. It takes as many fences as one Put. Without messages it does nothing.
//
// The errors are those of Put; after one that is ErrDevice or ErrBusy the messages may be there
// or not, after any other Publish may be called again.
func (p *Producer) Publish() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(); err != nil {
		return p.fail("publish", err)
	}
	if len(p.staged) == 0 {
		return nil
	}
	if err := Guard(func() error { return p.end.put(p.staged) }); err != nil {
		return p.fail("publish", err)
	}
	p.spare, p.staged = append(p.spare, p.staged...), p.staged[:0]
	return nil
}

// Close closes the producer; the queue stays. What Next gave out and was not published is as
// if it had never been. Whoever waits in Put or Next gets fs.ErrClosed, and so does who closes
// it again.
func (p *Producer) Close() error {
	if err := p.close(func() { p.end, p.staged, p.spare = nil, nil, nil }); err != nil {
		return p.fail("close", err)
	}
	return nil
}
