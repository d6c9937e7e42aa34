//go:build !386 && !arm && !mips && !mipsle

package main

// Which file system a mount shows, and following it: the device is opened, watched, and
// opened again when it was formatted anew; the kernel is told what it must forget. What the
// kernel asks is answered in mount_nodes_linux.go.
//
// Telling the kernel to forget something waits until requests that are under way are answered. So
// only the follower does it, while it holds no lock: otherwise a request could wait for it.

import (
	"context"
	"errors"
	"iter"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"

	"famfs"
)

// mounted is a device that is mounted.
type mounted struct {
	options mountOptions
	open    func() (*famfs.FS, error)
	// say reports what goes wrong while others read, each error once.
	say  func(error)
	root *mountNode
	// now is what is shown; nil while the device is not formatted.
	now atomic.Pointer[view]
	// generation counts the file systems that were there.
	generation uint64
}

// view is a file system from being opened to being formatted anew.
type view struct {
	fsys       *famfs.FS
	generation uint64
	events     iter.Seq2[famfs.Event, error]
	// gone says that its memory may hold something else by now.
	gone atomic.Bool

	mu    sync.Mutex
	files map[*mountFile]bool // that are open
}

// show opens the device and shows what is on it from now on. What appears after that is
// among the events.
func (m *mounted) show(ctx context.Context) (*view, error) {
	fsys, err := m.open()
	if err != nil {
		return nil, err
	}
	v := &view{fsys: fsys, generation: m.generation, events: fsys.Watch(ctx, m.options.interval), files: make(map[*mountFile]bool)}
	m.generation++
	m.now.Store(v)
	return v, nil
}

// newMounted opens the device and makes the root of what is to be mounted.
func newMounted(ctx context.Context, o mountOptions, open func() (*famfs.FS, error), say func(error)) (*mounted, error) {
	m := &mounted{options: o, open: open, say: say}
	m.root = &mountNode{mounted: m, path: ".", index: rootIndex}
	_, err := m.show(ctx)
	return m, err
}

// refresh brings the view up to date. The error is for a file system that is there no more;
// any other leaves it as it was, and is said by the follower.
func (v *view) refresh() error {
	if v.gone.Load() {
		return famfs.ErrReformatted
	}
	if _, err := v.fsys.Refresh(); errors.Is(err, famfs.ErrReformatted) {
		return err
	}
	return nil
}

// hold notes that f is open, if the view is still shown.
func (v *view) hold(f *mountFile) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone.Load() {
		return false
	}
	v.files[f] = true
	return true
}

// letGo notes that f is closed. The last one of a view that is gone closes the device.
func (v *view) letGo(f *mountFile) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.files, f)
	if v.gone.Load() && len(v.files) == 0 {
		v.fsys.Close()
	}
}

// leave marks the view as gone and returns what was open of it.
func (v *view) leave() (open []*mountFile) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone.Store(true)
	for f := range v.files {
		open = append(open, f)
	}
	if len(open) == 0 {
		v.fsys.Close()
	}
	return open
}

// openAgain is how often a device that is not formatted is looked at.
const openAgain = 200 * time.Millisecond

// follow tells the kernel what is new until ctx is done.
func (m *mounted) follow(ctx context.Context) {
	for ctx.Err() == nil {
		v := m.now.Load()
		if v == nil {
			var err error
			if v, err = m.show(ctx); err != nil {
				m.say(deviceFailed(m.options.device, err))
				select {
				case <-ctx.Done():
				case <-time.After(openAgain):
				}
				continue
			}
		}
		for event, err := range v.events {
			switch {
			case errors.Is(err, errors.ErrUnsupported): // --salvage shows what was there
				<-ctx.Done()
			case errors.Is(err, famfs.ErrReformatted):
				m.say(deviceFailed(m.options.device, because(err, "was formatted anew or wiped: what is open of it gives errors, and what is on it now is shown")))
			case err != nil:
				m.say(deviceFailed(m.options.device, err))
			default:
				m.forget(v, event)
			}
		}
		if ctx.Err() == nil {
			m.retire(v)
		}
	}
}

// forget has the kernel forget the name of what is gone. Who has it open keeps it.
func (m *mounted) forget(v *view, event famfs.Event) {
	if !event.Removed && !event.Replaced {
		return // names that are not there are not kept
	}
	dir, name := path.Split(event.Name)
	parent := m.known(path.Clean("/" + dir))
	if parent == nil {
		return // and then not its children either
	}
	if child := parent.GetChild(name); event.Removed && child != nil {
		n, ok := child.Operations().(*mountNode)
		if ok && n.view == v && n.index == event.Info.Sys().(*famfs.Attr).Index && parent.NotifyDelete(name, child) == 0 {
			return // who watches the directory has learnt of it
		}
	}
	parent.NotifyEntry(name)
}

// known returns the directory at an absolute path, if the kernel knows it.
func (m *mounted) known(dir string) *fs.Inode {
	at := m.root.EmbeddedInode()
	for name := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if name == "" {
			continue
		}
		if at = at.GetChild(name); at == nil {
			return nil
		}
	}
	return at
}

// retire has the kernel forget all of a file system that was formatted anew: names, and what
// it has read of open files, which may be bytes of others.
func (m *mounted) retire(v *view) {
	m.now.CompareAndSwap(v, nil)
	for _, f := range v.leave() {
		f.node.NotifyContent(0, 0)
	}
	root := m.root.EmbeddedInode()
	for name := range root.Children() {
		root.NotifyEntry(name)
	}
}

// close gives the device up. What is open is not disturbed: the process is about to end.
func (m *mounted) close() {
	if v := m.now.Load(); v != nil {
		v.fsys.Close()
	}
}
