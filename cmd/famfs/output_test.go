package main

// Numbers and names as they are printed.

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHuman(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 5 << 30: "5 GiB", 1<<20 - 1: "1024 KiB", 123 << 20: "123 MiB"} {
		assert.Equal(t, want, human(n))
	}
	assert.Equal(t, "1,234,567", grouped(1234567))
	assert.Equal(t, "-123", grouped(-123))
	assert.Equal(t, "15,420", grouped(15420))
	assert.Equal(t, "100%", percent(1, 1))
	assert.Equal(t, "1%", percent(1, 1000))
}

// Names from a device cannot steer the terminal through messages.
func TestPrintable(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "plain", printable("plain"))
	assert.Equal(t, "zürich 日本", printable("zürich 日本"))
	assert.Equal(t, `a\x1b[2Jb\n\xff`, printable("a\x1b[2Jb\n\xff"))
	device := newDevice(t, "64M")
	r := famfsRun(t, "cat", device+":/evil\x1b[31m")
	assert.NotContains(t, r.err, "\x1b")
	assert.Contains(t, r.err, `\x1b[31m`)
}
