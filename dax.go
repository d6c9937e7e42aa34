package famfs

// The device: its kind, size and alignment, and mapping lists of its segments as one region of
// memory. What differs between systems is in dax_linux.go (devdax and fs-dax), dax_file.go (a
// plain file), dax_region_*.go (address space), dax_lock_*.go (the writers' lock, and locks of
// single bytes), dax_reserve_*.go (room under a stand-in) and dax_write.go (writing to one).
// Nothing here knows of the format.

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Kind is the kind of a device.
type Kind uint8

const (
	// File is a plain file, on tmpfs or on disk, that stands in for a device. The processes of
	// one host share it.
	File Kind = iota
	// FSDAX is a file on a file system that is mounted with -o dax: its pages are the memory
	// itself.
	FSDAX
	// DevDAX is a DAX character device such as /dev/dax0.0.
	DevDAX
)

// String returns "file", "fs-dax" or "devdax".
func (k Kind) String() string {
	switch k {
	case File:
		return "file"
	case FSDAX:
		return "fs-dax"
	case DevDAX:
		return "devdax"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// DeviceInfo describes the device under a file system.
type DeviceInfo struct {
	// Path is the path that was given to Open or WithDevices. It is "" for a device that is not here.
	Path string
	Kind Kind
	// Size is the number of bytes that the device really has, whatever its superblock says.
	Size int64
	// Align is the alignment of mappings: their offsets and lengths are multiples of it. It is
	// the device's alignment for DevDAX, and the page size otherwise. A file can be mapped only
	// if its extents are multiples of it.
	Align int64
	// NUMANode is the node whose processors are nearest. TargetNode is the node that the memory
	// itself would form. Each is -1 if the system does not say.
	NUMANode, TargetNode int
	// Driver is the driver that holds a DevDAX device, "device_dax". It is "" otherwise.
	Driver string
	// Synchronous says that mappings are durable by cache flush alone (MAP_SYNC).
	Synchronous bool
	// Caution is a text for people. It says why processes that open this device may not see
	// each other's writes, or may write at the same time. It is "" if no such reason is known.
	// Open logs it as a warning. It is about the file system that the path is on and, for a DAX
	// device opened for writing, about the writers' lock.
	Caution string
	// UUID is that of the device, and Err says why a device of the file system is not here. Only
	// FS.Devices and Report.Devices set them.
	UUID UUID
	Err  error
	// Bad lists the memory of the device that the system knows to be bad, in ascending order: bad
	// blocks of persistent memory, on Linux. It is asked when the device is opened, by Scrub, and after a
	// memory fault. Nothing new is put there, and files that are there are in Problems. Of other
	// memory, such as CXL's, the system has no list.
	Bad []DeviceRange
}

// DeviceRange is a run of bytes of a device.
type DeviceRange struct{ Offset, Length int64 }

// LogValue implements slog.LogValuer. It returns path, kind, size and alignment, Caution if there is
// one, and how many bytes are bad if any are.
func (d DeviceInfo) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("path", d.Path), slog.String("kind", d.Kind.String()), slog.Int64("size", d.Size), slog.Int64("align", d.Align)}
	if d.Caution != "" {
		attrs = append(attrs, slog.String("caution", d.Caution))
	}
	if len(d.Bad) > 0 {
		attrs = append(attrs, slog.Int64("bad", lengthOf(d.Bad)))
	}
	return slog.GroupValue(attrs...)
}

// segment is a run of bytes of a device.
type segment struct{ off, len int64 }

func (s segment) end() int64 { return s.off + s.len }

// part is a segment of one of several devices.
type part struct {
	dev *device
	segment
}

// device is an open device. Its methods may be called concurrently, but close only when no
// region is left.
type device struct {
	file *os.File
	info DeviceInfo
	// mapFlags are the flags for mmap instead of MAP_SHARED, or 0.
	mapFlags int
	// hugePages says that regions should be advised to use huge pages.
	hugePages bool
	// writeBack says that flushed data must also be written to a disk.
	writeBack bool
	// coherentCalls says that system calls write the same memory as mappings show, and that they
	// can write all of the device.
	coherentCalls bool
	// smallPages says that the device is a file in memory whose pages are small: each of them is a
	// page fault of its own for a mapping.
	smallPages bool
	// hostLock is the part of the writers' lock that all nodes of a DAX device share. It is nil
	// for files, which have one inode.
	hostLock *hostLock
	// shared says that other hosts have this memory. Their caches do not know of this host's
	// caches, so lines must be invalidated before they are read. A plain file is shared only by
	// the processes of one host, and is the same memory for all of them.
	shared bool
	// cache works on the cache lines of the device's memory. sync writes its pages to a disk, if
	// it has one.
	cache *cacheLines
	// listBad lists the memory of the device that the system knows to be bad, and whyGone says why
	// memory at an offset is not there any more. Each is nil if the system says nothing. knownBad is
	// what listBad said last.
	listBad  func() ([]segment, error)
	whyGone  func(at int64) error
	knownBad atomic.Pointer[[]segment]
	sync     func(mem []byte) error
	disk     diskFailures
	space    addressSpace
}

