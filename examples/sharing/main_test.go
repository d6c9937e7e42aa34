package main

import (
	"bytes"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The readers of a test are this test binary again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-reader" {
		main()
		return
	}
	os.Exit(m.Run())
}

// All readers read what was written, and what they take together is the file, once.
func TestSharing(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(options{size: 32 << 20, readers: 3}, &out))
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
