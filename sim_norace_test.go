//go:build !race

package famfs

// The race detector is off.

const raceEnabled = false
