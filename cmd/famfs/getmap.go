package main

// famfs getmap: shows which bytes of the device are which bytes of a file.

import (
	"fmt"
	"io/fs"
	"strconv"

	"github.com/spf13/cobra"

	"famfs"
)

// fileMapJSON describes the map of a file.
type fileMapJSON struct {
	Device      string        `json:"device"`
	Path        string        `json:"path"`
	Size        int64         `json:"size"`
	Interleaved bool          `json:"interleaved"`
	Chunk       int64         `json:"chunk"`
	Extents     []mappedJSON  `json:"extents"`
	Runs        []fileRunJSON `json:"runs,omitempty"`
}

type mappedJSON struct {
	extentJSON
	// FileOffset is the position in the file at which the extent begins, or at which the first
	// chunk of a strip begins.
	FileOffset int64 `json:"file_offset"`
}

// fileRunJSON is a contiguous run of bytes of both the file and the device.
type fileRunJSON struct {
	FileOffset int64 `json:"file_offset"`
	Offset     int64 `json:"offset"`
	Length     int64 `json:"length"`
	Strip      int   `json:"strip"`
}

// mostChunks limits how many chunks of a file are listed: a device can say that a file has more
// chunks than fit into memory. The limit is enough for 8 TiB in chunks of 2 MiB.
const mostChunks = 4 << 20

func (a *app) getmapCommand() *cobra.Command {
	var asJSON, quiet, chunks bool
	cmd := &cobra.Command{
		Use:   "getmap DEVICE:PATH...",
		Short: "Show the extents of files",
		Long: `getmap shows where files lie on the device: their extents one after the other, or,
where a file is interleaved, its strips, which take turns in chunks.`,
		Example: `  famfs getmap /dev/dax0.0:/table
  famfs getmap --chunks /dev/dax0.0:/wide
  famfs getmap --json /dev/dax0.0:/wide | jq '.[0].extents'
  famfs getmap -q /dev/dax0.0:/table && echo "is there, and has a valid map"`,
		Args: a.arguments(1, -1, "DEVICE:PATH..."),
		RunE: func(_ *cobra.Command, args []string) error {
			maps := []fileMapJSON{}
			err := a.eachTarget(args, func(fsys *famfs.FS, t target) error {
				st, err := fsys.Stat(t.name)
				if err != nil {
					return err
				}
				if st.IsDir() {
					return because(fs.ErrInvalid, "is a directory, and only files have a map")
				}
				if l := st.Sys().(*famfs.Attr).Layout; chunks && l.Chunk > 0 && (st.Size()-1)/l.Chunk >= mostChunks {
					return because(fs.ErrInvalid, "has %d chunks, and --chunks lists %d at most: take them from its strips, which have turns", (st.Size()-1)/l.Chunk+1, mostChunks)
				}
				m := mapOf(t, st, chunks)
				if asJSON {
					maps = append(maps, m)
				} else if !quiet {
					return a.printMap(m, chunks)
				}
				return nil
			})
			if err != nil || !asJSON {
				return err
			}
			return printJSONList(a, maps)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing; the status says whether they are files with a map")
	cmd.Flags().BoolVar(&chunks, "chunks", false, "every contiguous run too, in the order of the file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array")
	return cmd
}

func mapOf(t target, st fs.FileInfo, chunks bool) fileMapJSON {
	l := st.Sys().(*famfs.Attr).Layout
	m := fileMapJSON{Device: t.device, Path: t.name, Size: st.Size(), Interleaved: l.Chunk > 0, Chunk: l.Chunk}
	at := int64(0)
	for i, x := range l.Extents {
		if l.Chunk > 0 {
			at = int64(i) * l.Chunk
		}
		m.Extents = append(m.Extents, mappedJSON{extentJSON{x.Device, x.Offset, x.Length}, at})
		at += x.Length
	}
	if chunks {
		m.Runs = runsOf(l, st.Size())
	}
	return m
}

// runsOf returns the runs of a file in the order of the file: its extents or its chunks.
func runsOf(l famfs.Layout, size int64) []fileRunJSON {
	var runs []fileRunJSON
	if l.Chunk == 0 {
		at := int64(0)
		for i, x := range l.Extents {
			if at >= size {
				break
			}
			runs = append(runs, fileRunJSON{at, x.Offset, min(x.Length, size-at), i})
			at += x.Length
		}
		return runs
	}
	n := int64(len(l.Extents))
	for at := int64(0); at < size; at += l.Chunk {
		c := at / l.Chunk
		runs = append(runs, fileRunJSON{at, l.Extents[c%n].Offset + c/n*l.Chunk, min(l.Chunk, size-at), int(c % n)})
	}
	return runs
}

func (a *app) printMap(m fileMapJSON, chunks bool) error {
	what := "extent"
	fmt.Fprintf(a.out, "%s: %s, ", a.displayName(target{device: m.Device, name: m.Path}.String()), exact(m.Size))
	if m.Interleaved {
		what = "strip"
		fmt.Fprintf(a.out, "interleaved over %s in chunks of %s\n", count(len(m.Extents), "strip", "strips"), human(m.Chunk))
	} else {
		fmt.Fprintf(a.out, "%s\n", count(len(m.Extents), "extent", "extents"))
	}
	rows := [][]string{{what, "device", "offset", "length", "file offset"}}
	for i, x := range m.Extents {
		rows = append(rows, []string{strconv.Itoa(i), strconv.Itoa(x.Device), num(x.Offset), num(x.Length), num(x.FileOffset)})
	}
	if err := columns(a.out, rows, 0, 1, 2, 3, 4); err != nil || !chunks {
		return err
	}
	rows = [][]string{{"run", what, "device", "offset", "length", "file offset"}}
	for i, r := range m.Runs {
		rows = append(rows, []string{strconv.Itoa(i), strconv.Itoa(r.Strip), strconv.Itoa(m.Extents[r.Strip].Device), num(r.Offset), num(r.Length), num(r.FileOffset)})
	}
	return columns(a.out, rows, 0, 1, 2, 3, 4, 5)
}
