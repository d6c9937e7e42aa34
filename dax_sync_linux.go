//go:build !mips && !mipsle && !mips64 && !mips64le

package famfs

// The flags that map fs-dax on Linux.

import "golang.org/x/sys/unix"

// syncFlags ask for a mapping that is durable after a cache flush alone. Only DAX has that.
const syncFlags = unix.MAP_SHARED_VALIDATE | unix.MAP_SYNC
