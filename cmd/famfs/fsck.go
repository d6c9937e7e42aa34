package main

// famfs fsck: says what is wrong with a device, and what to do about it. It never writes.

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"famfs"
)

// problemJSON describes a problem.
type problemJSON struct {
	// Index is the index of the log entry, or -1 for superblock and log header.
	Index   int    `json:"index"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Kind is checksum, corrupt, duplicate, device, version, memory or other.
	Kind string `json:"kind"`
	Do   string `json:"do"`
}

// reportJSON describes what was found on a device.
type reportJSON struct {
	Device string `json:"device"`
	Status int    `json:"status"`
	Clean  bool   `json:"clean"`
	// Error says why the device could not be checked.
	Error      string          `json:"error,omitempty"`
	FileSystem *fileSystemJSON `json:"file_system,omitempty"`
	Devices    []deviceJSON    `json:"devices,omitempty"`
	// Copy says whether there is a second copy of the superblock: sound, none, or why it is not
	// believed.
	Copy     string        `json:"superblock_copy,omitempty"`
	Problems []problemJSON `json:"problems"`
	Notes    []noteJSON    `json:"notes"`
}

// opens reports whether the device can be opened for writing, as far as its superblock goes.
func (r *reportJSON) opens() bool {
	for _, p := range r.Problems {
		if p.Index < 0 && !isSecondary(p.Message) {
			return false
		}
	}
	return true
}

func (a *app) fsckCommand() *cobra.Command {
	var asJSON, humanSizes bool
	cmd := &cobra.Command{
		Use:   "fsck DEVICE...",
		Short: "Check devices; never writes",
		Long: `fsck reads all metadata of a device, past every error, and lists what is wrong: the
log entry, the path, and what to do. It never writes: a log is append-only, and what
is in it stays until famfs compact --drop-problems leaves it out, or the device is
formatted anew. Half a queue, which nobody can open, is a note, and no problem.

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
				device := arg
				if err == nil {
					device = t.device
				}
				var report *famfs.Report
				if err == nil && t.name != "." {
					return usageError(fmt.Errorf("%s: a device is checked as a whole: leave the path out", t))
				}
				if err == nil {
					report, err = famfs.Check(t.device, a.options()...)
				}
				if err != nil {
					err = deviceFailed(device, err)
					reports = append(reports, reportJSON{Device: device, Status: 2, Error: separate(err)[0].message(), Problems: []problemJSON{}, Notes: []noteJSON{}})
					a.reportFailure(err)
					continue
				}
				r := describeReport(report, a.stopsAt(t.device))
				r.Notes = halfQueues(t.device, a.options()...)
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

// describeReport describes a report. stop is the entry at which readers stop, or -1.
func describeReport(report *famfs.Report, stop int) reportJSON {
	d := describeDevice(report.Device, report.Superblock, report.Usage)
	r := reportJSON{Device: report.Device.Path, Clean: report.Clean(), FileSystem: &d, Problems: []problemJSON{}}
	r.Devices = describeDevices(report.Devices, report.UsageByDevice)
	short := false // the device is shorter than it was
	for _, p := range report.Problems {
		of := describeProblem(report.Device.Path, p, p.Index == stop)
		if short && errors.Is(p.Err, famfs.ErrCorrupt) && strings.Contains(of.Message, pastTheEnd) {
			of.Kind, of.Do = "device", "nothing, but give the device its full size back: the entry is served again then"
		}
		short = short || p.Index < 0 && of.Kind == "device" && !isSecondary(of.Message)
		r.Problems = append(r.Problems, of)
	}
	if !r.Clean {
		r.Status = 1
	}
	r.Copy = describeCopy(report)
	return r
}

// describeCopy says what there is of the superblock's second copy.
func describeCopy(report *famfs.Report) string {
	switch {
	case report.Copy != nil:
		return "sound"
	case errors.Is(report.CopyErr, famfs.ErrNotFormatted):
		return "none"
	case report.CopyErr != nil:
		return commandWords.Replace(report.CopyErr.Error())
	}
	return ""
}

// pastTheEnd is what messages say of something that lies where the device is not, or not any more.
const pastTheEnd = "passes the end of the device"

// stopsAt returns the index of the log entry at which readers stop because it is corrupt, or -1
// if there is none.
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
	return fsys.Usage().LogUsed // the entries before it are in use
}

