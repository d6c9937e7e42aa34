//go:build !386 && !arm && !mips && !mipsle

package main

// Serving a mount through FUSE: what the system must have, mounting, the end, and going
// into the background. What is served: mount_nodes_linux.go, mount_file_linux.go,
// mount_view_linux.go.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/moby/sys/mountinfo"

	"famfs"
)

func isDeadMount(err error) bool { return errors.Is(err, syscall.ENOTCONN) }

// mount mounts and serves until the mount is gone.
func (a *app) mount(o mountOptions) error {
	ready, inBackground := readyPipe()
	if o.background && !inBackground {
		return a.startInBackground(o)
	}
	// A mount whose process dies is of no use to anybody, so a closed stderr must not kill it.
	signal.Ignore(syscall.SIGPIPE)
	if err := checkMountPoint(o.dir, o.nonEmpty); err != nil {
		return localFailed(o.dir, err)
	}
	if err := checkFUSE(); err != nil {
		return localFailed(o.dir, err)
	}
	dir, err := filepath.EvalSymlinks(o.dir) // as the list of mounts has it
	if err != nil {
		return localFailed(o.dir, err)
	}
	o.dir = dir
	signaled, stop := interruptible()
	defer stop()
	ctx, cancel := context.WithCancel(signaled)
	defer cancel()
	reporter := &mountReporter{app: a}
	m, err := newMounted(ctx, o, func() (*famfs.FS, error) { return a.open(o.device) }, reporter.say)
	if err != nil {
		return err
	}
	defer m.close()
	a.reportLeftOut(m.now.Load().fsys, target{device: o.device, name: "."})
	server, place, err := m.serve(reporter)
	if err != nil {
		return localFailed(o.dir, fmt.Errorf("mounting: %w", err))
	}
	var following sync.WaitGroup
	following.Go(func() { m.follow(ctx) })
	defer following.Wait()
	defer cancel()

	if inBackground {
		if err := detach(ready, o.log); err != nil {
			place.unmountInUse()
			return err
		}
	} else {
		fmt.Fprintf(a.out, "%s: mounted on %s, until Ctrl-C or umount\n", a.displayName(o.device), a.displayName(o.dir))
	}
	ended := make(chan struct{})
	go func() { server.Wait(); close(ended) }()
	select {
	case <-ended: // by umount
		return nil
	case <-signaled.Done():
	}
	if err := a.unmount(server, place, ended); err != nil {
		return localFailed(o.dir, fmt.Errorf("unmounting: %w", err))
	}
	return nil // a signal is how it ends
}

// unmount unmounts, and waits until nobody uses what was mounted. What is in use is taken out
// of sight: a process that is told to end, and killed if it does not, leaves nothing behind.
func (a *app) unmount(server *fuse.Server, place *mountedAt, ended <-chan struct{}) error {
	if err := place.isOurs(); err != nil {
		return err
	}
	if server.Unmount() != nil {
		err := place.unmountInUse()
		select {
		case <-ended: // by somebody else meanwhile
			return nil
		default:
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(a.err, "%s: %s is in use: it is unmounted, and what is open can be read until it is closed; a second signal ends it at once\n", a.command, printable(place.dir))
	}
	<-ended
	return nil
}

// mountReporter reports errors that come up while others read, each once.
type mountReporter struct {
	app  *app
	mu   sync.Mutex
	said map[string]bool
}

// mostSaid bounds what is remembered of what was said.
const mostSaid = 1000

func (r *mountReporter) say(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said == nil || len(r.said) > mostSaid {
		r.said = make(map[string]bool)
	}
	if text := err.Error(); !r.said[text] {
		r.said[text] = true
		r.app.report(err)
	}
}

// Write takes what the FUSE library logs. That the kernel does not want an answer any more is
// no news: whoever asked was killed.
func (r *mountReporter) Write(line []byte) (int, error) {
	if !bytes.Contains(line, []byte(fuse.ENOENT.String())) {
		r.say(errors.New(strings.TrimSpace(string(line))))
	}
	return len(line), nil
}

const (
	// mountRequest is how many bytes the kernel asks for at most at a time.
	mountRequest = 1 << 20
	// mountKeep is how long the kernel keeps names and attributes. It is told when they change, but
	// may get an older answer just after that, and would keep that one for good.
	mountKeep = time.Second
)

func (m *mounted) fuseOptions(reporter *mountReporter) *fs.Options {
	keep, negative := mountKeep, time.Duration(0)
	logger := log.New(reporter, "", 0)
	o := &fs.Options{
		EntryTimeout: &keep, AttrTimeout: &keep, NegativeTimeout: &negative, NullPermissions: true, Logger: logger,
		MountOptions: fuse.MountOptions{
			FsName: mountName(m.options.device), Name: "famfs", Logger: logger,
			AllowOther: m.options.allowOther, Options: []string{"default_permissions"},
			MaxWrite: mountRequest, MaxBackground: 64, DisableSplice: true, IgnoreSecurityLabels: true,
		},
	}
	if os.Geteuid() == 0 {
		o.DirectMountStrict = true
		o.DirectMountFlags = syscall.MS_RDONLY | syscall.MS_NOSUID | syscall.MS_NODEV
	} else {
		o.Options = append(o.Options, "ro") // fusermount3 adds nosuid and nodev
	}
	return o
}

// serve mounts, and answers the kernel until the mount is gone.
func (m *mounted) serve(reporter *mountReporter) (*fuse.Server, *mountedAt, error) {
	o := m.fuseOptions(reporter)
	server, err := fuse.NewServer(fs.NewNodeFS(m.root, o), m.options.dir, &o.MountOptions)
	if err != nil {
		return nil, nil, err
	}
	go server.Serve()
	place := &mountedAt{m.options.dir, topMount(m.options.dir)}
	if err := server.WaitMount(); err != nil {
		place.unmountInUse()
		return nil, nil, err
	}
	place.readAhead()
	return server, place, nil
}

// mountedAt is where something is mounted.
type mountedAt struct {
	dir  string // without symbolic links
	info *mountinfo.Info
}

// topMount returns what is mounted on dir, the one that nothing else is mounted over; nil if
// that cannot be known.
func topMount(dir string) *mountinfo.Info {
	all, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != dir, false })
	if err != nil {
		return nil
	}
	for _, m := range all {
		if !slices.ContainsFunc(all, func(over *mountinfo.Info) bool { return over.Parent == m.ID }) {
			return m
		}
	}
	return nil
}

