package famfs

// Following the master: files and directories as they appear, and as they go.

import (
	"context"
	"io/fs"
	"iter"
	"time"
)

// DefaultWatchInterval is how often Watch looks if it is not told.
const DefaultWatchInterval = 100 * time.Millisecond

// Event is a file or directory that has appeared or gone.
type Event struct {
	// Name is the path, for Open, Map and Stat.
	Name string
	// Info describes it, also if it is gone; Info.Sys is *Attr.
	Info fs.FileInfo
	// Removed says that it is gone. Replaced says that it has taken the place of a file of
	// that name, which the log entry just before removed: there is no other event for that.
	Removed, Replaced bool
}

// Watch yields each file and directory that appears or goes after the call of Watch, once,
// in the order of the log, whoever replays the log: Watch itself, every so often
// (DefaultWatchInterval if every is not positive), Refresh, or creating and removing through
// this FS. What has appeared may be gone when the caller opens it: fs.ErrNotExist. To see
// everything without a gap, call Watch, then list what is there, then range over what Watch
// returned.
//
// An error of Refresh is yielded, with an empty Event, each time that it happens;
// after fs.ErrClosed and ErrReformatted, which last, the sequence ends. It also ends when
// ctx is done. It may be ranged over more than once, and then starts again where it
// started.
func (f *FS) Watch(ctx context.Context, every time.Duration) iter.Seq2[Event, error] {
	if every <= 0 {
		every = DefaultWatchInterval
	}
	from := f.replica.ns.end()
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
				e, after, ok := f.event(next, end)
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

// event returns what entry index, which is before end, has brought about, if anything, and
// the entry to go on with.
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
