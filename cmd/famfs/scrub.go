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
	// Ended says that not everything was read: it was ended before, or the log has what is passed over.
	Ended bool `json:"ended,omitempty"`
}

// badRangeJSON is a range that cannot be read or does not match.
type badRangeJSON struct {
	// File is "" for superblock and log; Offset is then one of the device.
	File    string `json:"file,omitempty"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`
	Kind    string `json:"kind"` // unreadable, differs, stale or corrupt
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
--rate leaves others the rest of the memory's bandwidth.

Status: 0 all sound, 1 something was found, 2 not everything could be looked at.`,
		Example: `  famfs scrub /dev/dax0.0
  famfs scrub --rate 500M --json /dev/dax0.0 | jq '.[0].bad'`,
		Args: a.arguments(1, -1, "DEVICE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			ctx, stop := interruptible()
			defer stop()
			a.failStatus = statusUsage
			all, found := []scrubJSON{}, false
			err := a.eachOn(args, a.open, func(fsys *famfs.FS, t target) error {
				if t.name != "." {
					return errWholeDevice
				}
				u := fsys.Usage()
				sb := fsys.Superblock()
				p := a.newProgress("read", u.Files, u.FileBytes+sb.LogOffset+sb.LogSize, quiet || asJSON, false)
				var last famfs.ScrubProgress
				report, err := fsys.Scrub(ctx, famfs.ScrubRate(int64(rate)), famfs.OnScrub(func(now famfs.ScrubProgress) {
					p.bytes(now.Bytes - last.Bytes)
					if now.Files > last.Files {
						p.file(now.Name, "")
					}
					last = now
				}))
				p.finish("read "+count(report.Files, "file", "files"), "")
				d := describeScrub(t.device, report)
				d.Ended = err != nil || len(leftOut(fsys, ".")) > 0
				d.Clean = d.Clean && !d.Ended
				all, found = append(all, d), found || !d.Clean
				if !asJSON {
					a.printScrub(d)
				}
				if ctx.Err() != nil {
					return &statusError{status: signalStatus(ctx)} // said below
				}
				if err == nil {
					a.reportLeftOut(fsys, t)
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
			case found:
				return &statusError{status: statusFailed}
			}
			return nil
		},
	}
	cmd.Flags().Var(&rate, "rate", "read at most so many bytes a second, e.g. 500M")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array, one object a device")
	return cmd
}

func describeScrub(device string, report *famfs.ScrubReport) scrubJSON {
	d := scrubJSON{Device: device, Clean: len(report.Bad) == 0, Files: report.Files, Sealed: report.Sealed, Bytes: report.Bytes, Bad: []badRangeJSON{}, More: report.More}
	for _, b := range report.Bad {
		kind := "corrupt"
		var sum *famfs.SumError
		switch {
		case errors.As(b, &sum) && sum.Stale:
			kind = "stale"
		case errors.As(b, &sum):
			kind = "differs"
		case errors.Is(b, famfs.ErrDevice):
			kind = "unreadable"
		}
		message := b.Error()
		if sum != nil {
			message = strings.TrimPrefix(message, "content of "+sum.Name+": ")
		}
		d.Bad = append(d.Bad, badRangeJSON{b.Name, b.Offset, b.Length, kind, message})
	}
	return d
}

func (a *app) printScrub(d scrubJSON) {
	for _, b := range d.Bad {
		where := "superblock or log"
		if b.File != "" {
			where = printable(b.File)
		}
		fmt.Fprintf(a.out, "%s: %s: %s at %d: %s\n", a.displayName(d.Device), where, human(b.Length), b.Offset, printable(b.Message))
	}
	what := "clean"
	if len(d.Bad) > 0 {
		what = count(len(d.Bad), "bad range", "bad ranges")
		if d.More {
			what = "more than " + what
		}
	}
	if d.Ended {
		what = strings.TrimPrefix(what+", and not everything was read", "clean, and ")
	}
	fmt.Fprintf(a.out, "%s: %s, %s sealed: %s\n", a.displayName(d.Device), count(d.Files, "file", "files"), grouped(d.Sealed), what)
}
