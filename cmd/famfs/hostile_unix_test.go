//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// What a signal ends before it is done has the signal's status, and says no more than that.
func TestInterruptedStatus(t *testing.T) {
	device := newDevice(t, "256M")
	const files = 10
	seal := []string{"--system-uuid", host, "seal", "--ignore-sealed", "--sum", "sha256"}
	for i := range files {
		name := device + ":/f" + string(rune('a'+i))
		asMaster(t, "creat", "-s", "20M", "--keep", name)
		seal = append(seal, name)
	}
	asMaster(t, "queue", "create", device+":/q")
	reader, err := famfs.Open(device)
	require.NoError(t, err)
	defer reader.Close()
	after := func(attempt int) func() bool {
		begun := time.Now()
		return func() bool { return time.Since(begun) > time.Duration(attempt)*100*time.Millisecond }
	}
	for name, c := range map[string]struct {
		args  []string
		ready func(attempt int) func() bool
		want  string
	}{
		"scrub":            {[]string{"scrub", "--rate", "10M", "-q", device, device + ":/"}, after, "famfs scrub: interrupted: not everything was read\n"},
		"scrub for others": {[]string{"scrub", "--rate", "10M", "--json", device}, after, "famfs scrub: interrupted: not everything was read\n"},
		"queue stat":       {[]string{"queue", "stat", "--interval", "1m", device + ":/q"}, after, "famfs queue stat: interrupted: it was not looked at twice\n"},
		"seal": {seal, func(int) func() bool {
			before := reader.Usage().Sealed
			return func() bool { reader.Refresh(); return reader.Usage().Sealed > before }
		}, "famfs seal: interrupted: .*:/f[a-j] and what comes after it is not sealed\n"},
	} {
		done := false
		for attempt := 1; attempt < files && !done; attempt++ {
			var r result
			if r, done = interruptWhen(t, command(c.args...), c.ready(attempt)); done {
				assert.Regexp(t, "^"+c.want+"$", r.err, name)
			}
		}
		assert.True(t, done, name)
	}
}

// Ctrl-C ends cp -i while it waits for an answer.
func TestCpAsksInterrupted(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"f": []byte("new")})
	asMaster(t, "creat", "-s", "3", device+":/f")
	for attempt := 1; attempt <= attempts; attempt++ {
		in, answers, err := os.Pipe()
		require.NoError(t, err)
		cmd := command("--system-uuid", host, "cp", "-i", filepath.Join(src, "f"), device+":/")
		cmd.Stdin = in
		begun := time.Now()
		r, inTime := interruptWhen(t, cmd, func() bool { return time.Since(begun) > time.Duration(attempt)*100*time.Millisecond })
		in.Close()
		answers.Close()
		if inTime {
			assert.Contains(t, r.err, "interrupted: nothing was copied")
			return
		}
	}
	t.Fatal("was never interrupted while it waited")
}

// Taking what is there is not done when a signal ends it; following is.
func TestQueueGetInterrupted(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	require.Equal(t, 0, feed(t, "one\ntwo\n", "queue", "put", q).status)
	fsys, tgt, err := (&app{opened: map[string]bool{}, systemUUID: uuidValue{mustUUID(t, host)}}).openQueueEnd(q)
	require.NoError(t, err)
	defer fsys.Close()
	c, err := fsys.Consumer(tgt.name)
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&signalError{syscall.SIGINT})
	var out bytes.Buffer
	a := &app{out: &output{to: &out}}
	n, err := a.getMessages(ctx, c, 0, 0, false)
	assert.Zero(t, n)
	var status *statusError
	require.ErrorAs(t, err, &status)
	assert.Equal(t, statusSignal+int(syscall.SIGINT), status.status)
	_, err = a.getMessages(ctx, c, 0, 0, true)
	assert.NoError(t, err)
	n, err = a.getMessages(t.Context(), c, 0, 0, false)
	assert.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, "one\ntwo\n", out.String())
}

// A pipe at DEST is not opened, which would wait for ever, also where both are empty.
func TestCpOutToPipe(t *testing.T) {
	t.Parallel()
	device, _ := packedTree(t, map[string][]byte{"none": {}})
	out := t.TempDir()
	pipe := filepath.Join(out, "none")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, option := range []string{"-q", "-f", "--dry-run"} {
		r := famfsRun(t, "cp", option, device+":/t.zip/none", pipe)
		assert.Equal(t, 1, r.status, option)
	}
	st, err := os.Lstat(pipe)
	require.NoError(t, err)
	assert.NotZero(t, st.Mode()&os.ModeNamedPipe)
}
