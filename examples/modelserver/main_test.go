package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

var host = famfs.WithSystemUUID(famfs.UUID{1})

// serving is a server of a device, which is formatted and has no files, and its master.
func serving(t *testing.T) (s *server, url string, master *famfs.FS) {
	t.Helper()
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	master = format(t, device)
	s = &server{device: device}
	require.NoError(t, s.open())
	h := httptest.NewServer(s.handler())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.follow(ctx, time.Millisecond) }()
	t.Cleanup(func() {
		h.Close()
		stop()
		<-done
		assert.NoError(t, s.close())
	})
	return s, h.URL, master
}

// format formats device, whatever is on it, and opens it as its master.
func format(t *testing.T, device string) *famfs.FS {
	t.Helper()
	require.NoError(t, famfs.Format(device, host, famfs.Force()))
	master, err := famfs.Open(device, famfs.ReadWrite(), host)
	require.NoError(t, err)
	t.Cleanup(func() { master.Close() })
	return master
}

func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
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

// Files, ranges, directories, figures, and a file that appears while it serves.
func TestServer(t *testing.T) {
	t.Parallel()
	s, url, master := serving(t)
	content := strings.Repeat("0123456789", 500_000)
	require.NoError(t, master.MkdirAll("models", 0o755))
	require.NoError(t, master.MkdirAll(".hidden", 0o755))
	require.NoError(t, master.WriteFile("models/a.bin", []byte(content), 0o644))
	require.NoError(t, master.WriteFile("metrics", []byte("mine"), 0o644))
	// It appears when follow or a request looks for it.
	require.Eventually(t, func() bool { resp, body := get(t, url+"/metrics"); return resp.StatusCode == 200 && body == "mine" }, 5*time.Second, time.Millisecond)

	for name, c := range map[string]struct {
		path, header, value string
		status              int
		body, contentRange  string
	}{
		"whole":                         {"/models/a.bin", "", "", 200, content, ""},
		"range":                         {"/models/a.bin", "Range", "bytes=4000003-4000007", 206, "34567", "bytes 4000003-4000007/5000000"},
		"range behind the end":          {"/models/a.bin", "Range", "bytes=6000000-", 416, "invalid range: failed to overlap\n", "bytes */5000000"},
		"a copy may always be outdated": {"/models/a.bin", "If-None-Match", `"x"`, 200, content, ""},
		"and is not completed":          {"/models/a.bin", "If-Range", `"x"`, 200, content, ""},
		"missing":                       {"/nothing", "", "", 404, "no such file\n", ""},
		"below a file":                  {"/models/a.bin/x", "", "", 404, "no such file\n", ""},
		"outside":                       {"/../etc/passwd", "", "", 404, "no such file\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := get(t, url+c.path, cmp.Or(c.header, "X-None"), c.value)
			assert.Equal(t, c.status, resp.StatusCode)
			assert.True(t, body == c.body)
			assert.Equal(t, c.contentRange, resp.Header.Get("Content-Range"))
			assert.Empty(t, resp.Header.Values("ETag"), "it may be written in place")
			assert.Empty(t, resp.Header.Values("Last-Modified"))
			if c.status < 400 {
				assert.Equal(t, "application/octet-stream", resp.Header.Get("Content-Type"))
			}
		})
	}
	_, body := get(t, url+"/models")
	assert.Contains(t, body, `<a href="/models/a.bin">a.bin</a>`)
	_, body = get(t, url+"/.hidden")
	assert.Contains(t, body, "<h1>/.hidden</h1>")
	_, body = get(t, url+"/")
	assert.Contains(t, body, "<h1>/</h1>")
	assert.Contains(t, body, `<a href="/metrics">metrics</a>`)

	w := httptest.NewRecorder()
	s.figures().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	assert.Contains(t, w.Body.String(), "\nfamfs_files 2\n")
	assert.Contains(t, w.Body.String(), "# TYPE modelserver_sent_bytes_total counter\n")
	assert.NotContains(t, w.Body.String(), "%!")
	assert.Greater(t, s.bytesSent.Load(), int64(len(content)))
}

// A device that is formatted anew is opened anew; nothing of it is served as what was
// there before.
func TestReformatted(t *testing.T) {
	t.Parallel()
	s, url, master := serving(t)
	require.NoError(t, master.WriteFile("m", []byte("old"), 0o644))
	require.Eventually(t, func() bool { _, body := get(t, url+"/m"); return body == "old" }, 5*time.Second, time.Millisecond)
	before, done := s.use()
	m, err := before.fsys.Map("m") // as a request that takes its time
	require.NoError(t, err)
	require.NoError(t, master.Close())

	master = format(t, s.device)
	resp, body := get(t, url+"/m")
	assert.Contains(t, []int{404, 503}, resp.StatusCode, body)
	require.NoError(t, master.WriteFile("m", []byte("new and longer"), 0o644))
	require.Eventually(t, func() bool { _, body := get(t, url+"/m"); return body == "new and longer" }, 5*time.Second, time.Millisecond)
	assert.EqualValues(t, 1, s.reformatsFound.Load())

	w := &sending{ResponseWriter: httptest.NewRecorder(), of: before, sent: &s.bytesSent}
	_, err = w.Write(m.Bytes())
	assert.ErrorIs(t, err, famfs.ErrReformatted, "no more is sent")
	require.NoError(t, m.Close())
	done()
	s.closing.Wait()
	_, err = before.fsys.Stat("m")
	assert.ErrorIs(t, err, fs.ErrClosed, "closed with its last request")
}

