package main

// famfs logdump: shows the log, entry by entry, as it is on the device.

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"famfs"
)

// logEntryJSON describes an entry. Type is file, mkdir, removal, seal or add-daxdev, or "type" and a
// number. Files and directories have the same fields as in other commands. If an entry has a
// problem, its fields are what was found, which need not be valid.
type logEntryJSON struct {
	Index int    `json:"index"`
	Seq   uint64 `json:"seq"`
	CRC   string `json:"crc"` // in hexadecimal
	Type  string `json:"type"`
	*nodeJSON
	AddedDevice *addedDeviceJSON `json:"added_device,omitempty"`
	Removed     *removedNodeJSON `json:"removed,omitempty"`
	Sealed      *sealedNodeJSON  `json:"sealed,omitempty"`
	Problem     *problemJSON     `json:"problem,omitempty"`
}

// sealedNodeJSON is what a seal seals. Index is that of the entry that made the file, and Seal is the
// sum of its content, as KIND:SUM.
type sealedNodeJSON struct {
	Index int    `json:"index"`
	Path  string `json:"path"`
	Seal  string `json:"seal"`
}

// removedNodeJSON is what a removal removes. Index is that of the entry that made it.
type removedNodeJSON struct {
	Index int    `json:"index"`
	Path  string `json:"path"`
}

// addedDeviceJSON is the device that an add-daxdev entry adds.
type addedDeviceJSON struct {
	Index int    `json:"index"`
	Size  int64  `json:"size"`
	UUID  string `json:"uuid"`
}

// logJSON is the whole log. Used is the number of entries that are served, which are those
// before the first corrupt one.
type logJSON struct {
	Device     string         `json:"device"`
	Superblock superblockJSON `json:"superblock"`
	Used       int            `json:"used"`
	Capacity   int            `json:"capacity"`
	Entries    []logEntryJSON `json:"entries"`
}

