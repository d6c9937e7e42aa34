package famfs

// Following the master: new files and directories as they appear.

import (
	"context"
	"io/fs"
	"iter"
	"time"
)

// DefaultWatchInterval is how often Watch looks where it is not told.
const DefaultWatchInterval = 100 * time.Millisecond

// Event is a file or directory that has appeared.
type Event struct {
	// Name is the path, for Open, Map and Stat.
	Name string
	// Info describes it; Info.Sys is *Attr.
	Info fs.FileInfo
}

// Watch yields each file and directory that appears after the call of Watch, once,
// in the order of the log, whoever replays the log: Watch itself, every so often
// (DefaultWatchInterval if every is not positive), Refresh, or creating through this
// FS. To see everything without a gap, call Watch, then list what is there, then
// range over what Watch returned.
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
			for end := f.replica.ns.end(); next < end; next++ {
				n := f.replica.ns.node(next)
				if n.gone() { // an entry that made no file or directory
					continue
				}
				if ctx.Err() != nil || !yield(Event{n.ownPath(), &info{f, next, n}}, nil) {
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
