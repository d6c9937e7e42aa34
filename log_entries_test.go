package famfs

// The log as it is listed.

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A listing ends with an error when the file system is closed, before it or in its
// midst.
func TestLogAfterClose(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, m.Mkdir(name, 0o755))
	}
	fsys := openTest(t, path)
	var paths []string
	var failed error
	for e, err := range fsys.Log() {
		if err != nil {
			assert.Zero(t, e)
			require.NoError(t, failed, "one error, and it is the last")
			failed = err
			continue
		}
		paths = append(paths, e.Path)
		if e.Path == "b" {
			require.NoError(t, fsys.Close())
		}
	}
	assert.Equal(t, []string{"a", "b"}, paths)
	assert.ErrorIs(t, failed, fs.ErrClosed)
	n := 0
	for _, err := range fsys.Log() {
		n++
		assert.ErrorIs(t, err, fs.ErrClosed)
		assert.ErrorContains(t, err, path)
	}
	assert.Equal(t, 1, n)
}
