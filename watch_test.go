package famfs

// Watching: what is noticed of other hosts' files, and how a watch ends.

import (
	"context"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWatch(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.Mkdir("old", 0o755))
	reader := openTest(t, path)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	watched := reader.Watch(ctx, time.Millisecond)

	want := []string{"a", "a/b", "a/f", "g"}
	go func() {
		assert.NoError(t, m.MkdirAll("a/b", 0o755))
		assert.NoError(t, m.WriteFile("a/f", []byte("x"), 0o644))
		reader.Refresh() // somebody else's replay loses no event
		assert.NoError(t, m.WriteFile("g", []byte("yy"), 0o644))
	}()
	var got []string
	for e, err := range watched {
		require.NoError(t, err)
		got = append(got, e.Name)
		assert.Equal(t, len(got), e.Info.Sys().(*Attr).Index, "in the order of the log")
		if len(got) == len(want) {
			break
		}
	}
	assert.Equal(t, want, got)

	// Ranging again starts where Watch was called; it ends with the context.
	got = nil
	for e, err := range watched {
		require.NoError(t, err)
		got = append(got, e.Name)
		if len(got) == len(want) {
			cancel()
		}
	}
	assert.Equal(t, want, got)
	assert.Error(t, ctx.Err())
}

// A watch that begins with what is there yields that once, in the order of the log, without what
// was removed or replaced before; then it goes on as any other.
func TestWatchAll(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.MkdirAll("d/e", 0o755))
	for _, name := range []string{"gone", "d/f", "twice", "late", "last"} {
		require.NoError(t, m.WriteFile(name, []byte(name), 0o644))
	}
	require.NoError(t, m.Remove("gone"))
	replace(t, m, "twice", []byte("new"))
	reader := openTest(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	type seen struct {
		name              string
		removed, replaced bool
	}
	watched := reader.WatchAll(ctx, time.Millisecond)
	require.NoError(t, m.Mkdir("more", 0o755))
	_, err := reader.Refresh() // loses nothing, and yields nothing twice
	require.NoError(t, err)
	want := []seen{{name: "d"}, {name: "d/e"}, {name: "d/f"}, {name: "last"}, {name: "twice"}, {name: "more"}, {"late", true, false}, {"d/f", false, true}}
	var got []seen
	for e, err := range watched {
		require.NoError(t, err)
		if got = append(got, seen{e.Name, e.Removed, e.Replaced}); len(got) == 1 {
			require.NoError(t, m.Remove("late"))
			_, err := reader.Refresh()
			require.NoError(t, err)
			replace(t, m, "d/f", []byte("new"))
		}
		if len(got) == len(want) {
			break
		}
	}
	assert.Equal(t, want, got)
	for e, err := range watched { // again: what there is of it now
		require.NoError(t, err)
		assert.Equal(t, "d", e.Name)
		break
	}
}

// replace replaces a file.
func replace(t *testing.T, m *FS, name string, data []byte) {
	t.Helper()
	p, err := m.Create(name, int64(len(data)), Replace())
	require.NoError(t, err)
	copy(p.Bytes(), data)
	require.NoError(t, p.Commit())
}

// A caller that does not say how often to look gets the default, and no panic.
func TestWatchDefaultInterval(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 100*time.Millisecond, DefaultWatchInterval)
	m, path := master(t, testSize)
	reader := openTest(t, path)
	for i, every := range []time.Duration{0, -time.Second} {
		watched := reader.Watch(context.Background(), every)
		require.NoError(t, m.Mkdir(itoa(i), 0o755))
		for e, err := range watched {
			require.NoError(t, err)
			assert.Equal(t, itoa(i), e.Name)
			break
		}
	}
}

func TestWatchEndsWhenClosed(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	reader, err := Open(path, withDevices(path))
	require.NoError(t, err)
	watched := reader.Watch(context.Background(), time.Millisecond)
	require.NoError(t, reader.Close())
	var errs []error
	for _, err := range watched {
		errs = append(errs, err)
	}
	require.Len(t, errs, 1)
	assert.ErrorIs(t, errs[0], fs.ErrClosed)
}

func TestWatchRemovals(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m, client := openMaster(t, path), openTest(t, path)
	require.NoError(t, m.WriteFile("before", []byte{1}, 0o644))
	refreshed(t, client)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	events := client.Watch(ctx, time.Millisecond)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("d/f", []byte{1, 2}, 0o644))
	p, err := m.Create("d/f", 3, Replace())
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	require.NoError(t, m.Remove("before"))
	require.NoError(t, m.RemoveAll("d"))
	require.NoError(t, m.Mkdir("d", 0o755)) // a directory replaces nothing
	require.NoError(t, m.Remove("d"))
	require.NoError(t, m.WriteFile("d", []byte{1}, 0o644)) // nor does a file replace one
	var found []string
	for e, err := range events {
		require.NoError(t, err)
		found = append(found, fmt.Sprint(e.Name, " ", e.Info.Size(), " ", e.Removed, " ", e.Replaced))
		if len(found) == 9 {
			break
		}
	}
	assert.Equal(t, []string{
		"d 0 false false", "d/f 2 false false", "d/f 3 false true", "before 1 true false",
		"d/f 3 true false", "d 0 true false", "d 0 false false", "d 0 true false", "d 1 false false",
	}, found)
}
