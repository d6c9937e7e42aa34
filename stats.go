package famfs

// Stats: what an FS has done since it was opened, and what it holds. The counters are with what
// they count; this file only collects them. Those of methods that take nanoseconds cost one
// addition to memory that such a method has just changed, or nothing at all.

import (
	"sync/atomic"
	"time"
)

// Stats says what an FS has done since Open, and what it holds. Numbers that are counted only
// grow; the others are of the time of the call.
type Stats struct {
	// Usage says how full the file system is. Usage.LargestFree is the longest free run, and
	// Usage.Removed the space that removed files keep.
	Usage Usage
	// Fragmentation is the share of the free space that is not in the longest free run: 0 if all
	// of it is one run, or if there is none, and less than 1 always.
	Fragmentation float64

	// Opens counts the files and directories that FS.Open opened. What is read of them is not
	// counted: that would make short reads slower by a tenth.
	Opens int64
	// Copied counts the bytes that were copied into pending files. What is stored to Bytes is not
	// copied.
	Copied int64
	// Mappings is how many Mappings and ends of queues (two each) are open, and how many calls of View
	// have a file mapped. MappedBytes is the memory that all of them have mapped. What shares
	// memory is counted once. It is a multiple of the allocation unit.
	Mappings    int
	MappedBytes int64
	// Faults counts the memory faults in memory of this FS that were turned into errors.
	Faults int64

	// Replays counts how often this FS looked for new log entries: in Open, Refresh and Watch, and
	// before it writes. Entries is how many entries it knows, its own included, and Problems how
	// many of them it passed over.
	Replays, Entries int64
	Problems         int

	// Commits counts the calls that committed files, and CommittedFiles those files. CommitTime is
	// how long these calls took, from writing data back to the log entry.
	Commits, CommittedFiles int64
	CommitTime              time.Duration
	// LockWaits counts how often this FS had to wait for another writer, and LockWait is how long
	// it waited, successfully or not.
	LockWaits int64
	LockWait  time.Duration
}

// Stats returns what this FS has done and what it holds. It is cheap, never waits for readers or
// writers, and may also be called after Close. Numbers that are counted while it runs may or may
// not be in it.
func (f *FS) Stats() Stats {
	s := Stats{
		Usage:          f.Usage(),
		Opens:          f.counts.opens.Load(),
		Copied:         f.counts.copied.Load(),
		Faults:         f.faults.Load(),
		Replays:        f.replica.looks.Load(),
		Entries:        f.replica.ns.end(),
		Problems:       f.replica.problems(),
		Commits:        f.counts.commits.Load(),
		CommittedFiles: f.counts.committed.Load(),
		CommitTime:     time.Duration(f.counts.commitTime.Load()),
		LockWaits:      f.lock.waits.Load(),
		LockWait:       time.Duration(f.lock.waited.Load()),
	}
	s.Mappings, s.MappedBytes = f.regions.inUse()
	if free := s.Usage.Free; free > 0 {
		s.Fragmentation = float64(free-s.Usage.LargestFree) / float64(free)
	}
	return s
}

// counts are the counters of an FS.
type counts struct {
	opens, copied      atomic.Int64
	commits, committed atomic.Int64
	commitTime         atomic.Int64 // in ns
}
