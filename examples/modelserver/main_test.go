package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// Files, ranges, directories, figures, and a file that appears while it serves.
func TestServer(t *testing.T) {
	t.Parallel()
	device := filepath.Join(t.TempDir(), "device")
	host := famfs.WithSystemUUID(famfs.NewUUID())
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	require.NoError(t, famfs.Format(device, host))
	master, err := famfs.Open(device, famfs.ReadWrite(), host)
	require.NoError(t, err)
	defer master.Close()
	content := bytes.Repeat([]byte("0123456789"), 500_000)
	require.NoError(t, master.MkdirAll("models", 0o755))
	require.NoError(t, master.WriteFile("models/a.bin", content, 0o644))

	fsys, err := famfs.Open(device)
	require.NoError(t, err)
	defer fsys.Close()
	s := &server{fsys: fsys}
	h := httptest.NewServer(s.handler())
	defer h.Close()
	done := make(chan struct{})
	go func() { defer close(done); s.follow(t.Context(), time.Millisecond) }()
	t.Cleanup(func() { <-done })

	get := func(path string, header ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest("GET", h.URL+path, nil)
		require.NoError(t, err)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, string(body)
	}
	resp, body := get("/models/a.bin")
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, "application/octet-stream", resp.Header.Get("Content-Type"))
	assert.True(t, body == string(content))
	resp, body = get("/models/a.bin", "Range", "bytes=4000003-4000007")
	assert.Equal(t, 206, resp.StatusCode)
	assert.Equal(t, "34567", body)
	assert.Equal(t, "bytes 4000003-4000007/5000000", resp.Header.Get("Content-Range"))
	resp, _ = get("/models/a.bin", "If-None-Match", resp.Header.Get("ETag"))
	assert.Equal(t, 304, resp.StatusCode)
	resp, _ = get("/models/a.bin", "Range", "bytes=6000000-")
	assert.Equal(t, 416, resp.StatusCode)
	_, body = get("/models")
	assert.Contains(t, body, `<a href="/models/a.bin">a.bin</a>`)
	for _, path := range []string{"/nothing", "/models/a.bin/x", "/../etc/passwd"} {
		resp, _ = get(path)
		assert.Equal(t, 404, resp.StatusCode, path)
	}

	// It may appear before follow has begun to watch: then Refresh finds it.
	require.NoError(t, master.WriteFile("new", []byte("fresh"), 0o644))
	require.Eventually(t, func() bool { resp, body := get("/new"); return resp.StatusCode == 200 && body == "fresh" }, 5*time.Second, time.Millisecond)
	_, figures := get("/metrics")
	assert.Contains(t, figures, "\nfamfs_files 2\n")
	assert.Contains(t, figures, "# TYPE modelserver_sent_bytes_total counter\n")
	assert.False(t, strings.Contains(figures, "%!"))
	assert.Greater(t, s.bytesSent.Load(), int64(len(content)))
}

// The program by itself makes a stand-in, serves, and stops when it is told to.
func TestRun(t *testing.T) {
	t.Parallel()
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, makeSample(device))
	fsys, err := famfs.Open(device)
	require.NoError(t, err)
	st, err := fsys.Stat("models/sample.bin")
	require.NoError(t, err)
	assert.EqualValues(t, 1<<20, st.Size())
	require.NoError(t, fsys.Close())
	for _, device := range []string{"", device} {
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		assert.NoError(t, run(ctx, device, "127.0.0.1:0", time.Millisecond))
		stop()
	}
	assert.ErrorIs(t, run(t.Context(), filepath.Join(t.TempDir(), "missing"), "127.0.0.1:0", 0), fs.ErrNotExist)
	assert.Error(t, run(t.Context(), device, "no address", 0))
}
