package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// The consumers of a test are this test binary again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-consumer" {
		main()
		return
	}
	os.Exit(m.Run())
}

var testHost = famfs.NewUUID()

func formatted(t *testing.T) string {
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	require.NoError(t, famfs.Format(device, famfs.WithSystemUUID(testHost)))
	return device
}

// Every batch is consumed once, by whoever is free, and what is waited for has an end.
func TestPipeline(t *testing.T) {
	t.Parallel()
	for _, o := range []options{{consumers: 3, batches: 30, size: 100_000}, {consumers: 1, batches: 8, size: 8}, {consumers: 2, batches: 0, size: 8}} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), o, &out))
		assert.Contains(t, out.String(), "batches were consumed once")
	}
}

// A maker that fails leaves no consumer behind: here its device is full before it has made all batches.
func TestMakerFails(t *testing.T) {
	t.Parallel()
	device := formatted(t)
	var out bytes.Buffer
	err := run(t.Context(), options{device: device, consumers: 2, batches: 100, size: 4 << 20, id: testHost}, &out)
	require.ErrorIs(t, err, famfs.ErrNoSpace)
	fsys, err := famfs.Open(device, famfs.WithClientWrites())
	require.NoError(t, err)
	defer fsys.Close()
	queues, err := fs.Glob(fsys, "pipeline-*/queue-?")
	require.NoError(t, err)
	require.Len(t, queues, 2)
	for _, q := range queues { // its process has ended, and with it the lock
		c, err := fsys.Consumer(q)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
}

// A maker that is killed, and can do nothing any more, leaves none either.
func TestMakerIsKilled(t *testing.T) {
	t.Parallel()
	device := formatted(t)
	fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(testHost))
	require.NoError(t, err)
	defer fsys.Close()
	require.NoError(t, fsys.CreateQueue("q", 4, 128))
	cmd := exec.Command(os.Args[0], "-consumer", "q", device)
	alive, err := cmd.StdinPipe()
	require.NoError(t, err)
	var said bytes.Buffer
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	require.NoError(t, alive.Close())
	assert.Error(t, cmd.Wait())
	assert.Contains(t, said.String(), "the maker of batches is gone")
}

// A consumer that fails does not keep the maker waiting.
func TestConsumerFails(t *testing.T) {
	t.Parallel()
	device := formatted(t)
	err := consume(t.Context(), options{device: device, consumer: "none"}, &bytes.Buffer{})
	assert.ErrorIs(t, err, os.ErrNotExist)
}
