package famfs

// Devices: what may stand in for one, what is refused and with which words, and mapping its
// segments. Linux-only parts are in dax_linux_test.go.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testDevice opens a device until the end of the test.
func testDevice(t testing.TB, path string, write bool) *device {
	t.Helper()
	d, err := openDevice(path, write, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { d.close() })
	return d
}

// closeAlone closes something that may hold a lock, and so releases the lock. A process that is
// being started meanwhile, by a parallel test, would have a copy of every descriptor, and of its
// lock, until it executes its program. So no process is started during closeAlone.
func closeAlone(t testing.TB, c interface{ close() error }) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	require.NoError(t, c.close())
}

// mapTest maps segments until the end of the test.
func mapTest(t testing.TB, d *device, segs []segment, write, populate bool) []byte {
	t.Helper()
	r, err := d.mapSegments(segs, write, populate)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.unmap()) })
	return r.mem
}

// needsScatter skips systems on which a region has one run, at an address of the system's choice.
func needsScatter(t testing.TB) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("this system maps contiguous runs only")
	}
}

func TestCreateBacking(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	existing := filepath.Join(dir, "existing")
	require.NoError(t, os.WriteFile(existing, []byte("precious"), 0o600))
	tests := []struct {
		name string
		path string
		size int64
		want error
	}{
		{"a byte", filepath.Join(dir, "a"), 1, nil},
		{"a file system", filepath.Join(dir, "b"), 12 * mib, nil},
		{"larger than the disk", filepath.Join(dir, "c"), 1 << 40, nil},
		{"nothing", filepath.Join(dir, "d"), 0, fs.ErrInvalid},
		{"negative", filepath.Join(dir, "e"), -1, fs.ErrInvalid},
		{"smallest", filepath.Join(dir, "f"), math.MinInt64, fs.ErrInvalid},
		{"existing", existing, 4096, fs.ErrExist},
		{"a directory", dir, 4096, fs.ErrExist},
		{"in no directory", filepath.Join(dir, "no", "g"), 4096, fs.ErrNotExist},
		{"below a file", filepath.Join(existing, "g"), 4096, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := CreateBacking(test.path, test.size)
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
				assert.ErrorContains(t, err, test.path)
			}
			st, statErr := os.Stat(test.path)
			switch {
			case err == nil:
				require.NoError(t, statErr)
				assert.Equal(t, test.size, st.Size())
				assert.Error(t, CreateBacking(test.path, test.size), "a second time")
			case test.want != fs.ErrExist:
				assert.Error(t, statErr, "an error leaves no file behind")
			}
		})
	}
	text, err := os.ReadFile(existing)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))
}

// If the file system cannot make a file that large, that is only noticed after the file exists.
// The limit depends on the system. Either way, there is a whole file or none.
func TestCreateBackingTooLarge(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1 << 50, 1 << 60, math.MaxInt64} {
		path := filepath.Join(t.TempDir(), "device")
		err := CreateBacking(path, size)
		st, statErr := os.Stat(path)
		if err != nil {
			assert.ErrorIs(t, statErr, fs.ErrNotExist)
			continue
		}
		require.NoError(t, statErr)
		assert.Equal(t, size, st.Size())
	}
}

func TestOpenDeviceRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	tests := map[string]struct {
		path string
		want error
		says string
	}{
		"a directory":  {dir, ErrDevice, "is a directory"},
		"missing":      {filepath.Join(dir, "missing"), fs.ErrNotExist, "missing"},
		"an empty one": {empty, ErrDevice, "CreateBacking"},
		"no path":      {"", fs.ErrNotExist, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, write := range []bool{false, true} {
				_, err := openDevice(test.path, write, slog.New(slog.DiscardHandler))
				require.ErrorIs(t, err, test.want)
				assert.ErrorContains(t, err, test.path)
				assert.ErrorContains(t, err, test.says)
			}
		})
	}
}

func TestOpenDeviceFile(t *testing.T) {
	t.Parallel()
	path := fileBacking(t, 3*mib+123)
	d := testDevice(t, path, false)
	assert.Equal(t, path, d.info.Path)
	assert.Equal(t, int64(3*mib+123), d.info.Size)
	assert.Equal(t, int64(os.Getpagesize()), d.info.Align)
	assert.Equal(t, -1, d.info.NUMANode)
	assert.Equal(t, -1, d.info.TargetNode)
	assert.Empty(t, d.info.Driver)
	assert.Equal(t, d.info.Kind == FSDAX, d.info.Synchronous)
	assert.Contains(t, []Kind{File, FSDAX}, d.info.Kind)
}

