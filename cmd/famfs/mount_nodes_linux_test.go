//go:build !386 && !arm && !mips && !mipsle

package main

// A mount without a kernel: the requests that one would send, and what it is told to forget.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// fakeKernel sends requests to a mount that is mounted nowhere.
type fakeKernel struct {
	t       *testing.T
	mounted *mounted
	fuse.RawFileSystem

	mu     sync.Mutex
	forgot []string // what it was told to forget
	said   []string
}

func (k *fakeKernel) note(format string, args ...any) fuse.Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forgot = append(k.forgot, fmt.Sprintf(format, args...))
	return fuse.OK
}

func (k *fakeKernel) DeleteNotify(_, _ uint64, name string) fuse.Status {
	return k.note("deleted %s", name)
}
func (k *fakeKernel) EntryNotify(_ uint64, name string) fuse.Status { return k.note("entry %s", name) }
func (k *fakeKernel) InodeNotify(_ uint64, off, length int64) fuse.Status {
	return k.note("content %d %d", off, length)
}
func (k *fakeKernel) InodeRetrieveCache(uint64, int64, []byte) (int, fuse.Status) {
	return 0, fuse.ENOSYS
}
func (k *fakeKernel) InodeNotifyStoreCache(uint64, int64, []byte) fuse.Status { return fuse.ENOSYS }

func (k *fakeKernel) hasForgotten() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.forgot)
}

func (k *fakeKernel) wasSaid() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.said, "\n")
}

// newFakeKernel mounts device, and follows it until the test ends.
func newFakeKernel(t *testing.T, device string, o mountOptions, opts ...famfs.Option) *fakeKernel {
	t.Helper()
	o.device, o.interval = device, 5*time.Millisecond
	k := &fakeKernel{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	m, err := newMounted(ctx, o, func() (*famfs.FS, error) { return famfs.Open(device, opts...) }, func(err error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.said = append(k.said, err.Error())
	})
	require.NoError(t, err)
	k.mounted = m
	second := time.Second
	k.RawFileSystem = gofuse.NewNodeFS(m.root, &gofuse.Options{EntryTimeout: &second, AttrTimeout: &second, NullPermissions: true, ServerCallbacks: k})
	done := make(chan struct{})
	go func() { m.follow(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		<-done
		m.close()
	})
	return k
}

// lookup walks to name.
func (k *fakeKernel) lookup(name string) (out fuse.EntryOut, status fuse.Status) {
	out.NodeId, out.Attr.Mode = 1, syscall.S_IFDIR
	if name == "." {
		return out, fuse.OK
	}
	for part := range strings.SplitSeq(name, "/") {
		parent := out.NodeId
		out = fuse.EntryOut{}
		if status = k.Lookup(nil, &fuse.InHeader{NodeId: parent}, part, &out); !status.Ok() {
			return out, status
		}
	}
	return out, fuse.OK
}

func (k *fakeKernel) node(name string) *mountNode {
	k.t.Helper()
	_, status := k.lookup(name)
	require.Equal(k.t, fuse.OK, status, name)
	at := k.mounted.known(path.Clean("/" + path.Dir(name)))
	if name != "." {
		at = at.GetChild(path.Base(name))
	}
	return at.Operations().(*mountNode)
}

// openFile is a file that the kernel has open.
type openFile struct {
	k      *fakeKernel
	id, fh uint64
	flags  uint32
}

func (k *fakeKernel) openNode(id uint64, flags uint32) (*openFile, fuse.Status) {
	var out fuse.OpenOut
	status := k.Open(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: id}, Flags: flags}, &out)
	return &openFile{k, id, out.Fh, out.OpenFlags}, status
}

func (k *fakeKernel) openName(name string) *openFile {
	k.t.Helper()
	found, status := k.lookup(name)
	require.Equal(k.t, fuse.OK, status, name)
	f, status := k.openNode(found.NodeId, syscall.O_RDONLY)
	require.Equal(k.t, fuse.OK, status, name)
	return f
}

