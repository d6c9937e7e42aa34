package main

// famfs queue: makes queues, puts messages from standard input into them, takes messages out to
// standard output, and shows how full queues are.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Make queues between hosts, put messages in, take them out",
		Long: `queue makes and uses queues: a ring of buckets in two files, PATH and PATH.consumer,
through which one producer, on any host, sends messages of a fixed size to one
consumer, on any host. The C reference's pcq may be at either end.

Each end is one process's at a time. Several producers, or several consumers, take
several queues, one for each pair.`,
		Example: `  famfs queue create --buckets 1024 --bucket-size 256 /dev/dax0.0:/jobs   # on the master
  seq 1000 | famfs queue put /dev/dax0.0:/jobs                           # on one host
  famfs queue get --follow /dev/dax0.0:/jobs                             # on another
  famfs queue stat /dev/dax0.0:/jobs`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError(errors.New("say what to do: create, put, get, stat or rm"))
		},
	}
	cmd.AddCommand(a.queueCreateCommand(), a.queuePutCommand(), a.queueGetCommand(), a.queueStatCommand(), a.queueRmCommand())
	for _, c := range cmd.Commands() {
		c.ValidArgsFunction = a.completeTarget
	}
	return cmd
}

func (a *app) queueCreateCommand() *cobra.Command {
	var (
		buckets int
		size    = sizeValue(1 << 10)
		mode    modeValue
		owner   ownerOptions
	)
	cmd := &cobra.Command{
		Use:   "create DEVICE:PATH...",
		Short: "Make queues",
		Long: `create makes queues. It needs the master, and two entries of the log for each. A
queue of n buckets holds n-1 messages, each 16 bytes smaller than a bucket.`,
		Args: a.arguments(1, -1, "DEVICE:PATH..."),
		RunE: func(_ *cobra.Command, args []string) error {
			opts := owner.options()
			if mode.set {
				opts = append(opts, famfs.Mode(mode.mode))
			}
			return a.eachOn(args, a.openToWrite, func(fsys *famfs.FS, t target) error {
				if err := fsys.CreateQueue(t.name, buckets, int64(size), opts...); err != nil {
					return err
				}
				q, err := fsys.StatQueue(t.name)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.out, "created %s: %s of %s\n", a.displayName(t.String()), count(q.Buckets-1, "message", "messages"), exact(int64(q.MessageSize)))
				return err
			}, nil)
		},
	}
	cmd.Flags().IntVarP(&buckets, "buckets", "b", 1024, "how many buckets, at least 2, of which one is never used")
	cmd.Flags().VarP(&size, "bucket-size", "s", "bytes of a bucket, a power of two from 32 to 1G; a message has 16 less")
	cmd.Flags().VarP(&mode, "mode", "m", "permission bits in octal (default 0644)")
	owner.register(cmd.Flags(), "queues")
	return cmd
}

func (a *app) queueRmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rm DEVICE:PATH...",
		Short: "Remove queues",
		Long: `rm removes both files of each queue, at one moment. It needs the master. A queue with an
end that is open on this host is left; one that is open on another host goes on, unseen
by all who come later: end both before.`,
		Example: `  famfs queue rm /dev/dax0.0:/jobs`,
		Args:    a.arguments(1, -1, "DEVICE:PATH..."),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.eachOn(args, a.openToWrite, func(fsys *famfs.FS, t target) error {
				err := fsys.RemoveQueue(t.name)
				if err == nil && a.verbose > 0 {
					_, err = fmt.Fprintf(a.out, "removed %s\n", a.displayName(t.String()))
				}
				return err
			}, nil)
		},
	}
}

// openQueueEnd opens the device of a queue so that one of its ends may be used. It fails if there is
// plainly no queue.
func (a *app) openQueueEnd(arg string) (*famfs.FS, target, error) {
	t, err := parseOnDevice(arg)
	if err != nil {
		return nil, t, err
	}
	if a.tolerant || a.salvage {
		return nil, t, usageError(errors.New("--tolerant and --salvage only read, and this writes"))
	}
	fsys, err := a.opening(t.device, append(a.options(), famfs.WithClientWrites()))
	if err != nil {
		return nil, t, err
	}
	if err := checkQueue(fsys, t); err != nil {
		fsys.Close() // nothing was written
		return nil, t, targetFailed(t, err)
	}
	return fsys, t, nil
}