func TestKindString(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"file", "fs-dax", "devdax", "Kind(3)"}, []string{File.String(), FSDAX.String(), DevDAX.String(), Kind(3).String()})
}

// The last bytes of a file that ends within a page can be read, and can be written if metadata
// is there.
func TestMapWholeAndPrefix(t *testing.T) {
	t.Parallel()
	size := int64(3*os.Getpagesize() + 100)
	path := fileBacking(t, size)
	require.NoError(t, os.WriteFile(path, pattern(int(size), 5), 0o600))
	d := testDevice(t, path, true)
	if d.info.Kind != File {
		t.Skip("fs-dax maps whole pages")
	}
	whole, err := d.mapWhole()
	require.NoError(t, err)
	defer func() { require.NoError(t, whole.unmap()) }()
	assert.Equal(t, pattern(int(size), 5), whole.mem[:len(whole.mem):len(whole.mem)])
	if runtime.GOOS != "windows" {
		assert.Zero(t, addressOf(whole.mem)%regionAlign, "large pages can be used")
	}
	for _, n := range []int64{1, int64(os.Getpagesize()), size - 50, size, size + 1000} {
		prefix, err := d.mapPrefix(n)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, int64(len(prefix.mem)), min(n, size))
		assert.LessOrEqual(t, int64(len(prefix.mem)), size)
		prefix.mem[len(prefix.mem)-1]++
		assert.Equal(t, prefix.mem, whole.mem[:len(prefix.mem)])
		require.NoError(t, prefix.unmap())
	}
}

// Where there is no room for an aligned window there is one that is not.
func TestMapWholeUnaligned(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	if strconv.IntSize < 64 {
		t.Skip("no such alignment")
	}
	d := testDevice(t, fileBacking(t, mib), false)
	d.info.Align <<= 40
	whole, err := d.mapWhole()
	require.NoError(t, err)
	assert.Len(t, whole.mem, mib)
	require.NoError(t, whole.unmap())
}

func TestMapSegmentsRefuses(t *testing.T) {
	t.Parallel()
	const size = 8 * mib
	path := fileBacking(t, size)
	d := testDevice(t, path, true)
	page := int64(os.Getpagesize())
	tests := map[string][]segment{
		"of no length":            {{0, 0}},
		"of negative length":      {{page, -page}},
		"of the smallest length":  {{0, math.MinInt64}},
		"before the device":       {{-page, page}},
		"far before":              {{math.MinInt64, page}},
		"behind the device":       {{size, page}},
		"past its end":            {{size - page, 2 * page}},
		"too long":                {{0, size + page}},
		"of the greatest length":  {{0, math.MaxInt64}},
		"overflowing":             {{math.MaxInt64 - page + 1, page}},
		"both greatest":           {{math.MaxInt64, math.MaxInt64}},
		"at an odd offset":        {{1, page}},
		"at half a page":          {{page / 2, page}},
		"of odd length":           {{0, page + 1}},
		"of half a page":          {{0, page / 2}},
		"sound, but for the last": {{0, page}, {page, page}, {2 * page, size}},
	}
	for name, segs := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, write := range []bool{false, true} {
				r, err := d.mapSegments(segs, write, false)
				require.ErrorIs(t, err, ErrDevice)
				assert.ErrorContains(t, err, path)
				assert.Nil(t, r)
			}
		})
	}
}

// The kernel maps the wrong memory if an offset is not a multiple of the device's alignment:
// this package must refuse it.
func TestMapSegmentsAlignment(t *testing.T) {
	t.Parallel()
	d := testDevice(t, fileBacking(t, 8*mib), false)
	d.info.Align = 2 * mib
	for _, s := range []segment{{4096, 2 * mib}, {2 * mib, 4096}, {mib, mib}, {0, 3 * mib}} {
		_, err := d.mapSegments([]segment{s}, false, false)
		require.ErrorIs(t, err, ErrDevice, "%+v", s)
		assert.ErrorContains(t, err, "multiples of 2097152", "%+v", s)
		assert.ErrorContains(t, err, "daxctl reconfigure-device --align", "%+v", s)
	}
	assert.Len(t, mapTest(t, d, []segment{{2 * mib, 4 * mib}}, false, false), 4*mib)
}

