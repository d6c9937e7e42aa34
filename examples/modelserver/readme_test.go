package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// varies is what differs from run to run: the file system's UUID, and in ETags the number of the log
// entry, which depends on which of two files is copied first.
var varies = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-\d+")?`)

// The transcript in README, from mkfs to serving and replacing a model, is what these commands print.
// With FAMFS_README=write it is written anew.
func TestReadme(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the transcript is of Linux")
	}
	for _, program := range []string{"bash", "curl", "cmp", "grep", "go"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	readme := filepath.Join("..", "..", "README.md")
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n## From an empty device to serving a model\n")
	require.True(t, ok)
	_, want, _ := strings.Cut(section, "```console\n")
	want, _, ok = strings.Cut(want, "```\n")
	require.True(t, ok)

	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	for from, name := range map[string]string{filepath.Join("..", "..", "cmd", "famfs"): "famfs", ".": "modelserver"} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, name), ".")
		build.Dir = from
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	for name, model := range map[string]struct {
		config, content string
		size            int
	}{"llama-v1": {`{"layers": 32}`, "1", 20_000_000}, "llama-v2": {`{"layers": 40}`, "2", 24_000_000}} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "config.json"), []byte(model.config+"\n"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "weights"), bytes.Repeat([]byte(model.content), model.size), 0o644))
	}
	// Others may have these ports.
	here, there := []string{}, []string{}
	for _, port := range []string{"8080", "9090"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		here = append(here, "127.0.0.1:"+port, l.Addr().String())
		there = append(there, l.Addr().String(), "127.0.0.1:"+port)
		require.NoError(t, l.Close())
	}
	script := new(strings.Builder)
	fmt.Fprintln(script, "set -u\nready() { for i in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:8080/ && return; sleep 0.05; done; }")
	for line := range strings.Lines(want) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ ")
		if !ok {
			continue
		}
		fmt.Fprintf(script, "printf '%%s\\n' %s\n%s\n", "'$ "+strings.ReplaceAll(command, "'", `'\''`)+"'", command)
		if strings.HasSuffix(command, "&") {
			fmt.Fprintln(script, "ready")
		}
	}
	run := exec.Command("bash", "-c", strings.NewReplacer(here...).Replace(script.String()))
	run.Dir = dir
	run.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "XDG_STATE_HOME="+filepath.Join(dir, "state"))
	out, err := run.CombinedOutput()
	require.NoError(t, err, string(out))
	got := strings.NewReplacer(there...).Replace(strings.ReplaceAll(string(out), "\r", "")) // of HTTP headers
	if os.Getenv("FAMFS_README") == "write" {
		require.NoError(t, os.WriteFile(readme, []byte(strings.Replace(string(text), want, got, 1)), 0o644))
		return
	}
	assert.Equal(t, varies.ReplaceAllString(want, "…"), varies.ReplaceAllString(got, "…"))
}
