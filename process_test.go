package famfs

// Several processes on one device: real ones, which are this test binary run again.

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const processEnv = "FAMFS_TEST_PROCESS" // role, device, name, number

// startProcess runs TestProcess in a process of its own.
func startProcess(t testing.TB, role, device, name string, n int) *exec.Cmd {
	t.Helper()
	needsProcesses(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), processEnv+"="+strings.Join([]string{role, device, name, strconv.Itoa(n)}, ","))
	cmd.Stderr = os.Stderr
	t.Cleanup(func() {
		if cmd.ProcessState == nil && cmd.Process != nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd
}

// TestProcess is what the processes run; by itself it does nothing.
func TestProcess(t *testing.T) {
	args := strings.Split(os.Getenv(processEnv), ",")
	if len(args) != 4 {
		t.Skip("serves the tests that start processes")
	}
	role, device, name := args[0], args[1], args[2]
	n, err := strconv.Atoi(args[3])
	require.NoError(t, err)
	fsys, err := Open(device, ReadWrite(), WithSystemUUID(testHost), WithLockTimeout(time.Minute))
	require.NoError(t, err)
	defer fsys.Close()
	switch role {
	case "create":
		for i := range n {
			require.NoError(t, fsys.WriteFile(processFile(name, i), processContent(name, i), 0o644))
			fmt.Println("@@made") // at once, and whole: nothing is buffered
			if i%4 == 3 {
				// One that is begun and given up, while others want the space.
				p, err := fsys.Create("never-"+name, 3*mib)
				require.NoError(t, err)
				fillPattern(p.Bytes(), 0)
				require.NoError(t, p.Close())
			}
		}
	case "pending":
		p, err := fsys.Create(name, int64(n))
		require.NoError(t, err)
		fillPattern(p.Bytes(), 0)
		fmt.Println("@@pending")
		time.Sleep(time.Hour) // until it is killed
	default:
		t.Fatalf("role %q", role)
	}
}

func processFile(name string, i int) string { return name + "-" + itoa(i) }

// processContent is what file i of a process holds.
func processContent(name string, i int) []byte {
	return pattern(1+i*123_457%(3*mib), uint64(name[0])<<32|uint64(i))
}

// Processes that create at the same time never hand out the same space, and each
// finds in the end what all have made.
func TestProcessesCreate(t *testing.T) {
	t.Parallel()
	path := formatted(t, 512*mib)
	const each = 30
	names := []string{"a", "b", "c"}
	var running []*exec.Cmd
	for _, name := range names {
		cmd := startProcess(t, "create", path, name, each)
		require.NoError(t, cmd.Start())
		running = append(running, cmd)
	}
	done := make(chan error, len(running))
	for _, cmd := range running {
		go func() { done <- cmd.Wait() }()
	}
	// A reader looks on: it can follow at any moment.
	reader := openTest(t, path)
	for len(done) < len(running) {
		_, err := reader.Refresh()
		require.NoError(t, err)
		time.Sleep(2 * time.Millisecond)
	}
	for range running {
		require.NoError(t, <-done)
	}
	_, err := reader.Refresh()
	require.NoError(t, err)
	assert.Equal(t, len(names)*each, reader.Usage().Files)
	for _, name := range names {
		for i := range each {
			data, err := reader.ReadFile(processFile(name, i))
			require.NoError(t, err)
			assert.Equal(t, hexSum(processContent(name, i)), hexSum(data), processFile(name, i))
		}
	}
	assertExclusive(t, reader)
	report, err := Check(path)
	require.NoError(t, err)
	assert.NoError(t, report.Err())
}