// More than an address space can hold, in segments that each lie on the device.
func TestMapSegmentsTooMuch(t *testing.T) {
	t.Parallel()
	d := testDevice(t, fileBacking(t, 4096), false)
	d.info.Size = math.MaxInt64
	const huge = math.MaxInt64/2 + 1 - 65536
	_, err := d.mapSegments([]segment{{0, huge}, {huge, huge}, {0, huge}}, false, false)
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, "address space")
}

func TestMapSegments(t *testing.T) {
	t.Parallel()
	needsScatter(t)
	page := int64(os.Getpagesize())
	size := 64 * page
	path := fileBacking(t, size)
	content := pattern(int(size), 11)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	d := testDevice(t, path, true)
	tests := map[string][]segment{
		"one":                  {{3 * page, 5 * page}},
		"all":                  {{0, size}},
		"neighbours":           {{page, page}, {2 * page, 3 * page}},
		"scattered":            {{60 * page, page}, {0, 2 * page}, {30 * page, 7 * page}, {2 * page, page}},
		"descending":           {{9 * page, page}, {8 * page, page}, {7 * page, page}},
		"the same again":       {{4 * page, page}, {4 * page, page}},
		"sixteen":              everyOther(page, 16),
		"more than any layout": everyOther(page, 32),
	}
	for name, segs := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []byte
			for _, s := range segs {
				want = append(want, content[s.off:s.off+s.len]...)
			}
			for _, populate := range []bool{false, true} {
				mem := mapTest(t, d, segs, false, populate)
				assert.Zero(t, addressOf(mem)%regionAlign)
				assert.True(t, bytes.Equal(want, mem), "populate %v", populate)
			}
		})
	}
}

// everyOther returns n pages with gaps, the last first.
func everyOther(page int64, n int) (segs []segment) {
	for i := n - 1; i >= 0; i-- {
		segs = append(segs, segment{int64(2*i) * page, page})
	}
	return segs
}

// Stores to a region reach the file at the right places and no others.
func TestMapSegmentsWrite(t *testing.T) {
	t.Parallel()
	needsScatter(t)
	page := int64(os.Getpagesize())
	path := fileBacking(t, 16*page)
	d := testDevice(t, path, true)
	segs := []segment{{9 * page, page}, {2 * page, 3 * page}, {15 * page, page}}
	for _, populate := range []bool{false, true} {
		mem := mapTest(t, d, segs, true, populate)
		fillPattern(mem, 3)
		require.NoError(t, d.flush(mem, 0))
		require.NoError(t, d.flush(mem[17:100], 0))
		require.NoError(t, d.flush(nil, 0))
		want := make([]byte, 16*page)
		at := int64(0)
		for _, s := range segs {
			at += int64(copy(want[s.off:s.off+s.len], mem[at:]))
		}
		found, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, found), "populate %v", populate)
	}
}

// Flush waits for the disk under a stand-in, if there is one, and returns its error: for data,
// log entry and counters of a file, and for data of users.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	var synced [][]byte
	failAt := 0
	failure := errors.New("no room on the disk")
	m := openTest(t, path, ReadWrite(), prepareOption(func(d *device) {
		d.writeBack = true
		d.sync = func(mem []byte) error {
			if synced = append(synced, mem); len(synced) == failAt {
				return failure
			}
			return nil
		}
	}))
	begin := func(fail int) { synced, failAt = nil, fail }

	require.NoError(t, m.WriteFile("f", pattern(10_000, 1), 0o644))
	x, err := m.Map("f", Writable())
	require.NoError(t, err)
	defer x.Close()
	begin(0)
	require.NoError(t, x.Flush())
	require.Equal(t, [][]byte{x.Bytes()}, synced)
	begin(0)
	require.NoError(t, x.FlushRange(100, 200))
	require.Len(t, synced, 1)
	assert.Equal(t, addressOf(x.Bytes())+100, addressOf(synced[0]))
	assert.Len(t, synced[0], 200)
	begin(1)
	assert.ErrorIs(t, x.Flush(), failure)
	begin(1)
	assert.ErrorIs(t, x.FlushRange(0, 1), failure)
	begin(1)
	require.NoError(t, x.Invalidate(), "it writes nothing")
	assert.Empty(t, synced)

	// If any of the things fails that Commit waits for, Commit says so.
	calls := 0
	for fail := 1; ; fail++ {
		p, err := m.Create(fmt.Sprintf("c%d", fail), 10_000)
		require.NoError(t, err)
		_, err = p.Write(pattern(10_000, 2))
		require.NoError(t, err)
		begin(fail)
		err = p.Commit()
		if calls = len(synced); calls < fail {
			require.NoError(t, err)
			break
		}
		require.ErrorIs(t, err, failure, "call %d", fail)
		require.NoError(t, p.Close())
	}
	assert.GreaterOrEqual(t, calls, 3, "for data, entry and counters")
	begin(1)
	assert.ErrorIs(t, m.Mkdir("d", 0o755), failure)
}

