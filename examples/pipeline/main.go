// Pipeline: one process makes batches, as a data loader on one host does, and several others
// consume them, as trainers on other hosts do. A batch is a file, which all map and nobody
// copies; what goes through the queues is its name.
//
// There is a queue for each consumer, as a queue has one: the maker gives each batch to the one
// whose queue has the fewest waiting. A queue that is full makes the maker wait.
//
//	go run ./examples/pipeline                              # a stand-in in shared memory
//	go run ./examples/pipeline -consumers 4 -batches 200 /dev/dax0.0
//
// The device must be formatted, with this host as its master. Its files stay on it.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"famfs"
)

// options are those of the program.
type options struct {
	device             string
	consumers, batches int
	size               int64
	consumer           string     // the queue of a consumer
	id                 famfs.UUID // who this host is, if it is not what it says itself; for tests
}

func main() {
	o := options{}
	kib := flag.Int64("size", 1024, "size of a batch in KiB")
	flag.IntVar(&o.consumers, "consumers", 2, "how many consumer processes")
	flag.IntVar(&o.batches, "batches", 40, "how many batches")
	flag.StringVar(&o.consumer, "consumer", "", "be the consumer of this queue; for the program itself")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: pipeline [-consumers N] [-batches N] [-size KIB] [DEVICE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.device, o.size = flag.Arg(0), *kib<<10
	if flag.NArg() > 1 || o.size < 8 || o.consumers < 1 || o.batches < 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if o.consumer != "" {
		ctx, cancel := context.WithCancelCause(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel(errors.New("the maker of batches is gone"))
		}()
		err = consume(ctx, o, os.Stdout)
	} else {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		os.Exit(1)
	}
}

// report is what a consumer says at its end.
type report struct {
	Batches int
	Bytes   int64
	Sum     uint64 // of all numbers
}

// end is the message that says that there are no more: no batch has such a name.
const end = "."

func run(ctx context.Context, o options, out io.Writer) (err error) {
	host := []famfs.Option{famfs.ReadWrite()}
	if o.id != (famfs.UUID{}) {
		host = append(host, famfs.WithSystemUUID(o.id))
	}
	if o.device == "" {
		dir, err := os.MkdirTemp(sharedMemory(), "famfs-pipeline-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.device = filepath.Join(dir, "device")
		const align = 2 << 20
		if err := famfs.CreateBacking(o.device, 64<<20+int64(o.consumers)*3*align+int64(o.batches)*((o.size+align-1)/align*align)); err != nil {
			return err
		}
		// Not every machine has an identity, and a stand-in needs only one that all agree on.
		id := famfs.WithSystemUUID(famfs.NewUUID())
		if err := famfs.Format(o.device, id); err != nil {
			return err
		}
		host = append(host, id)
		fmt.Fprintln(out, "made", o.device, "as a stand-in")
	}
	fsys, err := famfs.Open(o.device, host...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	dir := fmt.Sprintf("pipeline-%d-%d", time.Now().Unix(), os.Getpid())
	if err := fsys.Mkdir(dir, 0o755); err != nil {
		return err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	var consumers sync.WaitGroup
	defer func() { // whatever happens, nobody is left behind who waits for batches
		cancel(nil)
		consumers.Wait()
	}()
	reports := make(chan report, o.consumers)
	var queues []*queue
	for i := range o.consumers {
		q := &queue{name: fmt.Sprintf("%s/queue-%d", dir, i)}
		// Few batches wait for each: the one that is free takes the next.
		if err := fsys.CreateQueue(q.name, 5, 128); err != nil {
			return err
		}
		if q.Producer, err = fsys.Producer(q.name); err != nil {
			return err
		}
		defer q.Close()
		queues = append(queues, q)
		cmd, err := start(ctx, o, q.name)
		if err != nil {
			return err
		}
		consumers.Go(func() {
			r, err := cmd()
			if err != nil {
				cancel(fmt.Errorf("the consumer of %s: %w", q.name, err)) // the maker must not wait for it
			}
			reports <- r
		})
	}

	begun, want := time.Now(), report{}
	for i := range o.batches {
		name := fmt.Sprintf("%s/batch-%06d", dir, i)
		sum, err := makeBatch(fsys, name, o.size, uint64(i))
		if err != nil {
			return err
		}
		if err := leastBusy(fsys, queues).Put(ctx, []byte(name)); err != nil {
			return err
		}
		want = report{want.Batches + 1, want.Bytes + o.size, want.Sum + sum}
	}
	for _, q := range queues {
		if err := q.Put(ctx, []byte(end)); err != nil {
			return err
		}
	}
	var all report
	for i := range o.consumers {
		r := <-reports
		fmt.Fprintf(out, "consumer %d of %d: %d batches, %d KiB\n", i+1, o.consumers, r.Batches, r.Bytes>>10)
		all = report{all.Batches + r.Batches, all.Bytes + r.Bytes, all.Sum + r.Sum}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if all != want {
		return fmt.Errorf("consumed %+v, want %+v", all, want)
	}
	fmt.Fprintf(out, "all %d batches were consumed once, in %v, and none was copied\n", all.Batches, time.Since(begun).Round(time.Millisecond))
	return nil
}

// queue is the maker's end of a consumer's queue.
type queue struct {
	*famfs.Producer
	name string
}

// leastBusy returns the queue with the fewest waiting.
func leastBusy(fsys *famfs.FS, queues []*queue) *queue {
	best, fewest := queues[0], -1
	for _, q := range queues {
		if info, err := fsys.StatQueue(q.name); err == nil && (fewest < 0 || info.Waiting < fewest) {
			best, fewest = q, info.Waiting
		}
	}
	return best
}

// makeBatch makes a file of numbers, and returns their sum. It exists, whole, before its name is
// put into a queue.
func makeBatch(fsys *famfs.FS, name string, size int64, seed uint64) (sum uint64, err error) {
	err = makeFile(fsys, name, size, func(data []byte) {
		clear(data)
		for i := 0; i+8 <= len(data); i += 8 {
			x := (seed + 1) * uint64(i+1) * 0x9E3779B97F4A7C15
			binary.LittleEndian.PutUint64(data[i:], x)
			sum += x
		}
	})
	return sum, err
}

// makeFile makes a file of what fill puts into its memory. If memory fails under fill, there is no
// file: Commit would make one of what was filled so far.
func makeFile(fsys *famfs.FS, name string, size int64, fill func(data []byte)) error {
	file, err := fsys.Create(name, size)
	if err != nil {
		return err
	}
	defer file.Close()
	if data := file.Bytes(); data != nil { // otherwise Commit says why
		err := famfs.Guard(func() error {
			fill(data)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return file.Commit()
}

// consume is what a consumer does: it maps each batch that its queue names, and adds it up.
func consume(ctx context.Context, o options, out io.Writer) (err error) {
	fsys, err := famfs.Open(o.device, famfs.WithClientWrites()) // it writes its end of the queue
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	c, err := fsys.Consumer(o.consumer)
	if err != nil {
		return err
	}
	defer c.Close()
	var r report
	for message, err := range c.All(ctx) {
		if err != nil {
			return err
		}
		name := string(bytes.TrimRight(message, "\x00"))
		if name == end {
			break
		}
		// The batch was there before its name: one look at the log is enough to know it.
		if _, err := fsys.Refresh(); err != nil {
			return err
		}
		n, sum, err := add(fsys, name)
		if err != nil {
			return err
		}
		r = report{r.Batches + 1, r.Bytes + n, r.Sum + sum}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return json.NewEncoder(out).Encode(r)
}

// add adds the numbers of a batch up, where they are.
func add(fsys *famfs.FS, name string) (size int64, sum uint64, err error) {
	m, err := fsys.Map(name)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	data := m.Bytes()
	err = famfs.Guard(func() error {
		for rest := data; len(rest) >= 8; rest = rest[8:] {
			sum += binary.LittleEndian.Uint64(rest)
		}
		return nil
	})
	return int64(len(data)), sum, err
}

// start starts a consumer; what it returns waits for its report.
func start(ctx context.Context, o options, queue string) (wait func() (report, error), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-consumer", queue, o.device)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	alive, err := cmd.StdinPipe() // which ends with this process, also if that is killed
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() (r report, err error) {
		defer alive.Close()
		if err := cmd.Wait(); err != nil {
			return r, err
		}
		return r, json.Unmarshal(out.Bytes(), &r)
	}, nil
}

// sharedMemory is where files are memory, or "" for the temporary folder.
func sharedMemory() string {
	const shm = "/dev/shm"
	if st, err := os.Stat(shm); err == nil && st.IsDir() {
		return shm
	}
	return ""
}
