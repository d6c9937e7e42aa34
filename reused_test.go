package famfs

// The first use of a file in memory that had another owner: its lines are invalidated once,
// before anything is read. Which files these are is in compact_test.go.

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asSharedMemory makes a stand-in memory that other hosts share, and notes what is done to
// lines.
func asSharedMemory() (prepareOption, *[]recordedOp) {
	lines, ops := recordLines()
	return func(d *device) { d.shared, d.cache = true, lines }, ops
}

func TestReusedMemoryIsInvalidated(t *testing.T) {
	needsOneDevice(t, "its files must lie on the one with the log")
	needsFile(t, "it is treated as a device")
	t.Parallel()
	path := formatted(t, testSize)
	live := usedLog(t, openMaster(t, path))
	// invalidated is how many bytes of the data area were invalidated, and whether a fence
	// came after the last of them.
	invalidated := func(f *FS, ops []recordedOp) (n int, fenced bool) {
		data := addressOf(f.window.mem) + uintptr(f.sb.logEnd())
		for _, op := range ops {
			switch {
			case op.kind == "invalidate" && op.from >= data && op.from < data+testSize:
				n += int(op.lines * lineSize)
				fenced = false
			case op.kind == "fence loads":
				fenced = true
			}
		}
		return n, fenced
	}
	wholeLines := func(n int) int { return (n + int(lineSize) - 1) &^ (int(lineSize) - 1) }
	uses := map[string]func(t *testing.T, f *FS, name string) []byte{
		"ReadFile": func(t *testing.T, f *FS, name string) []byte {
			data, err := f.ReadFile(name)
			require.NoError(t, err)
			return data
		},
		"read": func(t *testing.T, f *FS, name string) []byte {
			file, err := f.Open(name)
			require.NoError(t, err)
			defer file.Close()
			data := make([]byte, len(live[name]))
			_, err = io.ReadFull(file, data[:1])
			require.NoError(t, err)
			_, err = io.ReadFull(file, data[1:])
			require.NoError(t, err)
			return data
		},
		"WriteTo": func(t *testing.T, f *FS, name string) []byte {
			file, err := f.Open(name)
			require.NoError(t, err)
			defer file.Close()
			var w written
			_, err = file.(io.WriterTo).WriteTo(&w)
			require.NoError(t, err)
			return w
		},
		"Map": func(t *testing.T, f *FS, name string) []byte {
			m, err := f.Map(name)
			require.NoError(t, err)
			defer m.Close()
			return append([]byte(nil), m.Bytes()...)
		},
		"View": func(t *testing.T, f *FS, name string) (seen []byte) {
			require.NoError(t, f.View(name, func(data []byte) error {
				seen = append(seen, data...)
				return nil
			}))
			return seen
		},
		"CopyFS again": func(t *testing.T, f *FS, name string) []byte {
			index, ok := f.replica.ns.lookup(name)
			require.True(t, ok)
			_, err := f.sameContent(context.Background(), bytes.NewReader(live[name]), index, f.replica.ns.node(index))
			require.NoError(t, err)
			return live[name]
		},
	}
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			option, ops := asSharedMemory()
			f := openTest(t, path, option)
			*ops = nil
			use(t, f, "a/b/f")
			n, _ := invalidated(f, *ops)
			assert.Zero(t, n, "memory that had no owner before")

			f.usedFrom = 1 // all but the first entry
			for _, file := range []string{"a/b/f", "later/i"} {
				*ops = nil
				requireBytes(t, live[file], use(t, f, file), file)
				n, fenced := invalidated(f, *ops)
				assert.Equal(t, wholeLines(len(live[file])), n, "all of %s, once", file)
				assert.True(t, fenced)
			}
			*ops = nil
			use(t, f, "first")
			use(t, f, "later/i")
			n, _ = invalidated(f, *ops)
			assert.Zero(t, n, "it was there before, or was used before")
		})
	}
	plain := openTest(t, path)
	plain.usedFrom = 0
	_, err := plain.ReadFile("first")
	require.NoError(t, err)
	assert.False(t, plain.replica.ns.node(0).slab.isUsed(0), "a stand-in is one and the same memory for all")
}

type written []byte

func (w *written) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}
