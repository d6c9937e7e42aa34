package famfs

// Looking around for devdax devices.

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is looked at are the devices that device_dax holds.
func TestDiscoverDevices(t *testing.T) {
	t.Parallel()
	sys := t.TempDir()
	for name, driver := range map[string]string{"dax0.0": "device_dax", "dax1.0": "kmem", "dax2.0": "", "dax3.1": "device_dax"} {
		require.NoError(t, os.Mkdir(filepath.Join(sys, name), 0o755))
		if driver != "" {
			require.NoError(t, os.Symlink("../../../bus/dax/drivers/"+driver, filepath.Join(sys, name, "driver")))
		}
	}
	assert.Equal(t, []string{"/dev/dax0.0", "/dev/dax3.1"}, devdaxIn(sys, "/dev"))
	assert.Empty(t, devdaxIn(filepath.Join(sys, "missing"), "/dev"))
	var c openConfig
	DiscoverDevices().applyOpen(&c)
	assert.NotNil(t, c.discover)
}
