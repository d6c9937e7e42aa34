package famfs

// Who a process is, for others on this host that find its locks (Linux).

import (
	"hash/fnv"
	"os"

	"golang.org/x/sys/unix"
)

// bootID is a file with a new UUID after each start of the system.
const bootID = "/proc/sys/kernel/random/boot_id"

// lockOwner says on which start of which system this process is, and which file the locks of bytes
// of d are on. Two processes of which both are the same see each other's locks.
func (d *device) lockOwner() (boot, device, inode uint64, ok bool) {
	id, err := os.ReadFile(bootID)
	if err != nil {
		return 0, 0, 0, false
	}
	h := fnv.New64a()
	h.Write(id)
	locked := d.file
	if d.hostLock != nil { // which all nodes of the device share
		locked = d.hostLock.file
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(locked.Fd()), &st); err != nil {
		return 0, 0, 0, false
	}
	return h.Sum64(), uint64(st.Dev), st.Ino, true
}
