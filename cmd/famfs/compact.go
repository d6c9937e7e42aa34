package main

// famfs compact: makes the space and log entries of removed files usable again.

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"famfs"
)

// compactedJSON is what compact prints of a device.
type compactedJSON struct {
	Device string `json:"device"`
	// Bytes and Entries are what can be used again.
	Bytes     int64 `json:"bytes"`
	Entries   int   `json:"entries"`
	Available int64 `json:"available"`
	// Finished: one that was interrupted was finished first, which Bytes and Entries leave out.
	Finished bool   `json:"finished"`
	UUID     string `json:"uuid"`
}

func (a *app) compactCommand() *cobra.Command {
	var asJSON, drop bool
	cmd := &cobra.Command{
		Use:   "compact DEVICE...",
		Short: "Give out again what removed files had",
		Long: `compact rewrites the log of a file system without what was removed: the memory of
removed files, and their entries of the log, can be used again. No data is moved. famfs
df shows how much there is to have.

It needs the master, and NOBODY MAY HAVE THE DEVICE OPEN, on any host, mounts of the C
tools included: compact cannot see that. Whoever has it open all the same notices when it
looks for new files, and what it has mapped of removed files may be other files' by then.

If it is interrupted, also by a power cut, nothing is lost: the next command on the
master that writes to the device (or compact, once more) finishes it. Until then the
device cannot be read.

A file system with problems (see famfs fsck) is refused: with --drop-problems they, and
what they are about, are left out for good.`,
		Example: `  famfs compact /dev/dax0.0
  famfs rm -r /dev/dax0.0:/models/old && famfs compact --json /dev/dax0.0`,
		Args: a.arguments(1, -1, "DEVICE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			all := []compactedJSON{}
			interrupted := make(map[string]bool)
			err := a.eachOn(args, func(device string) (*famfs.FS, error) {
				report, err := famfs.Check(device, a.options()...)
				interrupted[device] = err == nil && errors.Is(report.Err(), famfs.ErrBusy)
				fsys, err := a.openToWrite(device)
				if drop && errors.Is(err, famfs.ErrCorrupt) {
					return a.opening(device, append(a.options(), famfs.Tolerant()))
				}
				return fsys, err
			}, func(_ *famfs.FS, t target) error {
				if t.name != "." {
					return errWholeDevice
				}
				c, err := a.compact(t.device, drop)
				if err != nil {
					return deviceFailed(t.device, err)
				}
				c.Finished = interrupted[t.device]
				all = append(all, *c)
				switch {
				case asJSON:
					return nil
				case c.Finished && c.Entries == 0:
					_, err = fmt.Fprintf(a.out, "%s: finished the compaction that was interrupted; %s free\n", a.displayName(t.device), human(c.Available))
				case c.Entries == 0:
					_, err = fmt.Fprintf(a.out, "%s: nothing to compact; %s free\n", a.displayName(t.device), human(c.Available))
				default:
					_, err = fmt.Fprintf(a.out, "%s: compacted: %s and %s of the log can be used again; %s free\n",
						a.displayName(t.device), human(c.Bytes), count(c.Entries, "entry", "entries"), human(c.Available))
				}
				return err
			}, nil)
			if err != nil || !asJSON {
				return err
			}
			return printJSONList(a, all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array, with sizes in bytes")
	cmd.Flags().BoolVar(&drop, "drop-problems", false, "leave out, for good, what fsck has found")
	return cmd
}

// compact compacts one device, and says what came of it.
func (a *app) compact(device string, drop bool) (*compactedJSON, error) {
	// Check counts the whole log, past what is corrupt.
	report, err := famfs.Check(device, a.options()...)
	if err != nil {
		return nil, err
	}
	before := report.Usage
	opts := a.options()
	if drop {
		opts = append(opts, famfs.DropProblems())
	}
	if err := famfs.Compact(device, opts...); err != nil {
		return nil, err
	}
	fsys, err := a.opening(device, a.options())
	if err != nil {
		return nil, err
	}
	defer fsys.Close()
	after := fsys.Usage()
	return &compactedJSON{
		Device: device, Bytes: before.Allocated - after.Allocated, Entries: before.LogUsed - after.LogUsed,
		Available: after.Free, UUID: fsys.Superblock().UUID.String(),
	}, nil
}
