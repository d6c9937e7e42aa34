package famfs

// The device: what it is, its size and granularity, and mapping lists of its
// segments as one region of memory. What differs between systems is in
// dax_linux.go (devdax and fs-dax), dax_file.go (a plain file), dax_region_*.go
// (address space), dax_lock_*.go (the writers' lock) and dax_reserve_*.go (room under
// a stand-in). Nothing here knows of the format.

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

// Kind is what a device path leads to.
type Kind uint8

const (
	// File is a plain file, on tmpfs or on disk, that stands in for a device. It
	// is shared by the processes of one host.
	File Kind = iota
	// FSDAX is a file on a file system mounted with -o dax: its pages are the
	// memory itself.
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
	// Path is as it was given to Open.
	Path string
	Kind Kind
	// Size is the number of bytes that the device really has, whatever its
	// superblock says.
	Size int64
	// Align is what offsets and lengths of mappings are multiples of: the device's
	// alignment for DevDAX, the page size otherwise. A file can be mapped only if
	// its extents are multiples of it.
	Align int64
	// NUMANode is the node whose processors are nearest, TargetNode the one that
	// the memory itself would form; -1 if the system does not say.
	NUMANode, TargetNode int
	// Driver is what holds a DevDAX device, "device_dax"; "" otherwise.
	Driver string
	// Synchronous says that mappings are durable by cache flush alone (MAP_SYNC).
	Synchronous bool
	// Caution says, for people, why those who open this device may not see each
	// other's writes, or may write at the same time; "" if nothing is known against
	// it. Open logs it as a warning. It is about the file system that the path is on,
	// and, on a DAX device opened for writing, about the writers' lock.
	Caution string
}

// LogValue says in a few words what the device is, as slog.LogValuer says: path, kind, size and
// alignment, and what is known against it.
func (d DeviceInfo) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("path", d.Path), slog.String("kind", d.Kind.String()), slog.Int64("size", d.Size), slog.Int64("align", d.Align)}
	if d.Caution != "" {
		attrs = append(attrs, slog.String("caution", d.Caution))
	}
	return slog.GroupValue(attrs...)
}

// segment is a run of bytes of the device.
type segment struct{ off, len int64 }

// appendSegment adds s to segs, joined with the last of them if it follows that on the
// device: one mapping is enough then.
func appendSegment(segs []segment, s segment) []segment {
	if n := len(segs); n > 0 && segs[n-1].off+segs[n-1].len == s.off {
		segs[n-1].len += s.len
		return segs
	}
	return append(segs, s)
}

// device is an open device. Its methods may be called concurrently; close only
// when no region is left.
type device struct {
	file *os.File
	info DeviceInfo
	// mapFlags is what the system wants besides MAP_SHARED.
	mapFlags int
	// hugePages asks for huge pages behind regions.
	hugePages bool
	// writeBack says that flushed data still has to be written to a disk.
	writeBack bool
	// hostLock is the part of the writers' lock that all nodes of a DAX device share;
	// nil for files, which have one inode.
	hostLock *hostLock
	// shared says that other hosts have this memory, whose caches know nothing of this
	// one's: lines are invalidated before they are read. A plain file is shared by the
	// processes of one host, and is one memory for them.
	shared bool
	// cache is what is done to the cache lines of its memory, sync what writes its pages
	// to a disk, if it has one.
	cache *cacheLines
	sync  func(mem []byte) error
	disk  diskFailures
	space addressSpace
}

// diskFailures counts how often a disk could not be written. The system tells that of a
// whole file, once, to whoever waits for the disk next, whatever pages it asks for, and
// then takes all of them for written. So it concerns everybody who has stored something
// since: each compares the count from before its first store.
type diskFailures struct {
	// waiting is held while the disk is waited for: nobody asks after a failure was told
	// and before it is counted.
	waiting sync.Mutex
	count   atomic.Uint64
	last    error // the newest
}

// wait writes mem to the disk by write. It fails if that fails, or if anything has failed
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

// regionAlign is what the address of a region is a multiple of, so that the
// system can map 2 MiB with one fault.
const regionAlign = 2 << 20

// region is mapped memory. Its bytes are valid until unmap.
type region struct {
	mem     []byte
	release func() error
}

// unmap gives the memory back. The region keeps no pointer to it: the system may give
// the same addresses to the Go heap, where a pointer to nothing ends the program.
func (r *region) unmap() error {
	release := r.release
	r.mem, r.release = nil, nil
	return release()
}

