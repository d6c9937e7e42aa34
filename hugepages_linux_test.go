package famfs

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The kernel has noted that huge pages were requested for the whole huge pages of large pieces.
func TestMakeLargeAsksForHugePages(t *testing.T) {
	t.Parallel()
	needsAdvice(t)
	probe, err := unix.Mmap(-1, 0, 2*hugePage, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer unix.Munmap(probe)
	if err := unix.Madvise(probe, unix.MADV_HUGEPAGE); err != nil {
		t.Skipf("this kernel has no huge pages for private memory: %v", err)
	}
	s := makeLarge[uint64](hugePage) // 16 MiB
	first := uintptr(unsafe.Pointer(&s[0]))
	assert.Contains(t, vmFlags(t, (first+hugePage-1)&^(hugePage-1)), "hg")
	assert.Contains(t, vmFlags(t, ((first+8*hugePage)&^(hugePage-1))-1), "hg")
	runtime.KeepAlive(s)
}

// vmFlags returns the flags of the mapping that holds an address.
func vmFlags(t *testing.T, address uintptr) []string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	require.NoError(t, err)
	defer f.Close()
	inside := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			inside = address >= from && address < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && inside {
			return strings.Fields(flags)
		}
	}
	require.NoError(t, lines.Err())
	require.Fail(t, "no mapping there", "%#x", address)
	return nil
}
