package main

// File systems on several devices, by the command: mkfs, devadd, devices, and what the other commands
// show of them.

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sparse(t testing.TB, names ...string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Truncate(path, 64<<20))
		paths = append(paths, path)
	}
	return paths
}

func TestSeveralDevices(t *testing.T) {
	t.Parallel()
	d := sparse(t, "first", "second", "third")
	r := famfsRun(t, "mkfs", d[0], d[1])
	require.Zero(t, r.status, r.err)
	assert.Contains(t, r.out, "1 further device")
	r = famfsRun(t, "--device", d[1], "devadd", d[0], d[2])
	require.Zero(t, r.status, r.err)
	assert.Contains(t, r.out, "as device 2")
	all := []string{"--device", d[2], "--device", d[1]}
	run := func(args ...string) result {
		t.Helper()
		r := famfsRun(t, append(all, args...)...)
		require.Zero(t, r.status, r.err)
		return r
	}
	assert.Contains(t, famfsRun(t, append(all, "devadd", d[0], d[1])...).err, "already")
	run("creat", "--size", "20M", "--seed", "7", "--interleave", "3,0,2M", d[0]+":/wide")
	run("verify", "--seed", "7", d[0]+":/wide")
	var maps []fileMapJSON
	require.NoError(t, json.Unmarshal([]byte(run("getmap", "--json", d[0]+":/wide").out), &maps))
	on := make(map[int]bool)
	for _, x := range maps[0].Extents {
		on[x.Device] = true
	}
	assert.Len(t, on, 3)

	var lists []devicesJSON
	require.NoError(t, json.Unmarshal([]byte(run("devices", "--json", d[0]).out), &lists))
	require.Len(t, lists[0].Devices, 3)
	for i, x := range lists[0].Devices {
		assert.True(t, x.Here)
		assert.Equal(t, i, x.Index)
		assert.Equal(t, d[i], x.Path)
		assert.EqualValues(t, 64<<20, x.Size)
		for _, command := range [][]string{{"devices"}, {"stat"}, {"fsck"}, {"df", "-T"}} {
			if command[0] != "df" {
				assert.Contains(t, run(append(command, d[0])...).out, x.UUID)
			}
			assert.Contains(t, run(append(command, d[0])...).out, x.Path)
		}
	}

	// One is not here: what is on it is listed, and everything says what to do.
	part := func(args ...string) result { return famfsRun(t, append([]string{"--device", d[1]}, args...)...) }
	assert.Contains(t, part("ls", d[0]).out, "wide")
	r = part("cat", d[0]+":/wide")
	assert.NotZero(t, r.status)
	assert.Contains(t, r.err, lists[0].Devices[2].UUID)
	assert.Contains(t, r.err, "--device")
	assert.NotContains(t, r.err, "WithDevices")
	for _, command := range []string{"devices", "fsck", "layout", "df"} {
		r := part(command, d[0])
		assert.Zero(t, r.status, r.err)
		assert.Contains(t, r.out, "not here", command)
	}
	require.NoError(t, json.Unmarshal([]byte(part("devices", "--json", d[0]).out), &lists))
	assert.False(t, lists[0].Devices[2].Here)
	assert.Contains(t, lists[0].Devices[2].Why, "--device")

	r = famfsRun(t, "ls", d[1])
	assert.NotZero(t, r.status)
	assert.Contains(t, r.err, "secondary device")
	run("rm", d[0]+":/wide")
	run("compact", d[0])
	assert.Contains(t, run("devices", d[0]).out, d[2])
}

// layout has a panel for each device.
func TestLayoutOfSeveralDevices(t *testing.T) {
	t.Parallel()
	d := sparse(t, "first", "second")
	require.Zero(t, famfsRun(t, "mkfs", d[0], d[1]).status)
	run := func(args ...string) string {
		t.Helper()
		r := famfsRun(t, append([]string{"--device", d[1]}, args...)...)
		require.Zero(t, r.status, r.err)
		return r.out
	}
	run("creat", "--size", "20M", "--interleave", "2,0,2M", d[0]+":/wide")
	run("creat", "--size", "2M", d[0]+":/one")
	run("creat", "--size", "4M", d[0]+":/gone")
	run("rm", d[0]+":/gone")
	for _, args := range [][]string{{}, {"--list"}} {
		out := run(append([]string{"layout", d[0]}, args...)...)
		assert.Contains(t, out, "first")
		assert.Contains(t, out, "second")
	}
	var report layoutJSONReport
	require.NoError(t, json.Unmarshal([]byte(run("layout", "--json", d[0])), &report))
	require.Len(t, report.Devices, 1)
	assert.Equal(t, d[1], report.Devices[0].Device)
	total := report.Devices[0].Metadata.Length
	for _, x := range report.Devices[0].Free {
		assert.Equal(t, 1, x.Device)
		total += x.Length
	}
	for _, x := range report.Devices[0].Removed {
		total += x.Length
	}
	for _, f := range report.Devices[0].Files {
		for _, x := range f.Map.Extents {
			if x.Device == 1 {
				total += x.Length
			}
		}
	}
	assert.EqualValues(t, 64<<20, total, "every byte of the second device")
	svg := run("layout", "--svg", "-", d[0])
	panels := 0
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "svg" {
			panels++
		}
	}
	assert.Equal(t, 3, panels, "the picture, and one for each device")
}
