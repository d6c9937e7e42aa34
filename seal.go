package famfs

// Sealing: files that nobody may write any more, and a sum of whose content is in the log. Here
// the sum of a pending file is put together, and a file that is there already is sealed. What a
// seal entry does when the log is replayed is replica.go's concern, comparing is verify.go's.

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"
)

// check returns an error unless k is a kind.
func (k SumKind) check() error {
	if k != CRC32C && k != SHA256 {
		return fmt.Errorf("sum of kind %d, want %v (%d) or %v (%d): %w", uint32(k), CRC32C, uint32(CRC32C), SHA256, uint32(SHA256), fs.ErrInvalid)
	}
	return nil
}

// sealOf returns the sum of a file's content, if it is known here that the file is sealed.
func (f *FS) sealOf(index int64, n node) (Sum, bool) {
	ns := f.replica.ns
	by, ok := n.slab.sealedBy(index)
	if !ok || by >= ns.end() {
		return Sum{}, false
	}
	return ns.node(by).sum(), true
}

// lookForSeals reads the log up to its end, so that a file that was sealed meanwhile is not mapped
// for writing. If the log cannot be read, it is not known what is sealed. With Tolerant, what comes
// before a corrupt entry counts.
func (f *FS) lookForSeals() error {
	if f.config.salvage {
		return nil // nothing is mapped for writing, and nothing is read anew
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.catchUp(); err != nil {
		return fmt.Errorf("find out whether it is sealed: %w", err)
	}
	return nil
}

// fileSums is what is known of the sum of a pending file.
type fileSums struct {
	crcParts
	exposed bool // the caller has the slice: what was known does not count
	sum     Sum  // of all, if it is ready: nothing was written since
	ready   atomic.Bool
}

// filling notes that bytes of the file are about to be written, and reports whether to compute
// their sum meanwhile.
func (s *fileSums) filling(kind SumKind) bool {
	s.ready.Store(false)
	return kind == CRC32C && !s.exposed
}

// sumUp computes the sum of a pending file from the parts that are known, and from its memory. All
// that was stored to it must have been written back.
func (p *PendingFile) sumUp() (err error) {
	if p.sums.ready.Load() {
		return nil
	}
	var known []crcPart
	if !p.sums.exposed {
		known = p.sums.parts
	}
	p.sums.sum, err = sumOver(p.size, p.config.seal, known, p.eachRun)
	if err != nil {
		p.fails(err)
	}
	p.sums.ready.Store(err == nil && !p.sums.exposed)
	return err
}

// eachRun is FS.eachRun for a pending file.
func (p *PendingFile) eachRun(off, count int64, use func(dev *device, mem []byte) error) error {
	for count > 0 {
		device, at, run := p.home.place.locate(off)
		m, err := p.fs.on(device)
		if err != nil {
			return err
		}
		run = min(run, count)
		mem := m.window.mem[at : at+run : at+run]
		err = Guard(func() error { return use(m.dev, mem) })
		var fault *FaultError
		if errors.As(err, &fault) && fault.Addr-addressOf(mem) < uintptr(len(mem)) {
			fault.Name, fault.Offset = p.name, off+int64(fault.Addr-addressOf(mem))
		}
		if err != nil {
			return err
		}
		off, count = off+run, count-run
	}
	return nil
}

// freshen has this host see mem as it is in memory.
func freshen(dev *device, mem []byte) {
	if dev.shared {
		dev.cache.invalidate(mem)
	}
	if len(mem) > aroundFault {
		dev.prefault(mem, false)
	}
}

// sumPiece goes on with sum over a part of a file, as it is in memory.
func (f *FS) sumPiece(n node, from, to int64, sum *crcRun) error {
	return f.eachRun(n, from, to-from, func(dev *device, mem []byte) error {
		freshen(dev, mem)
		sum.add(mem)
		return nil
	})
}

// eachRunFunc calls use for the memory of count bytes of a file from off on, run by run, under a
// guard.
type eachRunFunc func(off, count int64, use func(dev *device, mem []byte) error) error

// sumOver computes the sum of a file of this size. The caches forget what they have of it first, so
// it is the sum of what is in memory. known are parts of which the CRC-32C is known; they are not
// read.
func sumOver(size int64, kind SumKind, known []crcPart, each eachRunFunc) (Sum, error) {
	read := func(from, to int64, use func(mem []byte)) error {
		return each(from, to-from, func(dev *device, mem []byte) error {
			freshen(dev, mem)
			use(mem)
			return nil
		})
	}
	if kind == SHA256 {
		hash := sha256.New()
		for at := int64(0); at < size; at += workPiece {
			if err := read(at, min(at+workPiece, size), func(mem []byte) { hash.Write(mem) }); err != nil {
				return Sum{}, err
			}
		}
		return Sum{Kind: SHA256, Bytes: [sumSize]byte(hash.Sum(nil))}, nil
	}
	parts := crcParts{parts: slices.Clone(known)}
	for _, gap := range parts.gaps(size) {
		_, err := inParallel(gap.from, gap.to, func(from, to int64) (int64, error) {
			var sum crcRun
			if err := read(from, to, sum.add); err != nil {
				return 0, err
			}
			parts.add(crcPart{from, to, sum.crc})
			return to - from, nil
		})
		if err != nil {
			return Sum{}, err
		}
	}
	return crcSum(parts.parts[0].crc), nil
}

// Seal seals a file that is there, as SealWith does one that is created: it is read-only on all
// hosts from then on, and the log holds a sum of its content, as it is in memory now. Write the
// file, with all caches flushed (Mapping.Flush), before it is sealed. Of the options, SealWith
// (default: CRC32C) and WithContext have an effect.
//
// Seal fails with ErrBusy while this FS has the file mapped Writable, or is sealing it. It cannot
// know of mappings that other processes and hosts have: they stay writable until they are closed,
// and what is stored through them is damage that Verify finds.
//
// The error is a *fs.PathError. It wraps fs.ErrNotExist; fs.ErrInvalid if name is a directory or
// no valid path, or for a kind of sum that does not exist; fs.ErrExist if the file is sealed
// already; a *FaultError if its memory fails; or ErrNotMaster, ErrReadOnly, ErrLogFull, ErrLocked,
// ErrReformatted or fs.ErrClosed as for Create. If the seal "may be lost if the host fails",
// because the disk under a plain file failed, the file is sealed; another Seal makes that certain
// and then returns fs.ErrExist.
func (f *FS) Seal(name string, opts ...CreateOption) error {
	defer f.journal.tell()
	if err := f.seal(name, f.newCreateConfig(append([]CreateOption{Seal()}, opts...))); err != nil {
		return &fs.PathError{Op: "seal", Path: name, Err: err}
	}
	return nil
}

func (f *FS) seal(name string, c createConfig) error {
	if !f.gate.hold() { // also while it waits for the writers' lock
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if err := c.seal.check(); err != nil {
		return err
	}
	if err := f.mayLog(); err != nil {
		return err
	}
	if err := checkNewName(name); err != nil {
		return err
	}
	if _, err := f.Refresh(); err != nil {
		return err
	}
	index, n, err := f.lookup(name)
	if err != nil {
		return err
	}
	if n.isDir() {
		return fmt.Errorf("is a directory: %w", fs.ErrInvalid)
	}
	if err := f.regions.beginSealing(index); err != nil {
		return err
	}
	defer f.regions.endSealing(index)
	item := batchItem{kind: typeSeal, path: name, removes: index}
	if _, sealed := f.sealOf(index, n); !sealed { // otherwise the error comes below
		if item.sum, err = f.sumWritten(index, n, c.seal); err != nil {
			return err
		}
	}
	if err := f.lock.acquire(c.ctx, f.config.lockTimeout); err != nil {
		return err
	}
	f.mu.Lock()
	var b batch
	err = f.append(&b, func() error {
		if now, ok := f.replica.ns.lookupLatest(name); !ok || now != index {
			return fmt.Errorf("it was removed or replaced meanwhile: %w", fs.ErrNotExist)
		}
		if by, sealed := n.slab.sealedBy(index); sealed {
			// An earlier call that failed may have sealed it.
			if err := f.replica.makeCertain(); err != nil {
				return err
			}
			return fmt.Errorf("it is sealed since log entry %d: %w", by, fs.ErrExist)
		}
		b.items = append(b.items, item)
		return f.checkRoom(1)
	})
	f.mu.Unlock()
	return errors.Join(err, f.lock.release())
}

// sumWritten computes the sum of a file that is there, as it is in memory, and waits until that is
// on the disk, if there is one.
func (f *FS) sumWritten(index int64, n node, kind SumKind) (Sum, error) {
	h, err := f.homeOf(n.place())
	if err != nil {
		return Sum{}, err
	}
	since := h.diskCounts()
	sum, err := f.sumNode(index, n, kind, nil)
	if err != nil {
		return Sum{}, err
	}
	off := int64(0)
	return sum, f.eachRun(n, 0, n.size, func(_ *device, mem []byte) error {
		defer func() { off += int64(len(mem)) }()
		return h.waitForDisk(mem, off, since)
	})
}

// sumNode computes the sum of a file that is there, as it is in memory.
func (f *FS) sumNode(index int64, n node, kind SumKind, pace func(bytes int64) error) (Sum, error) {
	if f.pins.on {
		if err := f.mayRead(index, n); err != nil {
			return Sum{}, err
		}
	}
	sum, err := sumOver(n.size, kind, nil, func(off, count int64, use func(dev *device, mem []byte) error) error {
		if pace != nil {
			if err := pace(count); err != nil {
				return err
			}
		}
		return f.eachRun(n, off, count, use)
	})
	if gone := f.wasThere(index, n); gone != nil {
		return Sum{}, gone
	}
	if err == nil {
		n.slab.use(index) // no line of another owner is left in the caches
	}
	return sum, err
}

// wasThere is called after a file was read. It returns an error if what was read may have been
// another file's by then.
func (f *FS) wasThere(index int64, n node) error {
	if !f.pins.on {
		return nil
	}
	return f.notice(Guard(func() error { return f.stillThere(index, n) }))
}
