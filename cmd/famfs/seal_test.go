package main

import (
	"os"
	"path/filepath"
	"strings"
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

// What replaces a sealed file is not sealed without --seal, and that is said.
func TestCpSaysUnsealed(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	tree := filepath.Join(src, "t")
	writeTree(t, tree, map[string][]byte{"a": []byte("1"), "b": []byte("1"), "plain": []byte("1"), "same": []byte("1")})
	asMaster(t, "cp", "--seal", filepath.Join(tree, "a"), filepath.Join(tree, "same"), device+":/")
	asMaster(t, "cp", "--seal=sha256", filepath.Join(tree, "b"), device+":/")
	asMaster(t, "cp", filepath.Join(tree, "plain"), device+":/")
	writeTree(t, tree, map[string][]byte{"a": []byte("2"), "b": []byte("2"), "plain": []byte("2"), "new": []byte("2")})
	said := func(words string) string {
		return "famfs cp: " + device + ":/a: " + words + " (crc32c)\nfamfs cp: " + device + ":/b: " + words + " (sha256)\n"
	}
	again := []string{"cp", "-qrT", "--replace", tree, device + ":/"}
	r := asMaster(t, append(again, "--dry-run")...)
	assert.Equal(t, said("would not be sealed, and what it would replace is")+"    cp seals what it copies with --seal=crc32c or --seal=sha256\n", r.err)
	r = asMaster(t, append(again, "-t", "1")...)
	assert.Equal(t, said("is not sealed, and what it replaced was")+"    seal it with: famfs seal --sum crc32c or famfs seal --sum sha256; cp does with --seal=crc32c or --seal=sha256\n", r.err)
	assert.Empty(t, asMaster(t, again...).err, "there is nothing to replace any more")
	assert.Equal(t, 1, strings.Count(famfsRun(t, "ls", "-l", device).out, "(sealed"), "what was passed over")

	// Every way of replacing, and what says --seal.
	asMaster(t, "seal", device+":/a", device+":/b")
	writeTree(t, tree, map[string][]byte{"a": []byte("3")})
	r = feed(t, "y\n", "--system-uuid", host, "cp", "-i", "--json", filepath.Join(tree, "a"), device+":/")
	assert.Contains(t, r.err, device+":/a: is not sealed, and what it replaced was (crc32c)\n    seal it with: famfs seal --sum crc32c;")
	assert.Equal(t, 1, parse[copyJSON](t, r).Unsealed)
	r = feed(t, "4", "--system-uuid", host, "cp", "--json", "--replace", "--size", "1", "-", device+":/b")
	assert.Contains(t, r.err, device+":/b: is not sealed")
	assert.Equal(t, 1, parse[copyJSON](t, r).Unsealed)
	asMaster(t, "seal", device+":/a", device+":/b")
	r = asMaster(t, "cp", "-r", "--pack", "--json", "--replace", tree, device+":/a")
	assert.Contains(t, r.err, device+":/a: is not sealed")
	assert.Equal(t, 1, parse[copyJSON](t, r).Unsealed)
	assert.NotContains(t, asMaster(t, "cp", "--replace", "--seal", filepath.Join(tree, "b"), device+":/b").err, "not sealed")
	assert.NotContains(t, famfsRun(t, "--system-uuid", host, "cp", filepath.Join(tree, "a"), device+":/b").err, "not sealed", "which was refused")
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
