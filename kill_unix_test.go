//go:build unix

package famfs

// Writers that are killed: processes on one device, each ended with SIGKILL at a random
// moment while it creates, copies and makes directories, while others go on. What a
// writer said it had begun, and what it said was done, is the measure of what must be
// found: everything that was done, nothing that was not begun, and nothing in parts.
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
	"slices"
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

	// killDevice is a device that fills up in some hundred kills.
	killDevice = 512 * mib
	// killsAtOnce are the writers that live at the same time, besides the one that
	// survives a round.
	killsAtOnce = 3
	// killsPerRound is how often a device is used before all of it is looked at.
	killsPerRound = 100
	// killWithin is how long a writer works at most.
	killWithin = 20 * time.Millisecond
)

// killOp is one operation of a writer. It follows from seed, writer and number alone,
// so that the test knows what the process did.
type killOp struct {
	kind string // "mkdir", "create", "interleave" or "copy"
	name string
	size int64
	opts []CreateOption
	seed uint64
}

var killKinds = []string{"mkdir", "create", "interleave", "copy"}

func newKillOp(seed uint64, writer, n int, unit int64) *killOp {
	rng := rand.New(rand.NewPCG(seed, uint64(writer)<<32|uint64(n)))
	o := &killOp{name: fmt.Sprintf("%d-%d", writer, n), seed: rng.Uint64()}
	switch k := rng.IntN(16); {
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
	default:
		o.kind = "copy"
	}
	return o
}

// tree is what o makes: files with their content, and directories.
func (o *killOp) tree() fstest.MapFS {
	file := func(i uint64, size int64) *fstest.MapFile {
		return &fstest.MapFile{Data: pattern(int(size), o.seed+i), Mode: 0o644}
	}
	switch o.kind {
	case "mkdir":
		return fstest.MapFS{o.name: {Mode: fs.ModeDir | 0o755}}
	case "copy":
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
	case "copy":
		src, err := fs.Sub(o.tree(), o.name)
		if err != nil {
			return err
		}
		return fsys.CopyFS(context.Background(), o.name, src, Workers(2))
	}
	p, err := fsys.Create(o.name, o.size, o.opts...)
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

// TestKilledWriter is what the processes run; by itself it does nothing. It says what it
// does in lines that begin with @@, each in one write, so that none is lost with it.
func TestKilledWriter(t *testing.T) {
	args := strings.Split(os.Getenv(killEnv), ",")
	if len(args) != 4 {
		t.Skip("serves the test that kills processes")
	}
	writer, err := strconv.Atoi(args[1])
	require.NoError(t, err)
	seed, err := strconv.ParseUint(args[2], 10, 64)
	require.NoError(t, err)
	fsys, err := Open(args[0], ReadWrite(), WithSystemUUID(testHost), WithLockTimeout(time.Minute))
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
		// Whoever has the lock would mostly have it again before others ask.
		if rng.IntN(2) == 0 || raceEnabled {
			time.Sleep(time.Duration(rng.IntN(rest)) * time.Microsecond)
		}
	}
}

// writerProcess is a writer as the test sees it.
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

// counts returns how many operations were begun and done, and whether the writer met
// the end of the device.
func (w *writerProcess) counts() (begun, done int, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun, w.done, w.full
}

// kill ends the writer at once. A writer that ended by itself had no reason to.
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

// finish lets the writer end what it does.
func (w *writerProcess) finish() error {
	w.stdin.Close()
	<-w.ended
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("writer %d, which was not killed: %w\n%s", w.number, err, strings.Join(w.other, "\n"))
	}
	return nil
}

// killStats is what a whole test came to.
type killStats struct {
	kills, rounds, full     int
	operations, files, dirs int
	idle                    int            // killed between two operations
	during                  map[string]int // killed in the midst of one, by kind
	whole                   map[string]int // and that one was there in the end, all of it
}

// killRound is one device, from formatting it to looking at what is left.
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

// next returns the number of the next writer to kill and how long it is to work; false
// if the round is over.
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

// after is what others do when w has just died: a reader follows, and a writer writes.
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
	// After the last kill too it goes on, unless there is no room.
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

// verify compares what is on the device with what the writers said.
func (r *killRound) verify(t *testing.T) {
	report, err := Check(r.path)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	fresh, err := Open(r.path, WithSystemUUID(testHost))
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

	must, may := maps.Clone(r.made), fstest.MapFS{}
	interrupted := map[*writerProcess]*killOp{}
	for _, w := range r.writers {
		begun, done, full := w.counts()
		require.LessOrEqual(t, begun-done, 1)
		for n := range begun {
			o := newKillOp(r.seed, w.number, n, r.unit)
			switch {
			case w.refused[n]:
			case n < done:
				maps.Copy(must, o.tree())
			default:
				maps.Copy(may, o.tree())
				if !full {
					interrupted[w] = o
				}
			}
		}
		r.stats.operations += done
	}
	there := map[string]bool{}
	require.NoError(t, fs.WalkDir(fresh, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		there[name] = true
		want := must[name]
		if want == nil {
			want = may[name]
		}
		if want == nil {
			return fmt.Errorf("%s was begun by nobody", name)
		}
		if d.IsDir() != want.Mode.IsDir() {
			return fmt.Errorf("%s: directory is %v", name, d.IsDir())
		}
		if d.IsDir() {
			return nil
		}
		data, err := fresh.ReadFile(name)
		if err == nil && !bytes.Equal(data, want.Data) {
			err = fmt.Errorf("%s has %d bytes of other content than the %d that were written", name, len(data), len(want.Data))
		}
		return err
	}))
	for _, name := range slices.Sorted(maps.Keys(must)) {
		require.True(t, there[name], "%s was done before its writer was killed", name)
	}
	for _, w := range r.writers[:len(r.writers)-1] {
		o := interrupted[w]
		if o == nil {
			r.stats.idle++
			continue
		}
		r.stats.during[o.kind]++
		whole := true
		for name := range o.tree() {
			whole = whole && there[name]
		}
		if whole {
			r.stats.whole[o.kind]++
		}
	}
	u := fresh.Usage()
	r.stats.files += u.Files
	r.stats.dirs += u.Dirs

	// There is still work to be done on what is left.
	if u.LogUsed < u.LogCapacity && u.Free > 0 {
		require.NoError(t, r.own.WriteFile("last", []byte("x"), 0o644))
		_, err = fresh.Refresh()
		require.NoError(t, err)
		data, err := fresh.ReadFile("last")
		require.NoError(t, err)
		require.Equal(t, "x", string(data))
	}
}

// killCount is how many writers are to be killed.
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
