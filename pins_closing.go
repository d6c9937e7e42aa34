package famfs

// Making sure that nobody uses a file system whose memory is given out again (see Reuse), and that
// nobody begins to, before its log is rewritten or the device is formatted (format: compaction record).

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// voidClosing takes back the note that somebody is about to compact the log, if nobody is: who is
// holds the writers' lock.
func (f *FS) voidClosing() error {
	if !f.config.readWrite || f.metaRegion == nil {
		return fs.ErrPermission
	}
	ok, _, err := f.lock.try(false)
	if err == nil && !ok {
		err = ErrLocked
	}
	if err != nil {
		return err
	}
	return errors.Join(voidClosing(f.replica.meta, f.size(), f.sb.UUID), f.lock.release())
}

// closePins says that the log is about to be compacted, so that nobody takes a slot any more, and
// makes sure that nobody has one. The caller holds the writers' lock.
func (f *FS) closePins() error {
	if err := f.sweepAll(); err != nil {
		return err
	}
	m := f.replica.meta
	if err := beginClosing(m, f.size(), f.sb.UUID); err != nil {
		return err
	}
	if err := slotsInUse(m, f.sb.logEnd(), func(*pinSlot) bool { return false }); err != nil {
		return errors.Join(err, voidClosing(m, f.size(), f.sb.UUID))
	}
	return nil
}

// voidAbandoned takes back what a compaction has left that was given up before it began.
func (f *FS) voidAbandoned() error {
	if !f.pins.on || f.replica.notClosing(f.size()) == nil {
		return nil
	}
	if err := f.lock.acquire(context.Background(), 0); err != nil {
		f.config.log.Debug("note of a compaction not taken back now", "err", err)
		return nil
	}
	return errors.Join(voidClosing(f.replica.meta, f.size(), f.sb.UUID), f.lock.release())
}

// beginClosing writes the record that nobody may take a slot any more.
func beginClosing(m sharedMemory, deviceSize int64, uuid UUID) error {
	records := readRecords(m, deviceSize)
	if latest := records.latest(); latest >= 0 {
		if c := &records.at[latest]; c.state == recordClosing && c.uuid == uuid {
			return nil
		}
	}
	return records.write(m, compactionRecord{state: recordClosing, uuid: uuid})
}

// voidClosing takes that record back, if it is the latest.
func voidClosing(m sharedMemory, deviceSize int64, uuid UUID) error {
	records := readRecords(m, deviceSize)
	if latest := records.latest(); latest >= 0 {
		if c := &records.at[latest]; c.state == recordClosing && c.uuid == uuid {
			return records.void(m)
		}
	}
	return nil
}

// slotsInUse returns an error if any slot of a host that was not evicted stands in use, except
// those of which isDead says that their process has died.
func slotsInUse(m sharedMemory, at int64, isDead func(*pinSlot) bool) error {
	hosts := readHosts(m, at)
	for place, state := range hosts.states {
		if state == hostEvicted || state == hostUnknown {
			continue
		}
		for _, s := range readSlots(m, at, place) {
			if !isDead(&s) {
				return fmt.Errorf("process %d (%s) on host %s may have files mapped; it has to close, or, if that host is surely off, the host has to be evicted (Evict): %w", s.owner.pid, s.owner.program, hosts.uuids[place], ErrBusy)
			}
		}
	}
	return nil
}

// stillUsed takes back what checkUnused has written, if the file system stays.
func stillUsed(dev *device, m sharedMemory) error {
	sb, err := readSuperblock(m, dev.info.Size)
	if err != nil || !sb.reuses() {
		return nil
	}
	return voidClosing(m, dev.info.Size, sb.UUID)
}

// checkUnused returns an error if anybody may have files of the file system on dev mapped. m is
// the beginning of the device; host are the UUIDs of this host. From then on nobody can map any
// more, until the file system is gone.
func checkUnused(dev *device, m sharedMemory, host []UUID) (err error) {
	size := dev.info.Size
	sb, err := readSuperblock(m, size)
	if err != nil || !sb.reuses() {
		return nil
	}
	r, err := dev.mapPrefix(sb.dataStart())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.unmap()) }()
	all := &mappedMemory{dev: dev, mem: r.mem}
	if checkPins(all, sb.logEnd(), sb.UUID) != nil {
		return nil // it is damaged: nobody takes a slot, and nobody could be evicted
	}
	boot, device, inode, known := dev.lockOwner()
	me := slotOwner{boot: boot, device: device, inode: inode}
	hosts := readHosts(all, sb.logEnd())
	isDead := func(s *pinSlot) bool {
		if !known || !slices.Contains(host, hosts.uuids[s.place]) {
			return false
		}
		if !s.owner.here(&me) && (s.owner.boot == me.boot || hosts.uuids[s.place] != sb.SystemUUID) {
			return false
		}
		at := sb.logEnd() + slotAt(s.place, s.slot)
		ok, err := dev.tryByte(at)
		return ok && errors.Join(err, dev.unlockByte(at)) == nil
	}
	if err := beginClosing(m, size, sb.UUID); err != nil {
		return err
	}
	if err := slotsInUse(all, sb.logEnd(), isDead); err != nil {
		return errors.Join(err, voidClosing(m, size, sb.UUID))
	}
	return nil
}
