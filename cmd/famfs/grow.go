package main

// famfs grow: adds what a device has gained to its file system.

import (
	"fmt"

	"github.com/spf13/cobra"

	"famfs"
)

// grownJSON is the output of grow for one device.
type grownJSON struct {
	Device string `json:"device"`
	Before int64  `json:"before"`
	Size   int64  `json:"size"`
}

func (a *app) growCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "grow DEVICE...",
		Short: "Use the whole of a device that has grown",
		Long: `grow has file systems use the whole of devices that have grown since they were
formatted: it writes the new size into the superblock. It needs the master, and does
nothing if a device has not grown. Who has the device open goes on with the size of
before until it is opened again. A file that stands in for a device is enlarged with
truncate; a file system cannot be made smaller. What a device gains that famfs devadd has
added, or that was one of several from the beginning, is not used: only device 0 grows.`,
		Example: `  famfs grow /dev/dax0.0
  truncate -s 2G /dev/shm/device && famfs grow /dev/shm/device`,
		Args: a.arguments(1, -1, "DEVICE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			all := []grownJSON{}
			err := a.eachOn(args, a.openToWrite, func(fsys *famfs.FS, t target) error {
				if t.name != "." {
					return errWholeDevice
				}
				before := fsys.UsageByDevice()[0].Size
				grown, err := a.opening(t.device, append(a.options(), famfs.ReadWrite(), famfs.Grow()))
				if err != nil {
					return err
				}
				defer grown.Close()
				size := grown.UsageByDevice()[0].Size
				all = append(all, grownJSON{t.device, before, size})
				switch {
				case asJSON:
					return nil
				case size == before:
					_, err = fmt.Fprintf(a.out, "%s: %s, as before\n", a.displayName(t.device), exact(size))
				default:
					_, err = fmt.Fprintf(a.out, "%s: grown from %s to %s; %s free\n", a.displayName(t.device), exact(before), exact(size), human(grown.Usage().Free))
				}
				for i, d := range grown.Devices() {
					if gained := d.Size - grown.UsageByDevice()[i].Size; i > 0 && d.Err == nil && gained > 0 && err == nil {
						_, err = fmt.Fprintf(a.out, "%s: device %d (%s) has gained %s, which is not used: only device 0 grows\n",
							a.displayName(t.device), i, a.displayName(d.Path), human(gained))
					}
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
	return cmd
}
