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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"famfs"
)

// server serves the files of one device.
type server struct {
	fsys     *famfs.FS
	requests sync.WaitGroup

	served, notFound, failed, bytesSent atomic.Int64
	appeared, refreshErrors             atomic.Int64
}

// follow replays the log as it grows, so that new files are served.
func (s *server) follow(ctx context.Context, every time.Duration) {
	for event, err := range s.fsys.Watch(ctx, every) {
		if err != nil {
			s.refreshErrors.Add(1)
			log.Print("refresh: ", err)
			continue
		}
		s.appeared.Add(1)
		log.Printf("new: %s (%d bytes)", event.Name, event.Info.Size())
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		defer s.requests.Done()
		counted := &countingWriter{w, &s.bytesSent}
		switch err := s.serve(counted, r); {
		case err == nil:
			s.served.Add(1)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
			s.notFound.Add(1)
			http.Error(w, "no such file", http.StatusNotFound)
		default:
			s.failed.Add(1)
			log.Print(err)
			http.Error(w, "cannot be read", http.StatusInternalServerError)
		}
	})
	return mux
}

// serve answers with a file or a directory.
func (s *server) serve(w http.ResponseWriter, r *http.Request) error {
	name := strings.Trim(r.URL.Path, "/")
	if name == "" {
		name = "."
	}
	st, err := s.fsys.Stat(name)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return s.list(w, name)
	}
	m, err := s.fsys.Map(name)
	if err != nil {
		return err
	}
	defer m.Close()
	// A file never changes its size, and is never removed: this names it for ever.
	w.Header().Set("ETag", fmt.Sprintf(`"%v-%d"`, s.fsys.Superblock().UUID, st.Sys().(*famfs.Attr).Index))
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	// The reader is over the mapped file itself: what is sent goes from the shared
	// memory to the socket. Should the memory fail, that is an error, not a crash.
	return famfs.Guard(func() error {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.Bytes()))
		return nil
	})
}

// list answers with a directory.
func (s *server) list(w http.ResponseWriter, dir string) error {
	entries, err := s.fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><title>%[1]s</title><h1>%[1]s</h1><table>\n", html.EscapeString("/"+strings.TrimPrefix(dir, ".")))
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
	u := s.fsys.Usage()
	for _, m := range []struct {
		name, kind, help string
		value            int64
	}{
		{"famfs_files", "gauge", "Files on the device.", int64(u.Files)},
		{"famfs_file_bytes", "gauge", "Bytes in files on the device.", u.FileBytes},
		{"famfs_device_bytes", "gauge", "Size of the device.", u.Size},
		{"famfs_free_bytes", "gauge", "Bytes of the device that are free.", u.Free},
		{"famfs_log_entries", "gauge", "Entries of the log in use.", int64(u.LogUsed)},
		{"famfs_problems", "gauge", "Log entries that were passed over.", int64(len(s.fsys.Problems()))},
		{"famfs_appeared_total", "counter", "Files and directories that appeared since the start.", s.appeared.Load()},
		{"famfs_refresh_errors_total", "counter", "Times that the log could not be replayed.", s.refreshErrors.Load()},
		{"modelserver_requests_total", "counter", "Requests that were answered.", s.served.Load()},
		{"modelserver_not_found_total", "counter", "Requests for what is not there.", s.notFound.Load()},
		{"modelserver_failed_total", "counter", "Requests that failed.", s.failed.Load()},
		{"modelserver_sent_bytes_total", "counter", "Bytes sent from the device.", s.bytesSent.Load()},
	} {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %[1]s %[3]s\n%[1]s %[4]d\n", m.name, m.help, m.kind, m.value)
	}
}

// countingWriter counts what is sent.
type countingWriter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.sent.Add(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController reach what is below.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