// describeProblem describes p and says what a person can do about it. stops says that readers
// stop at this entry.
func describeProblem(device string, p famfs.Problem, stops bool) problemJSON {
	// The entry is named by Index already.
	message := commandWords.Replace(strings.TrimPrefix(p.Err.Error(), fmt.Sprintf("log entry %d: ", p.Index)))
	d := problemJSON{Index: p.Index, Path: p.Path, Message: message, Kind: "other"}
	is := func(target error) bool { return errors.Is(p.Err, target) }
	switch {
	case is(famfs.ErrBadMemory) && p.Index < 0:
		d.Kind, d.Do = "memory", "copy everything to another device while it can be read (famfs cp -r "+device+":/ OTHER:/), and have the memory repaired"
	case is(famfs.ErrBadMemory):
		d.Kind, d.Do = "memory", "it is served, but what is there may be lost: compare it with a sound source (famfs verify), and copy it in again in its place (famfs cp --replace), which puts it elsewhere"
	case p.Index < 0 && isSecondary(message) && strings.Contains(message, "one is a copy"):
		d.Kind, d.Do = "device", "find out which is the right one, and give only that to --device; nothing is lost"
	case p.Index < 0 && isSecondary(message) && !strings.Contains(message, "mkfs --restore-superblock") && !strings.Contains(message, "the log says"):
		d.Kind, d.Do = "device", "give --device the path that the device has on this host (famfs devices "+device+" says which are not here); only if this is the device, what was on it is lost: remove the files that cannot be read (famfs rm), and copy them in again"
	case p.Index < 0 && strings.Contains(message, "mkfs --restore-superblock"):
		d.Kind = "corrupt"
		if is(famfs.ErrChecksum) {
			d.Kind = "checksum"
		}
		lost := device
		if isSecondary(message) {
			lost, _, _ = strings.Cut(strings.TrimPrefix(message, "device "), ": ")
		}
		d.Do = "the device cannot be opened: put the copy of the superblock back, on the master (famfs mkfs --restore-superblock " + lost + "); or copy out what is sound (famfs --salvage cp -r " + device + ":/ ./rescue)"
	case p.Index < 0 && is(famfs.ErrVersion):
		d.Kind, d.Do = "version", "use a famfs of the version that formatted the device; if it was this one, the superblock is damaged: copy out what is sound (famfs --salvage cp -r "+device+":/ ./rescue), then format it anew (famfs mkfs --force "+device+") and copy back"
	case p.Index < 0 && is(famfs.ErrBusy):
		d.Kind, d.Do = "compacting", "finish it on the master: famfs compact "+device+"; nothing is lost"
	case p.Index < 0 && (is(famfs.ErrDevice) || strings.Contains(message, pastTheEnd)):
		d.Kind, d.Do = "device", "look at the devices (famfs devices "+device+"), and give the device its full size back (daxctl, ndctl, or the file that stands in for it); files behind its end cannot be read until then"
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
		d.Do = "readers stop here: copy out what is sound, before and after it (famfs --salvage cp -r " + device + ":/ ./rescue), then format anew (famfs mkfs --force " + device + ") and copy back; or leave it out for good, where it stands (famfs compact --drop-problems " + device + ")"
	case strings.HasPrefix(message, "seal of ") || strings.HasPrefix(message, "removal of "):
		d.Kind, d.Do = "corrupt", "nothing: it has no file of its own, and is passed over; if an entry before it is corrupt, it follows from that; famfs compact --drop-problems "+device+" leaves it out"
	case is(fs.ErrExist):
		d.Kind, d.Do = "duplicate", "the first of that name is served: nothing needs doing; what this one holds cannot be reached, and its space is kept until famfs compact --drop-problems "+device+" leaves it out"
	case is(famfs.ErrDevice):
		d.Kind, d.Do = "device", "the file lies on a device that is not this one, and is not served: copy it in again under another name"
	case is(famfs.ErrCorrupt) && p.Path == "":
		d.Kind, d.Do = "corrupt", "the entry is passed over; the rest is served: nothing needs doing, but look for the writer that made the entry; famfs compact --drop-problems "+device+" leaves it out"
	case is(famfs.ErrCorrupt):
		d.Kind, d.Do = "corrupt", "the entry is passed over and its space given to nobody; the rest is served: create the file again under another name, and look for the writer that made the entry; famfs compact --drop-problems "+device+" leaves it out, and gives its space back"
	default:
		d.Do = "the entry is passed over; the rest is served: create the file again under another name; famfs compact --drop-problems " + device + " leaves it out"
	}
	return d
}