// checkQueue says what t is if it is plainly no queue. The rest the library finds out.
func checkQueue(fsys *famfs.FS, t target) error {
	st, err := fsys.Stat(t.name)
	switch {
	case err == nil && st.IsDir():
		return because(fs.ErrInvalid, "is a directory, want a queue, written DEVICE:PATH; see what is there with: famfs ls -R %s", t.device)
	case err == nil && isMissing(fsys, t.name+queueSuffix) && beginsWith(fsys, t.name, queueProducerIs):
		return because(fs.ErrInvalid, "is half of a queue, whose other file, %s, is missing; remove it, and make the queue anew: famfs queue create", t.name+queueSuffix)
	}
	return nil
}

func (a *app) queuePutCommand() *cobra.Command {
	var (
		size  sizeValue
		limit int
	)
	cmd := &cobra.Command{
		Use:   "put DEVICE:PATH",
		Short: "Put messages from standard input into a queue",
		Long: `put makes a message of each line of standard input, without its end, or with --size of
each block of so many bytes. What is shorter than a message is padded with zeros. put
waits while the queue is full. What it has put is there whatever becomes of it; run
again it goes on with what it is given then. With -v it says how many it has put.`,
		Example: `  seq 1000 | famfs queue put /dev/dax0.0:/jobs
  famfs queue put --size 4000 /dev/dax0.0:/blocks < data`,
		Args: a.arguments(1, 1, "one DEVICE:PATH"),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if limit < 0 || size < 0 {
				return usageError(errors.New("--count and --size are not negative"))
			}
			fsys, t, err := a.openQueueEnd(args[0])
			if err != nil {
				return err
			}
			defer fsys.Close()
			p, err := fsys.Producer(t.name)
			if err != nil {
				return targetFailed(t, err)
			}
			defer p.Close()
			n, err := putMessages(p, a.in, int64(size), limit)
			if a.verbose > 0 {
				fmt.Fprintf(a.err, "put %s\n", count(n, "message", "messages"))
			}
			return targetFailed(t, err)
		},
	}
	cmd.Flags().VarP(&size, "size", "s", "take blocks of so many bytes, not lines")
	cmd.Flags().IntVarP(&limit, "count", "c", 0, "end after so `many` messages (default: at the end of the input)")
	return cmd
}

