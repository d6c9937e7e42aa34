//go:build linux

package famfs

// Memory of a removed file and hosts that still have it mapped: a master and three clients, in guests
// that test/vm/run boots at the same time. Of one client the process is stopped, of another the whole
// host; nothing is given out while they are not evicted, and what was evicted faults.

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	vmHeldSize = 8 * defaultUnit

	beatWord    = 1 // the host that is to be stopped counts here
	evictedWord = 2 // the master says here that it was
)

func vmHostUUID(role string) (u UUID) {
	copy(u[:], role)
	u[6], u[8] = 0x40|u[6]&0xf, 0x80|u[8]&0x3f
	return u
}

func vmHeld() []byte { return pattern(vmHeldSize, 1) }

// joinReuse opens the file system. The master makes it, and admits the others.
func joinReuse(t *testing.T) *FS {
	path := os.Getenv("FAMFS_TEST_DEVICE")
	own := WithSystemUUID(vmHostUUID(vmRole()))
	if vmRole() == "master" {
		require.NoError(t, Format(path, own, Force(), Reuse()))
		m, err := Open(path, own, ReadWrite())
		require.NoError(t, err)
		for _, role := range []string{"client1", "client2", "client3"} {
			require.NoError(t, m.Admit(vmHostUUID(role)))
		}
		require.NoError(t, m.WriteFile("control", make([]byte, 4096), 0o666))
		require.NoError(t, m.WriteFile("held", vmHeld(), 0o644))
		return m
	}
	var c *FS
	waitFor(t, "the file", func() bool {
		if c == nil {
			var err error
			if c, err = Open(path, own, WithClientWrites()); err != nil {
				require.ErrorIs(t, err, ErrNotFormatted)
				return false
			}
		}
		_, err := refreshed(t, c).Stat("held")
		return err == nil
	})
	require.Equal(t, Client, c.Role())
	return c
}

func TestVMReuse(t *testing.T) {
	inScenario(t, "reuse")
	fsys := joinReuse(t)
	c := openControl(t, fsys)
	c.barrier(t, 0)
	next := 1
	meet := func() { // those that stay up
		t.Helper()
		next++
		c.meet(t, next, "master", "client1", "client2")
	}
	play := map[string]func(t *testing.T, fsys *FS, c *control, meet func()){
		"master": vmReuseMaster, "client1": vmReuseReader, "client2": vmReuseStopped, "client3": vmReusePaused,
	}
	play[vmRole()](t, fsys, c, meet)
}

func vmReuseMaster(t *testing.T, m *FS, c *control, meet func()) {
	c.barrier(t, 1) // all have the file mapped
	beat, since := c.load(beatWord), time.Now()
	waitFor(t, "client3 to be stopped", func() bool {
		if now := c.load(beatWord); now != beat {
			beat, since = now, time.Now()
		}
		return time.Since(since) > 5*time.Second
	})
	require.NoError(t, m.Remove("held"))
	meet()
	meet() // client1 has closed it
	holders := func() (hosts []UUID) {
		removed, err := m.Reclaim()
		require.NoError(t, err)
		assert.Zero(t, removed.Freed)
		assert.EqualValues(t, vmHeldSize, removed.Held)
		for _, s := range removed.Holders {
			hosts = append(hosts, s.Host)
		}
		return hosts
	}
	// All that is free is filled, so that whatever is created from here on needs that memory.
	vmFill(t, m, "rest", m.Usage().Free)
	held := func() {
		t.Helper()
		_, err := m.Create("all", defaultUnit)
		require.ErrorIs(t, err, ErrNoSpace)
	}
	held()
	assert.ElementsMatch(t, []UUID{vmHostUUID("client2"), vmHostUUID("client3")}, unique(holders()))
	meet()
	meet() // client2's process went on, and has closed it
	assert.Equal(t, []UUID{vmHostUUID("client3")}, unique(holders()))
	held()

	require.NoError(t, m.Evict(vmHostUUID("client3")))
	vmFill(t, m, "all", vmHeldSize)
	c.store(evictedWord, 1)
	fmt.Println("@@RESUME")
	meet()
	meet()
	report, err := Check(os.Getenv("FAMFS_TEST_DEVICE"))
	require.NoError(t, err)
	assert.NoError(t, report.Err())
}

