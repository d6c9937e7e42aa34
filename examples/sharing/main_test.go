package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const programEnv = "SHARING_TEST_PROGRAM"

// The program, and the readers of a test, are this test binary again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-reader" || os.Getenv(programEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// All readers read what was written, and what they take together is the file, once.
func TestSharing(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), options{size: 32 << 20, readers: 3}, &out))
	assert.Contains(t, out.String(), "the writer created")
	if runtime.GOOS != "linux" {
		assert.Contains(t, out.String(), "all readers read what was written")
		return
	}
	total := regexp.MustCompile(`all 3 +([0-9.]+) MiB +([0-9.]+) MiB`).FindStringSubmatch(out.String())
	require.NotNil(t, total, out.String())
	resident, err := strconv.ParseFloat(total[1], 64)
	require.NoError(t, err)
	share, err := strconv.ParseFloat(total[2], 64)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, resident, 3*32.0, "each has all of it")
	assert.Less(t, share, 1.5*32, "and together they take it once")
}

// The stand-in takes memory: it does not outlive the program, however that ends.
func TestEnded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be interrupted there")
	}
	for name, end := range map[string]func(program *os.Process, out io.Closer) error{
		"interrupted":    func(program *os.Process, _ io.Closer) error { return program.Signal(os.Interrupt) },
		"nobody listens": func(_ *os.Process, out io.Closer) error { return out.Close() },
	} {
		cmd := exec.Command(os.Args[0], "-size", "256")
		cmd.Env = append(os.Environ(), programEnv+"=1")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err, name)
		made := regexp.MustCompile(`^made (.+) as a stand-in\n$`).FindStringSubmatch(line)
		require.NotNil(t, made, line)
		require.NoError(t, end(cmd.Process, out))
		assert.Error(t, cmd.Wait(), name)
		assert.NoDirExists(t, filepath.Dir(made[1]), name)
	}
}
