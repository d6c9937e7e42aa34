package main

// famfs hosts and famfs reclaim, on a device that gives memory out again.

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "mkfs", "--force", "--reuse", device)
	const other = "5f0c2a6e-8f0d-4b54-9d0c-0123456789ab"
	hosts := parse[[]hostJSON](t, famfsRun(t, "hosts", "--json", device))
	assert.Equal(t, []hostJSON{{host, "admitted", true, []slotJSON{}}}, hosts)
	assert.Equal(t, result{out: device + ": admitted " + other + "\n"}, asMaster(t, "hosts", "admit", device, other))
	r := famfsRun(t, "--system-uuid", host, "hosts", "evict", device, other)
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "--surely-off")
	assert.Equal(t, result{out: device + ": evicted " + other + "\n"}, asMaster(t, "hosts", "evict", "--surely-off", device, other))
	r = famfsRun(t, "hosts", device)
	assert.Regexp(t, "Host +State +PID", r.out)
	assert.Contains(t, r.out, other+" evicted")
	assert.Contains(t, r.out, host+" admitted, master")

	r = famfsRun(t, "--system-uuid", host, "hosts", "evict", "--surely-off", device, host)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "the master's own host")
	assert.Equal(t, 1, famfsRun(t, "hosts", "admit", device, other).status, "it needs the master")
	for _, args := range [][]string{{"hosts"}, {"hosts", "admit", device}, {"hosts", "admit", device, "nonsense"}, {"reclaim"}} {
		assert.Equal(t, 2, famfsRun(t, args...).status, args)
	}
}

func TestReclaim(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	for _, args := range [][]string{{"hosts", device}, {"reclaim", device}} {
		r := famfsRun(t, append([]string{"--system-uuid", host}, args...)...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, "made without --reuse")
	}
	if runtime.GOOS != "linux" {
		t.Skip("files of a file system with reuse are mapped on Linux only")
	}
	asMaster(t, "mkfs", "--force", "--reuse", device)
	asMaster(t, "creat", "--size", "4M", "--seed", "1", device+":/a")
	id, err := famfs.ParseUUID(host)
	require.NoError(t, err)
	fsys, err := famfs.Open(device, famfs.WithSystemUUID(id))
	require.NoError(t, err)
	defer fsys.Close()
	m, err := fsys.Map("a")
	require.NoError(t, err)
	asMaster(t, "rm", device+":/a")
	held := parse[reclaimedJSON](t, asMaster(t, "reclaim", "--json", device))
	assert.EqualValues(t, 4<<20, held.Held)
	assert.Zero(t, held.Freed)
	require.Len(t, held.Holders, 1)
	assert.Equal(t, host, held.Holders[0].Host)
	assert.EqualValues(t, 4<<20, held.Holders[0].Holds)
	r := asMaster(t, "reclaim", device)
	assert.Contains(t, r.out, "0 B given out again, 4 MiB held back")
	assert.Contains(t, r.out, held.Holders[0].Program)
	df := parse[[]dfJSON](t, famfsRun(t, "df", "--json", device))
	assert.EqualValues(t, 4<<20, df[0].Removed)

	require.NoError(t, m.Close())
	_, err = fsys.Refresh()
	require.NoError(t, err)
	r = asMaster(t, "reclaim", device)
	assert.Contains(t, r.out, "4 MiB given out again, 0 B held back")
}