func (f *openFile) read(off int64, size int) ([]byte, fuse.Status) {
	buf := make([]byte, size)
	r, status := f.k.Read(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: f.id}, Fh: f.fh, Offset: uint64(off), Size: uint32(size)}, buf)
	if !status.Ok() {
		return nil, status
	}
	data, status := r.Bytes(buf)
	return slices.Clone(data), status
}

func (f *openFile) flush() fuse.Status {
	return f.k.Flush(nil, &fuse.FlushIn{InHeader: fuse.InHeader{NodeId: f.id}, Fh: f.fh})
}

func (f *openFile) release() {
	f.k.Release(nil, &fuse.ReleaseIn{InHeader: fuse.InHeader{NodeId: f.id}, Fh: f.fh})
}

// names lists a directory.
func (k *fakeKernel) names(name string) (all []string) {
	k.t.Helper()
	s, errno := k.node(name).Readdir(context.Background())
	require.Zero(k.t, errno)
	for s.HasNext() {
		e, errno := s.Next()
		require.Zero(k.t, errno)
		all = append(all, e.Name)
	}
	require.Equal(k.t, []string{".", ".."}, all[:2])
	return all[2:]
}

// masterOf opens a device for writing.
func masterOf(t testing.TB, device string) *famfs.FS {
	t.Helper()
	m, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(mustUUID(t, host)))
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMountNodes(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "256M")
	asMaster(t, "mkdir", "-m", "0750", "-u", "1000", "-g", "100", device+":/dir")
	asMaster(t, "creat", "-s", "5000001", "--seed", "7", "-m", "0640", device+":/dir/f")
	asMaster(t, "creat", "-s", "20M", "--seed", "8", "--interleave", "3,5,2M", device+":/wide")
	k := newFakeKernel(t, device, mountOptions{})

	dir, status := k.lookup("dir")
	require.Equal(t, fuse.OK, status)
	assert.EqualValues(t, syscall.S_IFDIR|0o750, dir.Attr.Mode)
	assert.Equal(t, fuse.Owner{Uid: 1000, Gid: 100}, dir.Attr.Owner)
	file, status := k.lookup("dir/f")
	require.Equal(t, fuse.OK, status)
	assert.EqualValues(t, syscall.S_IFREG|0o640, file.Attr.Mode)
	assert.EqualValues(t, 5000001, file.Attr.Size)
	assert.EqualValues(t, 6*mib/512, file.Attr.Blocks, "whole allocation units")
	assert.EqualValues(t, 1, file.Attr.Nlink)
	assert.Equal(t, []uint64{1, 2}, []uint64{dir.Attr.Mtime, file.Attr.Mtime}, "a newer file has a later time")
	assert.NotEqual(t, dir.Attr.Ino, file.Attr.Ino)
	var attr fuse.AttrOut
	require.Equal(t, fuse.OK, k.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: file.NodeId}}, &attr))
	assert.Equal(t, file.Attr, attr.Attr)
	for _, missing := range []string{"nothing", "dir/nothing", strings.Repeat("x", 200), "dir/a\\b"} {
		_, status := k.lookup(missing)
		assert.Equal(t, fuse.ENOENT, status, missing)
	}

	assert.Equal(t, []string{"dir", "wide"}, k.names("."))
	assert.Equal(t, []string{"f"}, k.names("dir"))

	var space fuse.StatfsOut
	require.Equal(t, fuse.OK, k.StatFs(nil, &fuse.InHeader{NodeId: 1}, &space))
	u := readBack(t, device).Usage()
	assert.Equal(t, []uint64{uint64(u.Size), uint64(u.Free), uint64(u.Free)}, []uint64{space.Blocks * uint64(space.Bsize), space.Bfree * uint64(space.Bsize), space.Bavail * uint64(space.Bsize)})
	assert.EqualValues(t, 79, space.NameLen)
	assert.Equal(t, []int{u.LogCapacity, u.LogCapacity - u.LogUsed}, []int{int(space.Files), int(space.Ffree)})

	for name, content := range map[string][]byte{"dir/f": pattern(5000001, 7), "wide": pattern(20*mib, 8)} {
		f := k.openName(name)
		for _, part := range [][2]int{{0, 1}, {4095, 3}, {2*mib - 1, mib}, {len(content) - 5, 100}, {len(content), 10}, {len(content) + 5, 10}} {
			got, status := f.read(int64(part[0]), part[1])
			require.Equal(t, fuse.OK, status)
			from := min(part[0], len(content))
			assert.True(t, bytes.Equal(content[from:min(from+part[1], len(content))], got), "%s %v", name, part)
		}
		assert.Equal(t, fuse.OK, f.flush())
		f.release()
	}
	for _, flags := range []uint32{syscall.O_WRONLY, syscall.O_RDWR, syscall.O_RDWR | syscall.O_TRUNC} {
		_, status := k.openNode(file.NodeId, flags)
		assert.Equal(t, fuse.EROFS, status)
	}
	assert.Equal(t, fuse.OK, k.Fsync(nil, &fuse.FsyncIn{InHeader: fuse.InHeader{NodeId: file.NodeId}}))

	// The map is that of getmap --json, at any size of the buffer.
	value := func(id uint64, name string) (string, fuse.Status) {
		n, status := k.GetXAttr(nil, &fuse.InHeader{NodeId: id}, name, nil)
		if status != fuse.ERANGE {
			return "", status
		}
		short, status := k.GetXAttr(nil, &fuse.InHeader{NodeId: id}, name, make([]byte, n-1))
		assert.Equal(t, fuse.ERANGE, status)
		assert.Equal(t, n, short)
		b := make([]byte, n)
		n, status = k.GetXAttr(nil, &fuse.InHeader{NodeId: id}, name, b)
		return string(b[:n]), status
	}
	wide, _ := k.lookup("wide")
	layout, status := value(wide.NodeId, "user.famfs.map")
	require.Equal(t, fuse.OK, status)
	var here fileMapJSON
	require.NoError(t, json.Unmarshal([]byte(layout), &here))
	assert.Equal(t, parse[[]fileMapJSON](t, famfsRun(t, "getmap", "--json", device+":/wide"))[0], here)
	index, status := value(wide.NodeId, "user.famfs.index")
	assert.Equal(t, fuse.OK, status)
	assert.Equal(t, strconv.Itoa(readBackIndex(t, device, "wide")), index)
	for id, want := range map[uint64]string{wide.NodeId: "user.famfs.index\x00user.famfs.map\x00", dir.NodeId: "user.famfs.index\x00", 1: "user.famfs.index\x00"} {
		b := make([]byte, 100)
		n, status := k.ListXAttr(nil, &fuse.InHeader{NodeId: id}, b)
		assert.Equal(t, fuse.OK, status)
		assert.Equal(t, want, string(b[:n]))
	}
	for id, name := range map[uint64]string{wide.NodeId: "user.other", dir.NodeId: "user.famfs.map"} {
		_, status := value(id, name)
		assert.Equal(t, fuse.ENODATA, status, name)
	}
	assert.Empty(t, k.wasSaid())
}

