package main

// famfs df: how full devices are, as df prints it.

import (
	"strconv"

	"github.com/spf13/cobra"

	"famfs"
)

// dfJSON is a line of df.
type dfJSON struct {
	Device string `json:"device"`
	Kind   string `json:"kind"`
	Role   string `json:"role"`
	usageJSON
}

func (a *app) dfCommand() *cobra.Command {
	var humanSizes, entries, asJSON bool
	cmd := &cobra.Command{
		Use:   "df DEVICE...",
		Short: "Show how full devices are",
		Long: `df shows the space of devices, in blocks of 1 KiB as df does. Used counts superblock,
log and whole allocation units; Largest is the longest free run, the largest file
that can lie in one extent; Removed is what removed and replaced files had, a part of
Used that is not given out again. With -i it shows the entries of the log, one of which
each file and directory takes, and each removal.`,
		Example: `  famfs df -h /dev/dax0.0 /dev/dax1.0
  famfs df -i /dev/dax0.0
  famfs df --json /dev/dax0.0 | jq '.[0].free'`,
		Args: a.arguments(1, -1, "DEVICE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			found := []dfJSON{}
			rows := [][]string{{"Device", "1K-blocks", "Used", "Available", "Use%", "Largest", "Removed", "Files", "Role"}}
			if humanSizes {
				rows[0][1] = "Size"
			}
			if entries {
				rows[0] = []string{"Device", "Entries", "Used", "Free", "Use%", "Files", "Directories", "Role"}
			}
			err := a.eachTarget(args, func(fsys *famfs.FS, t target) error {
				d := describeFileSystem(fsys)
				u := d.Usage
				found = append(found, dfJSON{d.Device, d.Kind, d.Role, u})
				if entries {
					rows = append(rows, []string{a.displayName(t.device), strconv.Itoa(u.LogCapacity), strconv.Itoa(u.LogUsed), strconv.Itoa(u.LogCapacity - u.LogUsed),
						percent(int64(u.LogUsed), int64(u.LogCapacity)), strconv.Itoa(u.Files), strconv.Itoa(u.Dirs), d.Role})
					return nil
				}
				size := func(n int64) string { return num((n + 1023) / 1024) }
				if humanSizes {
					size = human
				}
				rows = append(rows, []string{a.displayName(t.device), size(u.Size), size(u.Allocated), size(u.Free), percent(u.Allocated, u.Size), size(u.LargestFree), size(u.Removed), strconv.Itoa(u.Files), d.Role})
				return nil
			})
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSONList(a, found)
			case len(rows) == 1:
				return nil
			}
			return columns(a.out, rows, 1, 2, 3, 4, 5, 6, 7)
		},
	}
	cmd.Flags().BoolVarP(&humanSizes, "human-readable", "h", false, "sizes as 1.5 GiB")
	cmd.Flags().BoolVarP(&entries, "inodes", "i", false, "the log's entries instead of space")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array, with sizes in bytes")
	return cmd
}
