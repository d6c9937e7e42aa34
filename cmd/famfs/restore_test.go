package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// damage writes zeros over the beginning of a device.
func damage(t testing.TB, device string) {
	t.Helper()
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteAt(make([]byte, 200), 0)
	require.NoError(t, err)
}

// A superblock that is lost is shown, and put back after asking.
func TestMkfsRestoreSuperblock(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", "-S", "7", device+":/f")
	uuid := parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", device))[0].FileSystem.Superblock.UUID
	answer := func(text string, args ...string) result {
		cmd := command(append([]string{"--system-uuid", host, "mkfs", "--restore-superblock"}, args...)...)
		cmd.Stdin = strings.NewReader(text)
		return finish(t, cmd)
	}
	r := answer("y\n", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "it is sound")
	assert.NotContains(t, r.err, "[y/N]", "there is nothing to ask")
	damage(t, device)
	r = famfsRun(t, "ls", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "famfs mkfs --restore-superblock puts it back, on the master")
	r = famfsRun(t, "fsck", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, "do: the device cannot be opened: put the copy of the superblock back, on the master (famfs mkfs --restore-superblock "+device+")")
	assert.Contains(t, r.out, uuid)
	assert.Equal(t, 0, famfsRun(t, "--salvage", "verify", "--seed", "7", device+":/f").status)

	for _, no := range []string{"", "n\n", "\n"} {
		r = answer(no, device)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, "the copy is of file system "+uuid)
		assert.Contains(t, r.err, "put it back? [y/N] ")
		assert.Contains(t, r.err, "nothing was changed")
		assert.Equal(t, 1, famfsRun(t, "ls", device).status)
	}
	r = famfsRun(t, "mkfs", "--restore-superblock", "--force", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "only the host that formatted the device may do this")
	r = answer("y\n", device)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, "the superblock of file system "+uuid+" is back")
	assert.Equal(t, 0, famfsRun(t, "fsck", device).status)
	damage(t, device)
	r = answer("", "--force", "--json", device)
	assert.Equal(t, restoredJSON{device, true, uuid}, parse[restoredJSON](t, r))
	for _, args := range [][]string{{device, device}, {"--kill", device}, {"--loglen", "8M", device}, {"--reuse", device}} {
		assert.Equal(t, 2, answer("y\n", args...).status, "%v", args)
	}

	// Of an older package's device fsck says that it has no copy, and that is no problem.
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteAt(make([]byte, 208), 64<<10)
	require.NoError(t, err)
	r = famfsRun(t, "fsck", device)
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.out, "the superblock has no second copy")
	assert.Equal(t, "none", parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", device))[0].Copy)
	damage(t, device)
	r = answer("y\n", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "it has no second copy")
	assert.Contains(t, r.err, "read what is sound with --salvage")
}

// Files that are there are sealed.
func TestSeal(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	for _, name := range []string{"a", "b", "c"} {
		asMaster(t, "creat", "-s", "100K", "-S", "7", device+":/"+name)
	}
	r := asMaster(t, "seal", device+":/a")
	assert.Contains(t, r.out, device+":/a: sealed, crc32c:")
	r = asMaster(t, "seal", "--sum", "sha256", "--json", device+":/b")
	sealed := parse[[]sealedJSON](t, r)
	require.Len(t, sealed, 1)
	assert.Equal(t, device+":/b", sealed[0].File)
	assert.Contains(t, sealed[0].Seal, "sha256:")
	assert.EqualValues(t, 100<<10, sealed[0].Size)
	assert.Equal(t, 0, famfsRun(t, "verify", device).status)
	assert.Contains(t, famfsRun(t, "fsck", device).out, "(2 sealed)")
	as := []string{"--system-uuid", host, "seal"}
	r = famfsRun(t, append(as, device+":/a", device+":/c")...)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "it is sealed since log entry")
	assert.Contains(t, r.err, "--ignore-sealed")
	assert.NotContains(t, r.err, "famfs rm", "it would be lost")
	assert.Contains(t, famfsRun(t, "logdump", device).out, "b  of entry 1, "+sealed[0].Seal)
	assert.Contains(t, famfsRun(t, append(as, device)...).err, "xargs -0 famfs seal")
	assert.Contains(t, r.out, device+":/c: sealed", "it goes on after an error")
	assert.Empty(t, asMaster(t, "seal", "-q", "--ignore-sealed", device+":/a").out)
	for _, args := range [][]string{{"--sum", "md5", device + ":/a"}, {}} {
		assert.Equal(t, 2, famfsRun(t, append(as, args...)...).status)
	}
	for _, args := range [][]string{{device}, {device + ":/missing"}} {
		assert.Equal(t, 1, famfsRun(t, append(as, args...)...).status)
	}
	assert.Equal(t, 1, famfsRun(t, "seal", device+":/b").status, "only on the master")
}
