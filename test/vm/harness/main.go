//go:build linux && amd64

// Harness boots QEMU guests that share one memory as a DAX device, and runs the compiled tests
// of the library in them. test/vm/run starts it, after installing the packages.
//
// Here: flags, the order of the work, the summary. Not here: what a scenario consists of
// (scenarios.go), how a guest is started and ended (guest.go), its machine (machine.go), and
// what it boots (kernel.go, initramfs.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"time"
)

type options struct {
	run     *regexp.Regexp
	list    bool
	verbose bool
	keep    bool
	bin     string
	kernel  string
	accel   string
	seed    int64
	procs   int
	timeout time.Duration
}

// harness is the state that all scenarios of one run share.
type harness struct {
	opts    options
	cache   string // kept from run to run
	logs    string // of this run
	outfits map[*arch]*outfit
	out     sync.Mutex // held to print a block of lines
}

func main() {
	opts, err := parseFlags()
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		os.Exit(2)
	}
	if opts.list {
		for _, sc := range scenarios {
			fmt.Printf("%-12s  %s\n", sc.name, sc.about)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, opts.timeout, fmt.Errorf("the whole run took longer than %v", opts.timeout))
	defer cancel()
	ok, err := runAll(ctx, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
	}
	if err != nil || !ok {
		fmt.Println("FAIL")
		stop()
		os.Exit(1)
	}
	fmt.Println("PASS")
}

func parseFlags() (options, error) {
	var o options
	run := flag.String("run", "", "run only scenarios whose name matches this `regexp`")
	flag.BoolVar(&o.list, "list", false, "list the scenarios and do nothing else")
	flag.BoolVar(&o.verbose, "v", false, "show the output and the console of every guest while it runs")
	flag.BoolVar(&o.keep, "keep", false, "keep the logs of all guests")
	flag.StringVar(&o.bin, "bin", "", "use this test `binary` instead of building one, in guests of amd64")
	flag.StringVar(&o.kernel, "kernel", "linux-image-amd64", "kernel `package` that guests of amd64 boot; a package that stands for the newest one is followed")
	flag.StringVar(&o.accel, "accel", "auto", "auto, kvm or tcg, for guests of amd64; others are always emulated")
	flag.Int64Var(&o.seed, "seed", time.Now().UnixNano()%1e9, "seed of everything random")
	flag.IntVar(&o.procs, "p", runtime.NumCPU(), "how many guests of scenarios with one guest run at once")
	flag.DurationVar(&o.timeout, "timeout", 18*time.Minute, "time limit of the whole")
	flag.Parse()
	if flag.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q; scenarios are chosen by -run", flag.Arg(0))
	}
	var err error
	if o.run, err = regexp.Compile(*run); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	if o.procs < 1 {
		return o, fmt.Errorf("-p is %d, at least 1 is needed", o.procs)
	}
	return o, nil
}

func runAll(ctx context.Context, opts options) (bool, error) {
	var chosen []*scenario
	for _, sc := range scenarios {
		if opts.run.MatchString(sc.name) {
			chosen = append(chosen, sc)
		}
	}
	if len(chosen) == 0 {
		return false, fmt.Errorf("no scenario matches -run %q; -list shows them", opts.run)
	}
	h := &harness{opts: opts, outfits: make(map[*arch]*outfit)}
	began := time.Now()
	done, err := h.prepare(ctx, chosen)
	if err != nil {
		return false, err
	}
	defer done()
	for a, o := range h.outfits {
		h.say("%s: kernel %s, %s", a.name, o.kernel.version, o.accel.name)
	}
	h.say("seed %d, ready to boot after %.1fs", opts.seed, time.Since(began).Seconds())

	// Scenarios with one guest share the processors. A scenario with several guests runs alone,
	// because its time limits concern how long one guest waits for another.
	results := make(map[*scenario]result)
	var mu sync.Mutex
	one := func(sc *scenario) {
		r := h.play(ctx, sc)
		mu.Lock()
		results[sc] = r
		mu.Unlock()
	}
	var wg sync.WaitGroup
	alone := make(chan *scenario)
	for range opts.procs {
		wg.Go(func() {
			for sc := range alone {
				one(sc)
			}
		})
	}
	for _, sc := range chosen {
		if len(sc.guests) == 1 {
			alone <- sc
		}
	}
	close(alone)
	wg.Wait()
	for _, sc := range chosen {
		if len(sc.guests) > 1 {
			one(sc)
		}
	}

	ok := true
	fmt.Println()
	for _, sc := range chosen {
		r := results[sc]
		verdict := "ok  "
		if r.err != nil {
			verdict, ok = "FAIL", false
		}
		fmt.Printf("%s\t%-12s\t%.1fs\t%s\n", verdict, sc.name, r.took.Seconds(), r.counts)
	}
	for _, sc := range chosen {
		if err := results[sc].err; err != nil {
			fmt.Printf("\n%s: %v\n", sc.name, err)
		}
	}
	return ok, nil
}

