//go:build !amd64

package famfs

// Where no store of two words in one piece is known that every processor has. (On arm64,
// STP is one with FEAT_LSE2 only.)

import "unsafe"

const storesPairs = false

func storePair(unsafe.Pointer, uint64, uint64) { panic("famfs: no pairs of words here") }
