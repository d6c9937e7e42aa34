package famfs

// Scrubbing: reading everything that belongs to the file system, to find memory that fails or has
// changed before somebody needs it. Nothing is written.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// ScrubOption changes how Scrub reads. A nil option changes nothing.
type ScrubOption interface{ applyScrub(*scrubConfig) }

type scrubConfig struct {
	rate int64
	tell func(ScrubProgress)
}

type scrubOption func(*scrubConfig)

func (o scrubOption) applyScrub(c *scrubConfig) { o(c) }

// ScrubRate bounds how many bytes Scrub reads in a second, on average, so that others have the rest
// of the memory's bandwidth. 0, the default, is no bound.
func ScrubRate(bytes int64) ScrubOption {
	return scrubOption(func(c *scrubConfig) { c.rate = max(bytes, 0) })
}

// OnScrub calls tell after every file and every 2 MiB, from any goroutine. Calls do not overlap.
// The scrub waits for each call to return.
func OnScrub(tell func(ScrubProgress)) ScrubOption {
	return scrubOption(func(c *scrubConfig) { c.tell = tell })
}

// ScrubProgress tells how far a scrub is.
type ScrubProgress struct {
	// Name is the file that is being read, or "" for metadata.
	Name string
	// Bytes of All are read: those of metadata and of all files. Files were read completely. Bad
	// is how many ranges were found so far.
	Bytes, All int64
	Files, Bad int
}

// ScrubReport is the result of Scrub.
type ScrubReport struct {
	// Files is how many files were read, Sealed how many of them were compared with their seals,
	// and Bytes how many bytes were read, metadata included.
	Files, Sealed int
	Bytes         int64
	// Bad lists what cannot be read or does not match: first metadata, then files in the order of
	// the log. At most 10,000 ranges are listed; More says that there were more.
	Bad  []BadRange
	More bool
}

// BadRange is a range of a file, or of the metadata, that is not as it should be.
type BadRange struct {
	// Name is the file. "" is metadata; Offset is then one of the device that Err names, or of the
	// one with the superblock.
	Name           string
	Offset, Length int64
	// Err says what is wrong, and what to do: it wraps ErrDevice if the memory cannot be read, and
	// ErrChecksum if it does not match. A *SumError is about a whole file.
	Err error
}

// Error returns the message of b.Err.
func (b BadRange) Error() string { return b.Err.Error() }

// Unwrap returns b.Err.
func (b BadRange) Unwrap() error { return b.Err }

// maxBadRanges limits the list of a ScrubReport.
const maxBadRanges = 10_000

// Scrub reads all metadata and every byte of every file, as of the last Refresh, and compares
// sealed files with their seals, and records with their checksums: superblocks and their second copies,
// log header and entries. That a superblock has no second copy is nothing to list. Files that are
// removed meanwhile are left out, and so is what is not served: see Problems. The caches forget what
// they have first, so it reads the memory itself. It never writes, and goes on after everything that it
// finds; a file on a device that is not here is listed as a whole. It may take long: ctx ends it, and
// Close is ErrBusy meanwhile.
//
// The report lists what was found. The error is nil even if something was: it is the cause of ctx,
// ErrReformatted, fs.ErrClosed, or, on a file system with Reuse, ErrEvicted or ErrCorrupt if it is
// not known whose memory is whose. The report is then of what was read so far.
func (f *FS) Scrub(ctx context.Context, opts ...ScrubOption) (*ScrubReport, error) {
	defer f.journal.tell()
	s := &scrub{fs: f, begun: time.Now()}
	for _, o := range opts {
		if o != nil {
			o.applyScrub(&s.scrubConfig)
		}
	}
	if err := s.run(ctx); err != nil {
		return &s.report, fmt.Errorf("famfs: scrub %s: %w", f.dev.info.Path, err)
	}
	return &s.report, nil
}

// scrub is one call of Scrub.
type scrub struct {
	scrubConfig
	fs    *FS
	begun time.Time

	mu     sync.Mutex
	report ScrubReport
	all    int64
	paced  int64      // bytes that the pace allowed so far
	unread []BadRange // of what is being read
}

