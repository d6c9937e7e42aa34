package main

// What verify and chkread do with what cannot be read: they say so, and do not end well.

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// What could not be checked is worse than what differs.
func TestVerifyTrouble(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "1M", device+":/f", device+":/g")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "f"), 0o755)) // cannot be read as a file
	writeTree(t, dir, map[string][]byte{"g": []byte("other")})
	r := famfsRun(t, "verify", "--json", "--against", dir, device)
	assert.Equal(t, 2, r.status, r.out+r.err)
	assert.Contains(t, r.err, device+":/f: ")
	found := parse[[]verdict](t, r)
	require.Len(t, found, 2)
	assert.False(t, found[0].OK || found[1].OK)
}

// Memory that is gone is an error of the file, and what the caches hold is thrown away
// before anything is looked at.
func TestVerifyLostMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file that is mapped cannot be cut short there")
	}
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "8M", "--seed", "1", device+":/f")
	v := &verifier{app: &app{}, ctx: context.Background()}
	fsys := readBack(t, device)
	one := func(run func([]byte) error) error {
		return v.withMapped(check{fsys: fsys, t: target{device: device, name: "f"}, run: run})
	}
	require.NoError(t, one(func(b []byte) error {
		if checkPattern(b, 1, 0) >= 0 {
			return errors.New("differs")
		}
		return nil
	}))
	require.NoError(t, os.Truncate(device, 12*mib))
	var fault *famfs.FaultError
	err := one(func(b []byte) error {
		checkPattern(b, 1, 0)
		return nil
	})
	assert.ErrorAs(t, err, &fault)
	if runtime.GOARCH == "amd64" { // whose instructions need the memory
		assert.Error(t, one(func([]byte) error { return nil }), "the caches of the file were invalidated")
	}
}
