// Modelserver serves the files of a famfs device over HTTP, with ranges, straight from the shared
// memory. The process makes no copy of a file, however many clients there are, and all processes
// and hosts that serve the same device share the one copy. Files that the master adds are served
// as soon as they appear. If a file is replaced, downloads that have begun get all of the old one, and
// later ones the new one; a file's ETag tells one from the other, so that a download that was
// interrupted goes on only with the same file. With -in-place there are no ETags, because files may
// change. If the device was formatted to give memory out again, that of a replaced file comes back when
// all downloads that had begun before have ended. If the device is formatted anew, it is opened again. Figures for
// Prometheus are at /metrics of a separate address, because the device may hold a file of that
// name.
//
//	go run ./examples/modelserver                            # a stand-in with a sample file
//	go run ./examples/modelserver -listen :8080 -metrics :9090 /dev/dax0.0
//	curl -r 0-99 http://localhost:8080/models/sample.bin | xxd
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"famfs"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve on")
	metrics := flag.String("metrics", "", "address to serve figures on, at /metrics; without it there are none")
	every := flag.Duration("refresh", famfs.DefaultWatchInterval, "how often to look for new files")
	inPlace := flag.Bool("in-place", false, "files are written in place: send no ETag, so that no client keeps a copy")
	var host famfs.UUID
	flag.TextVar(&host, "system-uuid", host, "who this host is, for a device that gives memory out again and admitted it")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: modelserver [-listen ADDRESS] [-metrics ADDRESS] [-refresh TIME] [-in-place] [-system-uuid UUID] [DEVICE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &server{device: flag.Arg(0), inPlace: *inPlace, host: host}, *listen, *metrics, *every); err != nil {
		log.Fatal("modelserver: ", err)
	}
}

// run has s serve its device until ctx is done. If the device is "", it serves a stand-in.
func run(ctx context.Context, s *server, listen, metrics string, every time.Duration) (err error) {
	if s.device == "" {
		dir, err := os.MkdirTemp("", "famfs-modelserver-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.device = filepath.Join(dir, "device")
		if err := makeSample(s.device); err != nil {
			return err
		}
		log.Print("made ", s.device, " as a stand-in, with a sample file")
	}
	s.patience = time.Minute
	if err := s.open(); err != nil {
		return err
	}
	// This must run last: a request that was cut off may still hold a mapping.
	defer func() { err = errors.Join(err, s.close()) }()

	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { s.follow(ctx, every) })
	if metrics != "" {
		l, err := net.Listen("tcp", metrics)
		if err != nil {
			return err
		}
		log.Printf("figures on http://%s/metrics", l.Addr())
		running.Go(func() {
			if err := serveUntil(ctx, l, s.figures()); err != nil {
				log.Print("figures: ", err)
			}
		})
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	log.Printf("serving %s on http://%s", s.device, l.Addr())
	return serveUntil(ctx, l, s.handler())
}

// serveUntil answers on l until ctx is done, and then gives running requests some time to end.
func serveUntil(ctx context.Context, l net.Listener, handler http.Handler) error {
	h := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := h.Shutdown(patience)
		if err != nil {
			err = h.Close() // the slow ones are cut off
		}
		ended <- err
	}()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// makeSample makes a stand-in device with one file.
func makeSample(device string) error {
	host := famfs.WithSystemUUID(famfs.NewUUID())
	if err := famfs.CreateBacking(device, 64<<20); err != nil {
		return err
	}
	if err := famfs.Format(device, host); err != nil {
		return err
	}
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		return err
	}
	defer fsys.Close()
	if err := fsys.MkdirAll("models", 0o755); err != nil {
		return err
	}
	return fsys.WriteFile("models/sample.bin", bytes.Repeat([]byte("0123456789abcdef"), 1<<16), 0o644)
}
