package main

// Output of numbers and names.

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// Names from a device cannot control the terminal through messages.
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

// Names in JSON cannot control the terminal either, and programs read them unchanged.
func TestSafeJSON(t *testing.T) {
	t.Parallel()
	const name = "a\x7fb\u009b2Jc\u202ed\U000e0001é 日本 \n\""
	encoded, err := json.Marshal(name)
	require.NoError(t, err)
	safe := safeJSON(encoded)
	assert.Equal(t, `"a\u007fb\u009b2Jc\u202ed\udb40\udc01é 日本 \n\""`, string(safe))
	var back string
	require.NoError(t, json.Unmarshal(safe, &back))
	assert.Equal(t, name, back)

	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1", device+":/c\u009b3J\x7f")
	r := famfsRun(t, "ls", "--json", device)
	assert.NotContains(t, r.out, "\u009b")
	assert.Equal(t, "c\u009b3J\x7f", parse[[]nodeJSON](t, r)[0].Path)
}

// The bar fits the terminal, however narrow it is, and shows no rate before it knows one.
func TestBarLine(t *testing.T) {
	t.Parallel()
	p := &progress{files: 12345, done: 999, size: 700 * mib, bytesNow: 128 * mib}
	for width := range 200 {
		for _, took := range []time.Duration{0, time.Millisecond, 2 * time.Second, 100 * time.Hour} {
			line := p.barLine(width, took)
			assert.LessOrEqual(t, utf8.RuneCountInString(line), width, line)
			assert.Equal(t, width >= 4, strings.HasPrefix(line, " 18%"), "%d: %q", width, line)
			if took < rateAfter {
				assert.NotContains(t, line, "/s")
			}
		}
	}
	line := p.barLine(120, 2*time.Second)
	assert.Regexp(t, `^ 18%  999/12345 files  128 MiB of 700 MiB  64 MiB/s  9s left  █+░+$`, line)
	assert.Equal(t, 40, strings.Count(line, "█")+strings.Count(line, "░"))
	assert.Contains(t, p.barLine(120, 1000*time.Hour), "days left")
	assert.Equal(t, "100%", (&progress{size: 1, bytesNow: 5}).barLine(4, 0), "never more")
}
