package famfs

// The seam between the format and shared memory: every load and store of
// superblock and log goes through it, and only here is known how. Tests put a
// simulated host cache in its place.
//
// The rules of coherence (format: writing an entry) are kept by its callers, in
// log_replay.go, log_append.go and mkfs.go: invalidate before a load of what another
// host may have written; flush and fence after the stores that belong together
// and before those that announce them.

import (
	"encoding/binary"
	"time"
	"unsafe"
)

// sharedMemory is superblock and log as this host sees them. Offsets are those of the
// device; callers keep them, and n bytes from them, within the region, and
// multiples of 8.
type sharedMemory interface {
	// load copies len(p) bytes from off.
	load(p []byte, off int64)
	// load64 loads a little endian integer in one piece.
	load64(off int64) uint64
	// store copies p to off, 8 bytes at a time in ascending order.
	store(off int64, p []byte)
	// store64 stores a little endian integer in one piece.
	store64(off int64, v uint64)
	// storePair stores a at off, a multiple of 16, and b in the 8 bytes behind it: both in
	// one piece if the processor can do that, otherwise b first.
	storePair(off int64, a, b uint64)
	// flush writes lines back; fenceStores makes it certain. The error is a disk's:
	// memory knows of none.
	flush(off, n int64) error
	// invalidate forgets lines, after writing back those that this host has changed;
	// fenceLoads makes it certain.
	invalidate(off, n int64)
	// fenceStores is for writers: what was flushed before it is on the medium before
	// anything that is stored after it. It promises nothing about loads.
	fenceStores()
	// fenceLoads is for readers: what was invalidated before it is forgotten before
	// anything is loaded or stored after it. It promises nothing about what was
	// flushed.
	fenceLoads()
}

// mappedMemory is sharedMemory in the memory of a device.
type mappedMemory struct {
	dev *device
	mem []byte // from offset 0 of the device
	// stored says that something was stored since the last flush, since what disk.count
	// was before that. Only the one writer there is uses them.
	stored bool
	since  uint64
}

// willStore notes that something is about to be stored.
func (m *mappedMemory) willStore() {
	if !m.stored {
		m.stored, m.since = true, m.dev.disk.count.Load()
	}
}

func (m *mappedMemory) load(p []byte, off int64) { copy(p, m.mem[off:off+int64(len(p))]) }

// word returns the word at off. Words are loaded and stored plainly: on 64-bit machines
// that is one instruction, and fences order it. The operations of sync/atomic would do
// the same, but where the race detector replaces them, a memory fault inside ends the
// program instead of becoming an error.
func (m *mappedMemory) word(off int64) *uint64 {
	return (*uint64)(unsafe.Pointer(&m.mem[off : off+8][0]))
}

func (m *mappedMemory) load64(off int64) uint64 {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], *m.word(off))
	return binary.LittleEndian.Uint64(b[:])
}

func (m *mappedMemory) store(off int64, p []byte) {
	m.willStore()
	for ; len(p) >= 8; off, p = off+8, p[8:] {
		*m.word(off) = binary.NativeEndian.Uint64(p)
	}
}

func (m *mappedMemory) store64(off int64, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	m.store(off, b[:])
}

func (m *mappedMemory) storePair(off int64, a, b uint64) {
	if !storesPairs {
		m.store64(off+8, b)
		m.store64(off, a)
		return
	}
	m.willStore()
	storePair(unsafe.Pointer(&m.mem[off : off+16][0]), a, b)
}

func (m *mappedMemory) flush(off, n int64) error {
	mem := m.mem[off : off+n]
	if m.dev.writeBack {
		m.stored = false
		return m.dev.flush(mem, m.since)
	}
	m.dev.cache.writeBack(mem)
	return nil
}

func (m *mappedMemory) invalidate(off, n int64) {
	if m.dev.shared {
		m.dev.cache.drop(m.mem[off : off+n])
	}
}

func (m *mappedMemory) fenceStores() { m.dev.cache.fenceStores() }

func (m *mappedMemory) fenceLoads() { m.dev.cache.fenceLoads() }

// maxSettle bounds all the pausing of one replay: an image full of nonsense must not
// take forever.
const maxSettle = 500 * time.Millisecond

// settleTimes are the pauses before a record that does not add up is read again.
var settleTimes = [...]time.Duration{100 * time.Microsecond, 400 * time.Microsecond, time.Millisecond, 3 * time.Millisecond}

func flushAndFence(m sharedMemory, off, n int64) error {
	err := m.flush(off, n)
	m.fenceStores()
	return err
}