// A failing disk is reported once, to whoever waits for it next, but anybody may have lost data.
// So everything stored before counts as lost, and what is stored later does not.
func TestDiskErrorOfAnother(t *testing.T) {
	needsOneDevice(t, "its files must lie on the one with the log")
	t.Parallel()
	failure := errors.New("no room on the disk")
	var fails atomic.Bool
	m := openTest(t, formatted(t, testSize), ReadWrite(), prepareOption(func(d *device) {
		d.writeBack = true
		d.sync = func([]byte) error {
			if fails.Swap(false) {
				return failure
			}
			return nil
		}
	}))
	require.NoError(t, m.WriteFile("f", pattern(5000, 1), 0o644))
	create := func(name string) *PendingFile {
		p, err := m.Create(name, 5000)
		require.NoError(t, err)
		t.Cleanup(func() { p.Close() })
		return p
	}
	fill := map[string]func(*PendingFile) error{
		"slice": func(p *PendingFile) error { copy(p.Bytes(), pattern(5000, 2)); return nil },
		"write": func(p *PendingFile) error { _, err := p.Write(pattern(5000, 2)); return err },
		"read":  func(p *PendingFile) error { _, err := p.ReadFrom(bytes.NewReader(pattern(5000, 2))); return err },
	}
	before, after := map[string]*PendingFile{}, map[string]*PendingFile{}
	for name, fill := range fill {
		before[name], after[name] = create("before "+name), create("after "+name)
		require.NoError(t, fill(before[name]))
	}
	mapping, err := m.Map("f", Writable())
	require.NoError(t, err)
	defer mapping.Close()

	// The log's own writes count too.
	mem := &mappedMemory{dev: m.dev, mem: m.metaRegion.mem}
	word := mem.load64(logOffset + 8)
	mem.store64(logOffset+8, word)

	other := create("other")
	require.NoError(t, fill["slice"](other))
	fails.Store(true)
	require.ErrorIs(t, other.Commit(), failure)
	require.False(t, fails.Load())

	assert.ErrorIs(t, mem.flush(logOffset+8, 8), failure, "stored before")
	mem.store64(logOffset+8, word)
	assert.NoError(t, mem.flush(logOffset+8, 8), "stored again")
	for name, p := range before {
		for range 2 {
			assert.ErrorIs(t, p.Commit(), failure, name)
		}
		require.NoError(t, p.Close())
		_, err := m.Stat("before " + name)
		assert.ErrorIs(t, err, fs.ErrNotExist, name)
	}
	for name, p := range after {
		require.NoError(t, fill[name](p))
		assert.NoError(t, p.Commit(), name)
	}
	for range 2 {
		assert.ErrorIs(t, mapping.Flush(), failure)
	}
	again, err := m.Map("f", Writable())
	require.NoError(t, err)
	defer again.Close()
	assert.NoError(t, again.Flush(), "mapped again")

	// A failure while the file was logged does not concern its data, which was written before.
	p := create("again")
	require.NoError(t, fill["slice"](p))
	calls := 0
	disk := m.dev.sync
	m.dev.sync = func(mem []byte) error {
		if calls++; calls == 2 {
			return failure
		}
		return disk(mem)
	}
	require.ErrorIs(t, p.Commit(), failure)
	assert.NoError(t, p.Commit())
}

// Memory mapped for reading cannot be written, even if the file was opened for writing. The
// error names what the address book knows.
func TestMapSegmentsReadOnly(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	d := testDevice(t, fileBacking(t, 4*mib), true)
	mem := mapTest(t, d, []segment{{mib, 2 * mib}}, false, false)
	store := func() error {
		return Guard(func() error {
			mem[12345] = 1
			return nil
		})
	}
	var fault *FaultError
	require.ErrorAs(t, store(), &fault)
	assert.Equal(t, FaultError{Name: "", Offset: -1, Addr: addressOf(mem) + 12345}, *fault)
	assert.ErrorContains(t, fault, "outside every famfs mapping")

	mapped.add(mem, "the/file")
	require.ErrorAs(t, store(), &fault)
	assert.Equal(t, FaultError{Name: "the/file", Offset: 12345, Addr: addressOf(mem) + 12345}, *fault)
	mapped.remove(mem)

	require.ErrorAs(t, store(), &fault)
	assert.Empty(t, fault.Name)
	assert.Zero(t, mem[12345])
}

