package main

// Compacting: what is free again, and what is said of it.

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompact(t *testing.T) {
	t.Parallel()
	device, clean := newDevice(t, "32M"), newDevice(t, "64M")
	asMaster(t, "creat", "-s", "10", "--seed", "1", device+":/a", device+":/b")
	asMaster(t, "mkdir", device+":/d")
	asMaster(t, "rm", device+":/a")
	uuid := readBack(t, device).Superblock().UUID.String()

	r := famfsRun(t, "compact", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "only the host that formatted the device may do this")
	r = famfsRun(t, "--system-uuid", host, "compact", device+":/d")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "leave the path out")

	r = asMaster(t, "compact", device, clean)
	assert.Equal(t, device+": compacted: 2 MiB and 2 entries of the log can be used again; 20 MiB free\n"+
		clean+": nothing to compact; 54 MiB free\n", r.out)
	assert.Equal(t, []string{"b"}, namesOn(t, device))
	fsys := readBack(t, device)
	data, err := fsys.ReadFile("b")
	require.NoError(t, err)
	assert.Equal(t, pattern(10, 1), data)
	assert.NotEqual(t, uuid, fsys.Superblock().UUID.String())
	assert.Zero(t, fsys.Usage().Removed)

	asMaster(t, "rm", device+":/b")
	compacted := parse[[]compactedJSON](t, asMaster(t, "compact", "--json", device))
	assert.Equal(t, []compactedJSON{{Device: device, Bytes: 2 << 20, Entries: 2, Available: 22 << 20, UUID: readBack(t, device).Superblock().UUID.String()}}, compacted)
}

// What is said where there is something that fsck would find.
func TestCompactProblems(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "32M")
	asMaster(t, "creat", "-s", "10", "--seed", "1", device+":/a", device+":/b", device+":/c")
	asMaster(t, "rm", device+":/a")
	corrupt(t, device, 1)
	r := famfsRun(t, "--system-uuid", host, "compact", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "log entry 1: ")
	assert.Contains(t, r.err, "see what is wrong with: famfs fsck "+device+"; --drop-problems leaves it out, for good")
	assert.Contains(t, famfsRun(t, "fsck", device).out, "famfs compact --drop-problems "+device)
	r = asMaster(t, "compact", "--drop-problems", device)
	assert.Contains(t, r.out, "can be used again")
	assert.Equal(t, []string{"c"}, namesOn(t, device))
	asMaster(t, "fsck", device)

	// An entry that is passed over, and stops no reader.
	asMaster(t, "mkdir", device+":/d")
	asMaster(t, "creat", "-s", "10", device+":/again")
	forge(t, device, 2, func(b []byte) { copy(b[40:], "c\x00\x00\x00\x00\x00") })
	r = famfsRun(t, "--system-uuid", host, "compact", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "look at them first with famfs fsck; --drop-problems leaves them out, for good")
	assert.Contains(t, famfsRun(t, "fsck", device).out, "famfs compact --drop-problems "+device)
	asMaster(t, "compact", "--drop-problems", device)
	asMaster(t, "fsck", device)
}

// A compaction that was interrupted: fsck says what to do, and compact does it.
func TestCompactInterrupted(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "32M")
	asMaster(t, "creat", "-s", "10", "--seed", "1", device+":/a")
	asMaster(t, "rm", device+":/a")
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	sb := make([]byte, 200)
	_, err = f.ReadAt(sb, 0)
	require.NoError(t, err)
	// The record says that the log is to be replaced by one without entries.
	le := binary.LittleEndian
	record := make([]byte, 264)
	le.PutUint64(record, 0x66616d66736c6f67)
	le.PutUint64(record[8:], 1)
	le.PutUint64(record[16:], 2)
	copy(record[24:40], sb[48:64])
	le.PutUint64(record[40:], 2*mib+48+2*544)
	sb[48] ^= 1
	le.PutUint64(sb[96:], uint64(crc32.ChecksumIEEE(sb[:96])))
	copy(record[56:], sb)
	le.PutUint64(record[256:], uint64(crc32.ChecksumIEEE(record[:256])))
	_, err = f.WriteAt(record, mib)
	require.NoError(t, err)

	r := famfsRun(t, "ls", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "finish it on the master with: famfs compact "+device)
	reports := parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", device))
	require.Len(t, reports[0].Problems, 1)
	assert.Equal(t, "compacting", reports[0].Problems[0].Kind)
	assert.Contains(t, reports[0].Problems[0].Do, "famfs compact "+device)
	assert.Equal(t, 1, reports[0].Status)
	r = asMaster(t, "compact", device)
	assert.Equal(t, device+": finished the compaction that was interrupted; 22 MiB free\n", r.out)
	assert.Equal(t, 0, famfsRun(t, "fsck", device).status)
}
