package famfs

// Checking a device: reading past all errors and listing them. Nothing here writes.

import (
	"errors"
	"fmt"
)

// Report is the result of Check.
type Report struct {
	Device DeviceInfo
	// Superblock is the device's superblock, or as much of it as is known if it is invalid.
	Superblock Superblock
	// Copy is the second copy of the superblock. It is nil if there is none that can be believed, and
	// CopyErr says why: ErrNotFormatted if there is none, as on a device that the reference has
	// formatted. That is no problem: opening it with ReadWrite makes one.
	Copy    *Superblock
	CopyErr error
	// Usage is the usage that a reader would find that skips bad entries.
	Usage Usage
	// Devices and UsageByDevice are the devices of the file system, by index, and how full each is.
	Devices       []DeviceInfo
	UsageByDevice []DeviceUsage
	// Problems lists everything that is wrong: first superblock and log header (index -1),
	// then entries in the order of the log. At most 100,000 entries are listed.
	Problems []Problem
}

// Clean reports whether there are no problems.
func (r *Report) Clean() bool { return len(r.Problems) == 0 }

// Err returns nil if there are no problems. Otherwise it returns an error that wraps all of
// them.
func (r *Report) Err() error {
	var errs []error
	for _, p := range r.Problems {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// Check reads all metadata of the device or file at path and reports what is wrong with it.
// Unlike Open, it reads past every error: a corrupt log header or entry does not prevent what
// follows from being checked. If the log is being compacted, or that was interrupted, the only
// problem is ErrBusy, and how to finish it. If adding the first device was interrupted, that is a
// problem beside those that are found. Check writes nothing. Of the options only WithLogger,
// WithDevices and DiscoverDevices have an effect. A device that is not found is no problem, and its
// Err in Report.Devices says why.
//
// Check returns an error only if the device cannot be read at all: ErrNotFormatted, and the
// errors of Open about path. Errors in the file system are in the Report.
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
	c.readWrite, c.clientWrites, c.salvage, c.dropProblems = false, false, false, false
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
	report := &Report{Device: f.dev.describe()}
	m := &mappedMemory{dev: f.dev, mem: f.window.mem}
	records := readRecords(m, f.size())
	if c, stands, ok := records.underWay(m, f.size()); ok && stands != newStands && !c.replacing() {
		// The log may have entries of two file systems by now: they say nothing, and finishing
		// needs none of them.
		report.Superblock, _ = decodeSuperblock(&c.superblock, f.size()) // underWay has found it sound
		report.Problems = []Problem{{Index: -1, Err: errCompacting}}
		return report, nil
	}
	wrong, err := f.salvage()
	if errors.Is(err, errCopy) {
		err = nil // it is among the problems of devices
	}
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
	if _, sb, err := secondCopy(m, f.size(), f.size()); err == nil {
		report.Copy = &sb
	} else {
		report.CopyErr = err
	}
	report.Usage = f.replica.usage()
	report.Devices, report.UsageByDevice = f.Devices(), f.UsageByDevice()
	if err := f.checkDeviceSize(); err != nil {
		report.Problems = append(report.Problems, Problem{Index: -1, Err: err})
	}
	report.Problems = append(report.Problems, f.Problems()...)
	return report, nil
}

// checkDeviceSize returns an error if the size in the superblock does not fit the device.
func (f *FS) checkDeviceSize() error {
	said, size := f.sb.DeviceSize, f.dev.info.Size
	switch {
	case said > size:
		return fmt.Errorf("superblock: the device had %d bytes when it was formatted, now it has %d: %w", said, size, ErrDevice)
	case said < f.sb.dataStart()+f.sb.AllocUnit:
		return fmt.Errorf("superblock: found %d as the size of the device, which has %d; Grow writes that: %w", said, size, ErrCorrupt)
	case f.replica.alloc.ownedBeyond():
		return fmt.Errorf("superblock: the device had %d bytes when it was formatted, but there are files beyond; it has %d now, which Grow writes: %w", said, size, ErrCorrupt)
	}
	return nil
}
