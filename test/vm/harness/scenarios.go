//go:build linux && amd64

// The scenarios. Each is data; those in which guests come and go also have a function.
//
// What tests find in a guest: /dev/dax0.0 or /dev/pmem0, root, a working folder with testdata in
// it, a machine id of the guest's own, no network, and in the environment
//
//	FAMFS_TEST_DEVICE     what to open: /dev/dax0.0, /dev/pmem0, or a file on ext4 with DAX
//	FAMFS_TEST_SCENARIO   the name of the scenario, without the architecture before it
//	FAMFS_TEST_ROLE       the name of the guest: host, master, client1, client2, ...
//	FAMFS_TEST_SEED       a number, the same in all guests of a run
//	FAMFS_TEST_ROUND      in poweroff, for the master: the round, from 0; in the one that equals FAMFS_TEST_ROUNDS power stays on
//
// Tests tell the harness that they have reached the point it waits for with a line "@@READY" on
// stdout.
//
// Not here: how a guest is booted (guest.go), and what the tests check.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"time"
)

type scenario struct {
	name, about string
	arch        *arch // of its guests
	size        int64 // of the shared memory; a whole number of MiB
	ext4        bool  // the shared memory holds an empty ext4 from the beginning
	limit       time.Duration
	guests      []guestSpec
	play        func(*stage) error // nil: all guests at once, each to its end
}

