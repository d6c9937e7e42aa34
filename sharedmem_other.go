//go:build !amd64

package famfs

// Architectures on which no store of two words at once is known that every processor has. (On
// arm64, STP is one only with FEAT_LSE2.)

import "unsafe"

const storesPairs = false

// loadsInOrder says that the processor does not load before an earlier load is done.
const loadsInOrder = false

func storePair(unsafe.Pointer, uint64, uint64) { panic("famfs: no pairs of words here") }
