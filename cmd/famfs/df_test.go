package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// From 90% on, df says that the log comes to its end, and what to do then.
func TestDfLogNearEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		usage usageJSON
		note  string
	}{
		"empty":               {usageJSON{LogCapacity: 15420}, ""},
		"89%":                 {usageJSON{LogCapacity: 15420, LogUsed: 13877}, ""},
		"90%":                 {usageJSON{LogCapacity: 15420, LogUsed: 13878, Files: 13870, Dirs: 8}, "13,878 of 15,420 log entries are used"},
		"all are files":       {usageJSON{LogCapacity: 15420, LogUsed: 15420, Files: 15420}, "--loglen"},
		"much was removed":    {usageJSON{LogCapacity: 15420, LogUsed: 15420, Files: 1000, Dirs: 234}, "famfs compact rewrites the log, with 1,234 entries"},
		"little was removed":  {usageJSON{LogCapacity: 1000, LogUsed: 1000, Files: 900}, "--loglen"},
		"more than an int32 ": {usageJSON{LogCapacity: 1 << 30, LogUsed: 1 << 30}, "famfs compact"},
	} {
		note := logNote("dev", c.usage)
		if c.note == "" {
			assert.Empty(t, note, name)
		} else {
			assert.Contains(t, note, c.note, name)
		}
	}
}

func TestDfSaysThatTheLogIsFull(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	id, err := famfs.ParseUUID(host)
	require.NoError(t, err)
	fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(id))
	require.NoError(t, err)
	for u := fsys.Usage(); u.LogUsed*100 < u.LogCapacity*logNearEnd; u = fsys.Usage() {
		require.NoError(t, fsys.Mkdir(fmt.Sprint(u.LogUsed), 0o755))
	}
	require.NoError(t, fsys.Close())
	for _, args := range [][]string{{"df", device}, {"df", "-i", device}, {"df", "--json", device}} {
		r := famfsRun(t, args...)
		assert.Equal(t, 0, r.status)
		assert.Contains(t, r.err, "famfs df: "+device+": 13,878 of 15,420 log entries are used")
		assert.NotContains(t, r.out, "log entries")
	}
}

// The table in the help of mkfs is right.
func TestMkfsLogTable(t *testing.T) {
	t.Parallel()
	help := famfsRun(t, "mkfs", "--help").out
	found := 0
	for _, m := range regexp.MustCompile(`(\d+) MiB +([\d,]+)\b`).FindAllStringSubmatch(help, -1) {
		found++
		device := filepath.Join(testDir(t), "device")
		asMaster(t, "mkfs", "--create", "300M", "--loglen", m[1]+"M", device)
		fsys, err := famfs.Open(device)
		require.NoError(t, err)
		assert.Equal(t, strings.ReplaceAll(m[2], ",", ""), fmt.Sprint(fsys.Usage().LogCapacity), m[0])
		require.NoError(t, fsys.Close())
	}
	assert.Equal(t, 6, found)
}
