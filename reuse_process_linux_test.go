package famfs

// File systems that give memory out again, and other processes that have files mapped: killed,
// stopped and evicted ones.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func init() {
	// reuse-map maps a file, and when it gets a line says whether its host was evicted, and
	// whether the file can still be read.
	processServers["reuse-map"] = func(t *testing.T, _, device, name string, n int) {
		c, err := Open(device, WithSystemUUID(otherHost), WithClientWrites())
		require.NoError(t, err)
		mapping, err := c.Map(name, Writable())
		require.NoError(t, err)
		fmt.Println("@@mapped")
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			_, err := c.Refresh()
			evicted := errors.Is(err, ErrEvicted)
			var first byte
			err = Guard(func() error { first = mapping.Bytes()[0]; return nil })
			var fault *FaultError
			fmt.Println("@@evicted", evicted, "fault", errors.As(err, &fault), "first", first)
		}
	}
	// reuse-churn creates, replaces and removes files until it is killed.
	processServers["reuse-churn"] = func(t *testing.T, _, device, name string, n int) {
		m, err := Open(device, ReadWrite(), WithSystemUUID(testHost))
		require.NoError(t, err)
		fmt.Println("@@open")
		for i := 0; ; i++ {
			err := m.Remove(name)
			if err == nil || i == 0 {
				_, _ = m.Reclaim()
				err = m.WriteFile(name, big(n, uint64(i)), 0o644)
			}
			if err != nil && !errors.Is(err, ErrNoSpace) && !errors.Is(err, ErrLogFull) {
				require.NoError(t, err)
			}
		}
	}
}

// mappedElsewhere starts a process on the other host that has a file mapped.
func mappedElsewhere(t *testing.T, path, name string) (cmd *exec.Cmd, ask func() string) {
	t.Helper()
	cmd = startProcess(t, "reuse-map", path, name, 0)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	next := func() string {
		for lines.Scan() {
			if line := lines.Text(); len(line) > 2 && line[:2] == "@@" {
				return line[2:]
			}
		}
		return "nothing"
	}
	require.Equal(t, "mapped", next())
	return cmd, func() string {
		_, err := io.WriteString(in, "\n")
		require.NoError(t, err)
		return next()
	}
}

// What a killed process had mapped comes back when another process of its host maps something.
func TestReuseProcessDies(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
	cmd, _ := mappedElsewhere(t, path, "a")
	require.NoError(t, m.Remove("a"))
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	r, err := m.Reclaim()
	require.NoError(t, err)
	assert.EqualValues(t, 6*defaultUnit, r.Held, "the master cannot know that it is dead")
	require.Len(t, r.Holders, 1)
	assert.Equal(t, cmd.Process.Pid, r.Holders[0].PID)
	assert.True(t, r.Holders[0].Writes)
	require.NoError(t, m.WriteFile("small", []byte("x"), 0o644))
	c := openClient(t, path)
	require.NoError(t, c.View("small", func([]byte) error { return nil }))
	r, err = m.Reclaim()
	require.NoError(t, err)
	assert.EqualValues(t, 6*defaultUnit, r.Freed)
	require.NoError(t, m.WriteFile("b", big(6, 2), 0o644))
}

// Nothing that a stopped process has mapped is given out, unless its host is evicted. When it goes
// on it notices, and does not read what is another's.
func TestReuseProcessStopped(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	m, path := reusing(t)
	require.NoError(t, m.WriteFile("a", big(6, 1), 0o644))
	cmd, ask := mappedElsewhere(t, path, "a")
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	require.NoError(t, m.Remove("a"))
	assert.ErrorIs(t, m.WriteFile("b", big(6, 2), 0o644), ErrNoSpace)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	assert.Equal(t, fmt.Sprint("evicted false fault false first ", big(1, 1)[0]), ask())
	assert.ErrorIs(t, m.WriteFile("b", big(6, 2), 0o644), ErrNoSpace, "it is still mapped")
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	require.NoError(t, m.Evict(otherHost))
	require.NoError(t, m.WriteFile("b", big(6, 2), 0o644))
	assert.ErrorIs(t, m.Admit(otherHost), ErrBusy)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	assert.Equal(t, "evicted true fault true first 0", ask())
	require.NoError(t, m.Admit(otherHost))
}

// Masters that are killed while they remove and create leave no file with another's bytes, and lose
// no space.
func TestReuseMastersKilled(t *testing.T) {
	t.Parallel()
	m, path := reusing(t)
	require.NoError(t, m.Close())
	for range 4 {
		cmd := startProcess(t, "reuse-churn", path, "a", 3)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "@@open"; {
		}
		c := openClient(t, path)
		for range 30 {
			refreshed(t, c)
			err := c.View("a", func(data []byte) error {
				word := string(data[:8])
				for at := 0; at < len(data); at += 512 * 8 {
					_ = data[at]
				}
				if string(data[:8]) != word {
					return errors.New("it has changed")
				}
				return nil
			})
			if err != nil {
				assert.NotContains(t, err.Error(), "changed")
			}
		}
		require.NoError(t, cmd.Process.Kill())
		cmd.Wait()
		require.NoError(t, c.Close())
	}
	m = openMaster(t, path)
	_ = m.Remove("a")
	r, err := m.Reclaim()
	require.NoError(t, err)
	assert.Zero(t, r.Held)
	assert.EqualValues(t, reuseUnits*defaultUnit, m.Usage().Free)
	report, err := Check(path)
	require.NoError(t, err)
	assert.NoError(t, report.Err())
}
