// Modelserver serves the files of a famfs device over HTTP, with ranges, straight from
// the shared memory: no copy of a file is made in the process, however many clients
// there are, and every process and host that serves the same device shares the one
// copy. Files that the master adds are served as soon as they appear. /metrics has
// figures for Prometheus.
//
//	go run ./examples/modelserver                            # a stand-in with a sample file
//	go run ./examples/modelserver -listen :8080 /dev/dax0.0
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
	every := flag.Duration("refresh", famfs.DefaultWatchInterval, "how often to look for new files")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: modelserver [-listen ADDRESS] [-refresh TIME] [DEVICE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Arg(0), *listen, *every); err != nil {
		log.Fatal("modelserver: ", err)
	}
}

// run serves device, or a stand-in if it is "", until ctx is done.
func run(ctx context.Context, device, listen string, every time.Duration) (err error) {
	if device == "" {
		dir, err := os.MkdirTemp("", "famfs-modelserver-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		device = filepath.Join(dir, "device")
		if err := makeSample(device); err != nil {
			return err
		}
		log.Print("made ", device, " as a stand-in, with a sample file")
	}
	fsys, err := famfs.Open(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	s := &server{fsys: fsys}
	var following sync.WaitGroup
	defer following.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	following.Go(func() { s.follow(ctx, every) })

	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	u := fsys.Usage()
	log.Printf("serving %d files (%d bytes) of %s on http://%s", u.Files, u.FileBytes, device, l.Addr())
	h := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
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
	if err := <-ended; err != nil {
		return err
	}
	s.requests.Wait() // a request that was cut off may still hold a mapping
	return nil
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