func (s *scrub) run(ctx context.Context) error {
	f := s.fs
	if !f.gate.hold() {
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if f.replica == nil {
		return fs.ErrInvalid
	}
	for _, m := range f.members() {
		if _, err := m.dev.lookForBad(); err != nil {
			f.config.log.Debug("the system does not say which memory is bad", "path", m.dev.info.Path, "err", err)
		}
	}
	f.claimBad()
	ns := f.replica.ns
	end := ns.end()
	s.all = f.replica.fileBytes.Load()
	members := []*member{&f.member}
	for _, m := range f.devices.list() {
		if m.why() == nil {
			members = append(members, m)
		}
	}
	for _, m := range members {
		s.all += f.metadataOf(m)
	}
	for _, m := range members {
		if err := s.readMetadata(ctx, m); err != nil {
			return err
		}
	}
	// A compaction takes the first superblock away before it changes the others: so it is looked at last.
	for _, m := range members {
		s.records(m)
	}
	if err := s.entries(uint64(end)); err != nil {
		return err
	}
	for index := range end {
		n := ns.node(index)
		if n.gone() || n.isDir() || n.slab.removedBefore(index, ns.end()) {
			continue
		}
		if f.pins.on {
			switch err := f.mayRead(index, n); {
			case errors.Is(err, ErrRemoved):
				continue
			case err != nil:
				return err
			}
		}
		if err := s.file(ctx, index, n); err != nil {
			return err
		}
	}
	return nil
}

// metadataOf returns how many bytes at the beginning of a device are no file's.
func (f *FS) metadataOf(m *member) int64 {
	if m.index == 0 {
		return f.sb.dataStart()
	}
	return superblockArea
}

// readMetadata reads superblock and log of a device.
func (s *scrub) readMetadata(ctx context.Context, m *member) error {
	_, err := inParallel(0, s.fs.metadataOf(m), func(from, to int64) (int64, error) {
		if err := s.pace(ctx, to-from); err != nil {
			return 0, err
		}
		var bad []BadRange
		for at := from; at < to; at += leastPage {
			mem := m.window.mem[at:min(at+leastPage, to)]
			if err := Guard(func() error { m.dev.cache.invalidate(mem); moreCRC(0, mem); return nil }); err != nil {
				bad = append(bad, BadRange{Offset: at, Length: int64(len(mem)), Err: fmt.Errorf("superblock or log of %s: %w; the device needs repair, and the file system must be made anew then", m.dev.info.Path, err)})
			}
		}
		s.failed(joinRanges(bad))
		s.done("", to-from)
		return to - from, nil
	})
	s.listFailed()
	return err
}

// records checks the log header of the first device, or the superblock of another, and the second copy.
func (s *scrub) records(m *member) {
	f := s.fs
	head := &mappedMemory{dev: m.dev, mem: m.window.mem}
	var fault *FaultError // what cannot be read is listed already
	list := func(at, length int64, err error) {
		if err != nil && !errors.As(err, &fault) {
			s.bad(BadRange{Offset: at, Length: length, Err: fmt.Errorf("%s: %w", m.dev.info.Path, err)})
		}
	}
	if m.index == 0 {
		f.mu.Lock()
		f.replica.settled.Store(0) // or what other calls have waited would count
		err := Guard(func() error { _, err := f.replica.readLogHeader(); return err })
		f.mu.Unlock()
		list(logOffset, logHeaderSize, err)
	} else { // it was found by its superblock
		list(0, superblockSize, Guard(func() error { return m.checkSuperblock(head, f.sb.UUID) }))
	}
	copied := func() error {
		b, err := loadCopy(head)
		if err == nil { // its own CRC does not cover the superblock's
			if _, unsound := decodeEither(&b, m.dev.info.Size); errors.Is(unsound, ErrChecksum) {
				err = fmt.Errorf("second copy: %w", unsound)
			}
		}
		return err
	}
	err := copied()
	if err != nil && !errors.Is(err, errNoCopy) { // the master may be writing it
		f.config.pause(settleTimes[0])
		err = copied()
	}
	if err != nil && !errors.Is(err, errNoCopy) {
		list(copyAt, copySize, fmt.Errorf("%w; opening with ReadWrite on the master writes it anew", err))
	}
}

// entries checks the superblock, and the log entries before end.
func (s *scrub) entries(end uint64) error {
	f := s.fs
	m := &mappedMemory{dev: f.dev, mem: f.window.mem}
	var err error
	if f.config.salvage { // it may have none
		err = Guard(func() error {
			_, err := readSuperblock(m, f.size())
			return err
		})
	} else {
		f.mu.Lock()
		err = Guard(f.replica.sameFileSystem)
		f.mu.Unlock()
	}
	if errors.Is(err, ErrReformatted) {
		return f.notice(err)
	}
	if err != nil {
		s.bad(BadRange{Length: superblockSize, Err: err})
	}
	var b [entrySize]byte
	for index := range end {
		err := Guard(func() error {
			read(m, b[:], entryAt(index))
			return checkEntry(&b, index)
		})
		var fault *FaultError
		if err != nil && !errors.As(err, &fault) { // else it is listed already
			s.bad(BadRange{Offset: entryAt(index), Length: entrySize, Err: fmt.Errorf("log entry %d: %w", index, err)})
		}
	}
	return nil
}

// file reads one file.
func (s *scrub) file(ctx context.Context, index int64, n node) error {
	f := s.fs
	want, sealed := f.sealOf(index, n)
	name := n.ownPath()
	if _, err := f.homeOf(n.place()); err != nil {
		s.bad(BadRange{Name: name, Length: n.size, Err: err})
		return nil
	}
	pace := func(bytes int64) error { return s.pace(ctx, bytes) }
	var parts crcParts
	_, err := inParallel(0, n.size, func(from, to int64) (int64, error) {
		if err := pace(to - from); err != nil {
			return 0, err
		}
		var sum crcRun
		err := f.sumPiece(n, from, to, &sum)
		var fault *FaultError
		switch {
		case errors.As(err, &fault):
			if err := s.pages(name, n, from, to); err != nil {
				return 0, err
			}
		case err != nil:
			return 0, err
		default:
			parts.add(crcPart{from, to, sum.crc})
		}
		s.done(name, to-from)
		return to - from, nil
	})
	switch gone := f.wasThere(index, n); {
	case errors.Is(gone, ErrRemoved):
		s.unread = nil
		return nil
	case gone != nil:
		return gone
	}
	s.listFailed()
	if err != nil && ctx.Err() == nil {
		if _, lost := f.homeOf(n.place()); lost != nil { // while it was read
			s.bad(BadRange{Name: name, Length: n.size, Err: lost})
			return nil
		}
	}
	if err != nil {
		return err
	}
	if whole := len(parts.gaps(n.size)) == 0; whole && sealed {
		err := error(nil)
		switch {
		case want.Kind != CRC32C:
			err = f.verifyNode(index, n, pace)
		case crcSum(parts.parts[0].crc) != want:
			err = f.readAgain(index, n, want, crcSum(parts.parts[0].crc), pace)
		}
		var sum *SumError
		var fault *FaultError
		_, lost := f.homeOf(n.place())
		switch {
		case errors.Is(err, ErrRemoved):
			return nil
		case errors.Is(err, ErrReformatted), ctx.Err() != nil:
			return errors.Join(err, context.Cause(ctx))
		case errors.As(err, &sum), errors.As(err, &fault), err != nil && lost != nil:
			s.bad(BadRange{Name: name, Length: n.size, Err: err})
		case err != nil: // it says nothing of this file: the host was evicted, for example
			return err
		}
	}
	s.mu.Lock()
	s.report.Files++
	if sealed {
		s.report.Sealed++
	}
	s.mu.Unlock()
	s.done(name, 0)
	return nil
}

// pages reads a part of a file in which memory fails page by page, and lists those that do.
func (s *scrub) pages(name string, n node, from, to int64) error {
	var bad []BadRange
	defer func() { s.failed(joinRanges(bad)) }()
	for at := from; at < to; at += leastPage {
		end := min(at+leastPage, to)
		err := s.fs.sumPiece(n, at, end, new(crcRun))
		var fault *FaultError
		switch {
		case errors.As(err, &fault):
			bad = append(bad, BadRange{Name: name, Offset: at, Length: end - at, Err: fmt.Errorf("%w; what is behind cannot be read any more: copy the file in again from a sound source, in its place", fault)})
		case err != nil:
			return err
		}
	}
	return nil
}

// bad lists b.
func (s *scrub) bad(b BadRange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list(b)
}

// list is bad under s.mu.
func (s *scrub) list(b BadRange) {
	if len(s.report.Bad) == maxBadRanges {
		s.report.More = true
		return
	}
	s.report.Bad = append(s.report.Bad, b)
}

// failed notes ranges of one file, or of the metadata, that cannot be read. Several goroutines do.
func (s *scrub) failed(ranges []BadRange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread = append(s.unread, ranges...)
}

// listFailed lists what was noted by failed, in order. Ranges that follow each other become one.
func (s *scrub) listFailed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.unread, func(a, b BadRange) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, b := range joinRanges(s.unread) {
		s.list(b)
	}
	s.unread = nil
}

// joinRanges makes one range of those that follow each other.
func joinRanges(ranges []BadRange) (joined []BadRange) {
	for _, b := range ranges {
		if last := len(joined) - 1; last >= 0 && joined[last].Offset+joined[last].Length == b.Offset {
			joined[last].Length += b.Length
			continue
		}
		joined = append(joined, b)
	}
	return joined
}

// done counts bytes, and tells of them.
func (s *scrub) done(name string, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Bytes += bytes
	if s.tell != nil {
		s.tell(ScrubProgress{Name: name, Bytes: s.report.Bytes, All: s.all, Files: s.report.Files, Bad: len(s.report.Bad)})
	}
}

// pace waits until n more bytes may be read.
func (s *scrub) pace(ctx context.Context, n int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.rate == 0 {
		return nil
	}
	s.mu.Lock()
	// In seconds first: the product with a second's nanoseconds could overflow.
	due := s.begun.Add(time.Duration(float64(s.paced) / float64(s.rate) * float64(time.Second)))
	s.paced += n
	s.mu.Unlock()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