func readBackIndex(t *testing.T, device, name string) int {
	st, err := readBack(t, device).Stat(name)
	require.NoError(t, err)
	return st.Sys().(*famfs.Attr).Index
}

// What the kernel keeps of a file when it is opened again.
func TestMountCaching(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "10", "--seed", "1", device+":/f")
	for want, o := range map[uint32]mountOptions{0: {}, fuse.FOPEN_KEEP_CACHE: {keepCache: true}, fuse.FOPEN_DIRECT_IO: {directIO: true}} {
		f := newFakeKernel(t, device, o).openName("f")
		assert.Equal(t, want, f.flags)
		f.release()
	}
}

// Files come and go as the master makes and removes them; who has one open keeps it.
func TestMountFollows(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	k := newFakeKernel(t, device, mountOptions{})
	m := masterOf(t, device)
	_, status := k.lookup("dir/f")
	require.Equal(t, fuse.ENOENT, status)

	// New files are there at once, and not after the next look.
	require.NoError(t, m.Mkdir("dir", 0o755))
	require.NoError(t, m.WriteFile("dir/f", []byte("first"), 0o644))
	old := k.openName("dir/f")
	assert.Equal(t, []string{"f"}, k.names("dir"))

	next, err := m.Create("dir/f", 6, famfs.Replace())
	require.NoError(t, err)
	_, err = next.Write([]byte("second"))
	require.NoError(t, err)
	require.NoError(t, next.Commit())
	forgotten := func(what string) {
		t.Helper()
		require.Eventually(t, func() bool { return slices.Contains(k.hasForgotten(), what) }, 10*time.Second, time.Millisecond, what)
	}
	forgotten("entry f")
	_, status = k.openNode(old.id, syscall.O_RDONLY)
	assert.Equal(t, fuse.Status(syscall.ESTALE), status, "has the kernel look the name up again")
	now := k.openName("dir/f")
	assert.NotEqual(t, old.id, now.id)
	for f, want := range map[*openFile]string{old: "first", now: "second"} {
		got, status := f.read(0, 100)
		assert.Equal(t, fuse.OK, status)
		assert.Equal(t, want, string(got))
		assert.Equal(t, fuse.OK, f.flush())
	}
	var attr fuse.AttrOut
	require.Equal(t, fuse.OK, k.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: old.id}}, &attr))
	assert.EqualValues(t, []int{0, 5}, []int{int(attr.Nlink), int(attr.Size)})

	dir := k.node("dir")
	require.NoError(t, m.RemoveAll("dir"))
	forgotten("deleted f")
	forgotten("deleted dir")
	_, status = k.lookup("dir")
	assert.Equal(t, fuse.ENOENT, status)
	got, status := now.read(1, 3)
	assert.Equal(t, fuse.OK, status)
	assert.Equal(t, "eco", string(got))

	// The directory that was removed is empty, whatever has its name now.
	require.NoError(t, m.Mkdir("dir", 0o755))
	require.NoError(t, m.WriteFile("dir/f", []byte("third"), 0o644))
	_, status = k.lookup("dir/f")
	require.Equal(t, fuse.OK, status)
	s, errno := dir.Readdir(context.Background())
	require.Zero(t, errno)
	for range 2 {
		s.Next()
	}
	assert.False(t, s.HasNext())
	_, errno = dir.Lookup(context.Background(), "f", new(fuse.EntryOut))
	assert.Equal(t, syscall.ENOENT, errno)
	old.release()
	now.release()
	assert.Empty(t, k.wasSaid())
}