// putMessages puts lines, or blocks of size bytes, and returns how many. No signal is caught:
// what is put is put, and who waits for input could not be woken.
func putMessages(p *famfs.Producer, from io.Reader, size int64, limit int) (n int, err error) {
	most := p.MessageSize()
	if size > int64(most) {
		return 0, because(fs.ErrInvalid, "blocks of %d bytes do not fit into messages of %d", size, most)
	}
	in := bufio.NewReaderSize(from, max(64<<10, most+2))
	block := make([]byte, size)
	next := func() ([]byte, error) {
		if size > 0 {
			got, err := io.ReadFull(in, block)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil // the last one is shorter
			}
			return block[:got], err
		}
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return line, nil // which is too long
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		}
		return line[:len(line)-1], nil
	}
	for limit == 0 || n < limit {
		message, err := next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read standard input: %w", err)
		}
		if len(message) > most {
			return n, because(fs.ErrInvalid, "line %d has more than the %d bytes of a message; those before it were put", n+1, most)
		}
		if err := p.Put(context.Background(), message); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (a *app) queueGetCommand() *cobra.Command {
	var (
		size   sizeValue
		limit  int
		follow bool
	)
	cmd := &cobra.Command{
		Use:   "get DEVICE:PATH",
		Short: "Take messages out of a queue, and print them",
		Long: `get takes the messages that are in a queue, and prints each as a line, without the
zeros at its end, or with --size its first so many bytes as they are. A message is taken
when it has been written: one that could not be is still there. So none is lost, but if
get is killed (kill -9), or the host loses power, the next one may print again what was
printed last: whoever reads must bear a message that comes twice. With --follow get
waits for more, until Ctrl-C or another signal, or until it has as many as --count says;
the status is 0 then.`,
		Example: `  famfs queue get /dev/dax0.0:/jobs
  famfs queue get --follow /dev/dax0.0:/jobs | while read job; do …; done
  famfs queue get --follow --count 1 /dev/dax0.0:/jobs    # waits for one`,
		Args: a.arguments(1, 1, "one DEVICE:PATH"),
		RunE: func(_ *cobra.Command, args []string) error {
			if limit < 0 || size < 0 {
				return usageError(errors.New("--count and --size are not negative"))
			}
			fsys, t, err := a.openQueueEnd(args[0])
			if err != nil {
				return err
			}
			defer fsys.Close()
			c, err := fsys.Consumer(t.name)
			if err != nil {
				return targetFailed(t, err)
			}
			defer c.Close()
			if int64(size) > int64(c.MessageSize()) {
				return targetFailed(t, because(fs.ErrInvalid, "messages have %d bytes, want at least the %d of --size", c.MessageSize(), int64(size)))
			}
			ctx, stop := interruptible()
			defer stop()
			n, err := a.getMessages(ctx, c, int(size), limit, follow)
			if a.verbose > 0 {
				fmt.Fprintf(a.err, "took %s\n", count(n, "message", "messages"))
			}
			return targetFailed(t, err)
		},
	}
	cmd.Flags().VarP(&size, "size", "s", "print the first so many bytes of each message, not lines")
	cmd.Flags().IntVarP(&limit, "count", "c", 0, "take so `many` messages at most (default: all)")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more")
	return cmd
}

// getMessages prints messages until there are no more, or as many as limit says; it waits for
// more if it is to follow.
func (a *app) getMessages(ctx context.Context, c *famfs.Consumer, size, limit int, follow bool) (n int, err error) {
	look := ctx
	if !follow { // what is there is not waited for
		ended, end := context.WithCancel(ctx)
		end()
		look = ended
	}
	var line []byte
	for (limit == 0 || n < limit) && ctx.Err() == nil {
		message, err := c.Peek(look)
		switch {
		case err != nil && ctx.Err() != nil:
			continue
		case errors.Is(err, context.Canceled):
			return n, nil // there are no more
		case err != nil:
			return n, err
		}
		if size > 0 {
			line = append(line[:0], message[:size]...)
		} else {
			line = append(append(line[:0], bytes.TrimRight(message, "\x00")...), '\n')
		}
		if _, err := a.out.Write(line); err != nil {
			return n, err
		}
		if err := c.Done(); err != nil {
			return n, err
		}
		n++
	}
	if ctx.Err() != nil && !follow && (limit == 0 || n < limit) {
		return n, &statusError{signalStatus(ctx), fmt.Errorf("interrupted: %s taken, and more may be there", count(n, "message was", "messages were"))}
	}
	return n, nil // Ctrl-C is how following ends
}

// queueJSON is what stat says of a queue.
type queueJSON struct {
	Device      string   `json:"device"`
	Path        string   `json:"path"`
	Buckets     int      `json:"buckets"`
	BucketSize  int64    `json:"bucketSize"`
	MessageSize int      `json:"messageSize"`
	Waiting     int      `json:"waiting"`
	Put         uint64   `json:"put"`
	Taken       uint64   `json:"taken"`
	PutRate     *float64 `json:"putPerSecond,omitempty"`
	TakenRate   *float64 `json:"takenPerSecond,omitempty"`
}

