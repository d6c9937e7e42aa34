//go:build !mips && !mipsle && !mips64 && !mips64le

package famfs

import "golang.org/x/sys/unix"

// syncFlags ask for a mapping that is durable by cache flush alone, which only DAX gives.
const syncFlags = unix.MAP_SHARED_VALIDATE | unix.MAP_SYNC
