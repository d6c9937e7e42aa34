package famfs

// Check by itself. The hostile tests check what it finds in damaged images.

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A device that ends within a page is mapped only up to that page. Check must not report the
// rest as lost.
func TestCheckEndsWithinPage(t *testing.T) {
	t.Parallel()
	path := fileBacking(t, testSize+100)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	f, err := openMedium(path, newOpenConfig(nil))
	require.NoError(t, err)
	defer f.release()
	f.window.mem = f.window.mem[:testSize] // as mapWhole does on fs-dax
	report, err := f.check()
	require.NoError(t, err)
	assert.NoError(t, report.Err())
	assert.Equal(t, int64(testSize), report.Usage.Size)
}
