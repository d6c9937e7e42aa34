package famfs

// Pauses of less than a millisecond, which the runtime's timers would make one.

import (
	"time"

	"golang.org/x/sys/unix"
)

// pauseShortly sleeps for d, or a little less. It takes a thread meanwhile: a timer takes none, but
// where nothing else is to be done it is awaited in whole milliseconds.
func pauseShortly(d time.Duration) bool {
	length := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&length, nil) // who is woken early asks early
	return true
}
