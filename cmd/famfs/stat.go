package main

// famfs stat: shows everything that is known about a file, a directory, or a device.

import (
	"fmt"
	"io/fs"
	"strconv"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) statCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stat DEVICE[:PATH]...",
		Short: "Show all that is known of a file, a directory or a device",
		Long: `stat shows what the log says of a file or directory, and where a file lies. For a
DEVICE without a path it shows the device, its superblock and how full it is.`,
		Example: `  famfs stat /dev/dax0.0
  famfs stat /dev/dax0.0:/models/llama
  famfs stat --json /dev/dax0.0 | jq .superblock.uuid`,
		Args: a.arguments(1, -1, "DEVICE[:PATH]..."),
		RunE: func(_ *cobra.Command, args []string) error {
			all := []any{}
			err := a.eachTarget(args, func(fsys *famfs.FS, t target) error {
				st, err := fsys.Stat(t.name)
				if err != nil {
					return err
				}
				switch {
				case asJSON && t.name == ".":
					all = append(all, describeFileSystem(fsys))
					return nil
				case asJSON:
					all = append(all, describeNode(t.device, t.name, st))
					return nil
				case t.name == ".":
					return a.statDevice(fsys)
				}
				return a.statNode(t, st)
			})
			if err != nil || !asJSON {
				return err
			}
			switch {
			case len(args) > 1:
				return printJSONList(a, all)
			case len(all) == 1:
				return a.printJSON(all[0])
			case len(a.failures) > 0:
				return a.printJSON(a.failures[0])
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON: an object, or an array for several arguments")
	return cmd
}

func (a *app) statDevice(fsys *famfs.FS) error {
	d, sb, u := fsys.Device(), fsys.Superblock(), fsys.Usage()
	kind := d.Kind.String()
	if d.Driver != "" {
		kind += " (" + d.Driver + ")"
	}
	if d.Synchronous {
		kind += ", durable by cache flush alone"
	}
	rows := [][]string{
		{"Device", a.displayName(d.Path)},
		{"Kind", kind},
		{"Size", exact(d.Size)},
		{"Alignment", exact(d.Align)},
	}
	if d.NUMANode >= 0 || d.TargetNode >= 0 {
		rows = append(rows, []string{"NUMA node", fmt.Sprintf("%d, target node %d", d.NUMANode, d.TargetNode)})
	}
	rows = append(rows, [][]string{
		{"File system", sb.UUID.String()},
		{"Master", fmt.Sprintf("%v; this host is %v", sb.SystemUUID, fsys.Role())},
		{"Device UUID", sb.DeviceUUID.String()},
		{"Formatted as", fmt.Sprintf("%q, %s, %s, on-media format %d.%d", sb.DeviceName, exact(sb.DeviceSize), versionOf(sb), sb.OMFMajor, sb.OMFMinor)},
		{"Log", fmt.Sprintf("%s at %s: %s of %s entries used", human(sb.LogSize), human(sb.LogOffset), grouped(u.LogUsed), grouped(u.LogCapacity))},
		{"Allocation", "in units of " + human(sb.AllocUnit)},
		{"Used", exact(u.Allocated)},
		{"Free", fmt.Sprintf("%s, the longest run %s", exact(u.Free), human(u.LargestFree))},
		{"Content", fmt.Sprintf("%s of %s%s, %s", count(u.Files, "file", "files"), human(u.FileBytes), sealedOf(u), count(u.Dirs, "directory", "directories"))},
	}...)
	if devices := a.deviceRows(fsys); len(devices) > 0 {
		rows = append(rows, []string{"Devices", fmt.Sprintf("%d, with %s; what is used and free is of all that are here", len(devices), exact(u.Size))})
		rows = append(rows, devices...)
	}
	size := fsys.UsageByDevice()[0].Size
	if more := d.Size - size; size > 0 && more > 0 {
		rows = append(rows, []string{"Not used", fmt.Sprintf("%s that the device has gained; see famfs grow", exact(more))})
	}
	if n := len(fsys.Problems()); n > 0 {
		rows = append(rows, []string{"Problems", fmt.Sprintf("%s passed over; see famfs fsck", count(n, "log entry", "log entries"))})
	}
	return columns(a.out, rows)
}

// versionOf says of which version a superblock is, and what its features are.
func versionOf(sb famfs.Superblock) string {
	s := fmt.Sprintf("version %d", uint32(sb.Version))
	features := sb.Version >> 32
	for i, name := range [...]string{"gives memory out again", "on several devices"} {
		if features&(1<<i) != 0 {
			s += " (" + name + ")"
			features &^= 1 << i
		}
	}
	if features != 0 {
		s += fmt.Sprintf(" (features %#x)", features)
	}
	return s
}

// sealedOf says how many files are sealed, if any are.
func sealedOf(u famfs.Usage) string {
	if u.Sealed == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s sealed)", grouped(u.Sealed))
}

func (a *app) statNode(t target, st fs.FileInfo) error {
	attr := st.Sys().(*famfs.Attr)
	rows := [][]string{
		{"Path", a.displayName(t.String())},
		{"Type", map[bool]string{true: "directory", false: "file"}[st.IsDir()]},
		{"Mode", fmt.Sprintf("%04o (%v)", octal(st.Mode()), st.Mode())},
		{"Owner", fmt.Sprintf("uid %d, gid %d", attr.UID, attr.GID)},
		{"Log entry", strconv.Itoa(attr.Index)},
	}
	if !st.IsDir() {
		flags := ""
		if attr.Flags&1 != 0 {
			flags = ", read-only on all hosts"
		}
		rows = append(rows, []string{"Size", exact(st.Size()) + flags})
		if attr.Sealed {
			rows = append(rows, []string{"Seal", attr.Sum.String() + "; famfs verify compares the content with it"})
		}
		rows = append(rows, []string{"Layout", describeLayout(attr.Layout)})
		for i, x := range attr.Layout.Extents {
			rows = append(rows, []string{"  " + strconv.Itoa(i), fmt.Sprintf("device %d, %d bytes at %d", x.Device, x.Length, x.Offset)})
		}
	}
	return columns(a.out, rows)
}

// describeLayout describes a layout in words.
func describeLayout(l famfs.Layout) string {
	if l.Chunk > 0 {
		return fmt.Sprintf("interleaved over %s in chunks of %s", count(len(l.Extents), "strip", "strips"), human(l.Chunk))
	}
	return count(len(l.Extents), "extent", "extents")
}
