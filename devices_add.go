package famfs

// Adding devices: making the superblock of a secondary device, telling readers that they must know
// of such devices, and the log entry. The feature is in the primary superblock before any entry
// adds a device (format: secondary devices). Finding devices is devices_search.go's concern.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// AddDevice adds the device or file at path to the file system, on the master: it formats it as a
// secondary device and logs it. From then on files are created on it too, and every host uses it
// that finds it: see WithDevices. Hosts that have the file system open find it at their next
// Refresh. Of opts, only Force has an effect; the device is formatted as by Format otherwise, and
// refused for the same reasons. A device cannot be removed again.
//
// The first AddDevice marks the file system as one with several devices (feature bit 33 of its
// version): the reference, and earlier versions of this package, refuse it from then on, for good.
//
// A crash leaves the file system as it was, or with the device. In between the device may be
// formatted and not added; the same call then succeeds without Force. If the crash was while the
// superblock was changed, Open fails with ErrBusy until the master opens the file system with
// ReadWrite, which finishes it.
//
// Errors: those of Format about path; ErrBusy if it is a device of this file system already;
// ErrDevice if it is gone again before it can be used, and then it is not logged; and
// ErrNotMaster, ErrReadOnly, ErrLogFull, ErrLocked, ErrReformatted and fs.ErrClosed as for Create.
func (f *FS) AddDevice(path string, opts ...FormatOption) error {
	defer f.journal.tell()
	if err := f.addDevice(path, newFormatConfig(opts)); err != nil {
		return fmt.Errorf("famfs: add device %s: %w", path, err)
	}
	return nil
}

func (f *FS) addDevice(path string, c formatConfig) (err error) {
	if !f.gate.hold() { // also while it waits for locks
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if err := f.mayLog(); err != nil {
		return err
	}
	// Goroutines share the writers' lock: two that add one device would format it one over the other.
	f.devices.adding.Lock()
	defer f.devices.adding.Unlock()
	if err := f.lock.acquire(context.Background(), f.config.lockTimeout); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.lock.release()) }()
	n := newSecondary{path: path, primary: f.sb}
	check := func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, err := f.catchUp(); err != nil {
			return err
		}
		n.uuids = make(map[UUID]bool)
		n.others = n.others[:0]
		for _, m := range append([]*member{&f.member}, f.devices.list()...) {
			n.uuids[m.uuid] = true
			if m.dev != nil {
				st, err := m.dev.file.Stat()
				if err != nil {
					return err
				}
				n.others = append(n.others, st)
			}
		}
		return f.checkRoom(1)
	}
	if err := check(); err != nil {
		return err
	}
	if err := n.format(c, false); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.config.devices
	f.config.devices = append(known[:len(known):len(known)], path)
	b, tried := batch{index: -1}, false
	defer func() {
		if err != nil && !tried { // else it may have been logged: memory can fail behind that
			f.config.devices = known
		}
	}()
	// It is found before it is logged: an entry stays for good, and a device may be gone again.
	f.devices.search = f.startSearch()
	defer f.endSearch()
	if err := f.devices.search.has(n.added); err != nil {
		return err
	}
	if err := f.noteDevices(); err != nil {
		return err
	}
	index := 0
	tried = true
	err = f.append(&b, func() error {
		index = len(f.replica.devices) + 1
		b.items = []batchItem{{kind: typeAddDev, device: n.added, index: index}}
		return f.checkRoom(1)
	})
	if err == nil {
		_, err = f.on(index)
	}
	return err
}

// noteDevices says in the superblock that files may be on other devices, if it does not say so yet.
// f.mu and the writers' lock must be held.
func (f *FS) noteDevices() error {
	if f.replica.sb.hasDevices() {
		return nil
	}
	if err := f.sameDevice(); err != nil {
		return err
	}
	places := []segment{copySegment, {recordAt, recordPlaces * recordSpacing}}
	if err := f.dev.reserve(places); err != nil {
		return err
	}
	err := Guard(func() error {
		r := f.replica
		if err := r.sameFileSystem(); err != nil { // which tells a damaged one from another
			return err
		}
		if err := addFeature(r.meta, &r.sb, f.size(), f.usedFrom); err != nil {
			return err
		}
		return r.sameFileSystem() // which takes the new version for its own
	})
	return f.notice(f.dev.explain(err, places))
}

// addFeature replaces the superblock sb by one with the feature of several devices, so that no crash
// leaves none: a record says what is to stand there (format: compaction record).
func addFeature(m sharedMemory, sb *Superblock, size, usedFrom int64) error {
	records := readRecords(m, size)
	c := compactionRecord{state: recordUnderWay, uuid: sb.UUID, count: uint64(usedFrom), superblock: loadSuperblock(m)}
	if err := checkStands(&c.superblock, size, sb.UUID); err != nil {
		return err
	}
	setFeature(&c.superblock, featureDevices)
	if err := records.write(m, c); err != nil {
		return err
	}
	return c.replaceSuperblock(m, &records)
}

