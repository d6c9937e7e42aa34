package main

// What df, layout, logdump and watch show of files that were removed or replaced.

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withRemoved returns a device with a removed file, a replaced file, and a file that stays.
func withRemoved(t testing.TB) string {
	t.Helper()
	device, src := newDevice(t, "64M"), filepath.Join(t.TempDir(), "b")
	asMaster(t, "creat", "-s", "9M", "--seed", "1", "--interleave", "2,2,2M", device+":/gone")
	asMaster(t, "creat", "-s", "3M", "--seed", "1", device+":/a")
	asMaster(t, "creat", "-s", "5M", "--seed", "1", device+":/b")
	require.NoError(t, os.WriteFile(src, pattern(2*mib, 2), 0o600))
	asMaster(t, "rm", device+":/gone")
	asMaster(t, "cp", "--replace", src, device+":/b")
	return device
}

func TestRemovedInDf(t *testing.T) {
	t.Parallel()
	device := withRemoved(t)
	table := lines(famfsRun(t, "df", device).out)
	assert.Equal(t, []string{"Device", "1K-blocks", "Used", "Available", "Use%", "Largest", "Removed", "Files", "Role"}, strings.Fields(table[0]))
	assert.Equal(t, "18432", strings.Fields(table[1])[6], "12 MiB in strips of whole chunks, and 6 MiB")
	d := parse[[]dfJSON](t, famfsRun(t, "df", "--json", device))[0]
	assert.EqualValues(t, 18*mib, d.Removed)
	assert.Equal(t, d.Size, d.Allocated+d.Free)
	assert.Equal(t, 2, d.Files)
	assert.EqualValues(t, 0, parse[[]dfJSON](t, famfsRun(t, "df", "--json", newDevice(t, "64M")))[0].Removed)
	r := famfsRun(t, "fsck", device)
	assert.Equal(t, 0, r.status, r.out)
}

// The space of removed files is shown as that, not as free, and not as damage.
func TestRemovedInLayout(t *testing.T) {
	t.Parallel()
	device := withRemoved(t)
	report := parse[layoutJSONReport](t, famfsRun(t, "layout", "--json", device))
	var total int64
	of := make(map[string]int)
	for _, x := range report.Removed {
		of[x.Path]++
		total += x.Length
	}
	assert.Equal(t, map[string]int{"gone": 2, "b": 1}, of)
	assert.Equal(t, report.Usage.Removed, total)
	assert.Empty(t, report.Claimed)

	r := famfsRun(t, "layout", "--width", "72", device)
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.out, "\n -  removed, not given out again  18 MiB\n")
	assert.Contains(t, strings.Join(strings.Fields(r.out), " "), "; 18 MiB removed, not given out again")
	assert.Contains(t, r.out, "--------")
	assert.NotContains(t, r.out, "claimed")
	assert.NotContains(t, famfsRun(t, "layout", newDevice(t, "64M")).out, "removed")
	colours := famfsRun(t, "layout", "--color", "always", device).out
	assert.Contains(t, colours, "\x1b[0;38;5;245m░")

	list := famfsRun(t, "layout", "--list", device).out
	assert.Regexp(t, `(?m)^ *\d+ +6291456 removed +gone$`, list)
	assert.Regexp(t, `(?m)^ *\d+ +6291456 removed +b$`, list)

	svg := famfsRun(t, "layout", "--svg", "-", device).out
	assert.Equal(t, 3+2, strings.Count(svg, `fill="url(#r)"`), "three runs, and the legend")
	assert.Contains(t, svg, "<title>gone\nremoved, not given out again\n6 MiB at ")
	assert.Contains(t, svg, "removed, not given out again: 18 MiB</title>")
	assert.Contains(t, svg, `<pattern id="r"`)
}

// A picture of very many removed files is small too.
func TestRemovedNarrow(t *testing.T) {
	t.Parallel()
	p := &plan{device: "d", size: 1 << 40, metadata: mib, unit: 2 * mib}
	for i := range 5000 {
		r := placedRun{off: int64(i) * 2 * mib, len: 2 * mib, owner: ownerRemoved, was: "f"}
		if i%2 > 0 {
			p.files = append(p.files, placedFile{name: "g", size: 1})
			r.owner, r.was = len(p.files)-1, ""
		}
		p.runs = append(p.runs, r)
	}
	var svg bytes.Buffer
	require.NoError(t, p.writeSVG(&svg))
	assert.Less(t, strings.Count(svg.String(), "<title>"), 600)
}

