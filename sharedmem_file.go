package famfs

// The seam for files that hosts share, such as those of a queue. It differs from the seam for
// superblock and log in two ways: a flush waits for no disk, and whole buckets are written past
// the caches.

// mappedFile is fileMemory in a file that is mapped. What is stored is for other processes
// and hosts, and for the medium as far as that is memory; it waits for no disk. On a plain
// file, which is one memory for all who have it, nothing needs to be flushed.
type mappedFile struct{ mappedMemory }

// pastCaches is the length from which bytes go past the caches on a plain file too. An ordinary
// store would first fetch the bucket's old lines from the cache of the consumer's processor.
const pastCaches = 1 << 10

func newMappedFile(dev *device, mem []byte) *mappedFile {
	return &mappedFile{mappedMemory{dev: dev, mem: mem}}
}

func (m *mappedFile) write(off int64, p []byte) {
	mem := m.mem[off : off+int64(len(p))]
	if cache := m.dev.cache; m.dev.shared || len(p) >= pastCaches && cache.streamLines != nil {
		cache.copyInto(mem, p)
		return
	}
	copy(mem, p)
}

func (m *mappedFile) flush(off, n int64) error {
	if m.dev.shared {
		m.dev.cache.writeBack(m.mem[off : off+n])
	}
	return nil
}
