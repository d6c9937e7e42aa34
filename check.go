package famfs

// Checking a device: reading past everything that is wrong and listing it. Nothing
// here writes.

import (
	"errors"
	"fmt"
)

// Report is what Check found.
type Report struct {
	Device DeviceInfo
	// Superblock is the device's; if it is invalid, what could be made of it.
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
	c.readWrite, c.clientWrites, c.salvage = false, false, false
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
	wrong, err := f.salvage()
	for _, err := range wrong {
		report.Problems = append(report.Problems, Problem{Index: -1, Err: err})
	}
	switch {
	case err != nil && wrong == nil:
		return nil, err
	case err != nil:
		return report, nil
	}
	report.Superblock = f.sb
	report.Usage = f.replica.usage()
	if err := f.checkDeviceSize(); err != nil {
		report.Problems = append(report.Problems, Problem{Index: -1, Err: err})
	}
	report.Problems = append(report.Problems, f.replica.listProblems()...)
	return report, nil
}

// checkDeviceSize says what is wrong with the size that the superblock gives the device.
func (f *FS) checkDeviceSize() error {
	said, size := f.sb.DeviceSize, f.dev.info.Size
	switch {
	case said > size:
		return fmt.Errorf("superblock: the device had %d bytes when it was formatted, now it has %d: %w", said, size, ErrDevice)
	case said < f.sb.logEnd()+f.sb.AllocUnit:
		return fmt.Errorf("superblock: found %d as the size of the device, which has %d; Grow writes that: %w", said, size, ErrCorrupt)
	case f.replica.alloc.ownedBeyond():
		return fmt.Errorf("superblock: the device had %d bytes when it was formatted, but there are files beyond; it has %d now, which Grow writes: %w", said, size, ErrCorrupt)
	}
	return nil
}
