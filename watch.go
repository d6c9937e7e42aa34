package famfs

// Following the master: files and directories that appear or go.

import (
	"context"
	"io/fs"
	"iter"
	"time"
)

// DefaultWatchInterval is how often Watch looks for new entries by default.
const DefaultWatchInterval = 100 * time.Millisecond

// Event says that a file or directory has appeared or gone.
type Event struct {
	// Name is the path, for Open, Map and Stat.
	Name string
	// Info describes it, even if it is gone. Info.Sys returns *Attr.
	Info fs.FileInfo
	// Removed says that it is gone. Replaced says that it replaced a file of the same name, which
	// the log entry just before removed; there is no other event for that removal.
	Removed, Replaced bool
}

// Watch yields each file and directory that appears or goes after the call of Watch, once, in
// the order of the log. It does not matter who replays the log: Watch itself, at intervals of
// every (DefaultWatchInterval if every is not positive), Refresh, or creating and removing
// through this FS. Something that has appeared may be gone again when the caller opens it: then
// the error is fs.ErrNotExist. To see everything without a gap, call Watch, then list what is
// there, then range over the sequence; or use WatchAll.
//
// If Refresh fails, Watch yields its error with an empty Event, each time. The sequence ends
// after fs.ErrClosed and ErrReformatted, which are permanent, and when ctx is done. It may be
// ranged over more than once; each time it starts again at the same place.
func (f *FS) Watch(ctx context.Context, every time.Duration) iter.Seq2[Event, error] {
	from := f.replica.ns.end()
	return f.watch(ctx, every, from, from)
}

// WatchAll is Watch that begins with what is there: it yields each file and directory that was
// there at the call, as one that has appeared, in the order of the log, and then what appears and
// goes after the call. What goes before its turn comes is yielded only as removed.
func (f *FS) WatchAll(ctx context.Context, every time.Duration) iter.Seq2[Event, error] {
	return f.watch(ctx, every, 0, f.replica.ns.end())
}

// watch yields what there is of the entries between from and since, and what those from since on
// change.
func (f *FS) watch(ctx context.Context, every time.Duration, from, since int64) iter.Seq2[Event, error] {
	if every <= 0 {
		every = DefaultWatchInterval
	}
	return func(yield func(Event, error) bool) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		next := from
		for ctx.Err() == nil {
			if _, err := f.Refresh(); err != nil {
				if !yield(Event{}, err) || f.usable() != nil {
					return
				}
			}
			for end := f.replica.ns.end(); next < end; {
				e, after, ok := Event{}, next+1, false
				if next >= since {
					e, after, ok = f.event(next, end)
				} else {
					e, ok = f.existing(next)
				}
				next = after
				if ok && (ctx.Err() != nil || !yield(e, nil)) {
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}
}

// existing returns an event for the file or directory that entry index made, if it is still there.
func (f *FS) existing(index int64) (e Event, ok bool) {
	ns := f.replica.ns
	n := ns.node(index)
	if n.isRemoval() || n.gone() {
		return Event{}, false
	}
	if at, there := ns.lookup(n.path()); !there || at != index {
		return Event{}, false
	}
	return Event{Name: n.ownPath(), Info: &info{f, index, n}}, true
}

// event returns what entry index, which must be before end, has changed, if anything, and the
// index of the next entry to look at.
func (f *FS) event(index, end int64) (e Event, next int64, ok bool) {
	ns := f.replica.ns
	n := ns.node(index)
	next = index + 1
	if !n.isRemoval() {
		return Event{Name: n.ownPath(), Info: &info{f, index, n}}, next, !n.gone()
	}
	old := ns.node(n.size)
	e = Event{Name: old.ownPath(), Info: &info{f, n.size, old}, Removed: true}
	if next < end {
		if made := ns.node(next); !made.isDir() && !old.isDir() && made.path() == e.Name {
			return Event{Name: e.Name, Info: &info{f, next, made}, Replaced: true}, next + 1, true
		}
	}
	return e, next, true
}
