package famfs

// Mappings as readers.

import (
	"io"
	"io/fs"
	"math"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMappingSection(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(3*4096+5, 1)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	mapping, err := m.Map("f")
	require.NoError(t, err)
	section := mapping.Section()
	assert.EqualValues(t, len(content), section.Size())
	require.NoError(t, iotest.TestReader(section, content))
	other := mapping.Section()
	_, err = other.Seek(-5, io.SeekEnd)
	require.NoError(t, err)
	tail, err := io.ReadAll(other)
	require.NoError(t, err)
	assert.Equal(t, content[len(content)-5:], tail, "each has an offset of its own")

	direct := mappingReader{mapping}
	for _, c := range []struct {
		off  int64
		n    int
		want int
		err  error
	}{
		{0, 10, 10, nil}, {0, len(content), len(content), nil}, {0, len(content) + 1, len(content), io.EOF}, {5, 0, 0, nil},
		{int64(len(content)), 1, 0, io.EOF}, {math.MaxInt64, 1, 0, io.EOF}, {-1, 1, 0, fs.ErrInvalid},
	} {
		n, err := direct.ReadAt(make([]byte, c.n), c.off)
		assert.Equal(t, c.want, n)
		assert.ErrorIs(t, err, c.err)
	}

	require.NoError(t, mapping.Close())
	for _, r := range []*io.SectionReader{section, mapping.Section()} {
		assert.EqualValues(t, len(content), r.Size())
		_, err = r.ReadAt(make([]byte, 1), 0)
		assert.ErrorIs(t, err, fs.ErrClosed)
	}
	require.NoError(t, m.Close(), "a read that is over holds nothing")
}

// Close during reads lets them finish: none of them reads memory that is gone.
func TestMappingSectionWhileClosing(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(4096, 1)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	for range 50 {
		mapping, err := m.Map("f")
		require.NoError(t, err)
		var wait sync.WaitGroup
		var reading sync.WaitGroup
		reading.Add(2)
		for range 2 {
			wait.Go(func() {
				section, b := mapping.Section(), make([]byte, len(content))
				for first := true; ; first = false {
					n, err := section.ReadAt(b, 0)
					if first {
						reading.Done()
					}
					if err != nil {
						assert.ErrorIs(t, err, fs.ErrClosed)
						return
					}
					assert.Equal(t, len(content), n)
				}
			})
		}
		reading.Wait()
		assert.NoError(t, mapping.Close())
		wait.Wait()
	}
	assert.Empty(t, m.regions.regions)
	require.NoError(t, m.Close())
}
