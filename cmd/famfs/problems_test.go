package main

// Damaged devices: what is left out is reported and is a failure, and what is sound can be rescued.

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overwrite changes bytes of a device without the library.
func overwrite(t testing.TB, device string, at int64, b ...byte) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
}

// A command that lists, copies or checks directories says what is missing in them, and fails. A
// command on a file that is whole does not.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	cut := newDevice(t, "64M")
	asMaster(t, "mkdir", cut+":/d", cut+":/e")
	asMaster(t, "creat", "-s", "8M", "--seed", "1", cut+":/d/a", cut+":/e/b")
	asMaster(t, "creat", "-s", "20M", "--seed", "1", cut+":/e/beyond")
	twice := newDevice(t, "64M")
	asMaster(t, "mkdir", twice+":/d", twice+":/e")
	asMaster(t, "creat", "-s", "8M", "--seed", "1", twice+":/d/a", twice+":/e/b", twice+":/e/c")
	forge(t, twice, 4, func(b []byte) { b[42] = 'b' }) // e/b again
	require.NoError(t, os.Truncate(cut, 40*mib))
	for _, device := range []string{cut, twice} {
		for _, c := range []struct {
			status int
			args   []string
		}{
			{1, []string{"ls", device}}, {1, []string{"ls", "-R", device}}, {1, []string{"ls", "--json", device + ":/e"}}, {1, []string{"df", device}},
			{1, []string{"stat", device}}, {1, []string{"layout", device}}, {1, []string{"flush", device}}, {1, []string{"watch", "-a", "-c", "1", device}},
			{2, []string{"verify", "--seed", "1", device}}, {2, []string{"chkread", device}}, {2, []string{"verify", "--against", device + ":/e", device + ":/e"}},
			{1, []string{"cp", "-r", device + ":/", filepath.Join(t.TempDir(), "out")}},
			{1, []string{"fsck", device}},
		} {
			r := famfsRun(t, c.args...)
			assert.Equal(t, c.status, r.status, "%v: %s%s", c.args, r.out, r.err)
			if c.args[0] != "fsck" {
				assert.Contains(t, r.err, device+": files may be missing:\n", c.args)
				assert.Contains(t, r.err, "famfs fsck "+device, c.args)
			}
		}
		for _, args := range [][]string{
			{"cat", device + ":/d/a"}, {"getmap", device + ":/e/b"}, {"stat", device + ":/d/a"}, {"chkread", device + ":/d/a"},
			{"cp", "-q", device + ":/d/a", filepath.Join(t.TempDir(), "a")}, {"logdump", device},
		} {
			r := famfsRun(t, args...)
			assert.Equal(t, 0, r.status, "%v: %s", args, r.err)
			assert.Empty(t, withoutProgress(r.err), args)
		}
	}
	assert.Contains(t, famfsRun(t, "df", cut).err, "67108864 bytes (64 MiB) when it was formatted, now it has 41943040 bytes (40 MiB)")
	assert.Equal(t, 0, famfsRun(t, "ls", twice+":/d").status, "nothing is missing there")
	for _, args := range [][]string{{"cat", cut + ":/e/beyond"}, {"stat", cut + ":/e/beyond"}, {"ls", cut + ":/e/beyond"}} {
		r := famfsRun(t, args...)
		assert.Equal(t, 1, r.status, args)
		assert.Contains(t, r.err, cut+": files may be missing:\n", "a file that was there is not just unknown: %v", args)
		assert.Contains(t, r.err, "file does not exist", args)
	}
	assert.NotContains(t, famfsRun(t, "cat", twice+":/d/nothing").err, "files may be missing")
	all := parse[[]map[string]any](t, famfsRun(t, "ls", "--json", twice))
	assert.Equal(t, twice, all[len(all)-1]["argument"], "programs are told too")
	assert.Contains(t, all[len(all)-1]["error"], "log entry 4")
}

func withoutProgress(s string) string {
	if len(s) > 8 && s[:8] == "checked " {
		return ""
	}
	return s
}

// Problems of many entries do not become a thousand lines.
func TestLeftOutMany(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "128M")
	const files = 20
	args := []string{"creat", "-s", "1"}
	for i := range files {
		args = append(args, device+":/"+string(rune('a'+i)))
	}
	asMaster(t, args...)
	for i := int64(1); i < files; i++ {
		forge(t, device, i, func(b []byte) { b[40] = 'a' })
	}
	r := famfsRun(t, "ls", device)
	assert.Equal(t, 1, r.status)
	assert.Len(t, lines(r.err), 1+mostLeftOut+2)
	assert.Contains(t, r.err, "and 9 more\n")
}

