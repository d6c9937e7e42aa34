package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each command has a page, with its options as they are; groff has nothing to object.
func TestManual(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man", "man1")
	r := famfsRun(t, "man", "--dir", dir)
	require.Equal(t, 0, r.status, r.err)
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	require.NoError(t, err)
	assert.Contains(t, r.out, "wrote "+num(int64(len(pages)))+" manual pages to ")
	names := map[string]bool{}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".1")
		names[name] = true
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, section := range []string{".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"} {
			assert.Contains(t, string(text), section, name)
		}
		assert.NotContains(t, string(text), "spf13", name)
	}
	for _, name := range []string{"famfs", "famfs-cp", "famfs-queue-put"} {
		text, err := os.ReadFile(filepath.Join(dir, name+".1"))
		require.NoError(t, err)
		one := famfsRun(t, append([]string{"man"}, strings.Split(name, "-")[1:]...)...)
		require.Equal(t, 0, one.status, one.err)
		assert.Equal(t, string(text), one.out, "%s by itself", name)
		plain := strings.NewReplacer(`\-`, "-", `\&`, "", `\(aq`, "'", "\n", " ", "\t", " ").Replace(one.out)
		help := famfsRun(t, append(strings.Split(name, "-")[1:], "--help")...)
		first, _, _ := strings.Cut(help.out, "\n\n")
		assert.Contains(t, strings.Join(strings.Fields(plain), " "), strings.Join(strings.Fields(first), " "), "what help says")
	}
	for _, name := range []string{"famfs", "famfs-cp", "famfs-mkfs", "famfs-queue", "famfs-queue-put", "famfs-completion-bash", "famfs-man"} {
		assert.True(t, names[name], name)
	}
	assert.False(t, names["famfs-help"])
	cp, err := os.ReadFile(filepath.Join(dir, "famfs-cp.1"))
	require.NoError(t, err)
	assert.Contains(t, string(cp), `\fB--replace\fP`)
	for _, option := range []string{"find maxdepth", "du max-depth"} { // 0 would mean nothing below PATH
		command, name, _ := strings.Cut(option, " ")
		text, err := os.ReadFile(filepath.Join(dir, "famfs-"+command+".1"))
		require.NoError(t, err)
		assert.Contains(t, string(text), `\fB--`+name+`\fP=-1`, "what it is without")
	}
	if groff, err := exec.LookPath("groff"); err == nil {
		for _, page := range pages {
			// -z formats without output; -ww has it say all that it does not like.
			out, err := exec.Command(groff, "-K", "utf8", "-man", "-Tutf8", "-z", "-ww", page).CombinedOutput()
			assert.NoError(t, err)
			assert.Empty(t, string(out), page)
		}
	}
}

func TestManualNotUnderstood(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"nosuch"}, {"ls", "more"}, {"--dir", t.TempDir(), "ls"}} {
		r := famfsRun(t, append([]string{"man"}, args...)...)
		assert.Equal(t, 2, r.status, args)
		assert.Empty(t, r.out)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	r := famfsRun(t, "man", "--dir", file)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, file)
}

// Pages are written as all files are: whole, and never over a device.
func TestManualKeepsDevice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page := filepath.Join(dir, "famfs-cp.1")
	asMaster(t, "mkfs", "--create", "16MiB", page)
	r := famfsRun(t, "man", "--dir", dir)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, page+": is a famfs device itself, which is never replaced")
	assert.Equal(t, 0, famfsRun(t, "fsck", page).status)
}

// What is plain text in help is so in the manual.
func TestManualIsPlain(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `a\*b\_c \<x\> \[y\]`, markdown("a*b_c <x> [y]"))
}
