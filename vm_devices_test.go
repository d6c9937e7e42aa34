//go:build linux

package famfs

// A file system on three real devices, on two hosts: guests that test/vm/run boots at the same time, in
// which the devices have other names. One of them is unbound while it is used.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// vmDeviceFile returns name and content of file i, and where the master puts it.
func vmDeviceFile(i int) (name string, content []byte, where CreateOption) {
	size := 1 + i*700_001%(3*mib)
	if i%4 == 3 {
		return fmt.Sprintf("f%02d", i), pattern(size+8*mib, uint64(i)), overDevices(3)
	}
	return fmt.Sprintf("f%02d", i), pattern(size, uint64(i)), OnDevice(i % 4)
}

const vmDeviceFiles = 24

func TestVMDevices(t *testing.T) {
	inScenario(t, "devices")
	path := os.Getenv("FAMFS_TEST_DEVICE")
	isMaster := vmRole() == "master"
	var paths []string // the devices, as they are called on this host
	for _, name := range strings.Fields(os.Getenv("VM_DAX_NAMES")) {
		paths = append(paths, "/dev/"+name)
	}
	require.Len(t, paths, 3)
	var fsys *FS
	create := func(name string, content []byte, where CreateOption) {
		t.Helper()
		p, err := fsys.Create(name, int64(len(content)), where, Mode(0o666))
		require.NoError(t, err)
		_, err = p.Write(content)
		require.NoError(t, err)
		require.NoError(t, p.Commit())
	}
	if isMaster {
		require.NoError(t, Format(path, Force(), Secondaries(paths[1])))
		var err error
		fsys, err = Open(path, ReadWrite(), DiscoverDevices())
		require.NoError(t, err)
		create("control", make([]byte, 4096), OnDevice(0))
	} else {
		waitFor(t, "the file system", func() bool {
			if fsys == nil {
				var err error
				if fsys, err = Open(path, WithClientWrites(), DiscoverDevices()); err != nil {
					require.ErrorIs(t, err, ErrNotFormatted)
					return false
				}
			}
			_, err := refreshed(t, fsys).Stat("control")
			return err == nil
		})
		require.Equal(t, Client, fsys.Role())
	}
	c := openControl(t, fsys)
	next := 0
	meet := func() {
		t.Helper()
		c.meet(t, next, "master", "client1")
		next++
	}
	meet()

	t.Run("Add", func(t *testing.T) { // the client finds it by itself
		if isMaster {
			require.NoError(t, fsys.AddDevice(paths[2], Force()))
		}
		meet()
		refreshed(t, fsys)
		infos := fsys.Devices()
		require.Len(t, infos, 3)
		for i, info := range infos {
			require.NoError(t, info.Err)
			assert.Equal(t, paths[i], info.Path)
			assert.Equal(t, DevDAX, info.Kind)
			assert.EqualValues(t, 512*mib, info.Size)
		}
	})
	t.Run("Follow", func(t *testing.T) {
		if isMaster {
			for i := range vmDeviceFiles {
				create(vmDeviceFile(i))
			}
		}
		meet()
		refreshed(t, fsys)
		for i := range vmDeviceFiles {
			name, content, _ := vmDeviceFile(i)
			assertContent(t, fsys, name, content)
			if i%4 == 3 {
				assert.Len(t, devicesOf(t, fsys, name), 3)
			} else {
				assert.Equal(t, []int{i % 4}, devicesOf(t, fsys, name))
			}
		}
		report, err := Check(path, DiscoverDevices())
		require.NoError(t, err)
		assert.NoError(t, report.Err())
		assert.Len(t, report.Devices, 3)
	})
	t.Run("SerialSharing", func(t *testing.T) { // of an interleaved file
		name, content, _ := vmDeviceFile(3)
		m, err := fsys.Map(name, Writable())
		require.NoError(t, err)
		for turn := range 4 {
			if (turn%2 == 0) == isMaster {
				require.NoError(t, m.Invalidate())
				require.Equal(t, hexSum(content), hexSum(m.Bytes()), "turn %d", turn)
				fillPattern(m.Bytes(), uint64(100+turn))
				require.NoError(t, m.Flush())
			}
			fillPattern(content, uint64(100+turn))
			meet()
		}
		require.NoError(t, m.Close())
	})
	t.Run("Unbind", func(t *testing.T) {
		if isMaster {
			meet()
			create("new", pattern(5*mib, 77), OnDevice(1))
			create("also new", pattern(5*mib, 78), OnDevice(2))
			meet()
			meet()
			return
		}
		on := make([]*Mapping, 3)
		for i := range on {
			name, _, _ := vmDeviceFile(i)
			var err error
			on[i], err = fsys.Map(name)
			require.NoError(t, err)
		}
		interleaved, _, _ := vmDeviceFile(7)
		device := strings.TrimPrefix(paths[1], "/dev/")
		driver, err := filepath.EvalSymlinks("/sys/bus/dax/devices/" + device + "/driver")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(driver+"/unbind", []byte(device), 0))
		meet() // the master has the device all the time
		meet()
		refreshed(t, fsys)
		for i, m := range on {
			_, content, _ := vmDeviceFile(i)
			err := Guard(func() error {
				if hexSum(m.Bytes()) != hexSum(content) {
					return fmt.Errorf("device %d: other content", i)
				}
				return nil
			})
			if i == 1 {
				assert.ErrorIs(t, err, ErrDevice)
				t.Logf("the device that is gone: %v", err)
			} else {
				assert.NoError(t, err)
			}
		}
		for _, name := range []string{"new", interleaved} {
			_, err = fsys.Stat(name)
			assert.NoError(t, err, "names need no device")
			_, err = fsys.ReadFile(name)
			assert.ErrorIs(t, err, ErrDevice)
			assert.ErrorIs(t, fsys.View(name, func(b []byte) error { return fmt.Errorf("it can be seen: %d", sumOf(b)) }), ErrDevice)
		}
		assertContent(t, fsys, "also new", pattern(5*mib, 78))
		for i := range vmDeviceFiles {
			if name, content, _ := vmDeviceFile(i); i%4 == 0 || i%4 == 2 {
				assertContent(t, fsys, name, content)
			}
		}
		for _, m := range on {
			require.NoError(t, m.Close())
		}
		// Who opens it now does not find the device, and does when it is bound again.
		again, err := Open(path, DiscoverDevices(), WithDevices(paths[1]))
		require.NoError(t, err)
		assert.ErrorIs(t, again.Devices()[1].Err, ErrDevice)
		assert.ErrorContains(t, again.Devices()[1].Err, "is bound to no driver")
		assertContent(t, again, "also new", pattern(5*mib, 78))
		require.NoError(t, again.Close())
		require.NoError(t, c.m.Close())
		require.NoError(t, fsys.Close())
		require.NoError(t, os.WriteFile(driver+"/bind", []byte(device), 0))
		fsys, err = Open(path, WithClientWrites(), DiscoverDevices())
		require.NoError(t, err)
		c = openControl(t, fsys)
		assertContent(t, fsys, "new", pattern(5*mib, 77))
		meet()
	})
	assert.Empty(t, fsys.Problems())
	require.NoError(t, c.m.Close())
	require.NoError(t, fsys.Close())
}
