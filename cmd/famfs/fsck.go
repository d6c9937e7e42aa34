package main

// famfs fsck: what is wrong with a device, and what to do about it. It never writes.

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"famfs"
)

// problemJSON is something that is wrong.
type problemJSON struct {
	// Index is that of the log entry, -1 for superblock and log header.
	Index   int    `json:"index"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Kind is checksum, corrupt, duplicate, device or other.
	Kind string `json:"kind"`
	Do   string `json:"do"`
}

// reportJSON is what was found on a device.
type reportJSON struct {
	Device string `json:"device"`
	Status int    `json:"status"`
	Clean  bool   `json:"clean"`
	// Error is why the device could not be checked.
	Error      string          `json:"error,omitempty"`
	FileSystem *fileSystemJSON `json:"file_system,omitempty"`
	Problems   []problemJSON   `json:"problems"`
}

func (a *app) fsckCommand() *cobra.Command {
	var asJSON, humanSizes bool
	cmd := &cobra.Command{
		Use:   "fsck DEVICE...",
		Short: "Check devices; never writes",
		Long: `fsck reads all metadata of a device, past every error, and lists what is wrong: the
log entry, the path, and what to do. It never writes: a log is append-only, and what
is in it stays until the device is formatted anew.

Status: 0 clean, 1 problems, 2 not usable: no file system, no device, no permission.
Of several devices, the highest.`,
		Example: `  famfs fsck /dev/dax0.0
  famfs fsck --json /dev/dax0.0 | jq '.[0].problems'`,
		Args: a.arguments(1, -1, "DEVICE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			a.failStatus = 2
			status := statusDone
			reports := []reportJSON{}
			for _, arg := range args {
				t, err := parseOnDevice(arg)
				var report *famfs.Report
				if err == nil && t.name != "." {
					return usageError(fmt.Errorf("%s: a device is checked as a whole: leave the path out", t))
				}
				if err == nil {
					report, err = famfs.Check(t.device, a.options()...)
				}
				if err != nil {
					err = deviceFailed(arg, err)
					reports = append(reports, reportJSON{Device: arg, Status: 2, Error: separate(err)[0].message(), Problems: []problemJSON{}})
					a.reportFailure(err)
					continue
				}
				r := describeReport(report, a.stopsAt(t.device))
				status = max(status, r.Status)
				reports = append(reports, r)
				if !asJSON {
					if err := a.printReport(report, r); err != nil {
						return err
					}
				}
			}
			if asJSON {
				if err := a.printJSON(reports); err != nil {
					return err
				}
			}
			if status != statusDone {
				return &statusError{status: status}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&humanSizes, "human", "h", false, "accepted for those who are used to it: sizes always are")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array, one object a device")
	return cmd
}

// describeReport describes a report; stop is the entry that readers stop at, or -1.
func describeReport(report *famfs.Report, stop int) reportJSON {
	d := describeDevice(report.Device, report.Superblock, report.Usage)
	r := reportJSON{Device: report.Device.Path, Clean: report.Clean(), FileSystem: &d, Problems: []problemJSON{}}
	for _, p := range report.Problems {
		r.Problems = append(r.Problems, describeProblem(report.Device.Path, p, p.Index == stop))
	}
	if !r.Clean {
		r.Status = 1
	}
	return r
}

// stopsAt returns the log entry that readers stop at because it is corrupt, -1 if there
// is none.
func (a *app) stopsAt(device string) int {
	_, err := famfs.Open(device)
	if !errors.Is(err, famfs.ErrCorrupt) {
		return -1
	}
	fsys, err := famfs.Open(device, famfs.Tolerant())
	if err != nil {
		return -1
	}
	defer fsys.Close()
	return fsys.Usage().LogUsed // what comes before it is in use
}

// describeProblem says what a person can do about p. stops says that readers stop at
// this entry.
func describeProblem(device string, p famfs.Problem, stops bool) problemJSON {
	// Which entry it is Index says.
	message := strings.TrimPrefix(p.Err.Error(), fmt.Sprintf("log entry %d: ", p.Index))
	d := problemJSON{Index: p.Index, Path: p.Path, Message: message, Kind: "other"}
	is := func(target error) bool { return errors.Is(p.Err, target) }
	switch {
	case p.Index < 0 && is(famfs.ErrVersion):
		d.Kind, d.Do = "version", "use a famfs of the version that formatted the device; if it was this one, the superblock is damaged: copy out what is sound (famfs --salvage cp -r "+device+":/ ./rescue), then format it anew (famfs mkfs --force "+device+") and copy back"
	case p.Index < 0 && is(famfs.ErrDevice):
		d.Kind, d.Do = "device", "give the device its full size back (daxctl, ndctl, or the file that stands in for it); files behind its end cannot be read until then"
	case p.Index < 0:
		d.Kind = "corrupt"
		if is(famfs.ErrChecksum) {
			d.Kind = "checksum"
		}
		d.Do = "the device cannot be opened: copy out what is sound (famfs --salvage cp -r " + device + ":/ ./rescue), then format it anew (famfs mkfs --force " + device + ") and copy back"
	case is(famfs.ErrChecksum), stops:
		d.Kind = "corrupt"
		if is(famfs.ErrChecksum) {
			d.Kind = "checksum"
		}
		d.Do = "readers stop here: copy out what is sound, before and after it (famfs --salvage cp -r " + device + ":/ ./rescue), then format anew (famfs mkfs --force " + device + ") and copy back"
	case is(fs.ErrExist):
		d.Kind, d.Do = "duplicate", "the first of that name is served: nothing needs doing; what this one holds can only be reached by formatting anew, and its space is kept until then"
	case is(famfs.ErrDevice):
		d.Kind, d.Do = "device", "the file lies on a device that is not this one, and is not served: copy it in again under another name"
	case is(famfs.ErrCorrupt) && p.Path == "":
		d.Kind, d.Do = "corrupt", "the entry is passed over; the rest is served: nothing needs doing, but look for the writer that made the entry"
	case is(famfs.ErrCorrupt):
		d.Kind, d.Do = "corrupt", "the entry is passed over and its space given to nobody; the rest is served: create the file again under another name, and look for the writer that made the entry"
	default:
		d.Do = "the entry is passed over; the rest is served: create the file again under another name"
	}
	return d
}

func (a *app) printReport(report *famfs.Report, r reportJSON) error {
	u := report.Usage
	id := report.Superblock.UUID.String()
	if report.Superblock.UUID == (famfs.UUID{}) {
		id = "of unknown UUID"
	}
	fmt.Fprintf(a.out, "%s: %s, %v, file system %s\n", a.displayName(report.Device.Path), human(report.Device.Size), report.Device.Kind, id)
	fmt.Fprintf(a.out, "  %s of %s, %s; %s free; %s of %s log entries used\n", count(u.Files, "file", "files"), human(u.FileBytes),
		count(u.Dirs, "directory", "directories"), human(u.Free), grouped(u.LogUsed), grouped(u.LogCapacity))
	for _, p := range r.Problems {
		where := "superblock or log header"
		if p.Index >= 0 {
			where = fmt.Sprintf("log entry %d", p.Index)
		}
		if p.Path != "" {
			where += ", " + printable(p.Path)
		}
		fmt.Fprintf(a.out, "  %s\n    %s\n    do: %s\n", where, printable(p.Message), printable(p.Do))
	}
	if r.Clean {
		_, err := fmt.Fprintln(a.out, "  clean")
		return err
	}
	_, err := fmt.Fprintf(a.out, "  %s\n", count(len(r.Problems), "problem", "problems"))
	return err
}
