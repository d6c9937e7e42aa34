package famfs

// Several processes on one device: real ones, which are this test binary run again.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const processEnv = "FAMFS_TEST_PROCESS" // role, device, name, number

// startProcess runs TestProcess in its own process.
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

// processServers are roles of processes that open what they need by themselves.
var processServers = map[string]func(t *testing.T, role, device, name string, n int){}

// TestProcess is the code of the processes; by itself it does nothing.
func TestProcess(t *testing.T) {
	args := strings.Split(os.Getenv(processEnv), ",")
	if len(args) != 4 {
		t.Skip("serves the tests that start processes")
	}
	role, device, name := args[0], args[1], args[2]
	n, err := strconv.Atoi(args[3])
	require.NoError(t, err)
	if serve := processServers[role]; serve != nil {
		serve(t, role, device, name, n)
		return
	}
	fsys, err := Open(device, withDevices(device), ReadWrite(), WithSystemUUID(testHost), WithLockTimeout(time.Minute))
	require.NoError(t, err)
	defer fsys.Close()
	switch role {
	case "create":
		for i := range n {
			require.NoError(t, fsys.WriteFile(processFile(name, i), processContent(name, i), 0o644))
			fmt.Println("@@made") // at once, and whole: nothing is buffered
			if i%4 == 3 {
				// A file that is begun and given up, while others need space.
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
	case "copy-atomic", "replace-atomic":
		opts := []CopyOption{Atomically(), Workers(2)}
		if role == "replace-atomic" {
			opts = append(opts, CreateWith(Replace()))
		}
		for round := range n {
			fmt.Println("@@ready")
			fmt.Scanln() // until all are
			err := fsys.CopyFS(t.Context(), "tree-"+itoa(round), processTree(name, round), opts...)
			require.True(t, err == nil || role == "copy-atomic" && errors.Is(err, fs.ErrExist), "round %d: %v", round, err)
			fmt.Println("@@done", err == nil)
		}
	case "queue-put":
		putInProcess(t, fsys, name, n)
	default:
		t.Fatalf("role %q", role)
	}
}

func processFile(name string, i int) string { return name + "-" + itoa(i) }

// processContent is the content of file i of a process.
func processContent(name string, i int) []byte {
	return pattern(1+i*123_457%(3*mib), uint64(name[0])<<32|uint64(i))
}

// processTree is what a process copies in a round. In rounds that are odd all copy the same.
func processTree(name string, round int) fstest.MapFS {
	if round%2 == 1 {
		name = "all"
	}
	tree := fstest.MapFS{}
	for i := range 12 {
		tree[fmt.Sprintf("d%d/f%d", i%3, i)] = &fstest.MapFile{Data: []byte(fmt.Sprintf("%s, round %d, file %d", name, round, i)), Mode: 0o644}
	}
	return tree
}

// Processes that copy a tree to one place at the same time, each at one moment: it is one of
// theirs, and nothing of the others'.
func TestProcessesCopyAtomically(t *testing.T) {
	t.Parallel()
	const rounds = 6
	for _, role := range []string{"copy-atomic", "replace-atomic"} {
		t.Run(role, func(t *testing.T) { // a real device is given back after each
			path := formatted(t, 512*mib)
			type process struct {
				in  io.Writer
				out *bufio.Scanner
				cmd *exec.Cmd
			}
			var all []process
			for _, name := range []string{"a", "b"} {
				cmd := startProcess(t, role, path, name, rounds)
				in, err := cmd.StdinPipe()
				require.NoError(t, err)
				out, err := cmd.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, cmd.Start())
				all = append(all, process{in, bufio.NewScanner(out), cmd})
			}
			await := func(p process, what string) string {
				said := ""
				for p.out.Scan() {
					said += p.out.Text() + "\n"
					if said, ok := strings.CutPrefix(p.out.Text(), "@@"+what); ok {
						return said
					}
				}
				t.Fatalf("a process has ended before it was %s:\n%s", what, said)
				return ""
			}
			reader := openTest(t, path)
			for round := range rounds {
				for _, p := range all {
					await(p, "ready")
				}
				for _, p := range all {
					fmt.Fprintln(p.in)
				}
				copied := map[string]bool{}
				for i, p := range all {
					copied[string(rune('a'+i))] = await(p, "done") == " true"
				}
				_, err := reader.Refresh()
				require.NoError(t, err)
				of := ""
				for _, name := range []string{"a", "b"} {
					whole := copied[name]
					for file, want := range processTree(name, round) {
						data, err := reader.ReadFile("tree-" + itoa(round) + "/" + file)
						require.NoError(t, err, "%s, round %d", role, round)
						whole = whole && string(data) == string(want.Data)
					}
					if whole {
						of += name
					}
				}
				require.NotEmpty(t, of, "%s, round %d: copied %v", role, round, copied)
			}
			for _, p := range all {
				require.NoError(t, p.cmd.Wait())
			}
			report, err := Check(path)
			require.NoError(t, err)
			require.NoError(t, report.Err())
			assertExclusive(t, reader)
			requireNoneMissing(t, reader)
		})
	}
}

// Processes that create at the same time never give out the same space, and at the end each
// finds what all have made.
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
	// A reader follows the log meanwhile, at any moment.
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
