package main

// Renaming without replacing, where there are no hard links.

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Where there are no hard links, too, looking and renaming are one step: what somebody makes at the
// same moment is not replaced, and who loses knows why. Directories have no hard links anywhere.
func TestRenameNewWithoutLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 3000 {
		from, to := filepath.Join(dir, "from"+strconv.Itoa(i)), filepath.Join(dir, "to"+strconv.Itoa(i))
		require.NoError(t, os.Mkdir(from, 0o700))
		begin, other := make(chan struct{}), make(chan error, 1)
		go func() {
			<-begin
			other <- os.Mkdir(to, 0o700)
		}()
		close(begin)
		err := renameNew(from, to)
		if <-other == nil {
			require.Equal(t, errTaken, err, "and not another error, from a second look")
		} else {
			require.NoError(t, err)
		}
	}
}

func TestRenameNoReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"a", "b"} {
		require.NoError(t, os.WriteFile(at(name), []byte(name), 0o600))
	}
	assert.ErrorIs(t, renameNoReplace(at("a"), at("b")), fs.ErrExist)
	assert.ErrorIs(t, renameNoReplace(at("none"), at("c")), fs.ErrNotExist)
	require.NoError(t, renameNoReplace(at("a"), at("c")))
	assert.Equal(t, []string{"b", "c"}, names(t, dir))
}
