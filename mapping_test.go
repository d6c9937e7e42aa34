package famfs

// Files as slices.

import (
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMapShared(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(4097, 1)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	a, err := m.Map("f")
	require.NoError(t, err)
	b, err := m.Map("f", Populate())
	require.NoError(t, err)
	w, err := m.Map("f", Writable(), Populate())
	require.NoError(t, err)
	assert.Equal(t, addressOf(a.Bytes()), addressOf(b.Bytes()), "one region for one protection")
	assert.NotEqual(t, addressOf(a.Bytes()), addressOf(w.Bytes()))
	for _, x := range []*Mapping{a, b, w} {
		assert.Equal(t, content, x.Bytes())
		assert.Equal(t, 4097, cap(x.Bytes()))
	}
	w.Bytes()[4096] = 'w'
	require.NoError(t, w.FlushRange(4096, 1))
	require.NoError(t, a.InvalidateRange(4096, 1))
	assert.Equal(t, byte('w'), a.Bytes()[4096])
	require.NoError(t, w.Flush())
	require.NoError(t, a.Invalidate())

	require.NoError(t, a.Close())
	assert.Nil(t, a.Bytes())
	assert.ErrorIs(t, a.Close(), fs.ErrClosed)
	assert.ErrorIs(t, a.Flush(), fs.ErrClosed)
	assert.ErrorIs(t, a.Invalidate(), fs.ErrClosed)
	assert.Equal(t, byte('w'), b.Bytes()[4096], "the other mapping stays")
	require.NoError(t, b.Close())
	require.NoError(t, w.Close())
	assert.Empty(t, m.regions.regions)
}

func TestMapRefused(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("ro", []byte("x"), 0o444))
	for _, tc := range []struct {
		name string
		opts []MapOption
		want error
	}{
		{"missing", nil, fs.ErrNotExist},
		{"d", nil, fs.ErrInvalid},
		{".", nil, fs.ErrInvalid},
		{"/ro", nil, fs.ErrInvalid},
		{"", nil, fs.ErrInvalid},
		{"ro", []MapOption{Writable()}, fs.ErrPermission},
	} {
		_, err := m.Map(tc.name, tc.opts...)
		assert.ErrorIs(t, err, tc.want, tc.name)
	}
	x, err := m.Map("ro")
	require.NoError(t, err)
	require.NoError(t, x.Close())
	require.NoError(t, m.Close(), "refused mappings are not counted")
}

func TestMapRanges(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(1000, 1), 0o644))
	x, err := m.Map("f")
	require.NoError(t, err)
	defer x.Close()
	for _, tc := range []struct {
		off, n int64
		ok     bool
	}{{0, 0, true}, {0, 1000, true}, {1000, 0, true}, {999, 1, true}, {0, 1001, false}, {1001, 0, false}, {-1, 1, false}, {0, -1, false}, {1, 1 << 62, false}, {1 << 62, 1 << 62, false}} {
		for _, op := range []func(off, n int64) error{x.FlushRange, x.InvalidateRange} {
			if err := op(tc.off, tc.n); tc.ok {
				assert.NoError(t, err, "%d bytes at %d", tc.n, tc.off)
			} else {
				assert.ErrorIs(t, err, fs.ErrInvalid, "%d bytes at %d", tc.n, tc.off)
			}
		}
	}
}

// A file that was opened for reading cannot be written, nor can one reach another.
func TestMapProtection(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(1000, 1), 0o644))
	for name, opts := range map[string][]MapOption{"plain": nil, "populated": {Populate()}} {
		x, err := m.Map("f", opts...)
		require.NoError(t, err)
		var fault *FaultError
		err = Guard(func() error {
			x.Bytes()[7] = 1
			return nil
		})
		require.ErrorAs(t, err, &fault, name)
		assert.Equal(t, "f", fault.Name)
		assert.Equal(t, int64(7), fault.Offset)
		assert.ErrorIs(t, err, ErrDevice)
		require.NoError(t, x.Close())
	}
	data, err := m.ReadFile("f")
	require.NoError(t, err)
	assert.Equal(t, pattern(1000, 1), data)
}

// When a backing loses its memory, mappings fault, and what is guarded gets an error.
func TestMapPopulateTruncated(t *testing.T) {
	t.Parallel()
	path := fileBacking(t, testSize)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	m := openTest(t, path, ReadWrite())
	require.NoError(t, m.WriteFile("f", pattern(4*mib, 1), 0o644))
	require.NoError(t, os.Truncate(path, 10*mib+4096))
	_, err := m.Map("f", Populate())
	assert.ErrorIs(t, err, ErrDevice)
	x, err := m.Map("f", Writable())
	require.NoError(t, err)
	require.NoError(t, x.InvalidateRange(0, 100))
	assert.ErrorIs(t, x.Invalidate(), ErrDevice)
	assert.ErrorIs(t, x.Flush(), ErrDevice)
	require.NoError(t, x.Close())
	require.NoError(t, m.Close())
}