func (a *app) logdumpCommand() *cobra.Command {
	var asJSON, dryRun bool
	cmd := &cobra.Command{
		Use:     "logdump DEVICE",
		Aliases: []string{"logplay"},
		Short:   "Show the log, entry by entry",
		Long: `logdump shows the superblock and the log, entry by entry, as it stands on the device:
files, directories (mkdir), removals, seals, further devices (add-daxdev), and what is
wrong with an entry; with -v sequence numbers and checksums too. It is what the C tools do with
logplay --dryrun; playing the log needs no command, as every program does that for
itself when it opens the device.

A corrupt log is shown to its end. What is shown of an entry with a problem is what was
found there, and nothing from the first corrupt one on is served; see famfs fsck for
what to do.`,
		Example: `  famfs logdump /dev/dax0.0
  famfs logdump --json /dev/dax0.0 | jq '.entries[] | select(.problem)'`,
		Args: a.arguments(1, 1, "one DEVICE"),
		RunE: func(_ *cobra.Command, args []string) error {
			a.tolerant = !a.salvage
			return a.eachOn(args, a.open, func(fsys *famfs.FS, t target) error {
				if t.name != "." {
					return errWholeDevice
				}
				entries, err := logEntries(fsys)
				if err != nil {
					return err
				}
				u := fsys.Usage()
				if asJSON {
					d := describeFileSystem(fsys)
					return a.printJSON(logJSON{t.device, d.Superblock, u.LogUsed, u.LogCapacity, entries})
				}
				return a.printLog(fsys, entries)
			}, nil)
		},
	}
	cmd.Flags().BoolVarP(&dryRun, "dryrun", "n", false, "accepted for those who are used to it: nothing is ever changed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// logEntries reads all entries of the log.
func logEntries(fsys *famfs.FS) ([]logEntryJSON, error) {
	entries := []logEntryJSON{}
	served := fsys.Usage().LogUsed
	for e, err := range fsys.Log() {
		if err != nil && e.Type == "" {
			return nil, err // nothing more can be read
		}
		found := logEntryJSON{Index: e.Index, Seq: e.Seq, CRC: fmt.Sprintf("%#x", e.CRC), Type: e.Type}
		switch e.Type {
		case "file", "mkdir":
			found.nodeJSON = &nodeJSON{Path: e.Path, Size: e.Size, Mode: fmt.Sprintf("%04o", octal(e.Mode)), UID: e.UID, GID: e.GID, Flags: e.Flags}
		case "removal":
			found.Removed = &removedNodeJSON{e.Removes, e.Path}
		case "seal":
			found.Sealed = &sealedNodeJSON{e.Seals, e.Path, e.Sum.String()}
		case "add-daxdev":
			found.AddedDevice = &addedDeviceJSON{e.Device.Index, e.Device.Size, e.Device.UUID.String()}
		}
		if e.Type == "file" {
			found.Map = describeMap(e.Layout)
		}
		if err != nil {
			problem := describeProblem(fsys.Device().Path, famfs.Problem{Index: e.Index, Path: e.Path, Err: err}, e.Index == served)
			if e.Index > served {
				problem.Do = fmt.Sprintf("readers stop before it: see entry %d", served)
			}
			found.Problem = &problem
		}
		entries = append(entries, found)
	}
	return entries, nil
}

func (a *app) printLog(fsys *famfs.FS, entries []logEntryJSON) error {
	sb, u := fsys.Superblock(), fsys.Usage()
	fmt.Fprintf(a.out, "superblock: %s, on-media format %d.%d, file system %v, master %v\n", versionOf(sb), sb.OMFMajor, sb.OMFMinor, sb.UUID, sb.SystemUUID)
	served := "used"
	if n := len(entries) - u.LogUsed; n > 0 {
		served = fmt.Sprintf("served, %s more not", grouped(n))
	}
	fmt.Fprintf(a.out, "log: %s at %s, %s of %s entries %s\n", human(sb.LogSize), human(sb.LogOffset), grouped(u.LogUsed), grouped(u.LogCapacity), served)
	row := func(index, seq, crc string, rest ...string) []string {
		if a.verbose > 0 {
			return append([]string{index, seq, crc}, rest...)
		}
		return append([]string{index}, rest...)
	}
	rows := [][]string{row("entry", "seq", "crc", "type", "mode", "uid", "gid", "size", "path")}
	for _, e := range entries {
		mode, uid, gid, size, what := "-", "-", "-", "-", ""
		if n := e.nodeJSON; n != nil {
			mode, uid, gid, what = n.Mode, strconv.FormatUint(uint64(n.UID), 10), strconv.FormatUint(uint64(n.GID), 10), printable(n.Path)
			if n.Map != nil {
				size, what = num(n.Size), what+"  "+shortMap(n.Map)
			}
		}
		if d := e.AddedDevice; d != nil {
			size, what = num(d.Size), fmt.Sprintf("device %d, %s", d.Index, d.UUID)
		}
		if r := e.Removed; r != nil {
			what = fmt.Sprintf("%s  of entry %d", printable(r.Path), r.Index)
		}
		if s := e.Sealed; s != nil {
			what = fmt.Sprintf("%s  of entry %d, %s", printable(s.Path), s.Index, s.Seal)
		}
		if e.Problem != nil {
			what += "\n      problem: " + printable(e.Problem.Message) // on its own line
		}
		rows = append(rows, row(strconv.Itoa(e.Index), strconv.FormatUint(e.Seq, 10), e.CRC, e.Type, mode, uid, gid, size, what))
	}
	if a.verbose > 0 {
		return columns(a.out, rows, 0, 1, 2, 5, 6, 7)
	}
	return columns(a.out, rows, 0, 3, 4, 5)
}

// shortMap formats a map in one line, as length@offset for each extent.
func shortMap(m *layoutJSON) string {
	s := "["
	for i, x := range m.Extents {
		if i > 0 {
			s += " "
		}
		if x.Device != 0 {
			s += fmt.Sprintf("device %d: ", x.Device)
		}
		s += fmt.Sprintf("%d@%d", x.Length, x.Offset)
	}
	s += "]"
	if m.Chunk > 0 {
		s += fmt.Sprintf(" chunk %d", m.Chunk)
	}
	return s
}