// diskFailures counts how often writing to a disk failed. The system reports such a failure once,
// for the whole file, to whoever waits for the disk next, whatever pages that wait is for. After
// that it treats all pages as written. So a failure concerns everybody who has stored something:
// each of them compares the count with its value before its first store.
type diskFailures struct {
	// waiting is held while waiting for the disk, so that nobody checks between the report of a
	// failure and its counting.
	waiting sync.Mutex
	count   atomic.Uint64
	last    error // the latest failure
}

// wait writes mem to the disk with write. It fails if write fails, or if there was any failure
// since the count was since.
func (f *diskFailures) wait(write func(mem []byte) error, mem []byte, since uint64) error {
	f.waiting.Lock()
	defer f.waiting.Unlock()
	if err := write(mem); err != nil {
		f.last = err
		f.count.Add(1)
		return err
	}
	if f.count.Load() != since {
		return fmt.Errorf("the disk failed before, and what is lost may be of this file: %w", f.last)
	}
	return nil
}

// regionAlign is the alignment of the addresses of regions, so that the system can map 2 MiB with
// one fault.
const regionAlign = 2 << 20

// region is mapped memory. Its bytes are valid until unmap.
type region struct {
	mem     []byte
	release func() error
}

// unmap gives the memory back. It removes the region's pointer to it: the system may give the
// same addresses to the Go heap, where a pointer to nothing ends the program.
func (r *region) unmap() error {
	release := r.release
	r.mem, r.release = nil, nil
	return release()
}

// openDevice opens path, also for writing if write is set, and finds out what kind of device it
// is. The error wraps ErrDevice if path cannot be a device, and says what to do about it.
func openDevice(path string, write bool, log *slog.Logger) (*device, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err // a *fs.PathError, with operation and path
	}
	var d *device
	switch mode := st.Mode(); {
	case mode.IsRegular():
		d, err = openFile(path, write)
	case mode.IsDir():
		err = fmt.Errorf("%s is a directory, want a DAX device or a file: %w", path, ErrDevice)
	default:
		d, err = openSpecial(path, st, write)
	}
	if err != nil {
		return nil, err
	}
	d.cache, d.sync, d.shared = thisMachine, syncMemory, d.info.Kind != File
	if d.shared {
		d.cache = thisMachineDurable
	}
	ready := false
	defer func() { // also if the logger panics
		if !ready {
			d.close()
		}
	}()
	if err := d.usable(); err != nil {
		return nil, err
	}
	if _, err := d.lookForBad(); err != nil {
		log.Debug("the system does not say which memory is bad", "path", path, "err", err)
	}
	if d.info.Caution != "" {
		log.Warn("device opened with a caution", "path", path, "caution", d.info.Caution)
	}
	log.Debug("opened device", "path", path, "kind", d.info.Kind, "size", d.info.Size, "align", d.info.Align)
	ready = true
	return d, nil
}

// usable refuses devices that this program could not use correctly.
func (d *device) usable() error {
	switch {
	case !canMap:
		return fmt.Errorf("%s cannot be mapped: this system (%s) shares no memory through files: %w", d.info.Path, runtime.GOOS, ErrDevice)
	case d.info.Size > math.MaxInt:
		return fmt.Errorf("%s holds %d bytes, more than a 32-bit program can map: %w", d.info.Path, d.info.Size, ErrDevice)
	case d.info.Kind != File && !canFlush:
		return fmt.Errorf("%s is %s memory, and this package cannot flush caches on this architecture: %w", d.info.Path, d.info.Kind, ErrDevice)
	}
	return nil
}

// mapSegments maps segs, one after the other, as one contiguous region whose address is a
// multiple of 2 MiB.
func (d *device) mapSegments(segs []segment, write, populate bool) (*region, error) {
	parts := make([]part, len(segs))
	for i, s := range segs {
		parts[i] = part{d, s}
	}
	return mapParts(parts, write, populate)
}

