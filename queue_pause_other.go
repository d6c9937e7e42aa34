//go:build !linux

package famfs

import "time"

// pauseShortly leaves pauses to timers.
func pauseShortly(time.Duration) bool { return false }
