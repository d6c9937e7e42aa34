//go:build linux && !386 && !arm && !mips && !mipsle

package main

// How fast a program reads 1 GiB through a mount, against a file on tmpfs, and against a
// file through the loopback of the FUSE library, both of which hold the same bytes:
//
//	FAMFS_TEST_DIR=/dev/shm go test -run '^$' -bench Mount -benchtime 5x .

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// loopbackEnv has this test binary mount one folder on another, as the example of the FUSE
// library does.
const loopbackEnv = "FAMFS_TEST_LOOPBACK"

func init() {
	from, to, ok := strings.Cut(os.Getenv(loopbackEnv), ":")
	if !ok {
		return
	}
	root, err := fs.NewLoopbackRoot(from)
	if err == nil {
		o := new(fs.Options)
		o.DirectMountStrict = true
		server, mountErr := fs.Mount(to, root, o)
		if err = mountErr; err == nil {
			fmt.Println("mounted")
			server.Wait()
			os.Exit(0)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

func BenchmarkMount(b *testing.B) {
	needsMounts(b)
	const size = 1 << 30
	dir := testDir(b)
	device, plain := filepath.Join(dir, "device"), filepath.Join(dir, "plain")
	asMaster(b, "mkfs", "--create", "1200M", device)
	asMaster(b, "creat", "-s", "1G", "--seed", "1", device+":/f")
	require.NoError(b, os.Mkdir(plain, 0o755))
	asMaster(b, "cp", "-q", device+":/f", filepath.Join(plain, "f"))

	read := func(name string, readers int) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(size * int64(readers))
			for b.Loop() {
				var all sync.WaitGroup
				for range readers {
					all.Go(func() {
						f, err := os.Open(name)
						if err == nil {
							_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
							f.Close()
						}
						if err != nil {
							b.Error(err)
						}
					})
				}
				all.Wait()
			}
		}
	}
	b.Run("tmpfs", read(filepath.Join(plain, "f"), 1))
	for _, o := range []string{"ro", "direct_io", "kernel_cache"} {
		on := b.TempDir()
		cmd := command("mount", "-o", o, device, on)
		served(b, cmd, on)
		what := map[string]string{"ro": "mount", "direct_io": "mount,direct_io", "kernel_cache": "mount,kernel_cache,again"}[o]
		if o == "kernel_cache" {
			_, err := os.ReadFile(filepath.Join(on, "f"))
			require.NoError(b, err)
		}
		b.Run(what, read(filepath.Join(on, "f"), 1))
		if o == "ro" {
			b.Run(what+",4readers", read(filepath.Join(on, "f"), 4))
		}
	}
	on := b.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), loopbackEnv+"="+plain+":"+on)
	served(b, cmd, on)
	b.Run("loopback", read(filepath.Join(on, "f"), 1))
}

// served starts what mounts on a folder, until the benchmark ends.
func served(b *testing.B, cmd *exec.Cmd, on string) {
	out := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		unix.Unmount(on, unix.MNT_DETACH)
	})
	soon(b, "mounted", func() bool { return strings.Contains(out.String(), "mounted") })
}
