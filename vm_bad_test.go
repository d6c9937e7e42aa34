//go:build linux

package famfs

// Bad memory on real devices, in guests of test/vm/run: bad blocks that the system lists, and memory
// that the kernel is told to take for poisoned.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// poison has the kernel take the page of memory at b for poisoned, as after a machine check. The
// signal comes while the call returns, to who makes it. It must not be told to Go's scheduler: a
// thread that is in a system call for it cannot panic.
func poison(b []byte) error {
	_, _, errno := unix.RawSyscall(unix.SYS_MADVISE, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(os.Getpagesize()), unix.MADV_HWPOISON)
	if errno != 0 {
		return os.NewSyscallError("madvise MADV_HWPOISON", errno)
	}
	return nil
}

// The kernel is told of poisoned memory of a file, through a mapping and through the window: the
// fault is an error that names file and offset, and everything else goes on.
func TestVMPoison(t *testing.T) {
	scenario := inScenario(t, "poison", "poison-fsdax")
	m, path := master(t, testSize)
	content := pattern(5*mib, 1)
	for _, name := range []string{"before", "hit", "seen", "behind"} {
		require.NoError(t, m.WriteFile(name, content, 0o644))
	}
	reader := openTest(t, path)
	const at = 2*mib + 3*4096
	assertFault := func(how string, err error, name string) {
		t.Helper()
		t.Logf("%s, %s: %v", scenario, how, err)
		var fault *FaultError
		require.ErrorAs(t, err, &fault, how)
		assert.Equal(t, name, fault.Name, how)
		assert.GreaterOrEqual(t, fault.Offset, int64(at)&^(2*mib-1), how) // a fault may be said to be at the start of its large page
		assert.LessOrEqual(t, fault.Offset, int64(at), how)
		assert.False(t, fault.Gone, how)
		assert.ErrorIs(t, err, ErrDevice, how)
	}
	mapping, err := reader.Map("hit")
	require.NoError(t, err)
	defer mapping.Close()
	assertFault("Guard", Guard(func() error {
		loadPages(mapping.Bytes()[at : at+1])
		return poison(mapping.Bytes()[at:])
	}), "hit")
	assertFault("View", reader.View("seen", func(data []byte) error {
		loadPages(data[at : at+1])
		return poison(data[at:])
	}), "seen")
	again := Guard(func() error { loadPages(mapping.Bytes()[at : at+1]); return nil })
	t.Logf("%s, reading it again: %v; memory known to fail: %v, listed: %v", scenario, again, reader.badMemory.failed, reader.Device().Bad)

	// The rest of the file, and other files, can be read; so can new ones be made.
	require.NoError(t, Guard(func() error { loadPages(mapping.Bytes()[:mib]); return nil }))
	for _, name := range []string{"before", "behind"} {
		data, err := m.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, hexSum(content), hexSum(data), name)
	}
	require.NoError(t, m.WriteFile("new", content, 0o644))
	report, err := reader.Scrub(t.Context())
	require.NoError(t, err)
	t.Logf("%s, Scrub: %v", scenario, report.Bad)
	for _, b := range report.Bad {
		assert.Contains(t, []string{"hit", "seen"}, b.Name)
	}
	require.NoError(t, mapping.Close())
	require.NoError(t, m.Close())
}

// A block of persistent memory is listed as bad: the kernel refuses to map it. Every way to read a
// file that is on it says which file and offset, and the rest goes on.
func TestVMBadBlocks(t *testing.T) {
	inScenario(t, "badblocks")
	m, path := master(t, testSize, Reuse())
	for _, name := range []string{"before", "hit", "behind"} {
		addFile(t, m, name, 5*mib, Seal())
	}
	const at = 2*mib + 3*4096
	onDevice := extentsOf(t, m, "hit")[0].Offset + at
	require.NoError(t, m.Close())

	// Where that is on the block device, the file system says.
	file, err := os.Open(path)
	require.NoError(t, err)
	extents, err := fileExtents(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	sector := int64(-1)
	for _, x := range extents {
		if onDevice >= x.logical && onDevice < x.logical+x.length {
			sector = (x.physical + onDevice - x.logical) / sectorSize
		}
	}
	require.Positive(t, sector)
	lists, err := filepath.Glob("/sys/block/pmem*/badblocks")
	require.NoError(t, err)
	require.Len(t, lists, 1)
	require.NoError(t, os.WriteFile(lists[0], []byte(fmt.Sprintf("%d 1", sector)), 0))
	text, err := os.ReadFile(lists[0])
	require.NoError(t, err)
	t.Logf("%s: %s", lists[0], strings.TrimSpace(string(text)))

	m = openMaster(t, path)
	want := []DeviceRange{{onDevice, sectorSize}}
	require.Equal(t, want, m.Device().Bad)
	require.Len(t, m.Problems(), 1)
	assert.ErrorContains(t, m.Problems()[0], fmt.Sprintf(`file "hit": 512 bytes, the first at offset %d of the file`, at))
	checked, err := Check(path)
	require.NoError(t, err)
	require.Len(t, checked.Problems, 1)
	assert.ErrorIs(t, checked.Problems[0], ErrBadMemory)
	assert.Equal(t, "hit", checked.Problems[0].Path)

	mapping, err := m.Map("hit")
	require.NoError(t, err)
	open, err := m.Open("hit")
	require.NoError(t, err)
	defer open.Close()
	readFile := func() error { _, err := m.ReadFile("hit"); return err }
	readAt := func() error { _, err := open.(io.ReaderAt).ReadAt(make([]byte, 10), at+5); return err }
	writeTo := func() error { _, err := open.(io.WriterTo).WriteTo(io.Discard); return err }
	view := func() error { return m.View("hit", func(data []byte) error { loadPages(data); return nil }) }
	guarded := func() error { return Guard(func() error { loadPages(mapping.Bytes()[at : at+1]); return nil }) }
	copyOut := func() error { return os.CopyFS(t.TempDir(), m) }
	verify := func() error { return m.Verify("hit") }
	for how, read := range map[string]func() error{
		"ReadFile": readFile, "ReadAt": readAt, "WriteTo": writeTo, "View": view, "Guard": guarded, "os.CopyFS": copyOut, "Verify": verify,
	} {
		err := read()
		t.Logf("%s: %v", how, err)
		var fault *FaultError
		require.ErrorAs(t, err, &fault, how)
		assert.Equal(t, "hit", fault.Name, how)
		assert.Equal(t, int64(at), fault.Offset&^4095, how)
		assert.True(t, fault.Listed, how)
		assert.False(t, fault.Gone, how)
		assert.ErrorContains(t, err, "the system lists this memory as bad", how)
	}
	report, err := m.Scrub(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Bad, 1)
	assert.Equal(t, BadRange{Name: "hit", Offset: at, Length: 4096, Err: report.Bad[0].Err}, report.Bad[0])
	for _, name := range []string{"before", "behind"} {
		require.NoError(t, m.Verify(name))
	}
	// It is not given out, not even when its file is gone.
	require.NoError(t, mapping.Close())
	require.NoError(t, m.Remove("hit"))
	_, err = m.Reclaim()
	require.NoError(t, err)
	for i := 0; ; i++ {
		name := fmt.Sprint("fill", i)
		p, err := m.Create(name, 64*mib)
		if errors.Is(err, ErrNoSpace) {
			break
		}
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		requireApart(t, m, name, 0, want...)
	}
	for _, name := range fill(t, m) {
		requireApart(t, m, name, 0, want...)
	}
}
