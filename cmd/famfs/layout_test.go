package main

// The picture and the grouping of files, on devices of 3, 50 and 5,000 files.

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// filledDevice makes a device with files in dirs directories; each third file is
// interleaved if wide is set.
func filledDevice(t testing.TB, size int64, files, dirs int, wide bool) string {
	t.Helper()
	device := filepath.Join(testDir(t), "device")
	require.NoError(t, famfs.CreateBacking(device, size))
	id, err := famfs.ParseUUID(host)
	require.NoError(t, err)
	require.NoError(t, famfs.Format(device, famfs.WithSystemUUID(id)))
	fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(id))
	require.NoError(t, err)
	defer fsys.Close()
	for i := range files {
		dir := fmt.Sprintf("set-%02d", i*dirs/files)
		require.NoError(t, fsys.MkdirAll(dir, 0o755))
		var opts []famfs.CreateOption
		bytes := int64(1 + i%3*3*mib)
		if wide && i%3 == 2 {
			opts = append(opts, famfs.Interleave(famfs.Interleaving{Strips: 3, Buckets: 4, Chunk: 2 * mib}))
		}
		p, err := fsys.Create(fmt.Sprintf("%s/<file> & %d", dir, i), bytes, opts...)
		require.NoError(t, err)
		require.NoError(t, p.Commit())
	}
	return device
}

// svgElement is the part of the picture that the test reads.
type svgElement struct {
	XMLName  xml.Name
	X        string       `xml:"x,attr"`
	Y        string       `xml:"y,attr"`
	Width    string       `xml:"width,attr"`
	Height   string       `xml:"height,attr"`
	Fill     string       `xml:"fill,attr"`
	Class    string       `xml:"class,attr"`
	Title    string       `xml:"title"`
	Text     string       `xml:",chardata"`
	Children []svgElement `xml:",any"`
}

func number(t testing.TB, s string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return n
}

func TestLayoutNegativeWidth(t *testing.T) {
	t.Parallel()
	r := famfsRun(t, "layout", "--width", "-5", newDevice(t, "64M"))
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "--width -5")
}

func TestSVG(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files, dirs int
		size        int64
		colours     int // at least
	}{{3, 1, 256 * mib, 3}, {50, 5, 2048 * mib, 50}, {5000, 20, 64 << 30, 20}} {
		device := filledDevice(t, c.size, c.files, c.dirs, true)
		name := filepath.Join(t.TempDir(), "layout.svg")
		r := famfsRun(t, "layout", "--svg", name, device)
		require.Equal(t, 0, r.status, r.err)
		assert.Contains(t, r.out, "wrote "+name)
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Less(t, len(text), 8*mib)
		var root svgElement
		require.NoError(t, xml.Unmarshal(text, &root), "well-formed, whatever the names")
		assert.Equal(t, "svg", root.XMLName.Local)
		assert.Contains(t, root.Title, device)
		width, height := number(t, root.Width), number(t, root.Height)
		tips := make(map[string]bool)
		fills := make(map[string]bool)
		hatched := 0
		for _, g := range root.Children {
			if g.Class != "f" {
				continue
			}
			tips[strings.SplitN(g.Title, "\n", 2)[0]] = true
			for _, e := range g.Children {
				if e.XMLName.Local != "rect" {
					continue
				}
				x, y, w, h := number(t, e.X), number(t, e.Y), number(t, e.Width), number(t, e.Height)
				assert.True(t, x >= svgLeft && x+w <= svgLeft+svgMap+.1 && x+w <= width && y >= svgTop && y+h <= height, "%v lies in the picture", e)
				if e.Fill == "url(#h)" {
					hatched++
				} else {
					fills[e.Fill] = true
				}
			}
		}
		assert.True(t, tips["superblock and log: 10 MiB"])
		if c.files <= 50 {
			for i := range c.files {
				assert.True(t, tips[fmt.Sprintf("set-%02d/<file> & %d", i*c.dirs/c.files, i)], "file %d", i)
			}
		}
		assert.GreaterOrEqual(t, len(fills), c.colours, "%d files", c.files)
		assert.Greater(t, hatched, 0, "interleaved files are to be seen")
		assert.Contains(t, string(text), "famfs layout of ")
		assert.Contains(t, string(text), "A line is ")
	}
}

// What is allocated and not used is so much of each extent and strip.
func TestUsed(t *testing.T) {
	t.Parallel()
	simple := placedFile{size: 5, layout: famfs.Layout{Extents: []famfs.Extent{{Length: 4}, {Length: 4}, {Length: 4}}}}
	striped := func(size int64) placedFile {
		return placedFile{size: size, layout: famfs.Layout{Chunk: 10, Extents: []famfs.Extent{{Length: 20}, {Length: 20}, {Length: 20}}}}
	}
	for _, c := range []struct {
		file placedFile
		want [3]int64
	}{
		{simple, [3]int64{4, 1, 0}}, {striped(60), [3]int64{20, 20, 20}}, {striped(31), [3]int64{11, 10, 10}}, {striped(1), [3]int64{1, 0, 0}},
		{striped(45), [3]int64{20, 15, 10}}, {striped(30), [3]int64{10, 10, 10}},
	} {
		for i, want := range c.want {
			assert.Equal(t, want, c.file.used(i), "%d of %v", i, c.file)
		}
	}
}

