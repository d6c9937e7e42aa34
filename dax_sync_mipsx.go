//go:build linux && (mips || mipsle || mips64 || mips64le)

package famfs

// Linux on MIPS, which cannot map fs-dax with MAP_SYNC.

// syncFlags is 0, because on MIPS the bit of MAP_SYNC means huge pages.
const syncFlags = 0
