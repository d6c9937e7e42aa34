package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// What is copied and made with --seal shows as sealed everywhere; verify and scrub find a bit that
// flipped.
func TestSealedCommands(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	src := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.WriteFile(src, []byte("123456789"), 0o644))
	for _, args := range [][]string{
		{"cp", "-q", "--seal", src, device + ":/"},
		{"creat", "--seal=sha256", "-s", "1M", "-S", "7", device + ":/seeded"},
		{"creat", "-s", "1M", device + ":/plain"},
	} {
		asMaster(t, args...)
	}
	assert.Equal(t, 2, famfsRun(t, "creat", "--seal=md5", "-s", "1", device+":/x").status)
	assert.Contains(t, famfsRun(t, "ls", "-l", device).out, "model  (sealed, crc32c)")
	assert.Contains(t, famfsRun(t, "ls", "-l", device).out, "seeded  (sealed, sha256)")
	assert.Contains(t, famfsRun(t, "stat", device+":/model").out, "crc32c:e3069283")
	assert.NotContains(t, famfsRun(t, "stat", device+":/plain").out, "Seal  ")
	assert.Contains(t, famfsRun(t, "stat", device).out, "3 files of 2 MiB (2 sealed)")
	assert.Contains(t, famfsRun(t, "fsck", device).out, "(2 sealed)")
	assert.Equal(t, "crc32c:e3069283", parse[[]nodeJSON](t, famfsRun(t, "ls", "--json", device+":/model"))[0].Seal)

	r := famfsRun(t, "verify", device)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, device+":/model")
	assert.Contains(t, r.out, device+":/seeded")
	assert.NotContains(t, r.out, "plain")
	assert.Contains(t, r.err, "1 file is not sealed, and not checked")
	assert.Equal(t, 2, famfsRun(t, "verify", device+":/plain").status)

	// Where nothing is sealed, nothing is as it should be.
	asMaster(t, "mkdir", device+":/d", device+":/e")
	assert.Zero(t, famfsRun(t, "verify", device+":/e").status)
	asMaster(t, "creat", "-s", "1M", device+":/d/plain")
	for _, args := range [][]string{{}, {"-q"}, {"--json"}} {
		r := famfsRun(t, append([]string{"verify", device + ":/d"}, args...)...)
		assert.Equal(t, 2, r.status, args)
		assert.Contains(t, r.err, "1 file is in it, and none is sealed", args)
		assert.Contains(t, r.err, "--against", args)
	}
	asMaster(t, "rm", "-r", device+":/d", device+":/e")
	r = famfsRun(t, "scrub", device)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, "3 files, 2 sealed: clean")

	fsys, err := famfs.Open(device)
	require.NoError(t, err)
	st, err := fsys.Stat("model")
	require.NoError(t, err)
	at := st.Sys().(*famfs.Attr).Layout.Extents[0].Offset
	require.NoError(t, fsys.Close())
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteAt([]byte("0"), at)
	require.NoError(t, err)
	r = famfsRun(t, "verify", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, "DIFFERS  "+device+":/model: found sum crc32c:")
	r = famfsRun(t, "scrub", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, "model: 9 B at 0: found sum crc32c:")
	assert.Contains(t, r.out, "3 files, 2 sealed: 1 bad range")
	all := parse[[]scrubJSON](t, famfsRun(t, "scrub", "--rate", "10G", "--json", device))
	require.Len(t, all[0].Bad, 1)
	assert.Equal(t, []any{"model", int64(9), "differs"}, []any{all[0].Bad[0].File, all[0].Bad[0].Length, all[0].Bad[0].Kind})
	assert.Equal(t, 2, famfsRun(t, "scrub", device+":/model").status)

	// What the messages say repairs it.
	for _, r := range []result{famfsRun(t, "verify", device), famfsRun(t, "scrub", device)} {
		assert.Contains(t, r.out, "famfs cp --replace, and --seal to seal it again")
	}
	r = asMaster(t, "cp", "--replace", "--seal", src, device+":/")
	assert.Contains(t, r.out+r.err, "copied 1 file")
	assert.Equal(t, 0, famfsRun(t, "verify", device).status)

	// A kind without an equals sign is an argument: nothing is sealed with another sum then.
	r = famfsRun(t, "--system-uuid", host, "creat", "-s", "1M", "--seal", "sha256", device+":/other")
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "--seal=sha256")
	assert.Equal(t, 1, famfsRun(t, "stat", device+":/other").status)
	here := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(here, "sha256"), []byte("1"), 0o644))
	for _, c := range []struct {
		dir  string
		args []string
	}{
		{"", []string{"--seal", "sha256", src, device + ":/new"}}, {"", []string{src, device + ":/new", "--seal", "sha256"}}, {"", []string{"--seal", "-r", "sha256", src, device + ":/"}},
		{here, []string{"--seal", "sha256", src, device + ":/"}}, {here, []string{"--seal", "sha256", device + ":/"}},
	} {
		cmd := command(append([]string{"--system-uuid", host, "cp"}, c.args...)...)
		cmd.Dir = c.dir
		before := usage(t, device)
		r := finish(t, cmd)
		assert.Equal(t, 2, r.status, c.args)
		assert.Contains(t, r.err, "with a kind, --seal needs an equals sign: --seal=sha256; a file of that name is ./sha256", c.args)
		assert.Equal(t, before, usage(t, device), c.args)
	}
	for _, args := range [][]string{{"--seal", "./sha256", device + ":/a"}, {"sha256", device + ":/b"}, {"--seal", "--", "sha256", device + ":/c"}} {
		cmd := command(append([]string{"--system-uuid", host, "cp"}, args...)...)
		cmd.Dir = here
		assert.Equal(t, 0, finish(t, cmd).status, args)
	}
	assert.Contains(t, famfsRun(t, "--system-uuid", host, "cp", "sha256", device+":/").err, "check the name")
	assert.Contains(t, famfsRun(t, "verify", device+":/plain").err, "--against")
}

// A seal and a removal of what is lost have no space, and nobody needs to make a file again for them.
func TestFsckFollows(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", "--seal", device+":/sealed")
	asMaster(t, "creat", "-s", "1M", device+":/removed")
	asMaster(t, "rm", device+":/removed")
	corrupt(t, device, 0)
	corrupt(t, device, 2)
	problems := parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", device))[0].Problems
	require.Len(t, problems, 4)
	for _, i := range []int{1, 3} {
		assert.Equal(t, i, problems[i].Index)
		assert.Contains(t, problems[i].Do, "it follows from that")
		assert.NotContains(t, problems[i].Do, "space")
	}
}
