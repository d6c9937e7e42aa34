package famfs

// The consumer of a queue: taking messages at once (Get), after looking at them (Peek and Done),
// or in a loop (All).

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
)

// Consumer is the end of a queue that messages are taken from. It must be closed. Its methods
// may be called concurrently, but Peek and Done belong to one goroutine at a time, and so
// does a loop over All.
type Consumer struct {
	queueHandle
	end  *getEnd
	size int
	// hand says who has a message in hand that is not taken. It is in the end's bucket.
	hand handState
}

type handState uint8

const (
	handEmpty handState = iota
	handPeek            // Peek returned one
	handLoop            // a loop over All is under way
)

// Consumer opens the end of a queue that messages are taken from. A queue has one consumer at a
// time, and it goes on where the one before stopped. A message that was not taken when that died
// is delivered again. What Producer says of a second one, of how the FS must have been opened, and
// of queues that are removed goes for it too.
//
// Errors are those of Producer.
func (f *FS) Consumer(name string) (*Consumer, error) {
	c := &Consumer{}
	err := f.openQueue(&c.queueHandle, name, consumerEnd, func(q *queueFiles) (err error) {
		c.end, err = openGetEnd(q.memory(q.consumer), q.memory(q.producer), q.consumer.size, q.producer.size, f.config.pause)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open consumer", Path: name, Err: err}
	}
	c.size = c.end.shape.payload()
	return c, nil
}

// MessageSize returns the size of a message in bytes.
func (c *Consumer) MessageSize() int { return c.size }

// Get copies the next message to p, which has at least MessageSize bytes, takes it, and
// returns its size; it waits while the queue is empty. When Get returns without an error, the
// message is not delivered again, whatever fails on this host.
//
// Errors: io.ErrShortBuffer if p is too short; ErrBusy while a loop over All is under way or
// Peek's message waits for Done, and if another consumer has taken something; the cause of
// ctx, if that ends the waiting; ErrCorrupt if a message, or the producer's index, is not what
// it must be, also after it was read again a few times over some milliseconds; ErrReformatted;
// fs.ErrClosed, also if Close ends the waiting; ErrDevice if memory fails. After an error the
// message is still there. Only after ErrDevice it may have been taken, and the consumer must be
// opened again.
func (c *Consumer) Get(ctx context.Context, p []byte) (int, error) {
	var w queueWait
	defer w.done()
	for {
		n, ok, err := c.TryGet(p)
		if ok || err != nil {
			return n, err
		}
		if err := c.wait(ctx, &w, "the queue is empty"); err != nil {
			return 0, c.fail("get", err)
		}
	}
}

// TryGet is Get, and reports false instead of waiting.
func (c *Consumer) TryGet(p []byte) (n int, ok bool, err error) {
	if len(p) < c.size {
		return 0, false, c.fail("get", fmt.Errorf("room for %d bytes, want %d: %w", len(p), c.size, io.ErrShortBuffer))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.free(); err != nil {
		return 0, false, c.fail("get", err)
	}
	err = Guard(func() error {
		message, found, err := c.end.get()
		if !found || err != nil {
			return err
		}
		copy(p, message)
		if err := c.end.take(true); err != nil {
			return err
		}
		n, ok = c.size, true
		return nil
	})
	if err != nil {
		return 0, false, c.fail("get", err)
	}
	return n, ok, nil
}

// free says why no message can be had.
func (c *Consumer) free() error {
	if err := c.usable(); err != nil {
		return err
	}
	switch c.hand {
	case handPeek:
		return fmt.Errorf("the message that Peek returned waits for Done: %w", ErrBusy)
	case handLoop:
		return fmt.Errorf("a loop over All is under way: %w", ErrBusy)
	}
	return nil
}

// Peek returns the next message without taking it; it waits while the queue is empty. Done
// takes it. Until then Peek returns the same one, also if memory fails meanwhile, and so does the
// next consumer if this one is closed, or dies. The memory is the program's own, a copy that was
// checked, and valid until the next call of a method of the consumer.
//
// Errors: those of Get.
func (c *Consumer) Peek(ctx context.Context) ([]byte, error) {
	var w queueWait
	defer w.done()
	for {
		message, err := c.peek(handPeek)
		if message != nil || err != nil {
			return message, err
		}
		if err := c.wait(ctx, &w, "the queue is empty"); err != nil {
			return nil, c.fail("peek", err)
		}
	}
}

// peek returns the next message, or nil if there is none. It fails if a message is in hand for
// another purpose than hand.
func (c *Consumer) peek(hand handState) (message []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return nil, c.fail("peek", err)
	}
	if c.hand != hand {
		if err := c.free(); err != nil {
			return nil, c.fail("peek", err)
		}
	}
	ok := false
	err = Guard(func() (err error) {
		if c.hand == hand && c.end.holds() { // whatever has become of the memory since
			ok, message, err = true, c.end.inHand(), c.end.mine(consumerEnd)
			return err
		}
		message, ok, err = c.end.get()
		return err
	})
	if !ok || err != nil {
		if err != nil {
			err = c.fail("peek", err)
		}
		return nil, err
	}
	c.hand = hand
	return message, nil
}

// Done takes the message that Peek returned: it is not delivered again, whatever fails on this
// host. Without one it is fs.ErrInvalid. Other errors are those of Get.
func (c *Consumer) Done() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.usable()
	if err == nil && c.hand != handPeek {
		err = fmt.Errorf("no message of Peek's is there to be taken: %w", fs.ErrInvalid)
	}
	if err == nil {
		err = Guard(func() error { return c.end.take(true) })
	}
	if err != nil {
		return c.fail("done", err)
	}
	c.hand = handEmpty
	return nil
}

