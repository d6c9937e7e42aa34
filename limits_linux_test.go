package famfs

// Limits that the system sets to a process: mappings, address space, and file descriptors. Each
// runs in its own process, which is this test binary again.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const limitEnv = "FAMFS_TEST_LIMIT" // which limit, device

var limits = map[string]func(t *testing.T, device string){
	"files":         limitFiles,
	"address space": limitAddressSpace,
	"chunks":        limitChunks,
	"mappings":      limitMappings,
	"file size":     limitFileSize,
}

// limitContent is the content of the file "first" of every device here.
var limitContent = pattern(3*mib, 1)

func TestSystemLimits(t *testing.T) {
	needsProcesses(t)
	needsNoDevice(t)
	t.Parallel()
	for name := range limits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fileBacking(t, 2<<30)
			require.NoError(t, Format(path, WithSystemUUID(testHost)))
			if name == "chunks" {
				setUnit(t, path, smallUnit)
			}
			m := openTest(t, path, ReadWrite())
			require.NoError(t, m.WriteFile("first", limitContent, 0o644))
			require.NoError(t, m.Close())
			cmd := exec.Command(os.Args[0], "-test.run=^TestLimitProcess$", "-test.count=1", "-test.v")
			cmd.Env = append(os.Environ(), limitEnv+"="+name+","+path)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			if strings.Contains(string(out), "--- SKIP") {
				t.Skipf("%s", out)
			}
			after := openTest(t, path, ReadWrite())
			assertGoesOn(t, after, limitContent)
			requireNoneMissing(t, after)
		})
	}
}

// TestLimitProcess is the code of the processes; by itself it does nothing.
func TestLimitProcess(t *testing.T) {
	name, device, ok := strings.Cut(os.Getenv(limitEnv), ",")
	if !ok {
		t.Skip("serves the test of limits")
	}
	limits[name](t, device)
}

// setLimit sets the soft limit of a resource and returns a function that restores it.
func setLimit(t testing.TB, resource int, n uint64) (undo func()) {
	t.Helper()
	// Not with package syscall, which would raise the limit again in child processes.
	var was unix.Rlimit
	require.NoError(t, unix.Getrlimit(resource, &was))
	require.NoError(t, unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: was.Max}))
	return func() { require.NoError(t, unix.Setrlimit(resource, &was)) }
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries) - 1 // without that of the listing
}

// limitFiles opens a device until there are no descriptors left. Everything except opening still
// works, because it needs none.
func limitFiles(t *testing.T, device string) {
	m := openTest(t, device, ReadWrite())
	undo := setLimit(t, unix.RLIMIT_NOFILE, uint64(openDescriptors(t)+20))
	var more []*FS
	var err error
	for err == nil {
		require.Less(t, len(more), 100)
		var fsys *FS
		if fsys, err = Open(device); err == nil {
			more = append(more, fsys)
		}
	}
	require.NotEmpty(t, more)
	assertLimit(t, err, syscall.EMFILE, "famfs: open "+device, "too many open files")
	_, err = Check(device)
	assertLimit(t, err, syscall.EMFILE, "famfs: check "+device)
	assertLimit(t, Format(device, Force()), syscall.EMFILE, device)
	other := filepath.Join(filepath.Dir(device), "other")
	assertLimit(t, CreateBacking(other, mib), syscall.EMFILE, other)
	assert.NoFileExists(t, other)

	usage := m.Usage()
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("d/f", []byte("x"), 0o644))
	require.NoError(t, m.CopyFS(context.Background(), "copy", fstest.MapFS{"a/b": {Data: []byte("y")}}))
	assert.Equal(t, usage.Files+2, m.Usage().Files)
	for _, fsys := range append(more, m) {
		_, err := fsys.Refresh()
		require.NoError(t, err)
		data, err := fsys.ReadFile("copy/a/b")
		require.NoError(t, err)
		assert.Equal(t, "y", string(data))
		mapped, err := fsys.Map("first")
		require.NoError(t, err)
		assert.True(t, bytes.Equal(limitContent, mapped.Bytes()))
		require.NoError(t, mapped.Close())
	}
	require.NoError(t, more[0].Close())
	again, err := Open(device)
	require.NoError(t, err, "there is one again")
	require.NoError(t, again.Close())
	for _, fsys := range more[1:] {
		require.NoError(t, fsys.Close())
	}
	undo()
	n := openDescriptors(t)
	for range 3 { // what fails keeps none either
		_, err := Open(filepath.Dir(device))
		require.Error(t, err)
		_, err = Open(device, ReadWrite(), WithSystemUUID(otherHost))
		require.ErrorIs(t, err, ErrNotMaster)
	}
	assert.Equal(t, n, openDescriptors(t))
}

