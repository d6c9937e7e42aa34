//go:build unix

package main

// An interrupted copy with --atomic leaves nothing.

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

func TestCpAtomicBrokenOff(t *testing.T) {
	dir := testDir(t)
	src := filepath.Join(dir, "src")
	writeTree(t, src, map[string][]byte{"f": pattern(96*mib, 1), "sub/g": pattern(96*mib, 2), "h": []byte("new")})
	for name, c := range map[string]struct {
		signal syscall.Signal
		status int
	}{"killed": {syscall.SIGKILL, -1}, "Ctrl-C": {syscall.SIGINT, 130}} {
		t.Run(name, func(t *testing.T) {
			for range attempts {
				device, home := newDevice(t, "512M"), t.TempDir()
				asMaster(t, "mkdir", device+":/old")
				asMaster(t, "creat", "-s", "3", "--seed", "1", device+":/old/h")
				before := usage(t, device)
				for _, dest := range []string{"/model", "/old"} {
					args := []string{"--system-uuid", host, "cp", "-q", "-rT", "--replace", "--atomic", src, device + ":" + dest}
					if dest == "/model" {
						args[4] = "-r" // -T has no record
					}
					cmd := command(args...)
					cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+home)
					// The copy is running while it has the writers' lock.
					probe, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(mustUUID(t, host)), famfs.WithLockTimeout(time.Microsecond))
					require.NoError(t, err)
					r, inTime := signalWhen(t, cmd, c.signal, func() bool { return errors.Is(probe.Remove("nothing"), famfs.ErrLocked) })
					require.NoError(t, probe.Close())
					if !inTime {
						break
					}
					assert.Equal(t, c.status, r.status, r.err)
					assert.Equal(t, before, usage(t, device))
					assert.Equal(t, []string{"old/h"}, namesOn(t, device))
					assert.Empty(t, records(t, home))
					if c.signal == syscall.SIGINT {
						assert.Equal(t, "famfs cp: interrupted: "+device+":"+dest+" is left as it was\n", r.err)
					}
					if dest == "/model" {
						continue
					}
					again := command(args...)
					require.Equal(t, 0, finish(t, again).status)
					assert.Equal(t, []string{"old/f", "old/h", "old/sub/g"}, namesOn(t, device))
					return
				}
			}
			t.Fatalf("the copy was done before it could be ended, %d times", attempts)
		})
	}
}
