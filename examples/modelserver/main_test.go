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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

var host = famfs.WithSystemUUID(famfs.UUID{1})

// serving is a server of a device, which is formatted and has no files, and its master.
func serving(t *testing.T, inPlace bool) (s *server, url string, master *famfs.FS) {
	t.Helper()
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	master = format(t, device)
	s, url = serve(t, device, inPlace)
	return s, url, master
}

// serve serves a device until the end of the test.
func serve(t *testing.T, device string, inPlace bool) (s *server, url string) {
	t.Helper()
	s = &server{device: device, inPlace: inPlace, host: famfs.UUID{1}}
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
	return s, h.URL
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

// Files that may be written in place, ranges, directories, figures, and a file that appears while it
// serves.
func TestServer(t *testing.T) {
	t.Parallel()
	s, url, master := serving(t, true)
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
	assert.Equal(t, 200, w.Code, w.Body.String())
	assert.Contains(t, w.Body.String(), "\nfamfs_files 2\n")
	assert.Contains(t, w.Body.String(), "# TYPE modelserver_sent_bytes_total counter\n")
	for _, f := range ofDevice {
		assert.Contains(t, w.Body.String(), "\n"+nameOf(f.desc)+" ")
	}
	for _, f := range ofServer {
		assert.Contains(t, w.Body.String(), "\n"+nameOf(f.desc)+" ")
	}
	assert.Greater(t, s.bytesSent.Load(), int64(len(content)))
}

func nameOf(d *prometheus.Desc) string { return strings.Split(d.String(), `"`)[1] }

// The figures go on without a device.
func TestFiguresWithoutDevice(t *testing.T) {
	t.Parallel()
	s := &server{}
	w := httptest.NewRecorder()
	s.figures().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Body.String(), "\nmodelserver_requests_total 0\n")
	assert.NotContains(t, w.Body.String(), "famfs_files")
}

// create makes a file, or replaces it.
func create(t *testing.T, master *famfs.FS, name string, content []byte) {
	t.Helper()
	p, err := master.Create(name, int64(len(content)), famfs.Replace())
	require.NoError(t, err)
	defer p.Close()
	_, err = p.Write(content)
	require.NoError(t, err)
	require.NoError(t, p.Commit())
}

// A model is replaced, and later removed, while it is served: who has begun gets all of the old one,
// who comes later the new one, and no client can take a part of one for a part of the other.
func TestReplace(t *testing.T) {
	t.Parallel()
	s, url, master := serving(t, false)
	old, next := bytes.Repeat([]byte("old "), 4<<20), bytes.Repeat([]byte("new "), 3<<20)
	create(t, master, "m", old)
	// Downloads that have begun, at several places.
	var slow []*http.Response
	for range 4 {
		resp, err := http.Get(url + "/m")
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
		_, err = io.CopyN(io.Discard, resp.Body, 1000)
		require.NoError(t, err)
		slow = append(slow, resp)
	}
	first := slow[0].Header.Get("ETag")
	assert.Regexp(t, `^"[0-9a-f-]{36}-0"$`, first)
	resp, body := get(t, url+"/m", "If-None-Match", first)
	assert.Equal(t, http.StatusNotModified, resp.StatusCode)
	assert.Empty(t, body)
	resp, body = get(t, url+"/m", "Range", "bytes=4-7", "If-Range", first)
	assert.Equal(t, http.StatusPartialContent, resp.StatusCode)
	assert.Equal(t, "old ", body)

	create(t, master, "m", next)
	resp, body = get(t, url+"/m") // the very next request
	assert.True(t, body == string(next))
	second := resp.Header.Get("ETag")
	assert.NotEqual(t, first, second)
	for name, c := range map[string]struct {
		header, value, ranges string
		status                int
		body                  string
	}{
		"a copy of the old one":  {"If-None-Match", first, "", 200, string(next)},
		"a copy of the new one":  {"If-None-Match", second, "", 304, ""},
		"a part of the old one":  {"If-Range", first, "bytes=4-7", 200, string(next)},
		"a part of the new one":  {"If-Range", second, "bytes=4-7", 206, "new "},
		"only if it is the same": {"If-Match", first, "bytes=4-7", 412, ""},
	} {
		resp, body := get(t, url+"/m", c.header, c.value, cmp.Or(map[bool]string{true: "Range"}[c.ranges != ""], "X-None"), c.ranges)
		assert.Equal(t, c.status, resp.StatusCode, name)
		assert.True(t, body == c.body, name)
		assert.Equal(t, second, resp.Header.Get("ETag"), name)
	}
	rest := func(resp *http.Response) {
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.True(t, string(body) == string(old[1000:]), "all of the old one")
	}
	rest(slow[0])
	rest(slow[1])

	require.NoError(t, master.Remove("m"))
	resp, _ = get(t, url+"/m")
	assert.Equal(t, 404, resp.StatusCode)
	rest(slow[2])
	rest(slow[3])
	require.Eventually(t, func() bool { return s.replaced.Load() == 1 && s.removed.Load() == 1 }, 5*time.Second, time.Millisecond)
	o, done := s.use()
	defer done()
	require.Eventually(t, func() bool { return o.fsys.Stats().Mappings == 0 }, 5*time.Second, time.Millisecond, "nothing of the old ones stays mapped")
}

