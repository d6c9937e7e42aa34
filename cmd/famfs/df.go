package main

// famfs df: shows how full devices are, in the style of df.

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"famfs"
)

// dfJSON is a row of df.
type dfJSON struct {
	Device string `json:"device"`
	Kind   string `json:"kind"`
	Role   string `json:"role"`
	usageJSON
	Devices []deviceJSON `json:"devices"`
}

func (a *app) dfCommand() *cobra.Command {
	var humanSizes, blocks, entries, kinds, asJSON bool
	cmd := &cobra.Command{
		Use:   "df DEVICE...",
		Short: "Show how full devices are",
		Long: `df shows the space of devices, in blocks of 1 KiB as df does. Used counts superblock,
log and whole allocation units; Largest is the longest free run, the largest file
that can lie in one extent; Removed is what removed and replaced files had, a part of
Used that is not given out again. With -i it shows the entries of the log, one of which
each file and directory takes, and each removal and seal. With -T it shows what kind of device
each is. On a device made with mkfs --reuse, Removed may be free already: famfs reclaim,
on the master, looks. If the log is full to 90%, that is said on stderr, and what to do.`,
		Example: `  famfs df -h /dev/dax0.0 /dev/dax1.0
  famfs df -i /dev/dax0.0
  famfs df --json /dev/dax0.0 | jq '.[0].free'`,
		Args: a.arguments(1, -1, "DEVICE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			found := []dfJSON{}
			var notes, types []string
			defer func() { // behind the table
				for _, note := range notes {
					fmt.Fprintf(a.err, "%s: %s\n", a.command, note)
				}
			}()
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
				devices := describeDevices(fsys.Devices(), fsys.UsageByDevice())
				found = append(found, dfJSON{d.Device, d.Kind, d.Role, u, devices})
				if absent := absentDevices(devices); absent > 0 {
					notes = append(notes, fmt.Sprintf("%s: %s not here, and what is free there is not counted: see famfs devices %s", a.displayName(t.device), count(absent, "device is", "devices are"), a.displayName(t.device)))
				}
				if note := logNote(a.displayName(t.device), u); note != "" {
					notes = append(notes, note)
				}
				if entries {
					rows = append(rows, []string{a.displayName(t.device), strconv.Itoa(u.LogCapacity), strconv.Itoa(u.LogUsed), strconv.Itoa(u.LogCapacity - u.LogUsed),
						percent(int64(u.LogUsed), int64(u.LogCapacity)), strconv.Itoa(u.Files), strconv.Itoa(u.Dirs), d.Role})
					types = append(types, d.Kind)
					return nil
				}
				size := func(n int64) string { return num((n + 1023) / 1024) }
				if humanSizes {
					size = human
				}
				rows = append(rows, []string{a.displayName(t.device), size(u.Size), size(u.Allocated), size(u.Free), percent(u.Allocated, u.Size), size(u.LargestFree), size(u.Removed), strconv.Itoa(u.Files), d.Role})
				types = append(types, d.Kind)
				if len(devices) == 1 {
					return nil
				}
				for _, x := range devices {
					name, kind := a.displayName(x.Path), x.Kind
					if !x.Here {
						name, kind = "not here", "-"
					}
					rows = append(rows, []string{fmt.Sprintf("  %d: %s", x.Index, name), size(x.Size), size(x.Allocated), size(x.Free), percent(x.Allocated, x.Size), size(x.LargestFree), size(x.Removed), "", ""})
					types = append(types, kind)
				}
				return nil
			})
			if kinds {
				rows[0] = slices.Insert(rows[0], 1, "Type")
				for i, kind := range types {
					rows[i+1] = slices.Insert(rows[i+1], 1, kind)
				}
			}
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSONList(a, found)
			case len(rows) == 1:
				return nil
			}
			if kinds {
				return columns(a.out, rows, 2, 3, 4, 5, 6, 7, 8)
			}
			return columns(a.out, rows, 1, 2, 3, 4, 5, 6, 7)
		},
	}
	cmd.Flags().BoolVarP(&humanSizes, "human-readable", "h", false, "sizes as 1.5 GiB")
	cmd.Flags().BoolVarP(&blocks, "kilobytes", "k", false, "blocks of 1 KiB, as without it")
	cmd.Flags().BoolVarP(&kinds, "print-type", "T", false, "the kind of each device too: devdax, fsdax or file")
	cmd.MarkFlagsMutuallyExclusive("kilobytes", "human-readable")
	cmd.Flags().BoolVarP(&entries, "inodes", "i", false, "the log's entries instead of space")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array, with sizes in bytes")
	return cmd
}

// logNearEnd is from how many percent of its entries on a log is said to come to its end.
const logNearEnd = 90

// logNote says that the log comes to its end, and what to do. It is "" if there is time.
func logNote(device string, u usageJSON) string {
	if int64(u.LogUsed)*100 < int64(u.LogCapacity)*logNearEnd {
		return ""
	}
	note := fmt.Sprintf("%s: %s of %s log entries are used; when all are, nothing can be made, replaced or removed\n    ", device, grouped(u.LogUsed), grouped(u.LogCapacity))
	live := u.Files + u.Dirs
	if int64(live)*100 < int64(u.LogCapacity)*logNearEnd {
		return note + fmt.Sprintf("while nobody has it open, famfs compact rewrites the log, with %s entries for what is there", grouped(live))
	}
	return note + "copy everything to a device with a longer log: famfs mkfs --loglen"
}
