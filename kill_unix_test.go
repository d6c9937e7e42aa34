//go:build unix

package famfs

// Writers that are killed: processes on one device, each ended with SIGKILL at a random moment
// while it creates, copies, replaces and removes, one file or several at once, while others
// continue. A writer reports what
// it has begun and what it has done. The device must have everything that was done, nothing that
// was not begun, and nothing in parts.
//
//	FAMFS_KILLS      how many to kill
//	FAMFS_TEST_SEED  the seed of all that is random, printed by every run

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	killEnv = "FAMFS_TEST_WRITER" // device, number of the writer, seed, 1 if it is to survive

	// killDevice is the size of a device that fills up in some hundred kills.
	killDevice = 512 * mib
	// killsAtOnce is the number of writers that run at the same time, besides the one that
	// survives a round.
	killsAtOnce = 3
	// killsPerRound is the number of kills before the whole device is checked.
	killsPerRound = 100
	// killWithin is the longest time that a writer works.
	killWithin = 20 * time.Millisecond
)

// killOp is one operation of a writer. It follows from seed, writer and number alone, so that
// the test knows what the process did.
type killOp struct {
	kind string // one of killKinds
	name string
	size int64
	opts []CreateOption
	seed uint64
}

var killKinds = []string{"mkdir", "create", "interleave", "copy", "batch", "replace", "atomic", "remove"}

func newKillOp(seed uint64, writer, n int, unit int64) *killOp {
	rng := rand.New(rand.NewPCG(seed, uint64(writer)<<32|uint64(n)))
	o := &killOp{name: fmt.Sprintf("%d-%d", writer, n), seed: rng.Uint64()}
	switch k := rng.IntN(28); {
	case k < 7:
		o.kind = "mkdir" // little but the append
	case k < 13:
		o.kind = "create"
		o.size = 1 + rng.Int64N(3*smallUnit)
		if k == 12 {
			o.size = 1 + rng.Int64N(3*unit)
		}
	case k < 14:
		o.kind = "interleave"
		o.size = unit + rng.Int64N(2*unit)
		o.opts = []CreateOption{Interleave(Interleaving{Strips: 1 + rng.IntN(4), Buckets: 8, Chunk: unit})}
	case k < 16:
		o.kind = "copy"
	case k < 20:
		o.kind = "batch"
	case k < 23:
		o.kind, o.name, o.size = "replace", fmt.Sprintf("%d-one", writer), 1+rng.Int64N(3*smallUnit)
	case k < 26:
		o.kind, o.name = "atomic", fmt.Sprintf("%d-tree", writer)
	default:
		o.kind, o.name = "remove", fmt.Sprintf("%d-tree", writer)
	}
	return o
}

// apply does to what there is what o does.
func (o *killOp) apply(there fstest.MapFS) {
	if o.kind == "remove" {
		maps.DeleteFunc(there, func(name string, _ *fstest.MapFile) bool {
			return name == o.name || strings.HasPrefix(name, o.name+"/")
		})
		return
	}
	maps.Copy(there, o.tree())
}

// tree is what o makes: files with their content, and directories.
func (o *killOp) tree() fstest.MapFS {
	file := func(i uint64, size int64) *fstest.MapFile {
		return &fstest.MapFile{Data: pattern(int(size), o.seed+i), Mode: 0o644}
	}
	switch o.kind {
	case "mkdir":
		return fstest.MapFS{o.name: {Mode: fs.ModeDir | 0o755}}
	case "batch":
		files := fstest.MapFS{}
		for i := range 2 + o.seed%4 {
			files[fmt.Sprintf("%s-%d", o.name, i)] = file(i, 1+int64(o.seed>>(8*i)%(2*smallUnit)))
		}
		return files
	case "remove":
		return nil
	case "copy", "atomic":
		return fstest.MapFS{
			o.name: {Mode: fs.ModeDir | 0o755}, o.name + "/d": {Mode: fs.ModeDir | 0o755},
			o.name + "/a": file(0, 1), o.name + "/b": file(1, 5000), o.name + "/d/c": file(2, 4096), o.name + "/d/d": file(3, 9999),
		}
	}
	return fstest.MapFS{o.name: file(0, o.size)}
}

