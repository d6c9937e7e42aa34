package main

// famfs queue, as processes that meet at a queue.

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// feed runs the command with an input.
func feed(t testing.TB, input string, args ...string) result {
	t.Helper()
	cmd := command(args...)
	cmd.Stdin = strings.NewReader(input)
	return finish(t, cmd)
}

// newQueue makes a device with a queue.
func newQueue(t testing.TB, args ...string) string {
	t.Helper()
	device := newDevice(t, "64M")
	asMaster(t, append([]string{"queue", "create", device + ":/q"}, args...)...)
	return device + ":/q"
}

func TestQueue(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	q := device + ":/q"
	r := asMaster(t, "queue", "create", "--buckets", "8", "--bucket-size", "64", "-m", "0600", "-u", "7", q, device+":/r")
	assert.Contains(t, r.out, "created "+q+": 7 messages of 48 bytes\n")
	assert.Contains(t, r.out, "created "+device+":/r: ")
	for _, name := range []string{q, q + ".consumer"} {
		st := parse[nodeJSON](t, famfsRun(t, "stat", "--json", name))
		assert.Equal(t, "0600", st.Mode)
		assert.EqualValues(t, 7, st.UID)
	}
	assert.Equal(t, result{}, famfsRun(t, "queue", "get", q), "it is empty")

	r = feed(t, "one\ntwo\n\nfour", "queue", "put", "-v", q)
	assert.Equal(t, result{err: "put 4 messages\n"}, r)
	st := parse[queueJSON](t, famfsRun(t, "queue", "stat", "--interval", "0", "--json", q))
	assert.Equal(t, queueJSON{Device: device, Path: "q", Buckets: 8, BucketSize: 64, MessageSize: 48, Waiting: 4, Put: 4}, st)
	r = famfsRun(t, "queue", "get", "--count", "2", "-v", q)
	assert.Equal(t, result{out: "one\ntwo\n", err: "took 2 messages\n"}, r)
	assert.Equal(t, result{out: "\nfour\n"}, famfsRun(t, "queue", "get", q))
	assert.Equal(t, result{}, feed(t, "a\nb\nc\n", "queue", "put", "--count", "2", q))
	assert.Equal(t, result{out: "a\nb\n"}, famfsRun(t, "queue", "get", "-f", "-c", "2", q), "any host")

	// Blocks, as they are.
	data := string(pattern(100, 3))
	assert.Equal(t, result{}, feed(t, data, "queue", "put", "--size", "48", q))
	r = famfsRun(t, "queue", "get", "--size", "48", q)
	assert.Equal(t, data+strings.Repeat("\x00", 44), r.out, "the last is padded")

	r = famfsRun(t, "queue", "stat", "-n", "10ms", q)
	assert.Equal(t, 0, r.status, r.err)
	for _, part := range []string{"Queue    " + q, "Buckets  8 of 64 bytes", "Messages at most 7, of 48 bytes", "Waiting  0 of 7 (0%)", "Put      9, 0 a second", "Taken    9, 0 a second"} {
		assert.Contains(t, r.out, part)
	}
}

func TestQueueRefuses(t *testing.T) {
	t.Parallel()
	q := newQueue(t, "-b", "4", "-s", "32")
	device, _, _ := strings.Cut(q, ":")
	for _, args := range [][]string{
		{"queue"}, {"queue", "frobnicate"}, {"queue", "put"}, {"queue", "get", q, q}, {"queue", "stat", "-f", "-n", "0", q}, {"queue", "stat", "-n", "-1s", q},
		{"queue", "get", "-c", "-1", q}, {"queue", "put", "-c", "-1", q}, {"queue", "put", "--tolerant", q}, {"queue", "get", "--salvage", q}, {"queue", "create", "--salvage", q},
	} {
		r := famfsRun(t, args...)
		assert.Equal(t, 2, r.status, "%v: %s", args, r.err)
		assert.Empty(t, r.out, args)
		assert.Contains(t, r.err, "--help", args)
	}
	r := famfsRun(t, "--system-uuid", host, "queue", "create", "--buckets", "1", device+":/one")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, device+":/one: create queue: 1 buckets, want 2 to")
	r = famfsRun(t, "--system-uuid", host, "queue", "create", q)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "exist")
	r = famfsRun(t, "queue", "create", device+":/other")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "only the host that formatted the device")

	r = feed(t, "short\nnot so short, and longer\nlast\n", "queue", "put", q)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, q+": line 2 has more than the 16 bytes of a message; those before it were put")
	assert.Equal(t, "short\n", famfsRun(t, "queue", "get", q).out)
	for _, line := range []string{strings.Repeat("x", 17), strings.Repeat("x", 200_000)} {
		assert.Contains(t, feed(t, line, "queue", "put", q).err, "line 1 has more than")
	}
	assert.Equal(t, result{}, feed(t, strings.Repeat("x", 16), "queue", "put", q))
	assert.Equal(t, strings.Repeat("x", 16)+"\n", famfsRun(t, "queue", "get", q).out)
	for _, args := range [][]string{{"queue", "put", "--size", "17", q}, {"queue", "get", "--size", "17", q}} {
		r = famfsRun(t, args...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, "17")
	}
	for _, args := range [][]string{{"queue", "put"}, {"queue", "get"}, {"queue", "stat"}} {
		r = famfsRun(t, append(args, device+":/none")...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, device+":/none: ")
		assert.Contains(t, r.err, "famfs ls -R")
		r = famfsRun(t, append(args, device)...)
		assert.Equal(t, 1, r.status, "%v: %s", args, r.err)
		assert.Contains(t, r.err, "want a queue, written DEVICE:PATH; see what is there with: famfs ls -R "+device)
	}
}