// isOurs fails if something else was mounted over it: umount would unmount that.
func (at *mountedAt) isOurs() error {
	if now := topMount(at.dir); now != nil && at.info != nil && now.ID != at.info.ID {
		return because(famfs.ErrBusy, "something else is mounted over it: unmount that first, and then this")
	}
	return nil
}

// readAhead lets the kernel read in advance as much as a request can be; 128 KiB are what it
// begins with, and what it stays at for users other than root.
func (at *mountedAt) readAhead() {
	if at.info == nil {
		return
	}
	name := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", at.info.Major, at.info.Minor)
	os.WriteFile(name, fmt.Appendf(nil, "%d", mountRequest>>10), 0)
}

// unmountInUse takes the mount out of sight; it is gone when nobody uses it any more.
func (at *mountedAt) unmountInUse() error {
	if os.Geteuid() == 0 {
		return syscall.Unmount(at.dir, syscall.MNT_DETACH)
	}
	for _, name := range fusermounts {
		if program, err := exec.LookPath(name); err == nil {
			return exec.Command(program, "-u", "-z", at.dir).Run()
		}
	}
	return errNoMounter
}

// checkFUSE says what the system lacks.
func checkFUSE() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case errors.Is(err, iofs.ErrNotExist), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("there is no /dev/fuse (modprobe fuse; a container needs --device /dev/fuse --cap-add SYS_ADMIN): %w", errNoFUSE)
	case err != nil:
		return fmt.Errorf("/dev/fuse: %w: %w", err, errNoFUSE)
	}
	f.Close()
	if os.Geteuid() == 0 {
		return nil
	}
	for _, name := range fusermounts {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	return errNoMounter
}

// fusermounts are the programs through which users other than root mount.
var fusermounts = [...]string{"fusermount3", "fusermount", "/bin/fusermount3", "/bin/fusermount"}

// readyEnv tells a process that it is the one in the background, and that it is to write to
// descriptor 3 when it is mounted.
const (
	readyEnv = "FAMFS_MOUNT_READY"
	readyFD  = 3
)

func readyPipe() (*os.File, bool) {
	if os.Getenv(readyEnv) == "" {
		return nil, false
	}
	os.Unsetenv(readyEnv)
	syscall.CloseOnExec(readyFD)
	return os.NewFile(readyFD, "ready"), true
}

// startInBackground starts this command again, in a session of its own, and waits until it
// is mounted, or has said why not.
func (a *app) startInBackground(o mountOptions) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	cmd := exec.Command(self, a.args...)
	cmd.Env = append(os.Environ(), readyEnv+"=1")
	cmd.ExtraFiles = []*os.File{writer}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	writer.Close()
	if err != nil {
		return err
	}
	if n, _ := reader.Read(make([]byte, 1)); n == 1 {
		return nil
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		return &statusError{code, nil} // and it has said why
	}
	return localFailed(o.dir, fmt.Errorf("the process in the background ended before it was mounted: %v", cmd.ProcessState))
}

// detach gives up the terminal and the folder that the process was started in, and says that
// it is mounted.
func detach(ready *os.File, logFile string) error {
	defer ready.Close()
	name := os.DevNull
	flags := os.O_RDWR
	if logFile != "" {
		name, flags = logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	to, err := os.OpenFile(name, flags, 0o644)
	if err != nil {
		return localFailed(logFile, err)
	}
	defer to.Close()
	if err := os.Chdir("/"); err != nil {
		return err
	}
	for fd, f := range []*os.File{null, null, to} {
		if err := syscall.Dup3(int(f.Fd()), fd, 0); err != nil {
			return err
		}
	}
	if _, err := ready.Write([]byte{1}); err != nil {
		return fmt.Errorf("nobody waits for it any more: %w", err)
	}
	return nil
}