// Of a device that is formatted anew before follow notices, nothing is sent that passes
// for the whole: the request itself looks.
func TestReformattedUnnoticed(t *testing.T) {
	t.Parallel()
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	master := format(t, device)
	require.NoError(t, master.WriteFile("m", []byte("old"), 0o644))
	require.NoError(t, master.Close())
	s := &server{device: device}
	require.NoError(t, s.open())
	defer func() { assert.NoError(t, s.close()) }()
	request := httptest.NewRequest("GET", "/m", nil)
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, request)
	assert.Equal(t, "old", w.Body.String())

	again := sync.OnceFunc(func() { format(t, device) })
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		s.handler().ServeHTTP(formatting{httptest.NewRecorder(), again}, request)
	}, "while it is sent")
	w = httptest.NewRecorder()
	s.handler().ServeHTTP(w, request)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "1", w.Header().Get("Retry-After"))
}

// A request finds out by itself that the device was formatted anew, before it sends.
func TestReformattedBefore(t *testing.T) {
	t.Parallel()
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	master := format(t, device)
	require.NoError(t, master.WriteFile("m", []byte("old"), 0o644))
	require.NoError(t, master.Close())
	s := &server{device: device}
	require.NoError(t, s.open())
	defer func() { assert.NoError(t, s.close()) }()
	format(t, device)
	for _, path := range []string{"/m", "/"} {
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, path)
	}
	assert.Zero(t, s.bytesSent.Load())
}

// Memory that fails while a file is sent cuts the connection: what has been sent must not
// pass for the whole, and an error's text not for content.
func TestMemoryFails(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file that is mapped cannot be cut there")
	}
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	master := format(t, device)
	require.NoError(t, master.WriteFile("m", bytes.Repeat([]byte("x"), 32<<20), 0o644))
	require.NoError(t, master.Close())
	s := &server{device: device}
	require.NoError(t, s.open())
	defer func() { assert.NoError(t, s.close()) }()
	h := httptest.NewServer(s.handler())
	defer h.Close()
	require.NoError(t, os.Truncate(device, 24<<20))
	resp, err := http.Get(h.URL + "/m")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, len(body), bytes.Count(body, []byte("x")), "the file's, and nothing else")
	assert.EqualValues(t, 1, s.failed.Load())
}

// formatting formats the device anew when something is written.
type formatting struct {
	http.ResponseWriter
	again func()
}

func (f formatting) Write(b []byte) (int, error) { f.again(); return f.ResponseWriter.Write(b) }

// What goes on failing is logged once in a while, however many kinds there are, and a name
// in it makes no line of its own.
func TestComplaints(t *testing.T) {
	var out bytes.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	var c complaints
	for range 10 {
		c.log("open", fs.ErrNotExist)
		c.log("open", fs.ErrPermission)
	}
	assert.Equal(t, 1, strings.Count(out.String(), "open: file does not exist"))
	assert.Equal(t, 2, strings.Count(out.String(), "open: "))
	c.said["open: permission denied"] = time.Now().Add(-time.Hour)
	c.log("open", fs.ErrPermission)
	assert.Equal(t, 3, strings.Count(out.String(), "open: "))
	for i := range 1000 {
		c.log("serve", &fs.PathError{Op: "read", Path: strconv.Itoa(i) + "\nforged", Err: fs.ErrInvalid})
	}
	assert.Less(t, strings.Count(out.String(), "\n"), 20)
	assert.NotContains(t, out.String(), "\nforged")
	assert.Contains(t, out.String(), `"serve: read 0\nforged: invalid argument"`)
}

// A client that takes nothing keeps the device open for a while only.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	s, url, master := serving(t)
	s.patience = 20 * time.Millisecond
	require.NoError(t, master.WriteFile("m", make([]byte, 40<<20), 0o644))
	require.Eventually(t, func() bool { resp, _ := get(t, url+"/m", "Range", "bytes=0-0"); return resp.StatusCode == 206 }, 5*time.Second, time.Millisecond)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /m HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.bytesSent.Load() > 1 }, 5*time.Second, time.Millisecond, "begun")
	o, done := s.use()
	done()
	require.NoError(t, master.Close())
	format(t, s.device)
	ended := make(chan struct{})
	go func() { o.users.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the request is still there")
	}
}

// A client that rests between its requests, or takes a file at its own pace, is not one
// that takes nothing.
func TestPatience(t *testing.T) {
	t.Parallel()
	s, url, master := serving(t)
	s.patience = time.Second
	require.NoError(t, master.WriteFile("m", make([]byte, 40<<20), 0o644))
	require.Eventually(t, func() bool { resp, _ := get(t, url+"/m", "Range", "bytes=0-0"); return resp.StatusCode == 206 }, 5*time.Second, time.Millisecond)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	reader := bufio.NewReader(conn)
	request := func(path string) *http.Response {
		_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		return resp
	}
	resp := request("/m")
	for range 40 {
		n, err := io.CopyN(io.Discard, resp.Body, 1<<20)
		require.NoError(t, err, n)
		time.Sleep(s.patience / 25)
	}
	time.Sleep(s.patience + s.patience/2)
	resp = request("/no")
	assert.Equal(t, 404, resp.StatusCode)
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
		assert.NoError(t, run(ctx, device, "127.0.0.1:0", "127.0.0.1:0", time.Millisecond))
		stop()
	}
	assert.ErrorIs(t, run(t.Context(), filepath.Join(t.TempDir(), "missing"), "127.0.0.1:0", "", 0), fs.ErrNotExist)
	assert.Error(t, run(t.Context(), device, "no address", "", 0))
	assert.Error(t, run(t.Context(), device, "127.0.0.1:0", "no address", 0))
}