// All yields messages as they come, and waits while the queue is empty. A message is taken when
// the loop's body is done with it, also if it ends the loop, unless it closes c; one whose body
// panics is not. So a message is delivered again if the process dies in its body; if the host
// loses power, some of those before may be too, 64 KiB or less of what was waiting. Peek and
// Done take each for certain, and leave it if they are to.
//
// The memory is as Peek's, and valid until the next step. While a loop is under way the
// consumer can do nothing else, but be closed: ErrBusy, and fs.ErrInvalid from Done.
//
// When ctx is done the sequence ends without an error, where Get would return the cause of
// ctx: a message in hand is taken, and no other is yielded, though more may be waiting. After an
// error the sequence ends too, and yields it: those of Get, also when a message cannot be taken.
func (c *Consumer) All(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err := c.beginLoop(); err != nil {
			yield(nil, c.fail("get", err))
			return
		}
		defer c.endLoop()
		var w queueWait
		defer func() { w.done() }()
		inHand := false // a message was yielded, and is not taken yet
		for {
			next := ctx.Err() == nil
			message, err := c.step(inHand, next)
			if err != nil {
				yield(nil, c.fail("get", err))
				return
			}
			if !next {
				return
			}
			if inHand = message != nil; !inHand {
				if err := c.wait(ctx, &w, "the queue is empty"); err != nil {
					if ctx.Err() == nil {
						yield(nil, c.fail("get", err))
					}
					return
				}
				continue
			}
			if !w.begun.IsZero() {
				w.done()
				w = queueWait{}
			}
			if !yield(message, nil) {
				_, _ = c.step(true, false) // nobody is there to be told
				return
			}
		}
	}
}

func (c *Consumer) beginLoop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.free(); err != nil {
		return err
	}
	c.hand = handLoop
	return nil
}

// step takes the message that All has in hand, which is certain at the end of the run and of the
// loop, and gets the next one; nil if there is none. Each may be left out.
func (c *Consumer) step(take, get bool) (message []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return nil, err
	}
	err = Guard(func() (err error) {
		if take {
			if err = c.end.take(false); err != nil {
				return err
			}
		}
		if get {
			message, _, err = c.end.get()
		}
		return err
	})
	return message, err
}

// endLoop ends a loop, also after a panic.
func (c *Consumer) endLoop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hand = handEmpty
	if c.end != nil {
		c.end.settle()
	}
}

// Close closes the consumer; the queue stays, and what was not taken is in it. Whoever waits in
// Get, Peek or All gets fs.ErrClosed, and so does who closes it again.
func (c *Consumer) Close() error {
	err := c.close(func() {
		c.end.settle()
		c.end = nil
	})
	if err != nil {
		return c.fail("close", err)
	}
	return nil
}
