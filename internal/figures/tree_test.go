//go:build unix

package main

// The command against cp and diff, with a tree of many small files: the sources of Go.

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkTree copies the tree in and out, and compares it. Empty files, links and long
// paths are left out, because famfs has none. Every file takes 2 MiB of the device, which is sparse.
func BenchmarkTree(b *testing.B) {
	dir := lookupDir(b)
	b.Cleanup(func() { os.RemoveAll(dir) })
	command := filepath.Join(dir, "famfs")
	run := func(b *testing.B, name string, args ...string) {
		out, err := exec.Command(name, args...).CombinedOutput()
		require.NoError(b, err, "%s %v: %s", name, args, out)
	}
	build := exec.Command("go", "build", "-o", command, ".")
	build.Dir = filepath.Join("..", "..", "cmd", "famfs")
	out, err := build.CombinedOutput()
	require.NoError(b, err, "%s", out)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(b, err)
	tree := filepath.Join(dir, "tree")
	run(b, "cp", "-r", filepath.Join(strings.TrimSpace(string(root)), "src"), tree)
	run(b, "find", tree, "-size", "0", "-delete")
	run(b, "find", tree, "!", "-type", "d", "!", "-type", "f", "-delete")
	require.NoError(b, filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		const longest = 79
		if err != nil || len(path)-len(dir)-1 <= longest {
			return err
		}
		if err := os.RemoveAll(path); err != nil || !entry.IsDir() {
			return err
		}
		return fs.SkipDir
	}))

	device, target := filepath.Join(dir, "device"), filepath.Join(dir, "target")
	run(b, command, "mkfs", "--create", "40GiB", device)
	measured := func(name string, before, timed func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				before(b)
				b.StartTimer()
				timed(b)
			}
		})
	}
	clear := func(b *testing.B) { require.NoError(b, os.RemoveAll(target)) }
	anew := func(b *testing.B) { run(b, command, "mkfs", "--force", device) }
	in := func(b *testing.B) { run(b, command, "cp", "-r", tree, device+":/") }
	nothing := func(*testing.B) {}
	anew(b)
	in(b) // so that the stand-in has its pages, as a device has
	measured("in/famfs", anew, in)
	measured("in/cp", clear, func(b *testing.B) { run(b, "cp", "-r", tree, target) })
	measured("verify/famfs", nothing, func(b *testing.B) { run(b, command, "verify", "--against", tree, device+":/tree") })
	measured("verify/diff", nothing, func(b *testing.B) { run(b, "diff", "-r", tree, target) })
	measured("out/famfs", clear, func(b *testing.B) { run(b, command, "cp", "-r", device+":/tree", target) })
	measured("out/cp", clear, func(b *testing.B) { run(b, "cp", "-r", tree, target) })
}