func vmFill(t *testing.T, m *FS, name string, size int64) {
	t.Helper()
	p, err := m.Create(name, size)
	require.NoError(t, err)
	defer p.Close()
	fillPattern(p.Bytes(), 2)
	require.NoError(t, p.Commit())
}

// unique returns each UUID once.
func unique(all []UUID) (once []UUID) {
	seen := make(map[UUID]bool)
	for _, u := range all {
		if !seen[u] {
			once = append(once, u)
		}
		seen[u] = true
	}
	return once
}

// vmReuseReader lets go of the file when it learns that it was removed.
func vmReuseReader(t *testing.T, fsys *FS, c *control, meet func()) {
	mapping, err := fsys.Map("held")
	require.NoError(t, err)
	c.barrier(t, 1)
	meet()
	_, err = refreshed(t, fsys).Stat("held")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Equal(t, hexSum(vmHeld()), hexSum(mapping.Bytes()))
	require.NoError(t, mapping.Close())
	meet()
	meet()
	meet()
	meet()
	vmReadAll(t, fsys)
	meet()
}

// vmReadAll reads the file that got the memory.
func vmReadAll(t *testing.T, fsys *FS) {
	t.Helper()
	require.NoError(t, refreshed(t, fsys).View("all", func(b []byte) error {
		require.Equal(t, hexSum(pattern(len(b), 2)), hexSum(b))
		return nil
	}))
}

// vmReuseStopped has the file mapped in a process that is stopped, and goes on when the file was
// removed and its memory wanted.
func vmReuseStopped(t *testing.T, fsys *FS, c *control, meet func()) {
	end := filepath.Join(t.TempDir(), "end")
	cmd := startProcess(t, "vm-reuse-map", os.Getenv("FAMFS_TEST_DEVICE"), end, 0)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewScanner(out)
	for said.Scan() && said.Text() != "mapped" {
	}
	require.Equal(t, "mapped", said.Text())
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	c.barrier(t, 1)
	meet()
	refreshed(t, fsys) // this process does not hold it
	meet()
	meet()
	require.NoError(t, os.WriteFile(end, nil, 0o644))
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	var rest []string
	for said.Scan() {
		rest = append(rest, said.Text())
	}
	require.NoError(t, cmd.Wait(), "%s", strings.Join(rest, "\n"))
	meet()
	meet()
	vmReadAll(t, fsys)
	meet()
}

func init() {
	processServers["vm-reuse-map"] = func(t *testing.T, _, device, end string, _ int) {
		fsys, err := Open(device, WithSystemUUID(vmHostUUID("client2")))
		require.NoError(t, err)
		defer fsys.Close()
		mapping, err := fsys.Map("held")
		require.NoError(t, err)
		fmt.Println("mapped")
		waitFor(t, "the end", func() bool {
			require.NoError(t, mapping.Invalidate())
			require.Equal(t, hexSum(vmHeld()), hexSum(mapping.Bytes()))
			_, err := os.Stat(end)
			return err == nil
		})
		require.NoError(t, mapping.Close())
	}
}

// vmReusePaused runs on the host that is stopped as a whole, and evicted meanwhile.
func vmReusePaused(t *testing.T, fsys *FS, c *control, _ func()) {
	mapping, err := fsys.Map("held")
	require.NoError(t, err)
	require.Equal(t, hexSum(vmHeld()), hexSum(mapping.Bytes()))
	c.barrier(t, 1)
	fmt.Println("@@READY")
	for beat := uint64(1); ; beat++ {
		c.store(beatWord, beat)
		if c.load(evictedWord) == 1 {
			break
		}
		if _, err = fsys.Refresh(); err != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err == nil {
		_, err = fsys.Refresh()
	}
	require.ErrorIs(t, err, ErrEvicted)
	read := byte(0)
	err = Guard(func() error { read = mapping.Bytes()[0]; return nil })
	var fault *FaultError
	require.True(t, errors.As(err, &fault), "%v", err)
	assert.Zero(t, read)
	_, err = fsys.ReadFile("all")
	assert.ErrorIs(t, err, ErrEvicted)
	_, err = fsys.Map("all")
	assert.ErrorIs(t, err, ErrEvicted)
	assert.Error(t, fsys.View("all", func([]byte) error { return nil }))
	require.NoError(t, mapping.Close())
}