// What is on a device that was formatted anew is shown; what was open of the old file system
// gives errors, and is never read from memory that may be another file's.
func TestMountFormattedAnew(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", "--seed", "1", device+":/f")
	asMaster(t, "mkdir", device+":/dir")
	k := newFakeKernel(t, device, mountOptions{})
	f, first := k.openName("f"), k.mounted.now.Load()
	dir, _ := k.lookup("dir")
	require.NoError(t, famfs.Wipe(device))
	assert.Equal(t, fuse.Status(syscall.ESTALE), f.flush(), "also before it was looked at again")
	require.Eventually(t, func() bool { return k.mounted.now.Load() == nil }, 10*time.Second, time.Millisecond)
	_, status := k.lookup("f")
	assert.Equal(t, fuse.EIO, status, "while it is not formatted")
	require.Eventually(t, func() bool { return strings.Contains(k.wasSaid(), "not formatted as famfs") }, 10*time.Second, time.Millisecond)

	formatAnew(t, device)
	asMaster(t, "creat", "-s", "1M", "--seed", "2", device+":/f")
	require.Eventually(t, func() bool { return k.mounted.now.Load() != nil }, 10*time.Second, time.Millisecond)
	forgot := k.hasForgotten()
	assert.Contains(t, forgot, "content 0 0")
	assert.Contains(t, forgot, "entry f")
	_, status = f.read(0, 10)
	assert.Equal(t, fuse.Status(syscall.ESTALE), status)
	_, status = k.openNode(f.id, syscall.O_RDONLY)
	assert.Equal(t, fuse.Status(syscall.ESTALE), status)
	assert.Equal(t, fuse.Status(syscall.ESTALE), k.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: dir.NodeId}}, new(fuse.AttrOut)))

	now := k.openName("f")
	got, status := now.read(0, 1000)
	assert.Equal(t, fuse.OK, status)
	assert.Equal(t, pattern(1000, 2), got)
	assert.NotEqual(t, f.id, now.id)
	now.release()
	_, err := first.fsys.Stat("f")
	assert.NotErrorIs(t, err, fs.ErrClosed, "a file of it is open")
	f.release()
	_, err = first.fsys.Stat("f")
	assert.ErrorIs(t, err, fs.ErrClosed)
	assert.Contains(t, k.wasSaid(), "was formatted anew or wiped")
}