// prepare makes everything that guests boot from. It returns a function that removes what only
// this run needed.
func (h *harness) prepare(ctx context.Context, chosen []*scenario) (func(), error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	vm := filepath.Join(root, "test", "vm")
	if _, err := os.Stat(filepath.Join(vm, "run")); err != nil {
		return nil, fmt.Errorf("looking for the repository in %s: test/vm/run is not there; start the harness through it", root)
	}
	h.cache = filepath.Join(vm, ".cache")
	if err := os.MkdirAll(h.cache, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockCache(ctx, h.cache)
	if err != nil {
		return nil, err
	}
	defer unlock()

	for _, sc := range chosen {
		if h.outfits[sc.arch] == nil {
			if h.outfits[sc.arch], err = h.outfit(ctx, root, sc.arch); err != nil {
				return nil, err
			}
		}
		for _, g := range sc.guests {
			if o := h.outfits[sc.arch]; g.command && o.command == nil {
				if o.command, err = h.tests(ctx, filepath.Join(root, "cmd", "famfs"), "command", sc.arch); err != nil {
					return nil, err
				}
			}
		}
	}
	old, _ := filepath.Glob(filepath.Join(h.cache, "logs-*"))
	for _, dir := range old {
		if st, err := os.Stat(dir); err == nil && time.Since(st.ModTime()) > 24*time.Hour {
			os.RemoveAll(dir)
		}
	}
	if h.logs, err = os.MkdirTemp(h.cache, "logs-"); err != nil {
		return nil, err
	}
	return func() {
		if h.opts.keep {
			h.say("logs are in %s", h.logs)
		} else {
			os.RemoveAll(h.logs)
		}
	}, nil
}

// outfit makes what all guests of one architecture boot.
func (h *harness) outfit(ctx context.Context, root string, a *arch) (_ *outfit, err error) {
	var o outfit
	pkg, bin := "linux-image-"+a.name, ""
	o.accel = arm64Acceleration
	if a == amd64 {
		pkg, bin = h.opts.kernel, h.opts.bin
		if o.accel, err = acceleration(h.opts.accel); err != nil {
			return nil, err
		}
	}
	if o.kernel, err = prepareKernel(ctx, h.cache, a, pkg); err != nil {
		return nil, err
	}
	base, err := prepareBase(ctx, h.cache, a, o.kernel)
	if err != nil {
		return nil, err
	}
	// Read it now, not when guests start: another harness may replace the file.
	if o.base, err = os.ReadFile(base); err != nil {
		return nil, err
	}
	if bin != "" {
		o.tests, err = testArchive(bin, filepath.Join(root, "testdata"))
	} else {
		o.tests, err = h.tests(ctx, root, "famfs", a)
	}
	if err != nil {
		return nil, err
	}
	return &o, nil
}

// tests builds those in dir, for guests of a, and packs them with their data.
func (h *harness) tests(ctx context.Context, dir, name string, a *arch) ([]byte, error) {
	bin := filepath.Join(h.cache, name+"."+a.name+".test")
	// If there are no tests, go test says so, succeeds, and leaves the binary of an earlier
	// run in place.
	os.Remove(bin)
	cmd := command(ctx, "go", "test", "-c", "-o", bin, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+a.name)
	out, err := cmd.CombinedOutput()
	if err == nil {
		_, err = os.Stat(bin)
	}
	if err != nil {
		return nil, fmt.Errorf("building the tests in %s for %s: %w\n%s", dir, a.name, err, out)
	}
	return testArchive(bin, filepath.Join(dir, "testdata"))
}

// lockCache prevents a second harness from downloading and building into the same folder.
func lockCache(ctx context.Context, dir string) (func(), error) {
	f, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another harness to finish with %s: %w", dir, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// command is exec.CommandContext with an end: it does not wait for a process that ignores the
// signal, or for a child that keeps the output open.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// say prints a line of progress to stderr, so that stdout has only the output of the tests.
func (h *harness) say(format string, args ...any) {
	h.out.Lock()
	defer h.out.Unlock()
	fmt.Fprintf(os.Stderr, "# "+format+"\n", args...)
}