func (o *killOp) run(fsys *FS) error {
	switch o.kind {
	case "mkdir":
		return fsys.Mkdir(o.name, 0o755)
	case "copy", "atomic":
		src, err := fs.Sub(o.tree(), o.name)
		if err != nil {
			return err
		}
		opts := []CopyOption{Workers(2)}
		if o.kind == "atomic" {
			opts = append(opts, Atomically(), CreateWith(Replace()))
		}
		return fsys.CopyFS(context.Background(), o.name, src, opts...)
	case "remove":
		return fsys.RemoveAll(o.name)
	case "batch":
		var files []*PendingFile
		defer func() {
			for _, p := range files {
				p.Close()
			}
		}()
		for name, file := range o.tree() {
			p, err := fsys.Create(name, int64(len(file.Data)))
			if err != nil {
				return err
			}
			files = append(files, p)
			if _, err := p.Write(file.Data); err != nil {
				return err
			}
		}
		return fsys.Commit(files...)
	}
	opts := o.opts
	if o.kind == "replace" {
		opts = append(opts, Replace())
	}
	p, err := fsys.Create(o.name, o.size, opts...)
	if err != nil {
		return err
	}
	defer p.Close()
	if o.seed%2 == 0 {
		fillPattern(p.Bytes(), o.seed)
	} else if _, err := p.ReadFrom(bytes.NewReader(pattern(int(o.size), o.seed))); err != nil {
		return err
	}
	return p.Commit()
}

// TestKilledWriter is the code of the processes; by itself it does nothing. It reports its
// operations in lines that begin with @@, each in one write, so that none is lost when it is
// killed.
func TestKilledWriter(t *testing.T) {
	args := strings.Split(os.Getenv(killEnv), ",")
	if len(args) != 4 {
		t.Skip("serves the test that kills processes")
	}
	writer, err := strconv.Atoi(args[1])
	require.NoError(t, err)
	seed, err := strconv.ParseUint(args[2], 10, 64)
	require.NoError(t, err)
	fsys, err := Open(args[0], withDevices(args[0]), ReadWrite(), WithSystemUUID(testHost), WithLockTimeout(time.Minute))
	require.NoError(t, err)
	defer fsys.Close()
	say := func(line string) {
		_, err := os.Stdout.WriteString("@@" + line + "\n")
		require.NoError(t, err)
	}
	var stopped atomic.Bool
	rest := 300 // at most, in microseconds
	if args[3] == "1" {
		rest = 5000 // others are to be killed at work, not while they wait for this one
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stopped.Store(true)
		}()
	}
	rng := rand.New(rand.NewPCG(seed, uint64(writer)))
	say("ready")
	for n := 0; !stopped.Load(); n++ {
		o := newKillOp(seed, writer, n, fsys.Superblock().AllocUnit)
		say("begin")
		switch err := o.run(fsys); {
		case err == nil:
			say("end")
		case o.kind == "interleave" && errors.Is(err, ErrNoSpace):
			say("refused") // the buckets are not all full
		case errors.Is(err, ErrNoSpace), errors.Is(err, ErrLogFull):
			say("full")
			io.Copy(io.Discard, os.Stdin) // until the test has seen enough
			return
		default:
			require.NoError(t, err)
		}
		// Otherwise the holder of the lock would usually get it again before others try.
		if rng.IntN(2) == 0 || raceEnabled {
			time.Sleep(time.Duration(rng.IntN(rest)) * time.Microsecond)
		}
	}
}

// writerProcess is a writer from the test's point of view.
type writerProcess struct {
	number int
	cmd    *exec.Cmd
	stdin  io.Closer
	ready  chan struct{} // closed when it begins to work, or ends
	ended  chan struct{} // closed when all it said has been read

	mu      sync.Mutex
	begun   int          // operations
	done    int          // how many of those came to an end
	refused map[int]bool // and which of them made nothing
	full    bool
	other   []string // what it said besides, such as why it failed
}

