package famfs

// The seam between the format and shared memory: every load and store of superblock, compaction
// record, log and queues goes through it, except that CreateQueue clears a new queue's files
// itself. How memory is loaded and stored is known only here. Tests put a simulated host cache in
// its place.
//
// The callers keep the rules of coherence (format: writing an entry): log_replay.go,
// log_append.go, mkfs.go, compact.go, compact_record.go and queue_ends.go. They invalidate before
// they load what another host may have written. They flush and fence after the stores that belong
// together, and before the stores that announce them.

import (
	"encoding/binary"
	"time"
	"unsafe"
)

// sharedMemory is shared memory as this host sees it: superblock, compaction record and log, with
// offsets on the device, or a file of a queue (fileMemory), with offsets in the file.
// Callers must keep each range within the region, and offsets and lengths multiples of 8.
type sharedMemory interface {
	// load copies len(p) bytes from off.
	load(p []byte, off int64)
	// load64 loads a little endian integer in one piece.
	load64(off int64) uint64
	// store copies p to off, 8 bytes at a time in ascending order.
	store(off int64, p []byte)
	// store64 stores a little endian integer in one piece.
	store64(off int64, v uint64)
	// storePair stores a at off, a multiple of 16, and b in the next 8 bytes. It stores both at
	// once if the processor can do that; otherwise it stores b first.
	storePair(off int64, a, b uint64)
	// flush writes lines back; fenceStores makes that certain. An error comes from a disk; memory
	// reports none.
	flush(off, n int64) error
	// invalidate drops lines, and first writes back those that this host has changed. fenceLoads
	// makes that certain.
	invalidate(off, n int64)
	// fenceStores is for writers: everything flushed before it is on the medium before anything
	// stored after it. It promises nothing about loads.
	fenceStores()
	// fenceLoads is for readers: everything invalidated before it is dropped before anything is
	// loaded or stored after it. It promises nothing about what was flushed.
	fenceLoads()
}

// mappedMemory implements sharedMemory in the memory of a device.
type mappedMemory struct {
	dev *device
	mem []byte // from offset 0 of the device
	// stored says that something was stored since the last flush. since is the value of disk.count
	// before that. Only the writer uses them, and there is only one at a time.
	stored bool
	since  uint64
	// soon is where stores would go on that follow each other, as those of the log do. row is how
	// many bytes have done so, and paged the end of those whose page faults were taken.
	soon, row, paged int64
}

const (
	// longRow is how many bytes are stored in a row before page faults are taken in advance, for
	// pagedAhead more bytes.
	longRow    = 32 << 10
	pagedAhead = 256 << 10
)

// follow takes page faults in advance if many stores follow each other. One by one, those of a
// log on a stand-in, whose pages are small, take as long as all else that an append does.
func (m *mappedMemory) follow(off, n int64) {
	if off != m.soon {
		m.row = 0
	}
	m.soon = off + n
	if m.row += n; m.row >= longRow && m.soon > m.paged && !m.dev.writeBack {
		m.paged = min(m.soon+pagedAhead, int64(len(m.mem)))
		m.dev.prefault(m.mem[off:m.paged], true)
	}
}

// willStore notes that something is about to be stored.
func (m *mappedMemory) willStore() {
	if !m.stored {
		m.stored, m.since = true, m.dev.disk.count.Load()
	}
}

func (m *mappedMemory) load(p []byte, off int64) { copy(p, m.mem[off:off+int64(len(p))]) }

// word returns a pointer to the word at off. Words are loaded and stored with plain Go
// operations: on 64-bit machines each is one instruction, and the fences order them. Operations
// of sync/atomic would do the same, but in a program with the race detector, a memory fault
// inside them ends the program instead of becoming an error.
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
	if len(p) > 8 {
		m.follow(off, int64(len(p)))
	}
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

// fenceReads is fenceLoads where no store has to come before the loads that follow: only loads, and
// what is invalidated.
func (m *mappedMemory) fenceReads() {
	if m.dev.shared || !loadsInOrder {
		m.fenceLoads()
	}
}

// fileMemory is the memory of a file that hosts share with each other, such as one of a
// queue: offsets are the file's, and must lie within it.
type fileMemory interface {
	sharedMemory
	// write copies p to off, in no order, and flushes it.
	write(off int64, p []byte)
}

// maxSettle bounds all the pausing of one replay: an image full of nonsense must not
// take forever.
const maxSettle = 500 * time.Millisecond

// settleTimes are the pauses before an unsound record is read again.
var settleTimes = [...]time.Duration{100 * time.Microsecond, 400 * time.Microsecond, time.Millisecond, 3 * time.Millisecond}

// read loads len(b) bytes from off as they are in memory.
func read(m sharedMemory, b []byte, off int64) {
	m.invalidate(off, int64(len(b)))
	m.fenceLoads()
	m.load(b, off)
}

func flushAndFence(m sharedMemory, off, n int64) error {
	err := m.flush(off, n)
	m.fenceStores()
	return err
}
