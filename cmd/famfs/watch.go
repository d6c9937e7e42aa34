package main

// famfs watch: prints files as they appear and as they go.

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"famfs"
)

// eventJSON is a line of watch.
type eventJSON struct {
	Event string `json:"event"`
	nodeJSON
}

func (a *app) watchCommand() *cobra.Command {
	var (
		every       time.Duration
		all, asJSON bool
		limit       int
	)
	cmd := &cobra.Command{
		Use:   "watch DEVICE[:PATH]",
		Short: "Print files and directories as they appear and go",
		Long: `watch prints files and directories as the master makes, replaces and removes them,
until Ctrl-C or another signal, with status 0 then. Each line is one of ls -l, followed by
(replaced) or (removed), or with --json one JSON object, of which "event" is appeared,
replaced or removed. --all lists what is there already first, and misses nothing between.`,
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
			show := func(event famfs.Event) (more bool, err error) {
				name, st := event.Name, event.Info
				if t.name != "." && name != t.name && !strings.HasPrefix(name, t.name+"/") {
					return true, nil
				}
				what, note := "appeared", ""
				switch {
				case event.Removed:
					what, note = "removed", "  (removed)"
				case event.Replaced:
					what, note = "replaced", "  (replaced)"
				}
				if asJSON {
					err = a.printJSONLine(eventJSON{what, describeNode(t.device, name, st)})
				} else {
					err = l.printRow(entry{shown: t.at(name), device: t.device, name: name, info: st}, note)
				}
				if !event.Removed { // --count waits for something that is there
					left--
				}
				return err == nil && (event.Removed || left != 0), err
			}
			watch := fsys.Watch
			if all {
				watch = fsys.WatchAll
			}
			events := watch(ctx, every)
			for event, err := range events {
				if err != nil {
					// Another host may be writing now, so the next look may succeed. After the
					// device was formatted anew, none does.
					a.reportFailure(deviceFailed(t.device, err))
					if errors.Is(err, famfs.ErrCorrupt) || errors.Is(err, famfs.ErrReformatted) {
						return nil
					}
					continue
				}
				if more, err := show(event); err != nil || !more {
					return err
				}
			}
			return nil // the usual end is Ctrl-C
		},
	}
	cmd.Flags().DurationVarP(&every, "interval", "n", famfs.DefaultWatchInterval, "how often to look")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "what is there already first")
	cmd.Flags().IntVarP(&limit, "count", "c", 0, "end after this `many` have appeared or been replaced (default: go on until Ctrl-C)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}
