package famfs

// What sysfs says of bad memory, from a tree that looks like it.

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// sysfsTree makes files below dir: a folder for each name that ends in a slash.
func sysfsTree(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return dir
}

func TestBadBlocksOfDevDAX(t *testing.T) {
	t.Parallel()
	const region, device = "devices/ndbus0/region0/", "devices/ndbus0/region0/dax0.1/dax0.0/"
	page := int64(os.Getpagesize())
	for name, test := range map[string]struct {
		files map[string]string
		want  []segment
		fails string
	}{
		"no list":                {map[string]string{device + "resource": "0x100000000\n"}, nil, ""},
		"none":                   {map[string]string{region + "badblocks": "", region + "resource": "0x100000000\n", device + "resource": "0x100200000\n"}, nil, ""},
		"none, and no addresses": {map[string]string{region + "badblocks": "\n", device + "size": "1"}, nil, ""},
		"some": {map[string]string{
			region + "badblocks": "4096 8\n4200 1\n100000 16\n", region + "resource": "0x100000000\n", device + "resource": "0x100200000\n",
		}, []segment{{0, 4096}, {104 * 512, 512}, {95904 * 512, 8192}}, ""},
		"across its beginning and its end": {map[string]string{
			region + "badblocks": "4094 4\n135166 1000\n", region + "resource": "0x100000000\n", device + "resource": "0x100200000\n",
		}, []segment{{0, 1024}, {testSize - 1024, 1024}}, ""},
		"before and behind it": {map[string]string{
			region + "badblocks": "0 4096\n135168 8\n", region + "resource": "0x100000000\n", device + "resource": "0x100200000\n",
		}, nil, ""},
		"in two parts of memory": {map[string]string{
			region + "badblocks": "0 1\n131072 2\n", region + "resource": "0x100000000\n",
			device + "mapping0/start": "0x100000000\n", device + "mapping0/end": "0x101ffffff\n", device + "mapping0/page_offset": "0x0\n",
			device + "mapping1/start": "0x104000000\n", device + "mapping1/end": "0x105ffffff\n", device + "mapping1/page_offset": fmt.Sprintf("%#x\n", 32*mib/page),
		}, []segment{{0, 512}, {32 * mib, 1024}}, ""},
		"addresses are secret": {map[string]string{region + "badblocks": "1 1\n", region + "resource": "0\n"}, nil, "resource"},
		"no number":            {map[string]string{region + "badblocks": "one 1\n"}, nil, `found line "one 1"`},
		"too large":            {map[string]string{region + "badblocks": fmt.Sprintf("%d 1\n", int64(math.MaxInt64)/512)}, nil, "list of bad blocks"},
		"negative":             {map[string]string{region + "badblocks": "-1 4\n"}, nil, "list of bad blocks"},
		"end before start": {map[string]string{
			region + "badblocks": "0 1\n", region + "resource": "0x100000000\n",
			device + "mapping0/start": "0x100000000\n", device + "mapping0/end": "0xffffffff\n", device + "mapping0/page_offset": "0x0\n",
		}, nil, "found memory from"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sysfsTree(t, test.files)
			require.NoError(t, os.MkdirAll(filepath.Join(dir, device), 0o755))
			link := filepath.Join(dir, "char")
			require.NoError(t, os.Symlink(filepath.Join(dir, device), link))
			found, err := badOfDevDAX(link, testSize)
			if test.fails != "" {
				assert.ErrorContains(t, err, test.fails)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, found)
		})
	}
	_, err := badOfDevDAX(filepath.Join(t.TempDir(), "gone"), testSize)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestBadBlocksOfFile(t *testing.T) {
	t.Parallel()
	// The file has two parts, and a hole between them.
	extents := []fileExtent{{0, 8 * mib, mib}, {4 * mib, mib, 2 * mib}}
	asked := 0
	ask := func() ([]fileExtent, error) { asked++; return extents, nil }
	disk := sysfsTree(t, map[string]string{
		"pmem0/badblocks": "2048 1\n16384 8\n18431 2\n50000 9\n", "pmem0/pmem0p1/partition": "1\n", "pmem0/pmem0p1/start": "2048\n",
	})
	found, err := badOfFile(filepath.Join(disk, "pmem0"), ask)
	require.NoError(t, err)
	assert.Equal(t, []segment{{4 * mib, 512}, {0, 4096}, {mib - 512, 512}}, found)
	found, err = badOfFile(filepath.Join(disk, "pmem0/pmem0p1"), ask)
	require.NoError(t, err)
	assert.Equal(t, []segment{{0, 512}}, found, "the partition begins at sector 2048 of its disk")
	assert.Equal(t, 2, asked)
	none := sysfsTree(t, map[string]string{"sda/size": "1\n", "pmem0/badblocks": "\n"})
	for _, name := range []string{"sda", "pmem0"} {
		found, err = badOfFile(filepath.Join(none, name), ask)
		require.NoError(t, err)
		assert.Empty(t, found)
	}
	assert.Equal(t, 2, asked, "the file system is asked only if there is a reason")
	failed := errors.New("own")
	_, err = badOfFile(filepath.Join(disk, "pmem0"), func() ([]fileExtent, error) { return nil, failed })
	assert.ErrorIs(t, err, failed)
}

// What the file system says of where a file is.
func TestFileExtents(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteAt(bytes.Repeat([]byte{1}, mib), 0)
	require.NoError(t, err)
	_, err = file.WriteAt(bytes.Repeat([]byte{1}, mib), 4*mib)
	require.NoError(t, err)
	require.NoError(t, file.Sync())
	extents, err := fileExtents(file)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY) {
		t.Skipf("the file system does not say it: %v", err)
	}
	require.NoError(t, err)
	covered := int64(0)
	for _, x := range extents {
		covered += x.length
		assert.Less(t, x.logical, int64(5*mib))
	}
	assert.GreaterOrEqual(t, covered, int64(2*mib))
}

// A device that is gone, or a file that was cut.
func TestWatchedDevices(t *testing.T) {
	t.Parallel()
	path := fileBacking(t, testSize)
	fsys, err := openMedium(path, newOpenConfig(nil))
	require.NoError(t, err)
	defer fsys.release()
	assert.NoError(t, fsys.dev.whyGone(testSize-1))
	require.NoError(t, os.Truncate(path, 4096))
	assert.NoError(t, fsys.dev.whyGone(4095))
	assert.ErrorContains(t, fsys.dev.whyGone(4096), "has been cut to 4096 bytes")
	d := &device{info: DeviceInfo{Size: testSize}}
	watchDevDAX(d, "/dev/dax0.0", filepath.Join(t.TempDir(), "gone"))
	assert.ErrorIs(t, d.whyGone(0), ErrDevice)
}

func FuzzBadBlocks(f *testing.F) {
	for _, text := range []string{"", "4096 8\n", "1\n2 3", "-1 2\n", "9223372036854775807 9223372036854775807\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bad, err := parseBadBlocks(text)
		for _, b := range bad {
			require.True(t, err == nil && b.off >= 0 && b.len > 0 && b.end() > b.off, "%+v, %v", b, err)
		}
	})
}
