//go:build linux && amd64

// One guest: how its QEMU is started, watched and ended. A guest needs nothing on the host that
// has a name, and its QEMU dies with the harness, so nothing is left behind however the harness
// ends.
//
// Not here: which guests there are and what they do (scenarios.go).
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// accel is how QEMU runs the guests' instructions.
type accel struct {
	name string
	args []string
}

func acceleration(want string) (accel, error) {
	// maxcpus: with one processor, QEMU would emulate atomic instructions with ordinary ones,
	// and atomics across guests would not be atomic. Starting a second processor would make
	// everything much slower.
	tcg := accel{"tcg", []string{"-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max", "-smp", "1,maxcpus=2"}}
	kvm := accel{"kvm", []string{"-accel", "kvm", "-cpu", "host", "-smp", "1"}}
	usable := kvmUsable()
	switch {
	case want == "tcg" || want == "auto" && !usable:
		return tcg, nil
	case want == "auto" || want == "kvm" && usable:
		return kvm, nil
	case want == "kvm":
		return accel{}, errors.New("-accel kvm: the processor offers no virtualization here, or /dev/kvm is not there or makes no machines; use -accel tcg")
	}
	return accel{}, fmt.Errorf("-accel is %q, expected auto, kvm or tcg", want)
}

// hardwareVirtualization lists the processor flags for virtual machines. Without one of them,
// /dev/kvm may exist and make machines, but runs only specially built kernels.
var hardwareVirtualization = regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`)

// kvmUsable makes a virtual machine to find out, because the node also exists on hosts on which
// that fails.
func kvmUsable() bool {
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !hardwareVirtualization.Match(cpuinfo) {
		return false
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	const kvmCreateVM = 0xae01
	fd, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), kvmCreateVM, 0)
	if errno != 0 {
		return false
	}
	syscall.Close(int(fd))
	return true
}

type guest struct {
	h       *harness
	name    string // scenario/guest
	cmd     *exec.Cmd
	cancel  context.CancelCauseFunc // ends it; the cause becomes the verdict
	ctx     context.Context
	began   time.Time
	console string // path of its log
	done    chan struct{}

	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed at the next line
	rc      int           // status that init reported, or -1
	booted  string        // guest's uptime when the tests began, in seconds
	cut     bool          // powered off on purpose

	took    time.Duration // set before done is closed
	verdict func() (testCounts, error)
}

// environment is the environment of a guest's init and its tests. A spec's own variables come
// last, so that they override others.
func (s *stage) environment(spec guestSpec) []string {
	id := sha256.Sum256([]byte("machine of " + spec.name))
	// The tests have the shorter time limit, so that they can say where they hang.
	args := []string{"-test.v", "-test.run=" + spec.run, "-test.timeout=" + (s.sc.limit - 15*time.Second).String()}
	if spec.bench != "" {
		args = append(args, "-test.bench="+spec.bench, "-test.benchtime=1x")
	}
	if spec.short {
		args = append(args, "-test.short")
	}
	d := devices[spec.device]
	env := []string{
		"VM_NAME=" + spec.name,
		"VM_TERMINAL=" + s.sc.arch.terminal,
		fmt.Sprintf("VM_MACHINE_ID=%x", id[:16]),
		"VM_MODULES=" + d.modules,
		"VM_NODE=" + d.node,
		"VM_ARGS=" + strings.Join(args, " "),
		"FAMFS_TEST_DEVICE=" + d.node,
		"FAMFS_TEST_SCENARIO=" + strings.TrimPrefix(s.sc.name, s.sc.arch.name+"-"),
		"FAMFS_TEST_ROLE=" + spec.name,
		"FAMFS_TEST_SEED=" + strconv.FormatInt(s.h.opts.seed, 10),
	}
	return append(env, spec.env...)
}

// start boots a guest. The guest runs until it ends by itself, is killed, or the stage's time is
// over.
func (s *stage) start(spec guestSpec) (_ *guest, err error) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	g := &guest{
		h: s.h, name: s.sc.name + "/" + spec.name + spec.label, ctx: ctx, cancel: cancel, began: time.Now(),
		done: make(chan struct{}), changed: make(chan struct{}), rc: -1,
	}
	g.verdict = sync.OnceValues(g.report)
	var files []*os.File
	keep := func(f *os.File) *os.File { files = append(files, f); return f }
	defer func() {
		for _, f := range files {
			f.Close()
		}
		if err != nil {
			cancel(nil)
			err = fmt.Errorf("starting guest %s: %w", g.name, err)
		}
	}()

	arch := s.sc.arch
	outfit := s.h.outfits[arch]
	own, err := guestArchive(s.environment(spec), spec.prepare)
	if err != nil {
		return nil, err
	}
	initrd, err := memoryFile(0)
	if err != nil {
		return nil, err
	}
	keep(initrd)
	tests := outfit.tests
	if spec.command {
		tests = outfit.command
	}
	for _, part := range [][]byte{outfit.base, tests, own} {
		if _, err := initrd.Write(part); err != nil {
			return nil, fmt.Errorf("writing its initramfs: %w", err)
		}
	}
	machine, err := arch.machine(s, spec)
	if err != nil {
		return nil, err
	}
	dtb, err := memoryFile(0)
	if err != nil {
		return nil, err
	}
	keep(dtb)
	if _, err := dtb.Write(machine.dtb); err != nil {
		return nil, fmt.Errorf("writing its device tree: %w", err)
	}
	conRead, conWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	keep(conWrite)
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		conRead.Close()
		return nil, err
	}
	keep(outWrite)

	s.count++
	g.console = filepath.Join(s.h.logs, fmt.Sprintf("%s-%02d-%s.console", s.sc.name, s.count, spec.name))
	args := append([]string{
		"-no-reboot", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-net", "none",
		"-kernel", outfit.kernel.image, "-initrd", "/proc/self/fd/4",
		"-chardev", "file,id=con,path=/proc/self/fd/5", "-chardev", "file,id=out,path=/proc/self/fd/6",
		"-append", strings.Join([]string{
			"quiet panic=-1 oops=panic",
			// For a quick start.
			"mitigations=off nokaslr rcupdate.rcu_expedited=1 init_on_alloc=0 lsm=capability audit=0",
			machine.cmdline,
		}, " "),
	}, slices.Concat(machine.args, outfit.accel.args)...)
	g.cmd = exec.CommandContext(ctx, arch.qemu, args...)
	g.cmd.ExtraFiles = []*os.File{s.mem, initrd, conWrite, outWrite, dtb}
	var said bytes.Buffer
	g.cmd.Stdout, g.cmd.Stderr = &said, &said
	g.cmd.WaitDelay = 5 * time.Second
	// In its own process group, because the harness handles Ctrl-C: it decides what to do about
	// its guests.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	log, err := os.Create(g.console)
	if err != nil {
		conRead.Close()
		outRead.Close()
		return nil, err
	}
	var readers sync.WaitGroup
	readers.Go(func() { g.readConsole(conRead, log) })
	readers.Go(func() { g.readOutput(outRead) })

	started := make(chan error)
	go func() {
		// The death signal belongs to the thread that started the process, not to the whole
		// harness.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := g.cmd.Start()
		started <- err
		if err != nil {
			log.Close()
			return
		}
		g.cmd.Wait()
		g.took = time.Since(g.began)
		readers.Wait()
		for line := range strings.Lines(said.String()) {
			// A warning about max-ram-below-4g that holds for guests with large memory of their
			// own.
			if !strings.Contains(line, "possibly poor performance") {
				fmt.Fprintf(log, "QEMU: %s", line)
			}
		}
		log.Close()
		close(g.done)
		cancel(nil)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	s.guests = append(s.guests, g)
	return g, nil
}

// memoryFile makes a nameless file in memory, which disappears when its last user ends.
func memoryFile(size int64) (*os.File, error) {
	f, err := os.CreateTemp("/dev/shm", "famfs-vm-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (g *guest) readConsole(r io.ReadCloser, log *os.File) {
	defer r.Close()
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if line != "" {
			fmt.Fprintln(log, line)
			if g.h.opts.verbose {
				g.h.say("%s console: %s", g.name, line)
			}
		}
		if err != nil {
			return
		}
	}
}

func (g *guest) readOutput(r io.ReadCloser) {
	defer r.Close()
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadString('\n')
		if line != "" {
			g.take(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}

// take handles a line of the guest's output: a marker of init, or output of the tests.
func (g *guest) take(line string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if after, ok := strings.CutPrefix(line, "@@RC "); ok {
		if rc, err := strconv.Atoi(after); err == nil {
			g.rc = rc
			// After this the guest needs a moment to shut down.
			time.AfterFunc(10*time.Second, func() { g.cancel(nil) })
		}
	} else if after, ok := strings.CutPrefix(line, "@@START "); ok {
		g.booted = after
	} else if !strings.HasPrefix(line, "@@INIT ") {
		g.lines = append(g.lines, line)
		if g.h.opts.verbose {
			g.h.say("%s: %s", g.name, line)
		}
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// waitLine waits until the tests have printed a line that matches.
func (g *guest) waitLine(re *regexp.Regexp, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for at := 0; ; {
		g.mu.Lock()
		lines, changed, rc := g.lines[at:], g.changed, g.rc
		at = len(g.lines)
		g.mu.Unlock()
		for _, line := range lines {
			if re.MatchString(line) {
				return nil
			}
		}
		if rc >= 0 {
			return fmt.Errorf("%s: waiting for a line %s: the tests ended with status %d without it", g.name, re, rc)
		}
		select {
		case <-changed:
		case <-g.done:
			return fmt.Errorf("%s: waiting for a line %s: the guest ended without it", g.name, re)
		case <-timer.C:
			return fmt.Errorf("%s: waiting for a line %s: not printed within %v", g.name, re, limit)
		}
	}
}

// ended reports whether the tests in the guest are over.
func (g *guest) ended() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.done:
		return true
	default:
		return g.rc >= 0
	}
}

// cutPower ends the guest as a power failure does. The guest must still be working; otherwise
// the scenario did not test anything.
func (g *guest) cutPower() error {
	if g.ended() {
		return fmt.Errorf("%s: it ended before its power was to be cut; its tests must go on until then", g.name)
	}
	g.mu.Lock()
	g.cut = true
	g.mu.Unlock()
	g.cancel(nil)
	_, err := g.wait()
	return err
}

// stop stops the guest, with all its processors, or lets it go on.
func (g *guest) stop(stop bool) error {
	signal := syscall.SIGCONT
	if stop {
		signal = syscall.SIGSTOP
	}
	if err := g.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("%s: sending %v: %w", g.name, signal, err)
	}
	return nil
}

// wait waits for the guest's end, and returns what was wrong with it. The first caller also
// prints the output of the tests.
func (g *guest) wait() (testCounts, error) {
	<-g.done
	return g.verdict()
}

func (g *guest) report() (testCounts, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	counts, failed := count(g.lines)
	var err error
	switch {
	case g.cut && failed != "":
		err = fmt.Errorf("before its power was cut, it printed: %s", failed)
	case g.cut:
	case g.rc < 0 && context.Cause(g.ctx) != context.Canceled:
		err = fmt.Errorf("it was ended: %w", context.Cause(g.ctx))
	case g.rc < 0:
		err = errors.New("it ended without a status: its kernel crashed or its QEMU failed, the console tells")
	case g.rc >= 120 && g.rc <= 123: // statuses of init itself
		err = fmt.Errorf("it could not be brought to its tests: status %d", g.rc)
	case g.rc != 0:
		err = fmt.Errorf("its tests ended with status %d", g.rc)
	case counts.passed == 0:
		err = fmt.Errorf("no test passed (%d skipped): nothing was tested", counts.skipped)
	}

	g.h.out.Lock()
	defer g.h.out.Unlock()
	fmt.Printf("\n=== GUEST %s\n%s\n", g.name, strings.TrimRight(strings.Join(g.lines, "\n"), "\n"))
	verdict, note := "ok  ", fmt.Sprintf("(booted in %ss; %s)", g.booted, counts)
	if g.cut {
		verdict, note = "cut ", "(power cut on purpose)"
	}
	if err != nil {
		verdict = "FAIL"
		fmt.Printf("--- last lines of the console:\n%s\n", tail(g.console, 40))
	}
	fmt.Printf("%s\t%s\t%.1fs\t%s\n", verdict, g.name, g.took.Seconds(), note)
	if err != nil {
		err = fmt.Errorf("guest %s: %w", g.name, err)
	}
	return counts, err
}

type testCounts struct{ passed, failed, skipped int }

func (c testCounts) String() string {
	return fmt.Sprintf("%d passed, %d skipped, %d failed", c.passed, c.skipped, c.failed)
}

// count reads the verdicts of tests and the results of benchmarks. It ignores subtests, which
// are indented. It also returns the first line that reports a failure.
func count(lines []string) (c testCounts, failed string) {
	for _, line := range lines {
		bad := false
		switch {
		case strings.HasPrefix(line, "--- PASS"), strings.HasPrefix(line, "Benchmark") && strings.Contains(line, " ns/op"):
			c.passed++
		case strings.HasPrefix(line, "--- SKIP"):
			c.skipped++
		case strings.HasPrefix(line, "--- FAIL"):
			c.failed++
			bad = true
		case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
			bad = true
		}
		if bad && failed == "" {
			failed = line
		}
	}
	return c, failed
}

func tail(file string, n int) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
