package famfs

// Comparing what is there with its source.

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every byte counts, however a source can be read and wherever pieces and runs end; a source that
// ends early says where.
func TestSameContent(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	ctx := context.Background()
	for _, size := range []int{1, 1000, len(buffer{}), len(buffer{}) + 1, 2*workPiece + 12345} {
		content := pattern(size, uint64(size))
		p, err := m.Create("f", int64(size), Replace(), Interleave(Interleaving{Strips: 2, Buckets: 3, Chunk: defaultUnit}))
		require.NoError(t, err)
		_, err = p.Write(content)
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		index, ok := m.replica.ns.lookup("f")
		require.True(t, ok)
		n := m.replica.ns.node(index)
		if at := int64(defaultUnit - 100); n.size > at+300 { // two runs
			part := bytes.Clone(content[at:][:300])
			require.NoError(t, m.sameBytes(n, at, part))
			part[299]++
			require.True(t, m.sameBytes(n, at, part) == errOther)
		}
		for kind, reader := range map[string]func(b []byte) io.Reader{
			"bytes":   func(b []byte) io.Reader { return bytes.NewReader(b) },
			"string":  func(b []byte) io.Reader { return strings.NewReader(string(b)) },
			"section": func(b []byte) io.Reader { return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))) },
			"stream":  func(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} },
			"halves":  func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) },
		} {
			r := reader(append(bytes.Clone(content), "more"...))
			read, err := m.sameContent(ctx, r, index, n)
			require.NoError(t, err, kind)
			require.EqualValues(t, size, read, kind)
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, "more", string(rest), "%s of %d is left where it was read to", kind, size)

			for _, at := range []int{0, size / 3, size / 2, size - 1, min(size-1, len(buffer{})), min(size-1, workPiece)} {
				other := bytes.Clone(content)
				other[at]++
				_, err := m.sameContent(ctx, reader(other), index, n)
				assert.True(t, err == errOther, "%s of %d, byte %d: %v", kind, size, at, err)
				read, err := m.sameContent(ctx, reader(content[:at]), index, n)
				assert.True(t, err == io.ErrUnexpectedEOF, "%s of %d, cut at %d: %v", kind, size, at, err)
				assert.EqualValues(t, at, read, "%s of %d", kind, size)
			}
			ended, end := context.WithCancelCause(ctx)
			end(errBroken)
			_, err = m.sameContent(ended, reader(content), index, n)
			assert.ErrorIs(t, err, errBroken)
		}
	}
	index, _ := m.replica.ns.lookup("f")
	n := m.replica.ns.node(index)
	require.NoError(t, m.Close())
	_, err := m.sameContent(ctx, bytes.NewReader(pattern(int(n.size), uint64(n.size))), index, n)
	assert.ErrorIs(t, err, fs.ErrClosed)
}

// Running CopyFS again reads each source, but keeps nothing of it: what it allocates does not grow
// with the size of the files.
func TestSameContentAllocates(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(6*mib+5, 1)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	index, _ := m.replica.ns.lookup("f")
	n := m.replica.ns.node(index)
	taken := map[uintptr]bool{}
	for range 20 {
		_, err := m.sameContent(context.Background(), bytes.NewReader(content), index, n)
		require.NoError(t, err)
		b, lent := m.buffers.take(1, false)
		taken[addressOf(b)] = true
		m.buffers.giveBack(lent)
	}
	if !raceEnabled { // it drops what is given back, now and then
		assert.Less(t, len(taken), 10, "buffers are used again")
	}
}