// openDevice opens path, for writing too if write is set, and finds out what it
// is. The error wraps ErrDevice if the path cannot serve as a device, and says
// what to do about it.
func openDevice(path string, write bool, log *slog.Logger) (*device, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err // *fs.PathError: names operation and path
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

// mapSegments maps segs, one after the other, as one contiguous region whose
// address is a multiple of 2 MiB. The kernel checks neither offsets nor ends of
// DAX mappings, so all of it is checked here.
func (d *device) mapSegments(segs []segment, write, populate bool) (*region, error) {
	var total int64
	for _, s := range segs {
		switch {
		case s.len <= 0 || s.off < 0 || s.off > d.info.Size-s.len:
			return nil, fmt.Errorf("map %d bytes at %d of %s, which has %d: %w", s.len, s.off, d.info.Path, d.info.Size, ErrDevice)
		case s.off%d.info.Align != 0 || s.len%d.info.Align != 0:
			return nil, fmt.Errorf("map %d bytes at %d of %s: the device maps only multiples of %d bytes; for a devdax device reconfigure it with a smaller alignment (daxctl reconfigure-device --align): %w",
				s.len, s.off, d.info.Path, d.info.Align, ErrDevice)
		case total > math.MaxInt-regionAlign-s.len:
			return nil, fmt.Errorf("map %s: the region does not fit into this program's address space: %w", d.info.Path, ErrDevice)
		}
		total += s.len
	}
	return d.mapRegion(segs, total, write, populate)
}

// mapWhole maps the whole device for reading. A file's last bytes are reachable
// even if they fill no page.
func (d *device) mapWhole() (*region, error) {
	if d.info.Kind == File {
		return d.mapFile(segment{0, d.info.Size}, false)
	}
	return d.mapSegments([]segment{{0, d.info.Size / d.info.Align * d.info.Align}}, false, false)
}

// mapPrefix maps the device from its start for writing, n bytes or a little more.
func (d *device) mapPrefix(n int64) (*region, error) {
	n = roundUp(n, d.info.Align)
	if d.info.Kind == File {
		return d.mapFile(segment{0, min(n, d.info.Size)}, true)
	}
	return d.mapSegments([]segment{{0, n}}, true, false)
}

// flush makes stores to mem, memory of this device, visible to other hosts and
// durable as far as the device is. since is what disk.count was before the first of them.
func (d *device) flush(mem []byte, since uint64) error {
	d.cache.flush(mem)
	if !d.writeBack || len(mem) == 0 {
		return nil
	}
	if err := d.disk.wait(d.sync, mem, since); err != nil {
		return fmt.Errorf("write %s back to disk: %w", d.info.Path, err)
	}
	return nil
}

// reserve has the file system under a stand-in find room for segs, which may reach past
// its end, so that stores to them cannot fail for want of it. They stay holes: they read as
// zeros. The error is ErrNoSpace. Nothing is done if the stand-in has no holes, or if its
// file system cannot do it; then see explain.
func (d *device) reserve(segs []segment) error {
	if !d.sparse() {
		return nil
	}
	for _, s := range segs {
		if s.len = min(s.len, d.info.Size-s.off); s.len <= 0 {
			continue
		}
		switch err := d.allocate(s); {
		case errors.Is(err, errFull):
			return fmt.Errorf("the file system that %s is on has no room for %d bytes at %d of it; make room there: %w", d.info.Path, s.len, s.off, ErrNoSpace)
		case err != nil:
			return fmt.Errorf("reserve %d bytes at %d of %s: %w", s.len, s.off, d.info.Path, err)
		}
	}
	return nil
}

// explain returns a better error for err, which came of touching segs: a fault for want of
// room under a stand-in looks like one of memory that is gone.
func (d *device) explain(err error, segs []segment) error {
	if errors.Is(err, ErrDevice) {
		if full := d.reserve(segs); errors.Is(full, ErrNoSpace) {
			return full
		}
	}
	return err
}

// prefault takes the page faults of mem, memory of this device, all at once, where pages
// are small: one by one they cost twice as much, and more where several processors wait
// for each other. What fails here will fail again where it is noticed.
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

// roundUp returns the multiple of to, a power of two, that is not less than n.
// n+to must not overflow.
func roundUp(n, to int64) int64 { return (n + to - 1) &^ (to - 1) }