type guestSpec struct {
	name    string // its role
	label   string // distinguishes it from other guests of that name in the output
	device  string // a key of devices
	prepare string // a script in guest/ that runs before the tests
	run     string // which tests, without blanks
	bench   string // which benchmarks, each once; "" for none
	short   bool   // tests take less time, at the price of thoroughness
	command bool   // the tests are those of cmd/famfs
	env     []string
	ram     int // MiB
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

const powerCuts = 10

// touchesDevice are the tests that another kind of device may change the outcome of. The others run on
// the same processor and on the same kind of device in other scenarios.
const touchesDevice = "^Test(VM|Map|View|Create|Commit|Seal|Verify|Scrub|Fault|Open|Format|Device|Cache|Line|Machine|Disk|Grow|Queue|Host|Small|Large|ReadFrom|Remove|Reuse|Bad|Copy)"

var scenarios = []*scenario{
	{
		name: "devdax", about: "the whole suite, on /dev/dax0.0",
		arch: amd64, size: 4 * gib, limit: 6 * time.Minute,
		guests: []guestSpec{{name: "host", device: "devdax", run: ".", ram: 2048}},
	},
	{
		name: "benchmarks", about: "benchmarks of what maps the device, once, on /dev/dax0.0: that they work, not how fast",
		arch: amd64, size: 6 * gib, limit: 6 * time.Minute,
		guests: []guestSpec{{name: "host", device: "devdax", run: "^$", bench: "Map|View|Create|Parallel|Queue", ram: 4096}},
	},
	{
		name: "fsdax", about: "the suite, shortened, on a file on ext4 mounted with -o dax=always",
		arch: amd64, size: 4 * gib, ext4: true, limit: 6 * time.Minute,
		guests: []guestSpec{{
			name: "host", device: "pmem", prepare: "fsdax", run: ".", short: true, ram: 2048,
			env: []string{"VM_MODULES=nd_e820 nd_pmem crc32c_generic ext4", "VM_FILE_SIZE=1536M", "FAMFS_TEST_DEVICE=/mnt/dax/device"},
		}},
	},
	{
		name: "arm64-devdax", about: "the suite, shortened, on arm64 and /dev/dax0.0, made of persistent memory",
		arch: arm64, size: 4 * gib, limit: 6 * time.Minute,
		guests: []guestSpec{{
			name: "host", device: "pmem-region", prepare: "pmemdax", run: ".", short: true, ram: 2048,
			env: []string{"VM_MODULES=of_pmem nd_pmem dax_pmem device_dax", "FAMFS_TEST_DEVICE=/dev/dax0.0"},
		}},
	},
	{
		name: "arm64-fsdax", about: "tests of what touches the device, on arm64 and a file on ext4 mounted with -o dax=always",
		arch: arm64, size: 4 * gib, ext4: true, limit: 6 * time.Minute,
		guests: []guestSpec{{
			name: "host", device: "pmem-region", prepare: "fsdax", run: touchesDevice, short: true, ram: 2048,
			env: []string{"VM_MODULES=of_pmem nd_pmem crc32c_generic ext4", "VM_FILE_SIZE=1536M", "FAMFS_TEST_DEVICE=/mnt/dax/device"},
		}},
	},
	{
		name: "unbound", about: "a devdax device that no driver holds",
		arch: amd64, size: gib, limit: time.Minute,
		guests: []guestSpec{{name: "host", device: "devdax", prepare: "unbound", run: "^TestVMUnbound$", ram: 512}},
	},
	{
		name: "kmem", about: "a devdax device that serves as system RAM",
		arch: amd64, size: gib, limit: time.Minute,
		guests: []guestSpec{{name: "host", device: "devdax", prepare: "kmem", run: "^TestVMSystemRAM$", ram: 512}},
	},
	{
		name: "unplugged", about: "a devdax device that is unbound while it is mapped",
		arch: amd64, size: gib, limit: time.Minute,
		guests: []guestSpec{{name: "host", device: "devdax", run: "^TestVMUnplugged$", ram: 512}},
	},
	{
		name: "poison", about: "memory of a devdax device that the kernel takes for poisoned",
		arch: amd64, size: gib, limit: 2 * time.Minute,
		guests: []guestSpec{{name: "host", device: "devdax", run: "^TestVMPoison$", ram: 512}},
	},
	{
		name: "poison-fsdax", about: "the same of a file on ext4 with DAX",
		arch: amd64, size: gib, ext4: true, limit: 2 * time.Minute,
		guests: []guestSpec{{
			name: "host", device: "pmem", prepare: "fsdax", run: "^TestVMPoison$", ram: 768,
			env: []string{"VM_MODULES=nd_e820 nd_pmem crc32c_generic ext4", "VM_FILE_SIZE=512M", "FAMFS_TEST_DEVICE=/mnt/dax/device"},
		}},
	},
	{
		name: "badblocks", about: "bad blocks that the system lists, under a file on ext4 with DAX",
		arch: amd64, size: gib, ext4: true, limit: 2 * time.Minute,
		guests: []guestSpec{{
			name: "host", device: "pmem", prepare: "fsdax", run: "^TestVMBadBlocks$", ram: 768,
			env: []string{"VM_MODULES=nd_e820 nd_pmem crc32c_generic ext4", "VM_FILE_SIZE=512M", "FAMFS_TEST_DEVICE=/mnt/dax/device"},
		}},
	},
	{
		name: "nodes", about: "writers through several nodes of one devdax device, in namespaces as containers have them",
		arch: amd64, size: gib, limit: time.Minute,
		guests: []guestSpec{{name: "host", device: "devdax", run: "^(TestVMNodes|TestLockProcess|TestHostLock.*|TestTwoNodes.*|TestOnSystemNodes)$", ram: 512}},
	},
	{
		name: "mount", about: "famfs mount on /dev/dax0.0, as programs see it, until the device is taken away",
		arch: amd64, size: gib, limit: 2 * time.Minute,
		guests: []guestSpec{{
			name: "host", device: "devdax", command: true, run: "^TestMount(Device|Ends|FollowsMaster|FormattedAnewInUse|MemoryFailsInUse)$", ram: 1024,
			env: []string{"VM_MODULES=device_dax dax_hmem fuse"},
		}},
	},
	{
		name: "pmem", about: "/dev/pmem0 itself, a block device without DAX",
		arch: amd64, size: gib, limit: time.Minute,
		guests: []guestSpec{{name: "host", device: "pmem", run: "^TestVMBlockDevice$", ram: 512}},
	},
	{
		name: "hosts", about: "four guests at once on one memory: a master and three clients",
		arch: amd64, size: 6 * gib, limit: 4 * time.Minute,
		guests: []guestSpec{
			{name: "master", device: "devdax", run: "^TestVMHosts", ram: 512},
			{name: "client1", device: "devdax", run: "^TestVMHosts", ram: 512},
			{name: "client2", device: "devdax", run: "^TestVMHosts", ram: 512},
			{name: "client3", device: "devdax", run: "^TestVMHosts", ram: 512},
		},
	},
	{
		name: "devices", about: "two guests on the same three devices, which have other names on each; one is unbound while it is used",
		arch: amd64, size: 1536 * mib, limit: 3 * time.Minute,
		guests: []guestSpec{
			{name: "master", device: "devdax", prepare: "threedax", run: "^TestVMDevices$", ram: 512, env: []string{"VM_DAX_NAMES=dax0.0 dax0.1 dax0.2", "FAMFS_TEST_DEVICE=/dev/dax0.0"}},
			{name: "client1", device: "devdax", prepare: "threedax", run: "^TestVMDevices$", ram: 512, env: []string{"VM_DAX_NAMES=dax0.1 dax0.2 dax0.0", "FAMFS_TEST_DEVICE=/dev/dax0.1"}},
		},
	},
	{
		name: "queue", about: "a producer on one host and a consumer on another; the producer's power is cut once, and processes of both are killed",
		arch: amd64, size: gib, limit: 6 * time.Minute, play: playQueue,
		guests: []guestSpec{
			{name: "master", device: "devdax", run: "^TestVMQueueConsumer$", ram: 512},
			{name: "client1", device: "devdax", run: "^TestVMQueueProducer$", ram: 512},
		},
	},
	{
		name: "reuse", about: "a file is removed that three clients have mapped; a process of one is stopped, and all of another, which is evicted",
		arch: amd64, size: 256 * mib, limit: 4 * time.Minute, play: playReuse,
		guests: []guestSpec{
			{name: "master", device: "devdax", run: "^TestVMReuse$", ram: 512},
			{name: "client1", device: "devdax", run: "^TestVMReuse$", ram: 512},
			{name: "client2", device: "devdax", run: "^TestVMReuse$", ram: 512},
			{name: "client3", device: "devdax", run: "^TestVMReuse$", ram: 512},
		},
	},
	{
		name: "poweroff", about: fmt.Sprintf("the master loses power %d times while it creates files, two clients stay up", powerCuts),
		arch: amd64, size: 16 * gib, limit: 4 * time.Minute, play: playPoweroff,
		guests: []guestSpec{
			{name: "master", device: "devdax", run: "^TestVMPoweroffMaster$", ram: 768},
			{name: "client1", device: "devdax", run: "^TestVMPoweroffClient$", ram: 768},
			{name: "client2", device: "devdax", run: "^TestVMPoweroffClient$", ram: 768},
		},
	},
}

// stage is a scenario while it is played.
type stage struct {
	h      *harness
	sc     *scenario
	ctx    context.Context
	mem    *os.File // the shared memory
	guests []*guest // all that were started
	count  int
}

type result struct {
	took   time.Duration
	counts testCounts
	err    error
}

func (h *harness) play(ctx context.Context, sc *scenario) (r result) {
	began := time.Now()
	defer func() { r.took = time.Since(began) }()
	if ctx.Err() != nil {
		r.err = fmt.Errorf("not run: %w", context.Cause(ctx))
		return r
	}
	h.say("%s: %s", sc.name, sc.about)
	ctx, cancel := context.WithTimeoutCause(ctx, sc.limit, fmt.Errorf("the scenario took longer than %v", sc.limit))
	defer cancel()
	mem, err := memoryFile(sc.size)
	if err != nil {
		r.err = fmt.Errorf("making the shared memory: %w", err)
		return r
	}
	defer mem.Close()
	if sc.ext4 {
		if r.err = makeExt4(ctx, mem); r.err != nil {
			return r
		}
	}
	s := &stage{h: h, sc: sc, ctx: ctx, mem: mem}
	if sc.play != nil {
		r.err = sc.play(s)
	} else {
		for _, spec := range sc.guests {
			if _, err := s.start(spec); err != nil {
				r.err = err
				break
			}
		}
	}
	// The remaining guests run to their end, but not if the result is decided already.
	if r.err != nil {
		s.killAll()
	}
	return s.finish(r)
}

// makeExt4 lays the file system out so that blocks of files, and so the page faults, can be 2
// MiB: no copies of the superblock lie in between. It is made here, because guests of another
// architecture do not have the tool.
func makeExt4(ctx context.Context, mem *os.File) error {
	cmd := command(ctx, "mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "sparse_super2", "-E", "stride=512,stripe_width=512,num_backup_sb=0", "/proc/self/fd/3")
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.ExtraFiles = []*os.File{mem}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making an ext4 on the shared memory: %w\n%s", err, out)
	}
	return nil
}

// finish waits for all guests. If one fails, the others may wait for it in vain: they get a
// moment to report that.
func (s *stage) finish(r result) result {
	const grace = 15 * time.Second
	type ending struct {
		counts testCounts
		err    error
	}
	endings := make(chan ending)
	for _, g := range s.guests {
		go func() {
			c, err := g.wait()
			endings <- ending{c, err}
		}()
	}
	settled := r.err != nil
	for range s.guests {
		e := <-endings
		r.counts.passed += e.counts.passed
		r.counts.failed += e.counts.failed
		r.counts.skipped += e.counts.skipped
		if !errors.Is(r.err, e.err) {
			r.err = errors.Join(r.err, e.err)
		}
		if e.err != nil && !settled {
			settled = true
			defer time.AfterFunc(grace, s.killAll).Stop()
		}
	}
	return r
}

func (s *stage) killAll() {
	for _, g := range s.guests {
		g.cancel(errors.New("the scenario had failed already"))
	}
}

var (
	ready  = regexp.MustCompile(`^\s*@@READY\b`)
	resume = regexp.MustCompile(`^\s*@@RESUME\b`)
)

// playPoweroff cuts the master's power again and again at a random moment, and boots the master
// again on the same memory.
func playPoweroff(s *stage) error {
	const patience = 45 * time.Second
	rng := rand.New(rand.NewPCG(uint64(s.h.opts.seed), 0))
	master, others := s.sc.guests[0], s.sc.guests[1:]
	var clients []*guest
	for round := 0; ; round++ {
		spec := master
		spec.label = fmt.Sprintf("#%d", round)
		spec.env = []string{fmt.Sprintf("FAMFS_TEST_ROUND=%d", round), fmt.Sprintf("FAMFS_TEST_ROUNDS=%d", powerCuts)}
		m, err := s.start(spec)
		if err != nil {
			return err
		}
		if round == 0 {
			for _, o := range others {
				c, err := s.start(o)
				if err != nil {
					return err
				}
				clients = append(clients, c)
			}
		}
		if round == powerCuts {
			return nil
		}
		for _, g := range append([]*guest{m}, clients...) {
			if err := g.waitLine(ready, patience); err != nil {
				return err
			}
		}
		delay := time.Duration(rng.IntN(1500)) * time.Millisecond
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
		if err := m.cutPower(); err != nil {
			return err
		}
		s.h.say("%s: round %d: power cut %v after the master was ready", s.sc.name, round, delay)
		var gone []string
		for _, c := range clients {
			if c.ended() {
				gone = append(gone, c.name)
			}
		}
		if len(gone) > 0 {
			return fmt.Errorf("round %d: %s ended before the last round", round, strings.Join(gone, " and "))
		}
	}
}

// playQueue cuts the power of the producer once, at a moment that chance decides, and boots it anew while the consumer stays up.
func playQueue(s *stage) error {
	const patience = 90 * time.Second
	rng := rand.New(rand.NewPCG(uint64(s.h.opts.seed), 0))
	if _, err := s.start(s.sc.guests[0]); err != nil {
		return err
	}
	for round := range 2 {
		spec := s.sc.guests[1]
		spec.label = fmt.Sprintf("#%d", round)
		spec.env = []string{fmt.Sprintf("FAMFS_TEST_ROUND=%d", round)}
		p, err := s.start(spec)
		if err != nil || round == 1 {
			return err
		}
		if err := p.waitLine(ready, patience); err != nil {
			return err
		}
		delay := time.Duration(rng.IntN(500)) * time.Millisecond
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
		if err := p.cutPower(); err != nil {
			return err
		}
		s.h.say("%s: power cut %v after the producer had put an eighth", s.sc.name, delay)
	}
	return nil
}

// playReuse stops the last client as a whole once it is ready, and lets it go on when the master says so.
func playReuse(s *stage) error {
	const patience = 100 * time.Second
	for _, spec := range s.sc.guests {
		if _, err := s.start(spec); err != nil {
			return err
		}
	}
	master, paused := s.guests[0], s.guests[len(s.guests)-1]
	if err := paused.waitLine(ready, patience); err != nil {
		return err
	}
	if err := paused.stop(true); err != nil {
		return err
	}
	if err := master.waitLine(resume, patience); err != nil {
		return err
	}
	return paused.stop(false)
}
