package famfs

// The window: whose memory it is that faulted.

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fault is that of the file in use, where the address is its memory's, or begins a page
// that has some of it. Otherwise it is that of the file whose memory it is, if it is any's.
func TestBlame(t *testing.T) {
	needsOneDevice(t, "its files must lie on the one with the log")
	t.Parallel()
	m, path := master(t, testSize)
	files := smallTree(t, m)
	window := addressOf(m.window.mem)
	mem := map[string]uintptr{}
	for _, name := range []string{"simple", "dir/sub/one"} {
		mem[name] = window + uintptr(must(m.Stat(name)).Sys().(*Attr).Layout.Extents[0].Offset)
	}
	// A file that begins within a page of 2 MiB.
	layout := must(m.Stat(inRuns)).Sys().(*Attr).Layout
	index, ok := m.replica.ns.lookup("simple")
	require.True(t, ok)
	n := m.replica.ns.node(index)
	in := mem["simple"]
	data := m.window.mem[in-window:][:n.size]
	strips := int64(len(layout.Extents))
	strip := window + uintptr(layout.Extents[1].Offset)
	end := window + uintptr(len(m.window.mem))
	for _, test := range []struct {
		why    string
		addr   uintptr
		from   int64 // data begins there in the file
		name   string
		offset int64
	}{
		{"the first byte", in, 0, "simple", 0},
		{"the last byte", in + uintptr(n.size) - 1, 0, "simple", n.size - 1},
		{"a byte of a part", in + 600, 500, "simple", 600},
		{"the page of 4 KiB", in + 3*4096, 4*4096 - 50, "simple", 4*4096 - 50},
		{"the page of 2 MiB", in, 600, "simple", 600},
		{"another file", mem["dir/sub/one"], 0, "dir/sub/one", 0},
		{"another file, interleaved", strip + uintptr(layout.Chunk) + 5, 0, inRuns, (strips+1)*layout.Chunk + 5},
		{"behind the end of another", mem["dir/sub/one"] + 1, 0, path, int64(mem["dir/sub/one"] + 1 - window)},
		{"the log", window + logOffset, 0, path, logOffset},
		{"no memory of ours", end + 1<<21, 0, "", -1},
	} {
		part := data
		if test.from > 0 {
			part = m.window.mem[int64(in-window)+test.from:][:100]
		}
		fault := m.blame(&m.member, &FaultError{Offset: -1, Addr: test.addr}, n, test.from, part)
		if test.name == "" && fault.Name != "" {
			continue // what lies behind the window may be another test's
		}
		assert.Equal(t, FaultError{Name: test.name, Offset: test.offset, Addr: test.addr}, *fault, test.why)
	}
	assert.Len(t, files, 3)

	// Where all pages are small, what begins a page of 2 MiB belongs to whoever has that byte: a
	// file in another one's View is not blamed for it.
	for small, offset := range map[bool]int64{true: 0, false: 5 * 4096} {
		m.dev.smallPages = small
		fault := m.blame(&m.member, &FaultError{Offset: -1, Addr: in}, n, 5*4096, m.window.mem[int64(in-window)+5*4096:][:100])
		if os.Getpagesize() == 4096 {
			assert.Equal(t, FaultError{Name: "simple", Offset: offset, Addr: in}, *fault)
		}
	}
}

// What is remembered of file systems that are closed does not keep them in memory.
func TestWindowForgotten(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	start := addressOf(m.window.mem)
	mapped.mu.Lock()
	assert.NotNil(t, mapped.entries[start].fileAt)
	mapped.mu.Unlock()
	require.NoError(t, m.Close())
	mapped.mu.Lock()
	defer mapped.mu.Unlock()
	for _, e := range mapped.closed {
		assert.Nil(t, e.fileAt)
	}
}