// newSecondary is a device that is to be a secondary one.
type newSecondary struct {
	path    string
	primary Superblock
	uuids   map[UUID]bool // of the devices that are added
	others  []os.FileInfo // those of them that are here
	added   addedDevice   // what it is, once it is formatted
	node    os.FileInfo
}

// format makes the device's superblock, or, if dry is set, finds out whether it would be refused.
func (n *newSecondary) format(c formatConfig, dry bool) error {
	if st, err := os.Stat(n.path); err == nil { // before its lock is waited for, which this FS may have
		if err := n.isOther(st); err != nil {
			return err
		}
	}
	size := int64(0) // of what is mapped of the device
	area := func(deviceSize int64) (int64, error) {
		if need := superblockArea + n.primary.AllocUnit; deviceSize < need {
			return 0, fmt.Errorf("device of %d bytes, want at least %d for a superblock and one allocation unit: %w", deviceSize, need, fs.ErrInvalid)
		}
		size = min(deviceSize, superblockArea+minLogSize) // where something else may be
		return size, nil
	}
	return withMetadata(n.path, area, c.prepare, func(dev *device, m sharedMemory) (err error) {
		if n.node, err = dev.file.Stat(); err != nil {
			return err
		}
		if err := n.isOther(n.node); err != nil {
			return err
		}
		before, mine := secondaryOf(m, size)
		switch known := n.uuids[before.DeviceUUID]; {
		case mine && before.UUID == n.primary.UUID && known:
			return fmt.Errorf("it is a device of this file system already (UUID %s): %w", before.DeviceUUID, ErrBusy)
		case mine && before.UUID == n.primary.UUID: // adding it was interrupted
		case !c.force:
			if err := checkRemains(m, size, dev.info.Size); err != nil {
				return err
			}
			if err := checkContent(m, superblockArea, dev.info.Kind != DevDAX); err != nil {
				return err
			}
		}
		n.added = addedDevice{size: uint64(dev.mappable()), uuid: NewUUID()}
		if err := dev.reserve([]segment{{0, superblockSize}, copySegment, {recordAt, recordPlaces * recordSpacing}, {logOffset, logHeaderSize}}); err != nil {
			return err
		}
		if err := checkUnused(dev, m, []UUID{n.primary.SystemUUID}); err != nil {
			return err
		}
		if dry {
			return stillUsed(dev, m)
		}
		return writeSecondary(m, size, secondarySuperblock(&n.primary, n.added, n.path))
	})
}

// isOther returns an error if st is one of the devices that the file system has already.
func (n *newSecondary) isOther(st os.FileInfo) error {
	for _, other := range n.others {
		if os.SameFile(st, other) || sameNode(st, other) {
			return fmt.Errorf("it is a device of this file system already: %w", ErrBusy)
		}
	}
	return nil
}

// secondarySuperblock returns the superblock of a device that is added to the file system of sb.
func secondarySuperblock(sb *Superblock, d addedDevice, path string) Superblock {
	return Superblock{
		Version:    sb.Version | featureDevices,
		AllocUnit:  sb.AllocUnit,
		OMFMajor:   sb.OMFMajor,
		OMFMinor:   sb.OMFMinor,
		UUID:       sb.UUID,
		DeviceUUID: d.uuid,
		SystemUUID: sb.SystemUUID,
		DeviceSize: clamp(d.size),
		DeviceName: path,
	}
}

// writeSecondary writes the superblock of a secondary device over anything. m reaches size bytes.
func writeSecondary(m sharedMemory, size int64, sb Superblock) error {
	if err := rememberOwner(m, size, sb.UUID); err != nil {
		return err
	}
	if err := unmake(m); err != nil {
		return err
	}
	if err := zeroMetadata(m, versionAt, superblockArea); err != nil {
		return err
	}
	record := sb.encode()
	m.store(versionAt, record[versionAt:])
	if err := flushAndFence(m, 0, superblockSize); err != nil {
		return err
	}
	if err := writeCopy(m, &record); err != nil {
		return err
	}
	m.store(magicAt, record[magicAt:versionAt])
	return flushAndFence(m, magicAt, 8)
}

// renewSecondary makes a secondary device one of the file system with this UUID, which takes the
// place of the one that it is of, or is half way to that.
func renewSecondary(m sharedMemory, uuid UUID) error {
	b := loadSuperblock(m)
	sb := fieldsOf(&b)
	sb.UUID = uuid
	copy(b[fsUUIDAt:], uuid[:])
	sum := sb.encode()
	copy(b[superblockCRC:flagsAt], sum[superblockCRC:flagsAt])
	m.store(magicAt, b[:flagsAt])
	if err := flushAndFence(m, 0, superblockSize); err != nil {
		return err
	}
	return writeCopy(m, &b)
}
