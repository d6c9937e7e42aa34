package main

// The handlers for files and directories. Following the master is here too.

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
	patience time.Duration // with clients that read nothing
	inPlace  bool          // files may be written in place
	host     famfs.UUID    // who this host is, if it is not known otherwise

	mu      sync.RWMutex
	current *opened        // nil while the device cannot be opened
	closing sync.WaitGroup // those that are no longer current and not closed yet

	complaints complaints

	counts
}

// opened is the device after one open. It is closed when it is no longer current and nobody uses
// it any more.
type opened struct {
	fsys  *famfs.FS
	users sync.WaitGroup
	stale atomic.Bool // no longer current
}

// open opens the device and makes it the current one.
func (s *server) open() error {
	fsys, err := famfs.Open(s.device, famfs.WithSystemUUID(s.host))
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

// use returns the current one, which stays open until done is called. It returns nil if the
// device cannot be opened.
func (s *server) use() (o *opened, done func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.current == nil {
		return nil, func() {}
	}
	s.current.users.Add(1)
	return s.current, s.current.users.Done
}

// retire lets no new request use o, and closes o when the running ones have ended.
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

// follow replays the log as it grows, so that new files are served, and tells what happens. If the
// device was formatted anew, it opens it again.
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
	events:
		for event, err := range o.fsys.Watch(ctx, every) {
			switch {
			case err == nil && event.Removed:
				s.removed.Add(1)
				log.Printf("removed: %q", event.Name)
			case err == nil && event.Replaced:
				s.replaced.Add(1)
				log.Printf("replaced: %q (%d bytes)", event.Name, event.Info.Size())
			case err == nil:
				s.appeared.Add(1)
				log.Printf("new: %q (%d bytes)", event.Name, event.Info.Size())
			case errors.Is(err, famfs.ErrReformatted): // then the sequence ends
				s.reformatsFound.Add(1)
				log.Print(err)
			case errors.Is(err, famfs.ErrEvicted): // what is mapped is lost, and only opening it again helps
				s.refreshErrors.Add(1)
				log.Print(err)
				break events
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

// complaints logs errors that may happen many times a second.
type complaints struct {
	mu   sync.Mutex
	said map[string]time.Time
}

const (
	complainEvery = time.Minute
	complainMost  = 16 // number of different errors in that time
)

// log logs err, unless it was logged in the last minute, or too many others were.
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

// oneLine quotes text that is not one line of text, which names on a device need not be.
func oneLine(text string) string {
	for _, r := range text {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}

// handler serves files and directories of any name.
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
		case errors.Is(err, famfs.ErrNotAdmitted), errors.Is(err, famfs.ErrEvicted):
			s.failed.Add(1)
			s.complaints.log("serve", err)
			reply, status = "this host is not admitted to the device", http.StatusServiceUnavailable
		default:
			s.failed.Add(1)
			s.complaints.log("serve", err)
		}
		if sending.begun {
			panic(http.ErrAbortHandler) // cut the connection: the client must not take what was sent for the whole
		}
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, reply, status)
	})
	return mux
}

// serve sends a file or a directory.
func (s *server) serve(w http.ResponseWriter, o *opened, r *http.Request) error {
	if o == nil {
		return famfs.ErrReformatted
	}
	name := strings.Trim(r.URL.Path, "/")
	if name == "" {
		name = "."
	}
	if err := o.reformatted(); err != nil { // this sees what is new, too
		return err
	}
	m, st, err := o.mapped(name)
	if err != nil {
		return err
	}
	if m != nil {
		defer m.Close()
	}
	if err := o.reformatted(); err != nil {
		return err
	}
	if m == nil {
		return list(w, o.fsys, name)
	}
	// A file never changes, so what names the file names its content, for ever. If files are written
	// in place there is no ETag, and no Last-Modified in any case, because the format keeps no times:
	// then a client that asks whether its copy is still valid gets the whole file.
	if !s.inPlace {
		w.Header().Set("ETag", etag(o.fsys.Superblock().UUID, st))
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	// The reader is over the mapped file: the data goes from the shared memory, through one small
	// buffer, to the socket. If the memory fails, that is an error, not a crash. Close is deferred
	// outside of Guard, so that the file is still mapped when Guard looks for it.
	err = famfs.Guard(func() error {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.Bytes()))
		return nil
	})
	if err != nil {
		return err
	}
	return o.reformatted() // others may have written into this memory while it was sent
}

// mapped maps the file name, and says which file that is. The mapping stays what it is even if the
// file is replaced or removed while it is sent. For a directory there is no mapping.
func (o *opened) mapped(name string) (*famfs.Mapping, fs.FileInfo, error) {
	for {
		before, err := o.fsys.Stat(name)
		if err != nil || before.IsDir() {
			return nil, before, err
		}
		m, err := o.fsys.Map(name)
		if err != nil {
			return nil, nil, err
		}
		// If the file is the same after Map as before it, it is the one that was mapped.
		if after, err := o.fsys.Stat(name); err == nil && index(after) == index(before) {
			return m, after, nil
		}
		if err := m.Close(); err != nil {
			return nil, nil, err
		}
	}
}

// index returns the number of the file's log entry, which no other file of this file system has.
func index(st fs.FileInfo) int { return st.Sys().(*famfs.Attr).Index }

// etag names one file of one file system.
func etag(id famfs.UUID, st fs.FileInfo) string { return fmt.Sprintf(`"%s-%d"`, id, index(st)) }

// reformatted replays what is new, and returns ErrReformatted if the device was formatted anew
// since it was opened.
func (o *opened) reformatted() error {
	if _, err := o.fsys.Refresh(); errors.Is(err, famfs.ErrReformatted) {
		return err
	}
	return nil
}

// list sends a directory.
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

// sending counts what is sent. It stops sending if the device was formatted anew, or if a client
// reads nothing, because that client would keep the device open for ever.
type sending struct {
	http.ResponseWriter
	of       *opened
	sent     *atomic.Int64
	patience time.Duration // with a client that reads nothing; 0: no limit
	begun    bool          // the status was sent and cannot be changed any more
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
		// The time counts from now on, not from the beginning, because files may be of any size. If
		// a ResponseWriter has no deadlines, there is no limit.
		http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.patience))
	}
	n, err := w.ResponseWriter.Write(b)
	w.sent.Add(int64(n))
	return n, err
}

// Unwrap gives http.ResponseController access to the wrapped writer.
func (w *sending) Unwrap() http.ResponseWriter { return w.ResponseWriter }