// Memory that is gone is an error of the read, which says where, and nothing else ends.
func TestMountMemoryFails(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "8M", "--seed", "1", device+":/f")
	k := newFakeKernel(t, device, mountOptions{})
	f := k.openName("f")
	require.NoError(t, os.Truncate(device, 12*mib)) // metadata and 2 MiB are left
	for range 3 {
		_, status := f.read(4*mib, mib)
		assert.Equal(t, fuse.EIO, status)
	}
	assert.Contains(t, k.wasSaid(), device+":/f: memory fault in f at offset")
	got, status := f.read(mib, mib)
	assert.Equal(t, fuse.OK, status)
	assert.Equal(t, pattern(8*mib, 1)[mib:2*mib], got)
	f.release()
}

// A file that cannot be mapped is copied.
func TestMountUnmappable(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "3M", "--seed", "1", device+":/f")
	k := newFakeKernel(t, device, mountOptions{})
	n := k.node("f")
	file, err := readBack(t, device).Open("f")
	require.NoError(t, err)
	f := &mountFile{node: n, view: k.mounted.now.Load(), size: 3 * mib, from: file}
	buf := make([]byte, mib)
	r, errno := f.Read(context.Background(), buf, 2*mib+3)
	require.Zero(t, errno)
	got, status := r.Bytes(buf)
	assert.Equal(t, fuse.OK, status)
	assert.Equal(t, pattern(3*mib, 1)[2*mib+3:], got)
	_, err = file.(io.ReaderAt).ReadAt(buf, 0)
	require.NoError(t, err)
	f.Release(context.Background())
}

// A damaged device shows what comes before the damage, or all that is sound.
func TestMountDamaged(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "10", "--seed", "1", device+":/a", device+":/b", device+":/c")
	corrupt(t, device, 1)
	for _, c := range []struct {
		opt  famfs.Option
		want []string
	}{{famfs.Tolerant(), []string{"a"}}, {famfs.Salvage(), []string{"a", "c"}}} {
		k := newFakeKernel(t, device, mountOptions{}, c.opt)
		assert.Equal(t, c.want, k.names("."))
		f := k.openName("a")
		got, status := f.read(0, 10)
		assert.Equal(t, fuse.OK, status)
		assert.Equal(t, pattern(10, 1), got)
		f.release()
	}
}

func TestMountPoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	writeTree(t, dir, map[string][]byte{"full/file": []byte("x")})
	for _, c := range []struct {
		name     string
		nonEmpty bool
		want     error
	}{
		{"empty", false, nil}, {"full", false, errMountFull}, {"full", true, nil},
		{"full/file", true, fs.ErrInvalid}, {"nothing", true, fs.ErrNotExist},
	} {
		err := checkMountPoint(filepath.Join(dir, c.name), c.nonEmpty)
		if c.want == nil {
			assert.NoError(t, err, c.name)
		} else {
			assert.ErrorIs(t, err, c.want, c.name)
		}
	}
}

func TestMountOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		given string
		want  mountOptions
		err   string
	}{
		{"", mountOptions{}, ""},
		{"ro,allow_other,kernel_cache,nonempty", mountOptions{allowOther: true, keepCache: true, nonEmpty: true}, ""},
		{"direct_io", mountOptions{directIO: true}, ""},
		{"direct_io,kernel_cache", mountOptions{}, "give one of them"},
		{"rw", mountOptions{}, "a mount only reads"},
		{"frobnicate", mountOptions{}, "want some of"},
	} {
		var o mountOptions
		err := o.parse(strings.Split(c.given, ","))
		if c.err != "" {
			assert.ErrorContains(t, err, c.err, c.given)
			continue
		}
		assert.NoError(t, err)
		assert.Equal(t, c.want, o, c.given)
	}
}