func startWriter(device string, number int, seed uint64, survives bool) (*writerProcess, error) {
	w := &writerProcess{number: number, ready: make(chan struct{}), ended: make(chan struct{}), refused: map[int]bool{}}
	w.cmd = exec.Command(os.Args[0], "-test.run=^TestKilledWriter$", "-test.count=1")
	last := "0"
	if survives {
		last = "1"
	}
	w.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,%d,%s", killEnv, device, number, seed, last))
	w.cmd.Stderr = os.Stderr
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	w.stdin = stdin
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	go w.listen(stdout)
	return w, nil
}

func (w *writerProcess) listen(r io.Reader) {
	defer close(w.ended)
	begin := sync.OnceFunc(func() { close(w.ready) })
	defer begin()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		w.mu.Lock()
		switch line := lines.Text(); line {
		case "@@ready":
			begin()
		case "@@begin":
			w.begun++
		case "@@end":
			w.done++
		case "@@refused":
			w.refused[w.done] = true
			w.done++
		case "@@full":
			w.full = true
		default:
			w.other = append(w.other, line)
		}
		w.mu.Unlock()
	}
}

// counts returns how many operations were begun and done, and whether the writer reached the end
// of the device.
func (w *writerProcess) counts() (begun, done int, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun, w.done, w.full
}

// kill ends the writer at once. It fails if the writer ended by itself.
func (w *writerProcess) kill() error {
	if err := w.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("writer %d: %w", w.number, err)
	}
	<-w.ended
	var exit *exec.ExitError
	if err := w.cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		return fmt.Errorf("writer %d ended before it was killed: %w\n%s", w.number, err, strings.Join(w.other, "\n"))
	}
	return nil
}

// finish lets the writer finish its operation.
func (w *writerProcess) finish() error {
	w.stdin.Close()
	<-w.ended
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("writer %d, which was not killed: %w\n%s", w.number, err, strings.Join(w.other, "\n"))
	}
	return nil
}

// killStats is the result of a whole test.
type killStats struct {
	kills, rounds, full     int
	operations, files, dirs int
	idle                    int            // killed between two operations
	during                  map[string]int // killed in the midst of one, by kind
	whole                   map[string]int // and that one was there in the end, all of it
}

// killRound is one device, from formatting it to the check of the result.
type killRound struct {
	path   string
	seed   uint64
	unit   int64
	rng    *rand.Rand
	stats  *killStats
	first  int // number of the first writer
	reader *FS // follows the log
	own    *FS // writes a file after every kill

	mu      sync.Mutex
	started int
	writers []*writerProcess
	made    fstest.MapFS // what own wrote
	full    bool
	errs    []error
}

// next returns the number of the next writer to kill and the time that it may work. It returns
// false if the round is over.
func (r *killRound) next(kills int) (number int, work time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started == kills || r.full || len(r.errs) > 0 {
		return 0, 0, false
	}
	r.started++
	return r.first + r.started, time.Duration(r.rng.Int64N(int64(killWithin))), true
}

func (r *killRound) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// killer starts and kills one writer after the other.
func (r *killRound) killer(kills int) {
	for {
		number, work, ok := r.next(kills)
		if !ok {
			return
		}
		w, err := startWriter(r.path, number, r.seed, false)
		if err != nil {
			r.fail(err)
			return
		}
		r.mu.Lock()
		r.writers = append(r.writers, w)
		r.mu.Unlock()
		<-w.ready
		time.Sleep(work)
		if err := w.kill(); err != nil {
			r.fail(err)
			return
		}
		if err := r.after(w); err != nil {
			r.fail(fmt.Errorf("after writer %d was killed: %w", number, err))
			return
		}
	}
}

