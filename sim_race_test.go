//go:build race

package famfs

// Whether the race detector watches, which makes simulations some ten times slower.

const raceEnabled = true
