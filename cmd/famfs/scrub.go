package main

// famfs scrub: reads everything on devices, to find memory that fails or has changed.

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"famfs"
)

// scrubJSON is what scrub prints of a device.
type scrubJSON struct {
	Device string `json:"device"`
	Clean  bool   `json:"clean"`
	Files  int    `json:"files"`
	// Sealed is how many of the files were compared with their seals.
	Sealed int            `json:"sealed"`
	Bytes  int64          `json:"bytes"`
	Bad    []badRangeJSON `json:"bad"`
	// More says that more was found than is listed.
	More bool `json:"more,omitempty"`
	// LeftOut is how many problems keep something from being read: see fsck.
	LeftOut int `json:"left_out,omitempty"`
	// Ended says that it was ended before everything was read.
	Ended bool `json:"ended,omitempty"`
}

// badRangeJSON is a range that cannot be read or does not match.
type badRangeJSON struct {
	// File is "" for superblock and log; Offset is then one of the device.
	File    string `json:"file,omitempty"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`
	Kind    string `json:"kind"` // unreadable, differs, stale, corrupt, or absent: on a device that is not here
	Message string `json:"message"`
}

func (a *app) scrubCommand() *cobra.Command {
	var (
		rate          sizeValue
		quiet, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "scrub DEVICE...",
		Short: "Read everything, to find memory that fails; never writes",
		Long: `scrub reads all metadata and every byte of every file of a device, past its caches, and
compares sealed files with their seals. It lists what cannot be read or does not match, by
file and offset, and what to do about it. It never writes, and may run beside anything else;
--rate leaves others the rest of the memory's bandwidth. A file on a device that is not
here (famfs devices) is listed as one that was not read.

Status: 0 all sound, 1 something was found, 2 not everything could be looked at.`,
		Example: `  famfs scrub /dev/dax0.0
  famfs scrub --rate 500M --json /dev/dax0.0 | jq '.[0].bad'`,
		Args: a.arguments(1, -1, "DEVICE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			ctx, stop := interruptible()
			defer stop()
			a.failStatus = statusUsage
			all, found, absent := []scrubJSON{}, false, false
			err := a.eachOn(args, a.open, func(fsys *famfs.FS, t target) error {
				if t.name != "." {
					return errWholeDevice
				}
				u := fsys.Usage()
				sb := fsys.Superblock()
				p := a.newProgress("read", u.Files, u.FileBytes+sb.LogOffset+sb.LogSize, quiet || asJSON, false)
				var last famfs.ScrubProgress
				report, err := fsys.Scrub(ctx, famfs.ScrubRate(int64(rate)), famfs.OnScrub(func(now famfs.ScrubProgress) {
					p.of(now.All)
					p.bytes(now.Bytes - last.Bytes)
					if now.Files > last.Files {
						p.file(t.at(now.Name), "")
					}
					last = now
				}))
				p.finish("read "+count(report.Files, "file", "files"), "")
				d := describeScrub(t.device, fsys, report)
				d.LeftOut = len(leftOut(fsys, "."))
				a.reportLeftOut(fsys, t)
				d.Clean = d.Clean && err == nil && d.LeftOut == 0
				d.Ended = err != nil
				absent = absent || d.count(kindAbsent) > 0
				all, found = append(all, d), found || !d.Clean
				if !asJSON {
					a.printScrub(d)
				}
				if ctx.Err() != nil {
					return &statusError{status: signalStatus(ctx)} // said below
				}
				return err
			}, nil)
			if asJSON {
				err = errors.Join(err, printJSONList(a, all))
			}
			switch {
			case ctx.Err() != nil:
				return &statusError{signalStatus(ctx), errors.New("interrupted: not everything was read")}
			case err != nil:
				return err
			case absent:
				return &statusError{status: statusUsage}
			case found:
				return &statusError{status: statusFailed}
			}
			return nil
		},
	}
	cmd.Flags().Var(&rate, "rate", "read at most so many bytes a second, e.g. 500M")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	a.registerProgress(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array, one object a device")
	return cmd
}

func describeScrub(device string, fsys *famfs.FS, report *famfs.ScrubReport) scrubJSON {
	d := scrubJSON{Device: device, Clean: len(report.Bad) == 0, Files: report.Files, Sealed: report.Sealed, Bytes: report.Bytes, Bad: []badRangeJSON{}, More: report.More}
	for _, b := range report.Bad {
		kind := "corrupt"
		var sum *famfs.SumError
		switch {
		case errors.As(b, &sum) && sum.Stale:
			kind = "stale"
		case errors.As(b, &sum):
			kind = "differs"
		case b.Name != "" && isAbsent(fsys, b.Name):
			kind = kindAbsent
		case errors.Is(b, famfs.ErrDevice):
			kind = "unreadable"
		}
		message := commandWords.Replace(b.Error())
		if sum != nil {
			message = strings.TrimPrefix(message, "content of "+sum.Name+": ")
		}
		d.Bad = append(d.Bad, badRangeJSON{b.Name, b.Offset, b.Length, kind, message})
	}
	return d
}

// kindAbsent is the kind of a range on a device that is not here.
const kindAbsent = "absent"

// count returns how many ranges of a kind there are.
func (d *scrubJSON) count(kind string) (n int) {
	for _, b := range d.Bad {
		if b.Kind == kind {
			n++
		}
	}
	return n
}

// isAbsent reports whether a part of a file is on a device that is not here.
func isAbsent(fsys *famfs.FS, name string) bool {
	st, err := fsys.Stat(name)
	if err != nil {
		return false // removed meanwhile
	}
	devices := fsys.Devices()
	for _, x := range attrOf(st).Layout.Extents {
		if x.Device < len(devices) && devices[x.Device].Err != nil {
			return true
		}
	}
	return false
}

func (a *app) printScrub(d scrubJSON) {
	for _, b := range d.Bad {
		where := "superblock or log"
		if b.File != "" {
			where = printable(b.File)
		}
		fmt.Fprintf(a.people(), "%s: %s: %s at %d: %s\n", a.displayName(d.Device), where, human(b.Length), b.Offset, printable(b.Message))
	}
	what := "clean"
	absent := d.count(kindAbsent)
	if bad := len(d.Bad) - absent; bad > 0 {
		what = count(bad, "bad range", "bad ranges")
		if d.More {
			what = "more than " + what
		}
	}
	if d.LeftOut > 0 {
		what = strings.TrimPrefix(what+", and "+count(d.LeftOut, "problem keeps", "problems keep")+" something from being read", "clean, and ")
	}
	if absent > 0 {
		what = strings.TrimPrefix(what+", and "+count(absent, "file", "files")+" not read, on a device that is not here", "clean, and ")
	}
	if d.Ended {
		what = strings.TrimPrefix(what+", and not everything was read", "clean, and ")
	}
	fmt.Fprintf(a.people(), "%s: %s, %s sealed: %s\n", a.displayName(d.Device), count(d.Files, "file", "files"), grouped(d.Sealed), what)
}
