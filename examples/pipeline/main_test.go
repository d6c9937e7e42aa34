package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// A batch whose memory fails while it is filled does not exist afterwards.
func TestFillingFails(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("not every system lets a mapped file be cut off, and says so where it is touched")
	}
	device := formatted(t)
	fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(testHost))
	require.NoError(t, err)
	defer fsys.Close()
	// Memory that fails while the batch is filled, and not any more when it is to be written back.
	err = makeFile(fsys, "batch", 64<<10, func(data []byte) {
		st, err := os.Stat(device)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(device, 10<<20))
		defer func() { require.NoError(t, os.Truncate(device, st.Size())) }()
		data[0] = 1
	})
	require.ErrorIs(t, err, famfs.ErrDevice)
	_, err = fsys.Stat("batch")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = makeBatch(fsys, "batch", 64<<10, 1)
	require.NoError(t, err, "its name and its space are free")
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