// Lines with nothing on them are drawn as one, and what is not used of a file looks so.
func TestSVGEmptyLines(t *testing.T) {
	t.Parallel()
	device := filledDevice(t, 4<<30, 3, 1, true)
	r := famfsRun(t, "layout", "--svg", "-", device)
	require.Equal(t, 0, r.status, r.err)
	var root svgElement
	require.NoError(t, xml.Unmarshal([]byte(r.out), &root))
	assert.Contains(t, r.out, " lines with nothing on them</text>")
	assert.Contains(t, r.out, svgUnused)
	assert.Less(t, number(t, root.Height), 1100.0)
	texts := 0
	for _, e := range root.Children { // in the order of the device
		if strings.HasPrefix(e.Title, "superblock and log: 10 MiB") && e.Class == "" {
			texts++
		} else if strings.HasPrefix(e.Title, "set-00/") && e.Class == "" {
			assert.Equal(t, 1, texts, "after the superblock")
		}
	}
	out := famfsRun(t, "layout", device).out
	assert.Regexp(t, `(?m)^ *[0-9.]+ [KMG]iB ⋮ \d+ lines, free$`, out)
	assert.Less(t, strings.Index(out, " #  superblock and log"), strings.Index(out, " a  set-00/"))
}

// No name is cut to nothing in the legend, however long what is said of it is.
func TestLegendNames(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"models/llama-3/model-00001-of-00010.safetensors", "日本語の名前のファイル", "e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301"} {
		for most := range 60 {
			got := shorten(s, most)
			assert.LessOrEqual(t, wide(got), max(most, 1), "%d: %q", most, got)
			if most > 5 {
				assert.GreaterOrEqual(t, wide(got), min(most, wide(s))-2, "%d: %q", most, got)
			}
		}
	}
	assert.Equal(t, "ab…efgh", shorten("abcdXXefgh", 7))
}

func TestSVGToStdout(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	r := famfsRun(t, "layout", "--svg", "-", device)
	assert.Equal(t, 0, r.status)
	assert.NoError(t, xml.Unmarshal([]byte(r.out), new(svgElement)), "an empty device has a picture too")
	r = famfsRun(t, "layout", "--svg", filepath.Join(t.TempDir(), "no", "where.svg"), device)
	assert.Equal(t, 1, r.status)
}

// Every file is in exactly one group, and there are no more groups than colours.
func TestGroups(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{
		{}, {"a"}, {"a/b/c/d"}, {"a", "b", "c"},
		manyNames("one/%d", 100), append(manyNames("x/%d", 30), manyNames("y/z/%d", 30)...),
		append(manyNames("d%d/f", 40), manyNames("%d", 40)...),
	} {
		for _, most := range []int{1, 2, 5, 12, 60} {
			p := &plan{}
			for i, name := range names {
				p.files = append(p.files, placedFile{name: name, size: int64(i + 1)})
			}
			groups, of := p.groups(most)
			assert.LessOrEqual(t, len(groups), most)
			seen := make(map[int]int)
			for g, group := range groups {
				for _, f := range group.files {
					seen[f]++
					assert.Equal(t, g, of[f])
				}
				assert.NotEmpty(t, group.label)
			}
			assert.Len(t, seen, len(names))
			for _, n := range seen {
				assert.Equal(t, 1, n)
			}
			if len(names) > 0 && len(names) <= most {
				assert.Len(t, groups, len(names), "few files have a colour each")
			}
		}
	}
}

func manyNames(format string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(format, i))
	}
	return names
}

// More files than pixels: the picture stays small.
func TestSVGTogether(t *testing.T) {
	t.Parallel()
	s := &svgPicture{plan: &plan{}, perRow: 1 << 40}
	const n = 100_000
	for i := range n {
		s.runs = append(s.runs, placedRun{off: int64(i) * 2 * mib, len: 2 * mib, owner: i})
		s.files = append(s.files, placedFile{name: strconv.Itoa(i)})
	}
	all := s.together()
	assert.Less(t, len(all), 2000)
	at, several := int64(0), 0
	for _, r := range all {
		assert.Equal(t, at, r.off)
		at += r.len
		several += max(r.several, 1)
	}
	assert.Equal(t, int64(n)*2*mib, at)
	assert.Equal(t, n, several)
}

// What is behind the log with --reuse is metadata, and no damage.
func TestLayoutReuse(t *testing.T) {
	t.Parallel()
	device := filepath.Join(testDir(t), "device")
	asMaster(t, "mkfs", "--reuse", "--create", "64M", device)
	assert.Empty(t, parse[layoutJSONReport](t, famfsRun(t, "layout", "--json", device)).Claimed)
	for _, how := range []string{"--list", "--color=never", "--svg=-"} {
		assert.NotContains(t, famfsRun(t, "layout", how, device).out, "claimed", how)
	}
}