// mapParts maps parts, one after the other, as one contiguous region whose address is a multiple
// of 2 MiB, and of the alignment of each of the devices. It checks offsets and ends, because the
// kernel does not check them for DAX mappings.
func mapParts(parts []part, write, populate bool) (*region, error) {
	var total int64
	for _, p := range parts {
		d := p.dev
		switch {
		case p.len <= 0 || p.off < 0 || p.off > d.info.Size-p.len:
			return nil, fmt.Errorf("map %d bytes at %d of %s, which has %d: %w", p.len, p.off, d.info.Path, d.info.Size, ErrDevice)
		case p.off%d.info.Align != 0 || p.len%d.info.Align != 0 || total%d.info.Align != 0:
			return nil, fmt.Errorf("map %d bytes at %d of %s: the device maps only multiples of %d bytes; for a devdax device reconfigure it with a smaller alignment (daxctl reconfigure-device --align): %w",
				p.len, p.off, d.info.Path, d.info.Align, ErrDevice)
		case total > math.MaxInt-regionAlign-p.len:
			return nil, fmt.Errorf("map %s: the region does not fit into this program's address space: %w", d.info.Path, ErrDevice)
		}
		total += p.len
	}
	return mapRegion(parts, total, write, populate)
}

// mappable returns how many bytes of the device can be mapped: the length of what mapWhole maps.
func (d *device) mappable() int64 {
	if d.info.Kind == File {
		return d.info.Size
	}
	return d.info.Size / d.info.Align * d.info.Align
}

// mapWhole maps the whole device for reading. If the device is a file, that includes the last
// bytes even if they do not fill a page.
func (d *device) mapWhole() (*region, error) {
	if d.info.Kind == File {
		whole := segment{0, d.info.Size}
		// Where regions lie, large pages can be used; what has no room there may have
		// some elsewhere.
		if r, err := mapRegion([]part{{d, whole}}, whole.len, false, false); err == nil {
			return r, nil
		}
		return d.mapFile(whole, false)
	}
	return d.mapSegments([]segment{{0, d.info.Size / d.info.Align * d.info.Align}}, false, false)
}

// mapPrefix maps the beginning of the device for writing: n bytes, or a little more.
func (d *device) mapPrefix(n int64) (*region, error) {
	n = roundUp(n, d.info.Align)
	if d.info.Kind == File {
		return d.mapFile(segment{0, min(n, d.info.Size)}, true)
	}
	return d.mapSegments([]segment{{0, n}}, true, false)
}

// flush makes stores to mem, memory of this device, visible to other hosts, and durable if the
// device is. since is the value of disk.count before the first of these stores.
func (d *device) flush(mem []byte, since uint64) error {
	d.cache.flush(mem)
	return d.waitForDisk(mem, since)
}

// reserve lets the file system under a stand-in allocate room for segs, so that stores to them
// cannot fail because it is full. segs may reach past the end of the stand-in. The room reads as
// zeros. The error wraps ErrNoSpace if there is no room. If the stand-in has no holes, or its file
// system does not support this, reserve does nothing; explain covers that case.
func (d *device) reserve(segs []segment) error {
	if !d.sparse() {
		return nil
	}
	for _, s := range segs {
		if s.len = min(s.len, d.info.Size-s.off); s.len <= 0 || d.hasRoom(s) {
			continue
		}
		switch err := d.allocate(s); {
		case errors.Is(err, errFull):
			return d.noRoom(s)
		case err != nil:
			return fmt.Errorf("reserve %d bytes at %d of %s: %w", s.len, s.off, d.info.Path, err)
		}
	}
	return nil
}

// noRoom says that the file system under a stand-in has no room for s.
func (d *device) noRoom(s segment) error {
	return fmt.Errorf("the file system that %s is on has no room for %d bytes at %d of it; make room there: %w", d.info.Path, s.len, s.off, ErrNoSpace)
}

// explain returns a better error for err, if touching segs caused it because the file system under
// a stand-in is full. Such a fault looks as if the memory were gone.
func (d *device) explain(err error, segs []segment) error {
	if errors.Is(err, ErrDevice) {
		if full := d.reserve(segs); errors.Is(full, ErrNoSpace) {
			return full
		}
	}
	return err
}

// largestPage is the largest size of the pages that the device may be mapped with.
func (d *device) largestPage() int64 {
	if d.smallPages {
		return int64(os.Getpagesize())
	}
	return max(regionAlign, d.info.Align)
}

// prefault takes the page faults of mem, memory of this device, all at once, if its pages are
// small. One by one, they cost twice as much, and more if processors wait for each other. Errors
// are ignored here: the access itself fails again later.
func (d *device) prefault(mem []byte, write bool) {
	const worthIt = 8 << 10
	if d.info.Kind != DevDAX && len(mem) >= worthIt {
		inParallel(0, int64(len(mem)), func(from, to int64) (int64, error) {
			prefault(mem[from:to], write)
			return to - from, nil
		})
	}
}

func (d *device) close() error { return errors.Join(d.hostLock.close(), d.file.Close()) }

// roundUp returns the smallest multiple of to that is not less than n. to must be a power of two,
// and n+to must not overflow.
func roundUp(n, to int64) int64 { return (n + to - 1) &^ (to - 1) }
