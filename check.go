package famfs

// Checking a device: reading past everything that is wrong and listing it. Nothing
// here writes.

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Report is what Check found.
type Report struct {
	Device DeviceInfo
	// Superblock is the device's; where it is invalid, what could be made of it.
	Superblock Superblock
	// Usage counts what a tolerant reader that skips bad entries would find.
	Usage Usage
	// Problems are all that is wrong, superblock and log header (index -1) first,
	// then in the order of the log. At most 100,000 are listed.
	Problems []Problem
}

// Clean says that there are no problems.
func (r *Report) Clean() bool { return len(r.Problems) == 0 }

// Err returns nil if there are no problems, otherwise an error that wraps all.
func (r *Report) Err() error {
	var errs []error
	for _, p := range r.Problems {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// Check reads all metadata of the device or file at path and reports what is wrong
// with it. Unlike Open it reads past every error: a log header or entry that is
// corrupt does not keep what follows from being checked. Nothing is written; of the
// options only WithLogger has an effect.
//
// The error is for devices that cannot be read at all: those of Open for what path
// is, and ErrNotFormatted. Problems that a file system can have are in the Report.
func Check(path string, opts ...Option) (*Report, error) {
	c := newOpenConfig(opts)
	report, err := check(path, c)
	c.journal.tell()
	if err != nil {
		return nil, fmt.Errorf("famfs: check %s: %w", path, err)
	}
	return report, nil
}

func check(path string, c openConfig) (report *Report, err error) {
	c.readWrite, c.clientWrites = false, false
	f, err := openMedium(path, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	err = Guard(func() error {
		report, err = f.check()
		return err
	})
	return report, err
}

func (f *FS) check() (*Report, error) {
	report := &Report{Device: f.dev.info}
	problem := func(err error) {
		report.Problems = append(report.Problems, Problem{Index: -1, Err: err})
	}
	m := &mappedMemory{f.dev, f.window.mem}
	sb, err := readSuperblock(m, f.size())
	switch {
	case errors.Is(err, ErrNotFormatted):
		return nil, err
	case err != nil:
		problem(err)
		if sb, err = guessSuperblock(m, f.size()); err != nil {
			problem(err)
			return report, nil
		}
	case sb.DeviceSize > f.dev.info.Size:
		problem(fmt.Errorf("superblock: the device had %d bytes when it was formatted, now it has %d: %w", sb.DeviceSize, f.dev.info.Size, ErrDevice))
	}
	if newer := sb.newerFormat(); newer != nil {
		f.config.log.Warn("checking a file system of a newer format", "path", f.dev.info.Path, "err", newer)
	}
	report.Superblock = sb
	r := newReplica(m, sb, f.size(), f.config.log)
	r.pause = f.config.pause
	h, err := r.readLogHeader()
	if err != nil {
		problem(err)
		h.next = countSound(m, sb)
	}
	if h.next > 0 {
		if err := r.replay(h.next, skipCorrupt, true); err != nil {
			return nil, err
		}
	}
	report.Usage = r.usage()
	report.Problems = append(report.Problems, r.listProblems()...)
	return report, nil
}

// guessSuperblock makes a superblock of what the log header says, for a device whose
// own cannot be believed.
func guessSuperblock(m sharedMemory, deviceSize int64) (Superblock, error) {
	var b [logHeaderSize]byte
	m.load(b[:], logOffset)
	sb := Superblock{Version: formatVersion, LogOffset: logOffset, AllocUnit: defaultUnit, OMFMajor: omfMajor, OMFMinor: omfMinor, DeviceSize: deviceSize}
	sb.LogSize = int64(binary.LittleEndian.Uint64(b[8:]))
	err := checkLogSize(sb.LogSize, deviceSize)
	if err == nil {
		_, err = decodeLogHeader(&b, sb.LogSize)
	}
	if err != nil {
		return Superblock{}, fmt.Errorf("log: neither superblock nor log header says how long it is, so its entries cannot be checked: %w: %w", err, ErrCorrupt)
	}
	return sb, nil
}

// countSound returns how many entries from the first on are sound, for a log whose
// header cannot be believed.
func countSound(m sharedMemory, sb Superblock) uint64 {
	var b [entrySize]byte
	for index := uint64(0); ; index++ {
		if index > lastIndex(sb.LogSize) {
			return index
		}
		if m.load(b[:], entryAt(index)); checkEntry(&b, index) != nil {
			return index
		}
	}
}