// One bad byte: in the superblock, in its magic, in an entry. Everything else can be rescued.
func TestSalvage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(device string){
		"superblock": func(device string) { overwrite(t, device, 50, 0xff, 0xff, 0xff, 0xff) },
		"magic":      func(device string) { overwrite(t, device, 0, 0) },
		"entry":      func(device string) { corrupt(t, device, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			device, dir := newDevice(t, "64M"), t.TempDir()
			for _, f := range []string{"a", "b", "c"} {
				asMaster(t, "creat", "-s", "1M", "--seed", "7", device+":/"+f)
			}
			damage(device)
			r := famfsRun(t, "ls", device)
			assert.Equal(t, 1, r.status)
			assert.Contains(t, r.err, "--salvage")
			assert.NotContains(t, r.err, "mkfs "+device, "formatting it is no advice")
			r = famfsRun(t, "fsck", device)
			assert.Equal(t, 1, r.status)
			assert.Contains(t, r.out, "famfs --salvage cp -r "+device+":/ ./rescue")

			r = famfsRun(t, "--system-uuid", host, "mkfs", device)
			assert.Equal(t, 1, r.status, "what is damaged is not empty")
			assert.Contains(t, r.err, "--force")

			out := filepath.Join(dir, "rescue")
			r = famfsRun(t, "--salvage", "cp", "-r", device+":/", out)
			assert.Equal(t, 1, r.status, "it is not whole")
			assert.Contains(t, r.err, "files may be missing")
			want := []string{"a", "b", "c"}
			if name == "entry" {
				want = []string{"a", "c"}
			}
			entries, err := os.ReadDir(out)
			require.NoError(t, err)
			var found []string
			for _, e := range entries {
				found = append(found, e.Name())
				data, err := os.ReadFile(filepath.Join(out, e.Name()))
				require.NoError(t, err)
				assert.Equal(t, pattern(mib, 7), data)
			}
			assert.Equal(t, want, found)
			r = famfsRun(t, "--salvage", "cp", "-q", out+"/a", device+":/new")
			assert.Equal(t, 2, r.status, "it only reads")
		})
	}
}

func TestGrow(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	r := asMaster(t, "grow", device)
	assert.Equal(t, device+": 67108864 bytes (64 MiB), as before\n", r.out)
	require.NoError(t, os.Truncate(device, 128*mib))
	stat := famfsRun(t, "stat", device)
	assert.Equal(t, 0, stat.status, stat.err)
	assert.Contains(t, stat.out, "67108864 bytes (64 MiB) that the device has gained; see famfs grow")
	assert.NotContains(t, famfsRun(t, "layout", device).out, "claimed")
	r = famfsRun(t, "grow", device)
	assert.Equal(t, 1, r.status, "only the master")
	assert.Contains(t, r.err, "not the master")
	r = famfsRun(t, "--system-uuid", host, "grow", device+":/x")
	assert.Equal(t, 1, r.status)
	grown := parse[[]grownJSON](t, asMaster(t, "grow", "--json", device))
	assert.Equal(t, []grownJSON{{device, 64 * mib, 128 * mib}}, grown)
	assert.NotContains(t, famfsRun(t, "stat", device).out, "gained")
	asMaster(t, "creat", "-s", "100M", "--keep", device+":/large")
	assert.Equal(t, 0, famfsRun(t, "fsck", device).status)
}

// Of several devices the highest status counts, in any order.
func TestFsckStatus(t *testing.T) {
	t.Parallel()
	bad, good := newDevice(t, "64M"), newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", bad+":/f")
	corrupt(t, bad, 0)
	for _, args := range [][]string{{"fsck", bad, good}, {"fsck", good, bad}} {
		assert.Equal(t, 1, famfsRun(t, args...).status, args)
	}
	assert.Equal(t, 2, famfsRun(t, "fsck", bad+"-missing", bad, good).status)
	assert.Equal(t, 0, famfsRun(t, "fsck", good, good).status)
}

// Programs are told the kind of damage. Nobody is advised to format a device that only lost its
// end.
func TestFsckKinds(t *testing.T) {
	t.Parallel()
	problems := func(device string) []problemJSON {
		r := famfsRun(t, "fsck", "--json", device)
		assert.Equal(t, 1, r.status)
		return parse[[]reportJSON](t, r)[0].Problems
	}
	device := newDevice(t, "64M")
	overwrite(t, device, 50, 0xff, 0xff, 0xff, 0xff) // one of them may be so by chance
	p := problems(device)
	require.Len(t, p, 1)
	assert.Equal(t, "checksum", p[0].Kind)
	assert.Contains(t, p[0].Do, "--salvage")

	device = newDevice(t, "64M")
	overwrite(t, device, 2*mib, binary.LittleEndian.AppendUint64(nil, 1)...) // no log any more
	p = problems(device)
	require.NotEmpty(t, p)
	assert.Equal(t, "corrupt", p[0].Kind)

	device = newDevice(t, "64M")
	require.NoError(t, os.Truncate(device, 32*mib))
	p = problems(device)
	require.Len(t, p, 1)
	assert.Equal(t, "device", p[0].Kind)
	assert.NotContains(t, p[0].Do, "mkfs", "files would be lost")
	assert.Contains(t, p[0].Do, "full size")

	// Of a device that is cut short, nothing that is said may lose the files behind its end.
	device = newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", device+":/a")
	asMaster(t, "creat", "-s", "40M", device+":/b")
	for _, size := range []int64{32 * mib, 4 * mib} {
		require.NoError(t, os.Truncate(device, size))
		for _, p := range problems(device) {
			assert.Equal(t, "device", p.Kind)
			assert.Contains(t, p.Do, "full size")
			assert.NotContains(t, p.Do, "mkfs")
			assert.NotContains(t, p.Do, "--drop-problems")
		}
	}
	require.NoError(t, os.Truncate(device, 64*mib))
	assert.Zero(t, famfsRun(t, "fsck", device).status)
}

// What is not served was not read: scrub does not call that clean.
func TestScrubLeavesOut(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", device+":/a")
	asMaster(t, "creat", "-s", "40M", device+":/b")
	require.NoError(t, os.Truncate(device, 32*mib))
	r := famfsRun(t, "scrub", device)
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "files may be missing")
	assert.Contains(t, r.out, "1 file, 0 sealed: 2 problems keep something from being read\n")
	all := parse[[]scrubJSON](t, famfsRun(t, "scrub", "--json", device))
	assert.False(t, all[0].Clean)
	assert.Equal(t, 2, all[0].LeftOut)
}