// isSecondary reports whether a message about superblock and log header is about another device than
// the one that has them.
func isSecondary(message string) bool {
	return strings.HasPrefix(message, "device ") && !strings.HasPrefix(message, "device of ")
}

func (a *app) printReport(report *famfs.Report, r reportJSON) error {
	u := report.Usage
	id := report.Superblock.UUID.String()
	if report.Superblock.UUID == (famfs.UUID{}) {
		id = "of unknown UUID"
	}
	fmt.Fprintf(a.out, "%s: %s, %v, file system %s\n", a.displayName(report.Device.Path), human(report.Device.Size), report.Device.Kind, id)
	fmt.Fprintf(a.out, "  %s of %s%s, %s; %s free; %s of %s log entries used\n", count(u.Files, "file", "files"), human(u.FileBytes), sealedOf(u),
		count(u.Dirs, "directory", "directories"), human(u.Free), grouped(u.LogUsed), grouped(u.LogCapacity))
	devices := describeDevices(report.Devices, report.UsageByDevice)
	if len(devices) > 1 {
		for _, x := range devices {
			where := "not here"
			if x.Here {
				where = a.displayName(x.Path)
			}
			fmt.Fprintf(a.out, "  device %d: %s, %s, %s free, UUID %s\n", x.Index, where, human(x.Size), human(x.Free), x.UUID)
			if !x.Here {
				fmt.Fprintf(a.out, "    %s\n", printable(x.Why))
			}
		}
	}
	switch r.Copy {
	case "", "sound":
	case "none":
		next := "; the next command on the master that writes to the device makes one"
		if !r.opens() {
			next = ""
		}
		fmt.Fprintf(a.out, "  the superblock has no second copy%s\n", next)
	default:
		next := "; the next command on the master that writes to the device makes it anew"
		if !r.opens() {
			next = ""
		}
		fmt.Fprintf(a.out, "  the superblock's second copy is not believed: %s%s\n", printable(r.Copy), next)
	}
	for _, p := range r.Problems {
		where := "superblock or log header"
		switch {
		case p.Index < 0 && isSecondary(p.Message):
			where = "further device"
		case p.Index >= 0:
			where = fmt.Sprintf("log entry %d", p.Index)
		}
		if p.Path != "" {
			where += ", " + printable(p.Path)
		}
		fmt.Fprintf(a.out, "  %s\n    %s\n    do: %s\n", where, printable(p.Message), printable(p.Do))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(a.out, "  note: %s: %s\n    do: %s\n", printable(n.Path), printable(n.Message), printable(n.Do))
	}
	if r.Clean {
		_, err := fmt.Fprintln(a.out, "  clean")
		return err
	}
	_, err := fmt.Fprintf(a.out, "  %s\n", count(len(r.Problems), "problem", "problems"))
	return err
}