// However often a file is replaced while clients take it, each gets one version, whole, with the ETag
// of that version.
func TestReplaceOften(t *testing.T) {
	t.Parallel()
	_, url, master := serving(t, false)
	version := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 100_000+i) }
	create(t, master, "m", version(0))
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]byte{}
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, body := get(t, url+"/m")
				if !assert.Equal(t, 200, resp.StatusCode) || !assert.NotEmpty(t, body) {
					return
				}
				i := body[0]
				assert.True(t, body == string(version(int(i))), "one version, whole")
				tag := resp.Header.Get("ETag")
				mu.Lock()
				if other, ok := seen[tag]; ok {
					assert.Equal(t, other, i, "an ETag of one version only")
				}
				seen[tag] = i
				mu.Unlock()
			}
		})
	}
	for i := range 20 {
		create(t, master, "m", version(i))
		time.Sleep(time.Millisecond)
	}
	close(stop)
	clients.Wait()
	_, body := get(t, url+"/m")
	assert.True(t, body == string(version(19)))
}

// Where memory is given out again, that of a replaced model comes back when its last download has
// ended, and not before; a download also holds back what is removed after it began. So a model can be
// replaced any number of times: all versions together are larger than the device.
func TestReplaceReuse(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("files of such a device can be mapped on Linux only")
	}
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	require.NoError(t, famfs.Format(device, host, famfs.Reuse()))
	master, err := famfs.Open(device, famfs.ReadWrite(), host)
	require.NoError(t, err)
	defer master.Close()
	s, url := serve(t, device, false)
	version := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 12<<20) }
	empty := master.Usage().Free
	create(t, master, "m", version(0))
	slow, err := http.Get(url + "/m")
	require.NoError(t, err)
	defer slow.Body.Close()
	require.Equal(t, 200, slow.StatusCode)
	_, err = io.CopyN(io.Discard, slow.Body, 1000)
	require.NoError(t, err)

	// What is held comes down to this when the server has noticed the last replacement.
	held := func(want int64) {
		require.Eventually(t, func() bool {
			r, err := master.Reclaim()
			return assert.NoError(t, err) && r.Held == want
		}, 10*time.Second, time.Millisecond)
	}
	replace := func(i int) {
		create(t, master, "m", version(i))
		_, body := get(t, url+"/m")
		require.True(t, body == string(version(i)), "version %d", i)
	}
	replace(1)
	replace(2)
	held(24 << 20) // the first version, which is being sent, and what was removed after it
	rest, err := io.ReadAll(slow.Body)
	require.NoError(t, err)
	assert.True(t, string(rest) == string(version(0)[1000:]), "all of the first version")
	held(0)
	for i := range 8 {
		replace(3 + i)
		held(0)
	}
	assert.Equal(t, empty-12<<20, master.Usage().Free)
	require.Eventually(t, func() bool { return s.served.Load() == 11 }, 5*time.Second, time.Millisecond)
}

// A host that is not admitted, or not any more, says so, and serves again when it is.
func TestNotAdmitted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("files of such a device can be mapped on Linux only")
	}
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	require.NoError(t, famfs.Format(device, famfs.WithSystemUUID(famfs.UUID{2}), famfs.Reuse()))
	master, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(famfs.UUID{2}))
	require.NoError(t, err)
	defer master.Close()
	create(t, master, "m", []byte("x"))
	_, url := serve(t, device, false)
	ask := func() string { _, body := get(t, url+"/m"); return body }
	assert.Equal(t, "this host is not admitted to the device\n", ask())
	require.NoError(t, master.Admit(famfs.UUID{1}))
	assert.Equal(t, "x", ask())
	require.NoError(t, master.Evict(famfs.UUID{1}))
	require.Eventually(t, func() bool { return ask() == "this host is not admitted to the device\n" }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return master.Admit(famfs.UUID{1}) == nil }, 10*time.Second, time.Millisecond, "the server lets go of its slot")
	require.Eventually(t, func() bool { return ask() == "x" }, 10*time.Second, time.Millisecond)
}

// A device that is formatted anew is opened anew; nothing of it is served as what was
// there before.
func TestReformatted(t *testing.T) {
	t.Parallel()
	s, url, master := serving(t, false)
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
	s, url, master := serving(t, false)
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
	s, url, master := serving(t, false)
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
		assert.NoError(t, run(ctx, &server{device: device}, "127.0.0.1:0", "127.0.0.1:0", time.Millisecond))
		stop()
	}
	assert.ErrorIs(t, run(t.Context(), &server{device: filepath.Join(t.TempDir(), "missing")}, "127.0.0.1:0", "", 0), fs.ErrNotExist)
	assert.Error(t, run(t.Context(), &server{device: device}, "no address", "", 0))
	assert.Error(t, run(t.Context(), &server{device: device}, "127.0.0.1:0", "no address", 0))
}
