package main

// File systems on several devices, by the command: mkfs, devadd, devices, and what the other commands
// show of them.

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
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

	require.NoError(t, os.Truncate(d[2], 80*mib))
	assert.Contains(t, run("grow", d[0]).out, "device 2 ("+d[2]+") has gained 16 MiB, which is not used")
	require.NoError(t, os.Truncate(d[2], 64*mib))
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
	assert.Equal(t, 1, strings.Count(svg, "superblock and log <"), "in the legend of the first device only")
	assert.Equal(t, len(d)-1, strings.Count(svg, "superblock <"))
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

// Advice about a further device never loses what is on the others, whatever is wrong with it.
func TestAdviceAboutFurtherDevices(t *testing.T) {
	t.Parallel()
	d := sparse(t, "first", "second", "third", "other", "its")
	r := famfsRun(t, "mkfs", d[0], d[1], d[2])
	require.Zero(t, r.status, r.err)
	assert.Contains(t, r.out, "the C tools refuse")
	assert.Contains(t, r.out, "give every command --device "+d[1]+" --device "+d[2]+"\n")
	require.Zero(t, famfsRun(t, "mkfs", d[3], d[4]).status)
	require.Zero(t, famfsRun(t, "--device", d[1], "--device", d[2], "creat", "-s", "6M", "-N", "3", "-B", "0", d[0]+":/wide").status)
	sound, err := os.ReadFile(d[1])
	require.NoError(t, err)
	second := func(change func(path string)) string {
		path := filepath.Join(t.TempDir(), "second")
		require.NoError(t, os.WriteFile(path, sound, 0o600))
		change(path)
		return path
	}
	wiped := second(func(path string) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		_, err = f.WriteAt(make([]byte, mib), 0)
		require.NoError(t, err)
	})
	small := second(func(path string) { require.NoError(t, os.Truncate(path, 32*mib)) })
	for _, wrong := range [][]string{{d[4]}, {d[3]}, {wiped}, {small}, {d[1], second(func(string) {})}} {
		args := []string{"--device", d[2]}
		for _, path := range wrong {
			args = append(args, "--device", path)
		}
		r := famfsRun(t, append(args, "fsck", d[0])...)
		assert.Equal(t, 1, r.status, r.err)
		assert.Contains(t, r.out, "\n  further device\n", wrong)
		assert.NotContains(t, r.out, "--force", "the file system is sound: %s", wrong)
		assert.NotRegexp(t, apiWords, r.out)
	}

	// What scrub cannot read because a device is not here is not bad, but was not looked at.
	r = famfsRun(t, "--device", d[1], "scrub", d[0])
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.out, "1 file not read, on a device that is not here\n")
	assert.Contains(t, r.out, "--device")
	assert.NotRegexp(t, apiWords, r.out)
	assert.Equal(t, "absent", parse[[]scrubJSON](t, famfsRun(t, "--device", d[1], "scrub", "--json", d[0]))[0].Bad[0].Kind)
	assert.NotRegexp(t, apiWords, famfsRun(t, "--device", d[1], "verify", "--json", "--seed", "1", d[0]+":/wide").out)
	assert.Contains(t, famfsRun(t, "--device", d[1], "df", d[0]).err, "1 device is not here")
	r = famfsRun(t, "--device", d[1], "creat", "-s", "6M", "-N", "3", "-B", "0", d[0]+":/narrow")
	assert.Zero(t, r.status)
	assert.Contains(t, r.err, "1 device is not here")
	src := t.TempDir()
	writeTree(t, src, map[string][]byte{"a": pattern(6*mib, 1), "b": pattern(6*mib, 2)})
	for _, args := range [][]string{{"-r", src, d[0] + ":/tree"}, {"-r", "--dry-run", src, d[0] + ":/dry"}, {"-r", "--pack", src, d[0] + ":/p.zip"}, {"-r", "--atomic", src, d[0] + ":/whole"}, {"--size", "3", "-", d[0] + ":/from-stdin"}} {
		for option, want := range map[string]int{"--interleave=2,0": 1, "--interleave=1": 0} {
			args := append([]string{"--device", d[1], "cp", option}, args...)
			args[len(args)-1] += fmt.Sprint(want)
			r := feed(t, "abc", args...)
			assert.Zero(t, r.status, "%v: %s", args, r.err)
			assert.Equal(t, want, strings.Count(r.err, d[0]+": 1 device is not here: nothing is put there"), "%v: %s", args, r.err)
		}
	}

	for _, c := range []struct {
		args         []string
		want, absent string
	}{
		{[]string{"devadd", d[0], d[1]}, "give each device once", "compact"},
		{[]string{"mkfs", "--force", d[3], d[4], d[4]}, "give each device once", "compact"},
		{[]string{"mkfs", d[1]}, "give it to --device", "fsck"},
		{[]string{"--device", d[1], "compact", d[0]}, d[0] + ": compact: every device must be here", ":/"},
		{[]string{"ls", d[1]}, "give this one to --device", "DEVICE is"},
		{[]string{"--device", d[1], "--device", second(func(string) {}), "ls", d[0]}, "give only the right one to --device", "DEVICE is"},
		{[]string{"devadd", d[0], d[0] + "-none"}, "famfs devadd --create SIZE", "mkfs"},
		{[]string{"creat", "-s", "60M", "-N", "2", d[0] + ":/large"}, "--interleave STRIPS,0", "compact"},
	} {
		r := famfsRun(t, c.args...)
		assert.Equal(t, 1, r.status, c.args)
		assert.Contains(t, r.err, c.want, c.args)
		assert.NotContains(t, r.err, c.absent, c.args)
	}
}

// --create makes what is missing, and nothing stays of it if that fails.
func TestCreateFurtherDevices(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	r := famfsRun(t, "mkfs", "--create", "64M", at("a"), at("b"))
	require.Zero(t, r.status, r.err)
	r = famfsRun(t, "--device", at("b"), "devadd", "--create", "64M", at("a"), at("c"))
	require.Zero(t, r.status, r.err)
	assert.Contains(t, r.out, "--device "+at("b")+" --device "+at("c")+"\n")
	assert.Equal(t, 1, famfsRun(t, "devadd", "--create", "64M", at("a"), at("c")).status, "it is there")
	assert.Equal(t, 1, famfsRun(t, "devadd", "--create", "1M", at("a"), at("d")).status, "too small")
	assert.Equal(t, 1, famfsRun(t, "mkfs", "--create", "1M", at("e"), at("f")).status, "too small")
	assert.Equal(t, 2, famfsRun(t, "devadd", "--create", "0", at("a"), at("d")).status)
	for _, name := range []string{"d", "e", "f"} {
		assert.NoFileExists(t, at(name))
	}
}
