//go:build !race

package famfs

// Whether the race detector watches: it does not.

const raceEnabled = false
