// Sharing shows that there is only one copy. One process, the writer, creates a file on a device.
// Several others, the readers, wait for it, map it and read all of it. Then each prints how much of
// the device's memory it has resident, and how much of that is its own share (Linux calls it the
// proportional set size). Every reader has the whole file resident, and all shares together are the
// size of the file, once.
//
//	go run ./examples/sharing                               # a stand-in in shared memory
//	go run ./examples/sharing -readers 16 -size 1024 /dev/dax0.0
//
// The device must be formatted, with this host as its master. The file stays on it; remove it with
// famfs rm.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
	"time"

	"famfs"
)

// options are the options of the program. Readers get them too.
type options struct {
	device  string
	file    string
	size    int64
	readers int
}

func main() {
	o := options{}
	mib := flag.Int64("size", 64, "size of the file in MiB")
	flag.IntVar(&o.readers, "readers", 4, "how many reader processes")
	flag.StringVar(&o.file, "file", "", "name of the file (default: one that is new)")
	reader := flag.Bool("reader", false, "be a reader; for the program itself")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: sharing [-readers N] [-size MIB] [DEVICE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.device, o.size = flag.Arg(0), *mib<<20
	if flag.NArg() > 1 || o.size <= 0 || o.readers < 1 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if *reader {
		err = read(o.device, o.file, os.Stdin, os.Stdout)
	} else {
		// Catch Ctrl-C, and the loss of the reader of the output: the stand-in takes memory
		// until it is removed, so the program must go on until then.
		ctx, stop := signal.NotifyContext(context.Background(), endings()...)
		err = run(ctx, o, os.Stdout)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sharing:", err)
		os.Exit(1)
	}
}

// standInFolder returns the folder for the stand-in: one in memory, if there is one.
func standInFolder() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// run starts the readers, writes the file, and prints what they found. When ctx is done, it ends
// and leaves no stand-in.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	defer func() {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	var host famfs.UUID
	if o.device == "" {
		host = famfs.NewUUID()
		dir, err := os.MkdirTemp(standInFolder(), "famfs-sharing-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.device = filepath.Join(dir, "device")
		if err := famfs.CreateBacking(o.device, o.size+16<<20); err != nil {
			return err
		}
		if err := famfs.Format(o.device, famfs.WithSystemUUID(host)); err != nil {
			return err
		}
		fmt.Fprintln(out, "made", o.device, "as a stand-in")
	}
	if o.file == "" {
		o.file = "sharing-" + famfs.NewUUID().String()[:8]
	}
	var readers []*process
	defer func() {
		for _, r := range readers {
			r.stop(err != nil)
		}
	}()
	for range o.readers {
		r, err := start(ctx, o)
		if err != nil {
			return err
		}
		readers = append(readers, r)
	}
	want, err := write(o, host)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the writer created %s of %d MiB; %d readers map it\n\n", o.file, o.size>>20, o.readers)
	for _, r := range readers { // all of them have read the whole file
		sum, err := r.next()
		if err != nil {
			return err
		}
		if sum.CRC != want {
			return fmt.Errorf("reader %d read CRC %#x, the writer wrote %#x", sum.PID, sum.CRC, want)
		}
	}
	return measure(readers, o.size, out)
}

// measure asks the readers, which all have the file mapped now, how much memory they have.
func measure(readers []*process, size int64, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "process\tresident\tits share\tshared\tprivate\t")
	var resident, share int64
	known := true
	for _, r := range readers {
		if _, err := fmt.Fprintln(r.in, "measure"); err != nil {
			return err
		}
		m, err := r.next()
		if err != nil {
			return err
		}
		known = known && m.Known
		resident, share = resident+m.Resident, share+m.Share
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t\n", m.PID, inMiB(m.Resident), inMiB(m.Share), inMiB(m.Shared), inMiB(m.Private))
	}
	if !known {
		_, err := fmt.Fprintln(out, "all readers read what was written; how their memory is shared only Linux tells")
		return err
	}
	fmt.Fprintf(table, "all %d\t%s\t%s\t\t\t\n", len(readers), inMiB(resident), inMiB(share))
	if err := table.Flush(); err != nil {
		return err
	}
	if resident < size*int64(len(readers)) {
		_, err := fmt.Fprintln(out, "\nall readers read what was written; this system does not count the memory of the device as theirs")
		return err
	}
	_, err := fmt.Fprintf(out, "\nEach reader has the file resident, %s in sum; the memory that is really taken is %s\nfor a file of %s: there is one copy.\n", inMiB(resident), inMiB(share), inMiB(size))
	return err
}

func inMiB(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// write is the writer: it creates the file and closes it. It returns the CRC of the content.
func write(o options, host famfs.UUID) (crc uint32, err error) {
	fsys, err := famfs.Open(o.device, famfs.ReadWrite(), famfs.WithSystemUUID(host))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	file, err := fsys.Create(o.file, o.size)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data := file.Bytes()
	err = famfs.Guard(func() error { // if memory fails, that is an error, not a crash
		for i := range data {
			data[i] = byte(i>>12 ^ i)
		}
		crc = crc32.ChecksumIEEE(data)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return crc, file.Commit()
}

// message is a message from a reader.
type message struct {
	PID int
	CRC uint32
	memory
}

// memory is the memory that a process has of a device.
type memory struct {
	Known                            bool // this system reports it
	Resident, Share, Shared, Private int64
}

// read is a reader: it waits for the file, maps it and reads it. Then it answers each line of in
// with its memory, until in ends.
func read(device, name string, in io.Reader, out io.Writer) (err error) {
	fsys, err := famfs.Open(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	events := fsys.Watch(ctx, 5*time.Millisecond)
	if _, err := fsys.Stat(name); err != nil {
		for event, err := range events {
			if err != nil {
				return err
			}
			if event.Name == name {
				break
			}
		}
	}
	file, err := fsys.Map(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var crc uint32
	err = famfs.Guard(func() error { crc = crc32.ChecksumIEEE(file.Bytes()); return nil })
	if err != nil {
		return err
	}
	say := json.NewEncoder(out)
	if err := say.Encode(message{PID: os.Getpid(), CRC: crc}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		m, err := measureMemory(device)
		if err != nil {
			return err
		}
		if err := say.Encode(message{PID: os.Getpid(), memory: m}); err != nil {
			return err
		}
	}
	return nil
}

// process is a reader process.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func start(ctx context.Context, o options) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &process{cmd: exec.CommandContext(ctx, self, "-reader", "-file", o.file, o.device)}
	r.cmd.Stderr = os.Stderr
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = json.NewDecoder(out)
	return r, r.cmd.Start()
}

// next waits for the next message.
func (r *process) next() (m message, err error) {
	if err := r.out.Decode(&m); err != nil {
		return m, fmt.Errorf("reader %d: %w", r.cmd.Process.Pid, err)
	}
	return m, nil
}

// stop ends the reader; at once, if it need not wait for its file any more.
func (r *process) stop(atOnce bool) {
	r.in.Close()
	if atOnce {
		r.cmd.Process.Kill()
	}
	r.cmd.Wait()
}