// addressSpaceUsed returns how many bytes of address space the process has.
func addressSpaceUsed(t testing.TB) uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.ParseUint(strings.Fields(string(text))[0], 10, 64)
	require.NoError(t, err)
	return pages * uint64(os.Getpagesize())
}

// limitAddressSpace allows much less than the size of the device. Files that fit are mapped,
// others are read.
func limitAddressSpace(t *testing.T, device string) {
	m := openTest(t, device, ReadWrite())
	big, err := m.Create("big", 1<<30)
	require.NoError(t, err)
	_, err = big.WriteAt([]byte("here"), 1<<29)
	require.NoError(t, err)
	require.NoError(t, big.Commit())

	// The runtime itself reserves 64 MiB at a time, under the race detector several times that.
	undo := setLimit(t, unix.RLIMIT_AS, addressSpaceUsed(t)+768*mib)
	before := newUnchangedMapped(t, m)
	for _, opts := range [][]MapOption{nil, {Writable()}, {Populate()}} {
		_, err = m.Map("big", opts...)
		assertLimit(t, err, syscall.ENOMEM, "map big", device, "cannot allocate memory")
		assert.NotErrorIs(t, err, ErrNoSpace)
	}
	before()
	_, err = Open(device)
	assertLimit(t, err, syscall.ENOMEM, "famfs: open "+device, "cannot allocate memory")
	_, err = Check(device)
	assertLimit(t, err, syscall.ENOMEM, "famfs: check "+device)
	before()

	// A file that large is refused when it is to be written, and nothing is left of it.
	p, err := m.Create("new", 900*mib)
	require.NoError(t, err)
	assert.Nil(t, p.Bytes())
	_, err = p.WriteAt([]byte("x"), 0)
	assertLimit(t, err, syscall.ENOMEM, "write new")
	assertLimit(t, p.Commit(), syscall.ENOMEM, "commit new", "the file could not be written")
	require.NoError(t, p.Close())
	before()

	file, err := m.Open("big")
	require.NoError(t, err)
	b := make([]byte, 4)
	_, err = file.(*openFileHandle).ReadAt(b, 1<<29)
	require.NoError(t, err)
	assert.Equal(t, "here", string(b))
	require.NoError(t, file.Close())
	mapped, err := m.Map("first")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(limitContent, mapped.Bytes()))
	require.NoError(t, mapped.Close())
	require.NoError(t, m.WriteFile("small", []byte("x"), 0o644))

	undo()
	mapped, err = m.Map("big")
	require.NoError(t, err)
	assert.Equal(t, "here", string(mapped.Bytes()[1<<29:][:4]))
	require.NoError(t, mapped.Close())
}

// limitFileSize allows to write less of a file than the device has, before and after it is
// opened. A call that goes further would end the process.
func limitFileSize(t *testing.T, device string) {
	undo := setLimit(t, unix.RLIMIT_FSIZE, mib)
	m := openTest(t, device, ReadWrite())
	assert.False(t, m.dev.takesCalls())
	require.NoError(t, m.WriteFile("small", []byte("x"), 0o644))
	require.NoError(t, m.CopyFS(context.Background(), "copy", fstest.MapFS{"a": {Data: limitContent}, "b": {Data: []byte("y")}}))
	data, err := m.ReadFile("small")
	require.NoError(t, err)
	assert.Equal(t, "x", string(data))
	undo()
	assert.True(t, openTest(t, device, WithClientWrites()).dev.takesCalls())
	require.NoError(t, m.Close())

	m = openTest(t, device, ReadWrite())
	assert.True(t, m.dev.takesCalls())
	undo = setLimit(t, unix.RLIMIT_FSIZE, mib) // later
	require.NoError(t, m.WriteFile("later", limitContent, 0o644))
	require.NoError(t, m.WriteFile("much", pattern(2*workPiece, 1), 0o644))
	undo()
	require.NoError(t, m.Close())
}

// newUnchangedMapped is newUnchanged for a process that can map nothing more. It returns a
// function that checks that usage, log and mappings have not changed.
func newUnchangedMapped(t *testing.T, m *FS) (check func()) {
	t.Helper()
	sharedMemory := func() []byte { return bytes.Clone(m.metaRegion.mem[:m.sb.logEnd()]) }
	usage, was, regions := m.Usage(), sharedMemory(), mappingsOf(t, m.dev.info.Path)
	return func() {
		t.Helper()
		assert.Equal(t, usage, m.Usage())
		assert.True(t, bytes.Equal(was, sharedMemory()), "the bytes of superblock and log")
		assert.Equal(t, regions, mappingsOf(t, m.dev.info.Path))
	}
}

// mappingsOf counts the mappings of a file, or all mappings of the process for "".
func mappingsOf(t testing.TB, path string) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	return strings.Count(string(maps), path+"\n")
}

