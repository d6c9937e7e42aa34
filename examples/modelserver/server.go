package main

// The handlers: files, directories, figures; and following the master.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"log"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"famfs"
)

// server serves the files of one device, whatever file system is on it.
type server struct {
	device   string
	patience time.Duration // with clients that take nothing

	mu      sync.RWMutex
	current *opened        // nil while the device cannot be opened
	closing sync.WaitGroup // those that are no longer current

	complaints complaints

	served, notFound, failed, bytesSent     atomic.Int64
	appeared, refreshErrors, reformatsFound atomic.Int64
}

// opened is the device as it was opened once. It is closed when it is no longer current
// and nobody uses it any more.
type opened struct {
	fsys  *famfs.FS
	users sync.WaitGroup
	stale atomic.Bool // no longer current
}

// open opens the device, and makes it the current one.
func (s *server) open() error {
	fsys, err := famfs.Open(s.device)
	if err != nil {
		return err
	}
	u := fsys.Usage()
	log.Printf("opened %s: file system %v, %d files (%d bytes)", s.device, fsys.Superblock().UUID, u.Files, u.FileBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = &opened{fsys: fsys}
	return nil
}

// use returns what is current, which stays open until done is called. It is nil while
// the device cannot be opened.
func (s *server) use() (o *opened, done func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.current == nil {
		return nil, func() {}
	}
	s.current.users.Add(1)
	return s.current, s.current.users.Done
}

// retire lets no new request use o, and closes it when those that do have ended.
func (s *server) retire(o *opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != o {
		return
	}
	s.current = nil
	o.stale.Store(true)
	s.closing.Go(func() {
		o.users.Wait()
		if err := o.fsys.Close(); err != nil {
			log.Print(err)
		}
	})
}

// close closes the device when all requests have ended. follow must have ended.
func (s *server) close() error {
	s.mu.Lock()
	o := s.current
	s.current = nil
	s.mu.Unlock()
	s.closing.Wait()
	if o == nil {
		return nil
	}
	o.users.Wait()
	return o.fsys.Close()
}

// follow replays the log as it grows, so that new files are served, and opens the device
// again if it was formatted anew.
func (s *server) follow(ctx context.Context, every time.Duration) {
	if every <= 0 {
		every = famfs.DefaultWatchInterval
	}
	for ctx.Err() == nil {
		o, done := s.use()
		if o == nil {
			if err := s.open(); err != nil {
				s.refreshErrors.Add(1)
				s.complaints.log("open", err)
				select {
				case <-ctx.Done():
				case <-time.After(every):
				}
			}
			continue
		}
		for event, err := range o.fsys.Watch(ctx, every) {
			switch {
			case err == nil:
				s.appeared.Add(1)
				log.Printf("new: %q (%d bytes)", event.Name, event.Info.Size())
			case errors.Is(err, famfs.ErrReformatted): // then the sequence ends
				s.reformatsFound.Add(1)
				log.Print(err)
			default:
				s.refreshErrors.Add(1)
				s.complaints.log("refresh", err)
			}
		}
		done()
		if ctx.Err() == nil {
			s.retire(o)
		}
	}
}

// complaints logs what may happen many times a second.
type complaints struct {
	mu   sync.Mutex
	said map[string]time.Time
}

const (
	complainEvery = time.Minute
	complainMost  = 16 // different ones in that time
)

// log logs err, unless it was logged in the last minute, or too much else was.
func (c *complaints) log(what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := oneLine(what + ": " + err.Error())
	for text, at := range c.said {
		if time.Since(at) >= complainEvery {
			delete(c.said, text)
		}
	}
	if _, ok := c.said[text]; ok || len(c.said) >= complainMost {
		return
	}
	if c.said == nil {
		c.said = make(map[string]time.Time)
	}
	c.said[text] = time.Now()
	log.Print(text)
}

// oneLine quotes what is not one line of text, as names on a device need not be.
func oneLine(text string) string {
	for _, r := range text {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}

// handler answers with files and directories, of any name.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		o, done := s.use()
		defer done()
		sending := &sending{ResponseWriter: w, of: o, sent: &s.bytesSent, patience: s.patience}
		err := s.serve(sending, o, r)
		if err == nil {
			s.served.Add(1)
			return
		}
		reply, status := "cannot be read", http.StatusInternalServerError
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
			s.notFound.Add(1)
			reply, status = "no such file", http.StatusNotFound
		case errors.Is(err, famfs.ErrReformatted):
			s.failed.Add(1)
			reply, status = "the device was formatted anew", http.StatusServiceUnavailable
		default:
			s.failed.Add(1)
			s.complaints.log("serve", err)
		}
		if sending.begun {
			panic(http.ErrAbortHandler) // cut off: what was sent must not pass for the whole
		}
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, reply, status)
	})
	return mux
}

