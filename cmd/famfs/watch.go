package main

// famfs watch: new files as they appear.

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) watchCommand() *cobra.Command {
	var (
		every       time.Duration
		all, asJSON bool
		limit       int
	)
	cmd := &cobra.Command{
		Use:   "watch DEVICE[:PATH]",
		Short: "Print new files and directories as they appear",
		Long: `watch prints files and directories as the master makes them, until Ctrl-C. Each line
is one of ls -l, or with --json one JSON object.`,
		Example: `  famfs watch /dev/dax0.0
  famfs watch --all --json /dev/dax0.0:/models | jq -r .path
  famfs watch --count 1 /dev/dax0.0:/ready    # waits for something to appear below /ready`,
		Args: a.arguments(1, 1, "one DEVICE[:PATH]"),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := parseOnDevice(args[0])
			if err != nil {
				return err
			}
			fsys, err := a.open(t.device)
			if err != nil {
				return err
			}
			defer fsys.Close()
			a.reportLeftOut(fsys, target{device: t.device, name: "."})
			ctx, stop := interruptible()
			defer stop()
			left := limit
			l := newLister(a)
			show := func(name string, st fs.FileInfo) (more bool, err error) {
				if t.name != "." && name != t.name && !strings.HasPrefix(name, t.name+"/") {
					return true, nil
				}
				if asJSON {
					err = a.printJSONLine(describeNode(t.device, name, st))
				} else {
					row := l.row(entry{shown: t.at(name), info: st})
					_, err = fmt.Fprintf(a.out, "%s %s %s %12s %s\n", row[0], row[1], row[2], row[3], row[4])
				}
				left--
				return err == nil && left != 0, err
			}
			events := fsys.Watch(ctx, every) // from before what is there is listed
			if all {
				more := true
				err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
					if err != nil || name == "." {
						return err
					}
					st, err := d.Info()
					if err != nil {
						return err
					}
					if more, err = show(name, st); err == nil && !more {
						return fs.SkipAll
					}
					return err
				})
				if err != nil || !more {
					return err
				}
			}
			for event, err := range events {
				if err != nil {
					// Another host may be writing just now, and the next look may go well;
					// a device that was formatted anew never does.
					a.reportFailure(deviceFailed(t.device, err))
					if errors.Is(err, famfs.ErrCorrupt) || errors.Is(err, famfs.ErrReformatted) {
						return nil
					}
					continue
				}
				if more, err := show(event.Name, event.Info); err != nil || !more {
					return err
				}
			}
			return nil // Ctrl-C is how it ends
		},
	}
	cmd.Flags().DurationVarP(&every, "interval", "n", famfs.DefaultWatchInterval, "how often to look")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "what is there already first")
	cmd.Flags().IntVarP(&limit, "count", "c", 0, "end after this `many` (default: go on until Ctrl-C)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}