// maxMappings returns how many mappings the system allows a process.
func maxMappings(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/vm/max_map_count")
	require.NoError(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	if n > 200_000 {
		t.Skipf("vm.max_map_count is %d, which takes too long to reach", n)
	}
	return n
}

// limitChunks maps a file with more chunks than the system allows mappings. The file can be
// read, and no part of it stays mapped.
func limitChunks(t *testing.T, device string) {
	allowed := int64(maxMappings(t))
	m := openTest(t, device, ReadWrite())
	i := Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: smallUnit})
	create := func(name string, chunks int64) {
		t.Helper()
		p, err := m.Create(name, chunks*smallUnit-5, i)
		require.NoError(t, err)
		require.NoError(t, p.Commit())
	}
	create("few", 100)
	create("many", allowed+10)
	check := newUnchangedMapped(t, m)
	for range 2 {
		_, err := m.Map("many")
		assertLimit(t, err, syscall.ENOMEM, "map many", fmt.Sprintf("of %d, 4096 bytes at ", allowed+10), device, "vm.max_map_count", "reading through fs.FS needs none")
		check()
	}
	mapped, err := m.Map("few")
	require.NoError(t, err)
	require.Len(t, mapped.Bytes(), 100*smallUnit-5)

	// Writing such a file at once would need as many mappings.
	p, err := m.Create("new", (allowed+10)*smallUnit, i)
	require.NoError(t, err)
	assert.Nil(t, p.Bytes())
	assertLimit(t, p.Commit(), syscall.ENOMEM, "commit new", "vm.max_map_count")
	require.NoError(t, p.Close())
	require.NoError(t, mapped.Close())
	check()

	data, err := m.ReadFile("many")
	require.NoError(t, err)
	assert.Len(t, data, int((allowed+10)*smallUnit-5))
}

// limitMappings uses up the mappings of the process for other things. Then a file of one run
// cannot be mapped either. Existing mappings stay and can be closed.
func limitMappings(t *testing.T, device string) {
	if raceEnabled {
		t.Skip("the race detector wants mappings too, and ends the program where there are none")
	}
	allowed := maxMappings(t)
	m := openTest(t, device, ReadWrite())
	for n := range 40 {
		p, err := m.Create(itoa(n), 2*mib)
		require.NoError(t, err)
		_, err = p.Write([]byte(itoa(n)))
		require.NoError(t, err)
		require.NoError(t, p.Commit())
	}
	first, err := m.Map("first")
	require.NoError(t, err)
	usage := m.Usage()

	// The runtime must not need mappings while there are none: let it have all the memory and
	// threads that it may need, and not collect.
	file, err := m.Open(itoa(39))
	require.NoError(t, err)
	defer file.Close()
	buffer := make([]byte, 1000)
	ballast := make([]byte, 32*mib)
	runtime.KeepAlive(ballast)
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var threads sync.WaitGroup
	for range 16 {
		threads.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			unix.Nanosleep(&unix.Timespec{Nsec: 20e6}, nil)
		})
	}
	threads.Wait()
	// Neighbours with different rights cannot become one mapping.
	const spare = 20
	page := os.Getpagesize()
	filler := (allowed - mappingsOf(t, "") - spare) &^ 1
	mem, err := unix.Mmap(-1, 0, filler*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	for at := page; at < len(mem)-page && err == nil; at += 2 * page {
		err = unix.Mprotect(mem[at:at+page], unix.PROT_READ)
	}
	var mapped []*Mapping
	for n := 0; err == nil && n < 40; n++ {
		var more *Mapping
		// Every other one, so that they do not become one mapping.
		if more, err = m.Map(itoa(n * 7 % 40)); err == nil {
			mapped = append(mapped, more)
		}
	}
	failed := err
	same := m.Usage() == usage && bytes.Equal(first.Bytes(), limitContent)
	_, readErr := file.Read(buffer)
	mkdirErr := m.Mkdir("d", 0o755)
	var closeErrs []error
	for _, m := range mapped {
		closeErrs = append(closeErrs, m.Close())
	}
	require.NoError(t, unix.Munmap(mem)) // before anything else that may allocate
	t.Logf("%d mapped before %v", len(mapped), failed)
	assertLimit(t, failed, syscall.ENOMEM, "map ", device)
	assert.True(t, same)
	require.NoError(t, readErr)
	require.NoError(t, mkdirErr)
	require.NoError(t, errors.Join(closeErrs...))

	again, err := m.Map(itoa(39))
	require.NoError(t, err)
	assert.Equal(t, itoa(39), string(again.Bytes()[:len(itoa(39))]))
	require.NoError(t, again.Close())
	require.NoError(t, first.Close())
	assert.Equal(t, 2, mappingsOf(t, device), "window and log")
}
