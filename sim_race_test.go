//go:build race

package famfs

// The race detector is on, which makes simulations about ten times slower.

const raceEnabled = true