// A descriptor opened for reading cannot make writable memory.
func TestMapSegmentsReadOnlyDevice(t *testing.T) {
	t.Parallel()
	d := testDevice(t, fileBacking(t, 4*mib), false)
	_, err := d.mapSegments([]segment{{0, mib}}, true, false)
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = d.mapPrefix(mib)
	require.ErrorIs(t, err, fs.ErrPermission)
}

// Populating memory that is gone is an error, not a later fault.
func TestPopulateTruncated(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	needsScatter(t)
	path := fileBacking(t, 4*mib)
	d := testDevice(t, path, true)
	mem := mapTest(t, d, []segment{{0, 4 * mib}}, true, true)
	require.NoError(t, os.Truncate(path, mib))
	for _, write := range []bool{false, true} {
		require.NoError(t, populateMemory(mem[:mib], write))
		require.ErrorIs(t, populateMemory(mem, write), ErrDevice)
		_, err := d.mapSegments([]segment{{0, 4 * mib}}, write, true)
		require.ErrorIs(t, err, ErrDevice)
		assert.ErrorContains(t, err, path)
	}
	// The same if the system has no call for it.
	require.NoError(t, touchPages(mem[:mib]))
	require.ErrorIs(t, touchPages(mem), ErrDevice)
}

func TestDeviceLock(t *testing.T) {
	t.Parallel()
	path := testBacking(t, 4*mib)
	lock := func(d *device) bool {
		ok, err := d.tryLock()
		require.NoError(t, err)
		return ok
	}
	// A descriptor that cannot write can hold the lock too.
	first, second := testDevice(t, path, true), testDevice(t, path, false)
	assert.True(t, lock(first))
	assert.False(t, lock(second))
	assert.True(t, lock(first), "it is the open device that has it")
	require.NoError(t, first.unlock())
	assert.True(t, lock(second))
	assert.False(t, lock(first))
	closeAlone(t, second)
	assert.True(t, lock(first), "closing gives it up")
	require.NoError(t, first.unlock())
	require.NoError(t, first.unlock(), "a second time changes nothing")

	_, err := second.tryLock()
	assert.ErrorContains(t, err, path, "after close")
	assert.ErrorContains(t, second.unlock(), path, "after close")
}

// If a logger panics, no device stays open.
func TestOpenDeviceLoggerPanics(t *testing.T) {
	needsFile(t, "it looks for files that are open, and other tests may have the device open")
	t.Parallel()
	path := testBacking(t, 4*mib)
	assert.PanicsWithValue(t, "logger", func() { openDevice(path, true, slog.New(panickingHandler{slog.DiscardHandler})) })
	if runtime.GOOS != "linux" {
		return
	}
	open, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	for _, fd := range open {
		to, _ := os.Readlink(fd)
		assert.NotEqual(t, path, to)
	}
}

type panickingHandler struct{ slog.Handler }

func (panickingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (panickingHandler) Handle(context.Context, slog.Record) error { panic("logger") }

func TestRoundUp(t *testing.T) {
	t.Parallel()
	for _, test := range [][3]int64{{0, 4096, 0}, {1, 4096, 4096}, {4096, 4096, 4096}, {4097, 4096, 8192}, {math.MaxInt64 - 4095, 4096, math.MaxInt64 - 4095}, {5, 1, 5}} {
		assert.Equal(t, test[2], roundUp(test[0], test[1]), "%v", test)
	}
}

func TestDeviceInfoLogValue(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	log.Info("opened", "device", DeviceInfo{Path: "/dev/dax0.0", Kind: DevDAX, Size: 1 << 30, Align: 2 << 20})
	assert.Contains(t, text.String(), "device.path=/dev/dax0.0 device.kind=devdax device.size=1073741824 device.align=2097152\n")
	log.Info("opened", "device", DeviceInfo{Caution: "not shared"})
	assert.Contains(t, text.String(), `device.caution="not shared"`)
}