// Half a queue: fsck notes it, and whoever would use it is told.
func TestHalfQueue(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	device, _, _ := strings.Cut(q, ":")
	asMaster(t, "queue", "create", device+":/left", device+":/whole")
	asMaster(t, "creat", "-s", "3M", "--seed", "1", device+":/f")
	asMaster(t, "creat", "-s", "2M", "--seed", "1", device+":/g.consumer")
	assert.Empty(t, parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", device))[0].Notes)
	asMaster(t, "rm", q+".consumer", device+":/left")
	r := famfsRun(t, "fsck", device)
	assert.Equal(t, 0, r.status, "the log is sound")
	assert.Contains(t, r.out, "  note: q: is half of a queue, whose other file, q.consumer, is missing: nobody can open it\n    do: remove it (famfs rm "+device+":/q)")
	assert.Contains(t, r.out, "  note: left.consumer: is half of a queue, whose other file, left, is missing")
	assert.Len(t, parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", device))[0].Notes, 2)
	for _, args := range [][]string{{"queue", "put", q}, {"queue", "get", q}, {"queue", "stat", q}} {
		r := famfsRun(t, args...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, q+": is half of a queue, whose other file, q.consumer, is missing", args)
	}
}

func TestQueueRm(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	device, _, _ := strings.Cut(q, ":")
	asMaster(t, "queue", "create", device+":/r")
	assert.Equal(t, result{out: "removed " + q + "\n"}, asMaster(t, "queue", "rm", "-v", q))
	for _, name := range []string{q, q + ".consumer"} {
		assert.Equal(t, 1, famfsRun(t, "stat", name).status)
	}
	for name, says := range map[string]string{q: "there is no q", device + ":/r.consumer": "there is no r.consumer.consumer"} {
		r := famfsRun(t, "--system-uuid", host, "queue", "rm", name)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, says)
	}
	assert.Equal(t, 1, famfsRun(t, "queue", "rm", device+":/r").status, "it needs the master")
	assert.Equal(t, 2, famfsRun(t, "queue", "rm").status)
	assert.Equal(t, result{}, asMaster(t, "queue", "rm", device+":/r"))
}

// A message that cannot be written is still there.
func TestQueueGetNobodyReads(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	require.Equal(t, result{}, feed(t, "a\nb\n", "queue", "put", q))
	cmd := command("queue", "get", q)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, read.Close())
	defer write.Close()
	cmd.Stdout = write
	assert.Error(t, cmd.Run())
	assert.Equal(t, "a\nb\n", famfsRun(t, "queue", "get", q).out)
}

// Producer and consumer as processes at the same time, of which each end is one's.
func TestQueueFollow(t *testing.T) {
	t.Parallel()
	q := newQueue(t, "-b", "16", "-s", "64")
	const messages = 2000
	get := command("queue", "get", "--follow", q)
	out, err := get.StdoutPipe()
	require.NoError(t, err)
	var said bytes.Buffer
	get.Stderr = &said
	require.NoError(t, get.Start())
	defer get.Process.Kill()

	var input strings.Builder
	for i := range messages {
		fmt.Fprintf(&input, "message %d\n", i)
	}
	put := make(chan result, 1)
	cmd := command("queue", "put", q)
	cmd.Stdin = strings.NewReader(input.String())
	go func() { put <- finish(t, cmd) }()
	lines := bufio.NewScanner(out)
	for i := range messages {
		if !lines.Scan() {
			get.Wait() // which writes what it says
			require.Fail(t, "no further message", "message %d: %s", i, said.String())
		}
		require.Equal(t, fmt.Sprintf("message %d", i), lines.Text())
	}
	assert.Equal(t, result{}, <-put)
	if runtime.GOOS == "windows" {
		return // where processes cannot be interrupted
	}
	if runtime.GOOS == "linux" {
		r := famfsRun(t, "queue", "get", q)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, "another consumer of this queue is open on this host")
		assert.Contains(t, r.err, "one process's at a time")
	}
	stat := command("queue", "stat", "--follow", "--json", "-n", "10ms", q)
	looks, err := stat.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, stat.Start())
	read := bufio.NewScanner(looks)
	for range 3 {
		require.True(t, read.Scan())
		assert.Contains(t, read.Text(), `"put":2000,"taken":2000,"putPerSecond":0,"takenPerSecond":0}`)
	}
	for _, cmd := range []*exec.Cmd{stat, get} {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
	}
	for read.Scan() {
	}
	for lines.Scan() {
		t.Errorf("more: %s", lines.Text())
	}
	assert.NoError(t, stat.Wait(), "Ctrl-C is how it ends")
	assert.NoError(t, get.Wait())
	assert.Empty(t, said.String())
}