func (a *app) queueStatCommand() *cobra.Command {
	var (
		every          time.Duration
		follow, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "stat DEVICE:PATH",
		Short: "Show how full a queue is, and how fast it moves",
		Long: `stat shows the shape of a queue, how many messages wait in it, how many were put and
taken in all, and how many a second: it looks twice, --interval apart; 0 looks once.
With --follow it goes on, a line or a JSON object each time, until Ctrl-C or another
signal; the status is 0 then. It disturbs nobody.`,
		Example: `  famfs queue stat /dev/dax0.0:/jobs
  famfs queue stat --follow --interval 5s /dev/dax0.0:/jobs`,
		Args: a.arguments(1, 1, "one DEVICE:PATH"),
		RunE: func(_ *cobra.Command, args []string) error {
			if every < 0 || follow && every == 0 {
				return usageError(errors.New("--interval is not negative, and not 0 with --follow"))
			}
			t, err := parseOnDevice(args[0])
			if err != nil {
				return err
			}
			fsys, err := a.open(t.device)
			if err != nil {
				return err
			}
			defer fsys.Close()
			if err := checkQueue(fsys, t); err != nil {
				return targetFailed(t, err)
			}
			ctx, stop := interruptible()
			defer stop()
			for first := true; ; first = false {
				q, more, err := lookAtQueue(ctx, fsys, t, every)
				if err != nil {
					return targetFailed(t, err)
				}
				switch {
				case !more && !follow:
					return &statusError{signalStatus(ctx), errors.New("interrupted: it was not looked at twice")}
				case !more && !first:
					return nil
				}
				switch {
				case asJSON && follow:
					err = a.printJSONLine(q)
				case asJSON:
					err = a.printJSON(q)
				case follow:
					err = a.queueLine(q)
				default:
					err = a.queueTable(t, q)
				}
				if err != nil || !follow || !more {
					return err
				}
			}
		},
	}
	cmd.Flags().DurationVarP(&every, "interval", "n", time.Second, "how long to look, for what is moved in a second")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON: an object, with --follow one a line")
	return cmd
}

// lookAtQueue looks at a queue, and once more after a while for the rates; more is false if
// ctx ended that.
func lookAtQueue(ctx context.Context, fsys *famfs.FS, t target, every time.Duration) (q queueJSON, more bool, err error) {
	before, begun, more := famfs.QueueInfo{}, time.Now(), true
	if every > 0 {
		if before, err = fsys.StatQueue(t.name); err != nil {
			return q, false, err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			more = false
		}
	}
	now, err := fsys.StatQueue(t.name)
	if err != nil {
		return q, false, err
	}
	q = queueJSON{Device: t.device, Path: t.name, Buckets: now.Buckets, BucketSize: now.BucketSize, MessageSize: now.MessageSize,
		Waiting: now.Waiting, Put: now.Put, Taken: now.Taken}
	if every > 0 {
		took := time.Since(begun).Seconds()
		rate := func(from, to uint64) *float64 {
			r := float64(to-min(from, to)) / took // it may have been made anew
			return &r
		}
		q.PutRate, q.TakenRate = rate(before.Put, now.Put), rate(before.Taken, now.Taken)
	}
	return q, more, nil
}

func (q *queueJSON) fill() string {
	return fmt.Sprintf("%s of %s (%s)", grouped(q.Waiting), grouped(q.Buckets-1), percent(int64(q.Waiting), int64(q.Buckets-1)))
}

func (a *app) queueLine(q queueJSON) error {
	_, err := fmt.Fprintf(a.out, "%s waiting, %.0f put/s, %.0f taken/s\n", q.fill(), *q.PutRate, *q.TakenRate)
	return err
}

func (a *app) queueTable(t target, q queueJSON) error {
	rows := [][]string{
		{"Queue", a.displayName(t.String())},
		{"Buckets", fmt.Sprintf("%s of %s", grouped(q.Buckets), exact(q.BucketSize))},
		{"Messages", fmt.Sprintf("at most %s, of %s", grouped(q.Buckets-1), exact(int64(q.MessageSize)))},
		{"Waiting", q.fill()},
		{"Put", fmt.Sprint(q.Put)},
		{"Taken", fmt.Sprint(q.Taken)},
	}
	if q.PutRate != nil {
		rows[4][1] += fmt.Sprintf(", %.0f a second", *q.PutRate)
		rows[5][1] += fmt.Sprintf(", %.0f a second", *q.TakenRate)
	}
	return columns(a.out, rows)
}