// after is what others do when w has just died: a reader follows the log, and a writer writes.
func (r *killRound) after(w *writerProcess) error {
	if _, err := r.reader.Refresh(); err != nil {
		return err
	}
	if problems := r.reader.Problems(); len(problems) > 0 {
		return problems[0]
	}
	name, content := fmt.Sprintf("after-%d", w.number), pattern(1+w.number*137%5000, uint64(w.number))
	err := r.own.WriteFile(name, content, 0o644)
	_, _, full := w.counts()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, ErrNoSpace), errors.Is(err, ErrLogFull):
		full = true
	case err != nil:
		return err
	default:
		r.made[name] = &fstest.MapFile{Data: content}
	}
	r.full = r.full || full
	return nil
}

// run kills up to this many writers and returns how many.
func (r *killRound) run(kills int) (int, error) {
	survivor, err := startWriter(r.path, r.first, r.seed, true)
	if err != nil {
		return 0, err
	}
	var killers sync.WaitGroup
	for range killsAtOnce {
		killers.Go(func() { r.killer(kills) })
	}
	killers.Wait()
	// It continues after the last kill too, unless there is no room.
	_, before, _ := survivor.counts()
	for {
		_, done, full := survivor.counts()
		if done > before || full {
			break
		}
		select {
		case <-survivor.ended:
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}
	r.writers = append(r.writers, survivor)
	return r.started, errors.Join(append(r.errs, survivor.finish())...)
}

// verify compares what is on the device with what the writers reported.
func (r *killRound) verify(t *testing.T) {
	report, err := Check(r.path)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	fresh, err := Open(r.path, withDevices(r.path), WithSystemUUID(testHost))
	require.NoError(t, err)
	defer fresh.Close()
	for _, fsys := range []*FS{r.reader, r.own} {
		_, err := fsys.Refresh()
		require.NoError(t, err)
		require.Equal(t, fresh.Usage(), fsys.Usage(), "who saw it all and who comes anew agree")
	}
	require.Equal(t, fresh.Usage(), report.Usage)
	assertExclusive(t, fresh)
	requireNoneMissing(t, fresh)

	// What is there, by writers, whose names begin with their number; that of the others is own's.
	there := map[int]fstest.MapFS{}
	require.NoError(t, fs.WalkDir(fresh, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		number, _, _ := strings.Cut(name, "-")
		of, err := strconv.Atoi(number)
		if err != nil {
			of = -1
		}
		if there[of] == nil {
			there[of] = fstest.MapFS{}
		}
		if d.IsDir() {
			there[of][name] = &fstest.MapFile{Mode: fs.ModeDir}
			return nil
		}
		data, err := fresh.ReadFile(name)
		there[of][name] = &fstest.MapFile{Data: data}
		return err
	}))
	require.Empty(t, killDifference(r.made, there[-1]))
	delete(there, -1)
	for i, w := range r.writers {
		begun, done, full := w.counts()
		require.LessOrEqual(t, begun-done, 1)
		before, after := fstest.MapFS{}, fstest.MapFS{}
		var last *killOp // not done
		for n := range begun {
			o := newKillOp(r.seed, w.number, n, r.unit)
			if n == done {
				last = o
			} else if !w.refused[n] {
				o.apply(before)
			}
		}
		found := there[w.number]
		delete(there, w.number)
		r.stats.operations += done
		difference := killDifference(before, found)
		if last != nil {
			maps.Copy(after, before)
			last.apply(after)
		}
		whole := last != nil && killDifference(after, found) == ""
		if last != nil && last.kind == "copy" && !whole { // of which any file may be there
			for name, file := range found {
				if want := after[name]; before[name] == nil && want != nil && killDifference(fstest.MapFS{name: want}, fstest.MapFS{name: file}) == "" {
					before[name] = want
				}
			}
			difference = killDifference(before, found)
		}
		if !whole {
			require.Empty(t, difference, "writer %d, of whose operations %d were done, and then %+v", w.number, done, last)
		}
		switch {
		case i == len(r.writers)-1: // which was not killed
		case last == nil || full:
			r.stats.idle++
		default:
			r.stats.during[last.kind]++
			if whole {
				r.stats.whole[last.kind]++
			}
		}
	}
	require.Empty(t, there, "begun by nobody")
	u := fresh.Usage()
	r.stats.files += u.Files
	r.stats.dirs += u.Dirs

	// The remaining file system can still be used.
	if u.LogUsed < u.LogCapacity && u.Free > 0 {
		require.NoError(t, r.own.WriteFile("last", []byte("x"), 0o644))
		_, err = fresh.Refresh()
		require.NoError(t, err)
		data, err := fresh.ReadFile("last")
		require.NoError(t, err)
		require.Equal(t, "x", string(data))
	}
}