// figures answers with figures, at /metrics.
func (s *server) figures() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", s.metrics)
	return mux
}

// serve answers with a file or a directory.
func (s *server) serve(w http.ResponseWriter, o *opened, r *http.Request) error {
	if o == nil {
		return famfs.ErrReformatted
	}
	name := strings.Trim(r.URL.Path, "/")
	if name == "" {
		name = "."
	}
	st, err := o.fsys.Stat(name)
	if err != nil {
		return err
	}
	if st.IsDir() {
		if err := o.reformatted(); err != nil {
			return err
		}
		return list(w, o.fsys, name)
	}
	m, err := o.fsys.Map(name)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := o.reformatted(); err != nil {
		return err
	}
	// There is no ETag and no Last-Modified: the format keeps no times, and a file may be
	// written in place. So a client that asks whether its copy is still good gets all of it.
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	// The reader is over the mapped file itself: what is sent goes from the shared memory,
	// through one small buffer, to the socket. Should the memory fail, that is an error, not a crash. Close is
	// deferred outside of Guard, so that the file is still mapped when Guard looks for it.
	err = famfs.Guard(func() error {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.Bytes()))
		return nil
	})
	if err != nil {
		return err
	}
	return o.reformatted() // then others wrote into this memory while it was sent
}

// reformatted is ErrReformatted if the device was formatted anew since it was opened.
func (o *opened) reformatted() error {
	if _, err := o.fsys.Refresh(); errors.Is(err, famfs.ErrReformatted) {
		return err
	}
	return nil
}

// list answers with a directory.
func list(w http.ResponseWriter, fsys *famfs.FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><title>%[1]s</title><h1>%[1]s</h1><table>\n", html.EscapeString(path.Join("/", dir)))
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			return err
		}
		link := url.URL{Path: "/" + path.Join(dir, e.Name())}
		fmt.Fprintf(w, "<tr><td><a href=\"%s\">%s</a><td align=right>%d\n", html.EscapeString(link.String()), html.EscapeString(e.Name()), st.Size())
	}
	fmt.Fprintln(w, "</table>")
	return nil
}

// metrics answers with figures in the text format of Prometheus.
func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	type figure struct {
		name, kind, help string
		value            int64
	}
	figures := []figure{
		{"famfs_appeared_total", "counter", "Files and directories that appeared since the start.", s.appeared.Load()},
		{"famfs_refresh_errors_total", "counter", "Times that the log could not be replayed, or the device not be opened.", s.refreshErrors.Load()},
		{"famfs_reformatted_total", "counter", "Times that the device was found to be formatted anew.", s.reformatsFound.Load()},
		{"modelserver_requests_total", "counter", "Requests that were answered.", s.served.Load()},
		{"modelserver_not_found_total", "counter", "Requests for what is not there.", s.notFound.Load()},
		{"modelserver_failed_total", "counter", "Requests that failed.", s.failed.Load()},
		{"modelserver_sent_bytes_total", "counter", "Bytes sent from the device.", s.bytesSent.Load()},
	}
	if o, done := s.use(); o != nil {
		defer done()
		u := o.fsys.Usage()
		figures = append(figures,
			figure{"famfs_files", "gauge", "Files on the device.", int64(u.Files)},
			figure{"famfs_file_bytes", "gauge", "Bytes in files on the device.", u.FileBytes},
			figure{"famfs_device_bytes", "gauge", "Size of the device.", u.Size},
			figure{"famfs_free_bytes", "gauge", "Bytes of the device that are free.", u.Free},
			figure{"famfs_log_entries", "gauge", "Entries of the log in use.", int64(u.LogUsed)},
			figure{"famfs_problems", "gauge", "Log entries that were passed over.", int64(len(o.fsys.Problems()))},
		)
	}
	for _, m := range figures {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %[1]s %[3]s\n%[1]s %[4]d\n", m.name, m.help, m.kind, m.value)
	}
}

// sending counts what is sent, and sends no more once the device was formatted anew, or to a
// client that takes nothing: it would keep the device open for ever.
type sending struct {
	http.ResponseWriter
	of       *opened
	sent     *atomic.Int64
	patience time.Duration // with a client that takes nothing; 0: any
	begun    bool          // the status is sent, and cannot be changed any more
}

func (w *sending) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *sending) Write(b []byte) (int, error) {
	w.begun = true
	if w.of.stale.Load() {
		return 0, famfs.ErrReformatted
	}
	if w.patience > 0 {
		// From now on, not from the beginning: files may be of any size. Not every
		// ResponseWriter has deadlines; then there is none.
		http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.patience))
	}
	n, err := w.ResponseWriter.Write(b)
	w.sent.Add(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController reach what is below.
func (w *sending) Unwrap() http.ResponseWriter { return w.ResponseWriter }
