package main

// famfs layout: shows where every file lies on the device. Only the command is here. The model
// is in layout_plan.go, the map for terminals in layout_map.go, and the picture in
// layout_svg.go.

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) layoutCommand() *cobra.Command {
	var (
		svg, color   string
		list, asJSON bool
		width        int
	)
	cmd := &cobra.Command{
		Use:   "layout DEVICE",
		Short: "Show where every file lies on the device",
		Long: `layout shows where every file lies on the device, as a map that fits the terminal:
a colour for each file, or, where there are more than colours, for each directory;
grey dots are free, white is superblock and log, and shaded areas are strips of
interleaved files. Red crosses are what log entries claim that were passed over: it is
no file's, and given to none; see famfs fsck. Pale grey is what removed and replaced
files had, which is not given out again. Without colours there are letters instead:
capitals are interleaved, - is removed, ! is claimed.

A file system on several devices has a map for each.

--svg writes a picture for a browser, with names and sizes under the mouse. Pipes and
symbolic links are written through; a device is never replaced.`,
		Example: `  famfs layout /dev/dax0.0
  famfs layout --svg layout.svg /dev/dax0.0
  famfs layout --list /dev/dax0.0
  famfs layout --json /dev/dax0.0 | jq '.free[].length'`,
		Args: a.arguments(1, 1, "one DEVICE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if color != "auto" && color != "always" && color != "never" {
				return usageError(fmt.Errorf("--color %q, want auto, always or never", color))
			}
			return a.eachTarget(args, func(fsys *famfs.FS, t target) error {
				if t.name != "." {
					return errWholeDevice
				}
				plans, err := plansOf(fsys)
				if err != nil {
					return err
				}
				var missing []deviceJSON
				for _, d := range describeDevices(fsys.Devices(), fsys.UsageByDevice()) {
					if !d.Here {
						missing = append(missing, d)
					}
				}
				draw := func(w io.Writer) error { return writePanels(w, plans) }
				switch {
				case svg == "-":
					return draw(a.out)
				case svg != "":
					if err := writeLocal(svg, draw); err != nil {
						return localFailed(svg, err)
					}
					_, err := fmt.Fprintf(a.out, "wrote %s: %s of %s\n", a.displayName(svg), count(fsys.Usage().Files, "file", "files"), a.displayName(plans[0].device))
					return err
				case asJSON:
					r := plans[0].report()
					for _, p := range plans[1:] {
						r.Devices = append(r.Devices, p.report())
					}
					r.Missing = missing
					return a.printJSON(r)
				case list:
					for _, p := range plans {
						if err := a.printPlan(p); err != nil {
							return err
						}
					}
					return a.printMissing(missing)
				}
				if width < 0 {
					return usageError(fmt.Errorf("--width %d, want a number of columns", width))
				}
				columns := width
				if columns == 0 {
					columns = terminalWidth(a.out)
				}
				coloured := color == "always" || color == "auto" && terminalWidth(a.out) > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
				for i, p := range plans {
					if i > 0 {
						fmt.Fprintln(a.out)
					}
					if err := p.writeMap(a.out, columns, terminalHeight(a.out)/len(plans), coloured); err != nil {
						return err
					}
				}
				return a.printMissing(missing)
			})
		},
	}
	cmd.Flags().StringVar(&svg, "svg", "", "write a picture to this `FILE`, - for stdout")
	cmd.Flags().BoolVar(&list, "list", false, "a line for each run of the device instead of a map")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().StringVar(&color, "color", "auto", "colours: auto, always or never")
	cmd.Flags().IntVar(&width, "width", 0, "columns of the map (default: the terminal's, or 80)")
	cmd.MarkFlagsMutuallyExclusive("svg", "list", "json")
	return cmd
}