// What the log says of removed files is believed only if nothing else is known to lie there.
func TestWithGaps(t *testing.T) {
	t.Parallel()
	run := func(off, length int64, owner int) placedRun { return placedRun{off: off, len: length, owner: owner} }
	runs := []placedRun{run(0, 10, ownerMetadata), run(20, 10, 0), run(50, 10, ownerFree)}
	for name, c := range map[string]struct{ removed, want []placedRun }{
		"none": {nil, []placedRun{runs[0], run(10, 10, ownerClaimed), runs[1], run(30, 20, ownerClaimed), runs[2], run(60, 40, ownerClaimed)}},
		"exactly": {[]placedRun{run(10, 10, ownerRemoved), run(30, 20, ownerRemoved), run(60, 40, ownerRemoved)},
			[]placedRun{runs[0], run(10, 10, ownerRemoved), runs[1], run(30, 20, ownerRemoved), runs[2], run(60, 40, ownerRemoved)}},
		"in part": {[]placedRun{run(12, 2, ownerRemoved), run(30, 5, ownerRemoved), run(70, 10, ownerRemoved)},
			[]placedRun{runs[0], run(10, 2, ownerClaimed), run(12, 2, ownerRemoved), run(14, 6, ownerClaimed), runs[1], run(30, 5, ownerRemoved), run(35, 15, ownerClaimed), runs[2], run(60, 10, ownerClaimed), run(70, 10, ownerRemoved), run(80, 20, ownerClaimed)}},
		"wrongly": {[]placedRun{run(0, 12, ownerRemoved), run(0, 5, ownerRemoved), run(15, 10, ownerRemoved), run(16, 2, ownerRemoved), run(90, 100, ownerRemoved)},
			[]placedRun{runs[0], run(10, 2, ownerRemoved), run(12, 3, ownerClaimed), run(15, 5, ownerRemoved), runs[1], run(30, 20, ownerClaimed), runs[2], run(60, 30, ownerClaimed), run(90, 10, ownerRemoved)}},
	} {
		assert.Equal(t, c.want, withGaps(runs, c.removed, 100), name)
	}
}

func TestRemovedInLogdump(t *testing.T) {
	t.Parallel()
	device := withRemoved(t)
	out := lines(famfsRun(t, "logdump", device).out)
	assert.Regexp(t, `^ +3 removal +- +- +- +- gone  of entry 0$`, out[6])
	assert.Regexp(t, `^ +4 removal +- +- +- +- b  of entry 2$`, out[7])
	log := parse[struct {
		Entries []struct {
			Type, Path string
			Removed    *removedNodeJSON
		}
	}](t, famfsRun(t, "logdump", "--json", device))
	require.Len(t, log.Entries, 6)
	assert.Equal(t, "removal", log.Entries[4].Type)
	assert.Equal(t, &removedNodeJSON{2, "b"}, log.Entries[4].Removed)
	assert.Empty(t, log.Entries[4].Path)
	assert.Nil(t, log.Entries[5].Removed)
}

// Watch shows what goes, and --count waits for something that is there.
func TestRemovedInWatch(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), filepath.Join(t.TempDir(), "b")
	require.NoError(t, os.WriteFile(src, pattern(2*mib, 2), 0o600))
	asMaster(t, "creat", "-s", "1", device+":/a", device+":/b")
	watch := func(args ...string) (*bufio.Scanner, func()) {
		cmd := command(append([]string{"watch", "--all", "--interval", "5ms"}, args...)...)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		return bufio.NewScanner(out), func() { cmd.Process.Kill(); cmd.Wait() }
	}
	text, stopText := watch("--count", "4", device)
	defer stopText()
	json, stopJSON := watch("--json", device)
	defer stopJSON()
	for range 2 {
		require.True(t, text.Scan())
		require.True(t, json.Scan())
		assert.Contains(t, json.Text(), `{"event":"appeared","device":"`+device+`","path":"`)
	}
	asMaster(t, "rm", device+":/a")
	asMaster(t, "cp", "--replace", src, device+":/b")
	asMaster(t, "rm", device+":/b")
	asMaster(t, "creat", "-s", "1", device+":/a")
	for _, want := range []struct{ text, event, path, size string }{
		{device + ":/a  (removed)", "removed", "a", "1"}, {device + ":/b  (replaced)", "replaced", "b", "2097152"}, {device + ":/b  (removed)", "removed", "b", "2097152"}, {device + ":/a", "appeared", "a", "1"},
	} {
		require.True(t, text.Scan(), want)
		assert.True(t, strings.HasSuffix(text.Text(), " "+want.text), text.Text())
		require.True(t, json.Scan())
		assert.Contains(t, json.Text(), `{"event":"`+want.event+`","device":"`+device+`","path":"`+want.path+`","type":"file","size":`+want.size+`,`)
	}
	assert.False(t, text.Scan(), "four have appeared or been replaced")
}