// killDifference says in what two trees differ, or nothing.
func killDifference(want, found fstest.MapFS) string {
	for name, file := range found {
		switch w := want[name]; {
		case w == nil:
			return name + " is there"
		case w.Mode.IsDir() != file.Mode.IsDir():
			return name + " is of another kind"
		case !bytes.Equal(w.Data, file.Data):
			return fmt.Sprintf("%s has %d bytes of other content than the %d that were written", name, len(file.Data), len(w.Data))
		}
	}
	for name := range want {
		if found[name] == nil {
			return name + " is missing"
		}
	}
	return ""
}

// killCount is the number of writers to kill.
func killCount(t *testing.T) int {
	t.Helper()
	if s := os.Getenv("FAMFS_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err, "FAMFS_KILLS")
		return n
	}
	n := 100
	switch {
	case testing.Short(), os.Getenv("FAMFS_TEST_SCENARIO") != "":
		n = 20 // in guests processors are emulated
	case thorough():
		n = 1000
	}
	if raceEnabled {
		n /= 5
	}
	return n
}

func TestKilledWriters(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	device, kills, seed := testBacking(t, killDevice), killCount(t), testSeed(t)
	onFile := os.Getenv("FAMFS_TEST_DEVICE") == ""
	stats := &killStats{during: map[string]int{}, whole: map[string]int{}}
	begin := time.Now()
	for stats.kills < kills && !t.Failed() {
		require.NoError(t, Format(device, WithSystemUUID(testHost), Force()))
		r := &killRound{
			path: device, seed: seed + uint64(stats.rounds), unit: defaultUnit, rng: rand.New(rand.NewPCG(seed, uint64(stats.rounds))),
			stats: stats, first: 1000 * stats.rounds, made: fstest.MapFS{},
		}
		if onFile && stats.rounds%2 == 1 {
			// Many more files fit, so that it is the log that fills.
			r.unit = smallUnit
			setUnit(t, device, smallUnit)
		}
		r.reader, r.own = openTest(t, device), openTest(t, device, ReadWrite(), WithLockTimeout(time.Minute))
		n, err := r.run(min(killsPerRound, kills-stats.kills))
		require.NoError(t, err, "seed %d, round %d", seed, stats.rounds)
		stats.kills += n
		stats.rounds++
		if r.full {
			stats.full++
		}
		r.verify(t)
		require.NoError(t, r.reader.Close())
		require.NoError(t, r.own.Close())
	}
	t.Logf("%d kills in %v, %d rounds, %d of which filled the device or its log: %d operations done, %d files and %d directories found",
		stats.kills, time.Since(begin).Round(time.Millisecond), stats.rounds, stats.full, stats.operations, stats.files, stats.dirs)
	t.Logf("killed between operations: %d", stats.idle)
	for _, kind := range killKinds {
		t.Logf("killed during %s: %d, of which took effect: %d", kind, stats.during[kind], stats.whole[kind])
	}
	assert.Equal(t, kills, stats.kills)
	assert.Positive(t, stats.operations, "otherwise nothing was shown")
	assert.Positive(t, stats.files+stats.dirs)
}

// setUnit changes the allocation unit of an empty file system, which no formatter does.
func setUnit(t testing.TB, device string, unit uint64) {
	t.Helper()
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	f := &forgery{t: t, path: device, file: file}
	f.superblock(put64(32, unit), nil)
}
