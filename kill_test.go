package famfs

// Processes that are killed, on every system: with a pending file, and while they create. Many
// writers that are killed at random are in kill_unix_test.go.

import (
	"bufio"
	"io/fs"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A process that dies with a pending file leaves nothing behind, and its lock is free.
func TestProcessDies(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	before := readMetadata(t, path)
	usage := openTest(t, path).Usage()
	cmd := startProcess(t, "pending", path, "doomed", 3*mib)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	pending := false
	for lines := bufio.NewScanner(out); !pending && lines.Scan(); {
		pending = lines.Text() == "@@pending"
	}
	require.True(t, pending, "the process has ended before it had a pending file")
	other := openTest(t, path, ReadWrite(), WithLockTimeout(0))
	assert.ErrorIs(t, other.Mkdir("d", 0o755), ErrLocked)
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()

	assert.Equal(t, before, readMetadata(t, path))
	patient := openTest(t, path, ReadWrite(), WithLockTimeout(10*time.Second))
	assert.Equal(t, usage, patient.Usage())
	_, err = patient.Stat("doomed")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, patient.WriteFile("doomed", pattern(3*mib, 1), 0o644))
}

// Processes that are killed at random moments while they create: everything committed is whole,
// and the next process continues.
func TestProcessesKilled(t *testing.T) {
	t.Parallel()
	path := formatted(t, 512*mib)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	made := map[string]int{} // what the processes said
	for round := range 6 {
		name := string(rune('a' + round))
		cmd := startProcess(t, "create", path, name, 1000)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		at := 1 + random.IntN(8) // killed when it has made that many, and a little later
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "@@made" {
				made[name]++
			}
			if made[name] == at {
				time.AfterFunc(time.Duration(random.IntN(3000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
		}
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		require.False(t, exit.Exited(), "it was killed, and did not end before")
		require.GreaterOrEqual(t, made[name], at, "it came that far")
	}
	fsys := openTest(t, path, ReadWrite(), WithLockTimeout(10*time.Second))
	require.NoError(t, fsys.WriteFile("after", []byte("x"), 0o644))
	report, err := Check(path)
	require.NoError(t, err)
	assert.NoError(t, report.Err())
	assertExclusive(t, fsys)
	entries, err := fsys.ReadDir(".")
	require.NoError(t, err)
	found := map[string]int{}
	for _, e := range entries {
		if e.Name() == "after" {
			continue
		}
		found[e.Name()[:1]]++
		i, err := strconv.Atoi(e.Name()[2:])
		require.NoError(t, err)
		data, err := fsys.ReadFile(e.Name())
		require.NoError(t, err)
		assert.Equal(t, hexSum(processContent(e.Name()[:1], i)), hexSum(data), e.Name())
	}
	for name, n := range made {
		for i := range n {
			_, err := fsys.Stat(processFile(name, i))
			assert.NoError(t, err, "said to be made")
		}
		assert.GreaterOrEqual(t, n+1, found[name], "%s: one may have been made and not said", name)
	}
}
