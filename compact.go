package famfs

// Compaction: writing the log anew, without what was removed, so that its entries and the
// space of removed files are free again. The new entries are staged where nothing is; then
// the superblock goes, they are put in their place, and a new superblock comes. A record says
// that this is under way, so that whoever opens the device next can finish it. Which superblock
// is there, the old one, none or the new one, says how far it has come.
//
// Every step is written back and fenced before the next. The record's bytes, and finding out how
// far it has come, are compact_record.go's concern.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Compact writes the log of the file system at path anew, without what was removed: its
// entries, and the space of removed files, can be used again (Usage.Removed is 0). Data
// does not move. The file system gets a new UUID, and entries other numbers (Attr.Index).
// The result is as if directories and files had been made just now, on a device formatted
// just now: the reference reads it too. If the log has nothing but what is there, nothing is
// changed.
//
// Nobody may have the device open, on any host, the reference's mounts included; Compact
// cannot see whether anybody has. An FS that is open all the same gets ErrReformatted
// at its next Refresh, and mappings of removed files show what other files have there by then.
// What hosts wrote into files that were removed since must have been flushed by them.
//
// If it is interrupted, also by a power cut, everything is as it was, or Open fails with
// ErrBusy until the master opens the device with ReadWrite, which finishes it. Only files
// that had not been removed are in the namespace then.
//
// On a file system with Reuse, Compact does see who has files mapped: it fails with ErrBusy, and
// says who.
//
// Compact is refused, and nothing is changed, if the file system has Problems or corrupt
// entries, unless DropProblems is given; with ErrDevice if a device is not here;
// with ErrNoSpace if the new log finds no room, which it needs for a moment beside
// the old one: in the unused part of the log, or in free space. Other errors are those of
// Open with ReadWrite, and ErrLocked. Of the options, WithSystemUUID, WithDevices,
// DiscoverDevices, WithLogger, WithLockTimeout and DropProblems have an effect.
func Compact(path string, opts ...Option) error {
	c := newOpenConfig(opts)
	err := compact(path, c)
	c.journal.tell()
	if err != nil {
		return fmt.Errorf("famfs: compact %s: %w", path, err)
	}
	return nil
}

func compact(path string, c openConfig) (err error) {
	c.readWrite, c.tolerant, c.salvage, c.grow, c.clientWrites = true, false, false, false, false
	f, err := open(path, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	if err := f.lock.acquire(context.Background(), c.lockTimeout); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.lock.release()) }()
	return Guard(f.compact)
}

// compact is Compact under the writers' lock.
func (f *FS) compact() (err error) {
	r := f.replica
	if _, err := r.catchUp(f.config.onCorrupt(), false); err != nil {
		return err
	}
	if err := f.compactable(); err != nil {
		return err
	}
	log, err := r.planLog(f.usedFrom)
	if err != nil || len(log.order) == int(r.next) {
		return err
	}
	if f.pins.on {
		if err := f.closePins(); err != nil {
			return err
		}
		defer func() {
			if err != nil { // if it is under way, there is nothing to take back
				err = errors.Join(err, Guard(func() error { return voidClosing(f.replica.meta, f.size(), f.sb.UUID) }))
			}
		}()
	}
	at, err := r.stagingPlace(len(log.order))
	if err != nil {
		return err
	}
	size := int64(len(log.order)) * entrySize
	if err := f.dev.reserve([]segment{{0, superblockSize}, copySegment, {recordAt, recordPlaces * recordSpacing}, {logOffset, logHeaderSize + size}, {at, size}}); err != nil {
		return err
	}
	members := f.devices.list()
	return f.withSecondaries(members, func(others []sharedMemory) error {
		// From the record on there is no way back: what is wrong with a device has to be found before.
		if err := f.stillOurs(members, others); err != nil {
			return err
		}
		return f.withPrefix(max(f.sb.dataStart(), at+size), func(m sharedMemory) error {
			records := readRecords(m, f.size())
			c, err := r.stageLog(m, &records, log, at, NewUUID())
			if err != nil {
				return err
			}
			return c.finish(m, &records, f.size(), log.fresh, others...)
		})
	})
}

// stillOurs returns an error if an added device has no sound superblock of this file system any more,
// or its memory fails. others are the superblocks of those members that are here.
func (f *FS) stillOurs(members []*member, others []sharedMemory) error {
	for _, m := range members {
		if m.dev == nil {
			continue
		}
		if err := m.checkSuperblock(others[0], f.sb.UUID); err != nil {
			return err
		}
		others = others[1:]
	}
	return nil
}

// withSecondaries maps the superblocks of added devices for writing, for the time of use.
func (f *FS) withSecondaries(members []*member, use func([]sharedMemory) error) (err error) {
	var others []sharedMemory
	for _, m := range members {
		if m.dev == nil {
			continue // see compactable
		}
		if err := m.dev.reserve([]segment{copySegment}); err != nil {
			return err
		}
		r, err := m.dev.mapPrefix(superblockArea)
		if err != nil {
			return err
		}
		mapped.add(r.mem, m.dev.info.Path)
		defer func() {
			mapped.remove(r.mem)
			r.unmap() // all is flushed
		}()
		others = append(others, &mappedMemory{dev: m.dev, mem: r.mem})
	}
	return Guard(func() error { return use(others) })
}

// compactable says why the log must not be compacted.
func (f *FS) compactable() error {
	// Without the feature no file is on another device that is not among the problems, and what
	// the reference has added has no superblock to be changed.
	// The log says that, as it is now: somebody may have added a device since f.sb was read.
	if err := f.absent(); err != nil && f.replica.sb.hasDevices() {
		return fmt.Errorf("every device must be here: %w", err)
	}
	problems := f.passedOver()
	for _, p := range problems {
		switch {
		case errors.Is(p, ErrDevice):
			return fmt.Errorf("files on other devices would be lost: %w", p)
		case p.Index < 0:
			return fmt.Errorf("more would be lost than can be listed: %w", p)
		}
	}
	if len(problems) > 0 && !f.config.dropProblems {
		return fmt.Errorf("the log has %d problems, and what they are about would be lost; check it first, or drop them (DropProblems); the first: %w", len(problems), problems[0])
	}
	return nil
}

// withPrefix maps the first n bytes of the device for writing, for the time of use.
func (f *FS) withPrefix(n int64, use func(sharedMemory) error) (err error) {
	r, err := f.dev.mapPrefix(n)
	if err != nil {
		return err
	}
	mapped.addOf(f.faults, r.mem, f.dev.info.Path)
	f.watchMemory(&f.member, r.mem)
	defer func() {
		mapped.remove(r.mem)
		err = errors.Join(err, r.unmap())
	}()
	return f.dev.explain(Guard(func() error { return use(&mappedMemory{dev: f.dev, mem: r.mem}) }), []segment{{0, n}})
}

// newLog is what a log is rewritten to.
type newLog struct {
	order []uint32 // the indexes that its entries have in the old one
	// fresh is how many of them, from the first on, make no file in memory that had another
	// owner; seals, which come last, are not counted.
	fresh uint64
}

// planLog chooses what is kept of the log, in this order: devices, directories, files whose
// memory never had another owner, the others, seals. Directories are made in the order of the log,
// in which each comes after the one that it is in. usedFrom is the first entry of which
// files may lie in memory that had another owner.
func (r *replica) planLog(usedFrom int64) (newLog, error) {
	var devices, dirs, files, used, seals []uint32
	var b [entrySize]byte
	var e entry
	for i := range r.next {
		n := r.ns.node(int64(i))
		switch {
		case n.isRemoval():
			continue
		case n.isSeal():
			if _, removed := r.ns.node(n.size).slab.removedBy(n.size); !removed {
				seals = append(seals, uint32(i))
			}
			continue
		case n.gone():
			// An entry that made nothing: some are needed all the same.
			if err := r.loadEntry(&b, i); err != nil {
				if errors.Is(err, ErrCorrupt) {
					continue // it is one of the problems that are dropped
				}
				return newLog{}, err
			}
			e.decode(&b)
			e.resolvePath()
			if e.check(stringOf(e.path), r.geo) != nil {
				continue
			}
			next := len(devices)
			switch {
			case e.kind == typeAddDev && int(e.deviceIndex) == next+1 && next < len(r.devices) && r.devices[next].uuid == e.deviceUUID:
				devices = append(devices, uint32(i))
			case e.kind == typeMkdir && e.unserved && string(e.path) == reservedDir:
				dirs = append(dirs, uint32(i))
			case e.kind == typeFile && e.unserved:
				files = append(files, uint32(i))
			}
			continue
		}
		if _, removed := n.slab.removedBy(int64(i)); removed {
			continue
		}
		switch {
		case n.isDir():
			dirs = append(dirs, uint32(i))
		case int64(i) < usedFrom && !n.inUsedMemory():
			files = append(files, uint32(i))
		default:
			used = append(used, uint32(i))
		}
	}
	log := newLog{order: append(append(devices, dirs...), files...)}
	log.fresh = uint64(len(log.order))
	log.order = append(append(log.order, used...), seals...)
	return log, nil
}

// loadEntry loads entry index. It fails with ErrCorrupt if the entry is unsound.
func (r *replica) loadEntry(b *[entrySize]byte, index uint64) error {
	read(r.meta, b[:], entryAt(index))
	if err := checkEntry(b, index); err != nil {
		return ofEntry(index, err)
	}
	return nil
}

// stagingPlace finds room for n entries: behind the entries in use, or in free space.
func (r *replica) stagingPlace(n int) (int64, error) {
	if capacity := lastIndex(r.sb.LogSize) + 1; uint64(n) <= capacity-r.next {
		return entryAt(r.next), nil
	}
	need := int64(n) * entrySize
	run, ok := r.alloc.allocate((need-1)/r.geo.unit+1, 0, math.MaxInt64)
	if !ok {
		return 0, fmt.Errorf("the new log of %d entries needs %d bytes for a moment, and neither the log's unused part nor any run of free space has as many: %w", n, need, ErrNoSpace)
	}
	return run.start * r.geo.unit, nil
}

// stageLog writes the entries of the new log to at, and then the record that says that they
// are to take the place of the old ones: from here on the compaction will be finished.
func (r *replica) stageLog(m sharedMemory, records *compactionRecords, log newLog, at int64, uuid UUID) (*compactionRecord, error) {
	var b [entrySize]byte
	var e entry
	sealed := make(map[uint32]uint64) // the new indexes of sealed files
	for _, index := range log.order {
		if n := r.ns.node(int64(index)); n.isSeal() {
			sealed[uint32(n.size)] = 0
		}
	}
	for i, index := range log.order {
		if err := r.loadEntry(&b, uint64(index)); err != nil {
			return nil, err
		}
		if _, ok := sealed[index]; ok {
			sealed[index] = uint64(i)
		}
		if n := r.ns.node(int64(index)); n.isSeal() {
			binary.LittleEndian.PutUint64(b[sealsAt:], sealed[uint32(n.size)])
		}
		renumber(&b, &e, uint64(i))
		m.store(at+int64(i)*entrySize, b[:])
	}
	if err := flushAndFence(m, at, int64(len(log.order))*entrySize); err != nil {
		return nil, fmt.Errorf("stage the new log: %w", err)
	}
	c := compactionRecord{state: recordUnderWay, uuid: r.sb.UUID, staged: at, count: uint64(len(log.order))}
	// Nothing but the UUID changes: the size may have grown since it was read first, and there
	// may be bytes that this package does not know.
	read(m, c.superblock[:], 0)
	if err := checkStands(&c.superblock, r.geo.size, r.sb.UUID); err != nil {
		return nil, err
	}
	copy(c.superblock[fsUUIDAt:], uuid[:])
	binary.LittleEndian.PutUint64(c.superblock[superblockCRC:], checksum(c.superblock[:superblockCRC]))
	if err := records.write(m, c); err != nil {
		return nil, err
	}
	return &records.at[records.latest()], nil
}

// renumber gives b, a sound entry, another index. A path like a/../b becomes clean, because the
// new log may not have the directories that it passes through.
func renumber(b *[entrySize]byte, e *entry, index uint64) {
	e.decode(b)
	if e.resolvePath() {
		at := filePathAt
		switch e.kind {
		case typeMkdir:
			at = mkdirPathAt
		case typeSeal:
			at = sealPathAt
		}
		clear(b[at:][:pathSize])
		copy(b[at:][:pathSize-1], e.path)
	}
	binary.LittleEndian.PutUint64(b[entrySeqAt:], index)
	binary.LittleEndian.PutUint64(b[entryCRC:], checksum(b[:entryCRC]))
}

// stagedEnd is where the staged entries end, once checkBounds has found nothing wrong.
func (c *compactionRecord) stagedEnd() int64 { return c.staged + int64(c.count)*entrySize }

// check says why a compaction cannot be finished, before anything is touched, and returns
// the new superblock. m reaches all of a device of this size.
func (c *compactionRecord) check(m sharedMemory, size int64) (Superblock, error) {
	sb, err := decodeSuperblock(&c.superblock, size)
	if err != nil {
		return sb, err
	}
	if err := c.checkBounds(&sb, size); err != nil {
		return sb, err
	}
	var b [entrySize]byte
	for i := range c.count {
		read(m, b[:], c.staged+int64(i)*entrySize)
		if err := checkEntry(&b, i); err != nil {
			return sb, fmt.Errorf("staged entry %d: %w", i, err)
		}
	}
	return sb, nil
}

// checkBounds says why the staged entries cannot be where the record has them.
func (c *compactionRecord) checkBounds(sb *Superblock, size int64) error {
	if capacity := lastIndex(sb.LogSize) + 1; c.count > capacity {
		return fmt.Errorf("%d staged entries, want at most %d: %w", c.count, capacity, ErrCorrupt)
	}
	length := int64(c.count) * entrySize
	switch end := c.staged + length; {
	case c.staged%8 != 0 || c.staged < entryAt(c.count) || c.staged > size-length,
		c.staged < sb.dataStart() && end > sb.logEnd():
		return fmt.Errorf("%d staged entries at %d, want them between the new ones, which end at %d, and the end of the log at %d, or behind that: %w", c.count, c.staged, entryAt(c.count), sb.logEnd(), ErrCorrupt)
	}
	return nil
}

// finish continues a compaction, however far it has come, to its end. The caller holds the
// writers' lock. fresh is that of newLog; secondaries are the added devices, which get the new UUID.
// If what was staged is damaged while the old superblock is there, the compaction is given up.
func (c *compactionRecord) finish(m sharedMemory, records *compactionRecords, size int64, fresh uint64, secondaries ...sharedMemory) error {
	_, stands, ok := records.underWay(m, size)
	if !ok {
		return nil // somebody else has finished it
	}
	if c.replacing() {
		return c.replaceSuperblock(m, records)
	}
	var sb Superblock
	var err error
	if stands == newStands {
		sb, err = decodeSuperblock(&c.superblock, size)
		if err == nil {
			err = c.checkBounds(&sb, size)
		}
	} else {
		err = Guard(func() (err error) {
			sb, err = c.check(m, size)
			return err
		})
	}
	switch {
	case err == nil:
	case stands == oldStands: // nothing is lost yet
		return records.void(m)
	case stands == noneStands:
		return fmt.Errorf("the log was being compacted, and cannot be finished; Salvage may get files out: %w", err)
	default: // the new file system is complete
		c.staged = sb.dataStart()
	}
	if stands == newStands {
		err = renewCopy(m, size)
	} else if err = c.moveLog(m, &sb, secondaries); err == nil {
		err = writeCopy(m, &c.superblock)
	}
	if err != nil {
		return err
	}
	if err := c.clearStaged(m, &sb); err != nil {
		return err
	}
	return records.write(m, compactionRecord{state: recordDone, uuid: sb.UUID, count: fresh})
}

// moveLog takes the superblock away, puts the staged entries into their place, and the new
// superblock, after those of the secondaries.
func (c *compactionRecord) moveLog(m sharedMemory, sb *Superblock, secondaries []sharedMemory) error {
	if err := unmakeSuperblock(m); err != nil {
		return err
	}
	const atOnce = 64
	buffer := make([]byte, atOnce*entrySize)
	for i := uint64(0); i < c.count; i += atOnce {
		piece := buffer[:min(atOnce, c.count-i)*entrySize]
		read(m, piece, c.staged+int64(i)*entrySize)
		m.store(entryAt(i), piece)
	}
	behind, inLog := entryAt(c.count), c.staged < sb.logEnd()
	if inLog {
		if err := zero(m, behind, c.staged-behind); err != nil {
			return err
		}
		behind = c.stagedEnd()
	}
	if err := zero(m, behind, sb.logEnd()-behind); err != nil {
		return err
	}
	if sb.reuses() {
		if err := writePinsHeader(m, sb.logEnd(), sb.UUID); err != nil {
			return err
		}
	}
	header := encodeLogHeader(sb.LogSize)
	binary.LittleEndian.PutUint64(header[nextSeqAt:], c.count)
	binary.LittleEndian.PutUint64(header[nextIndexAt:], c.count)
	m.store(logOffset, header[:])
	if err := flushAndFence(m, logOffset, entryAt(c.count)-logOffset); err != nil {
		return err
	}
	for _, secondary := range secondaries {
		if err := renewSecondary(secondary, sb.UUID); err != nil {
			return err
		}
	}
	m.store(versionAt, c.superblock[versionAt:])
	if err := flushAndFence(m, 0, superblockSize); err != nil {
		return err
	}
	m.store(magicAt, c.superblock[magicAt:versionAt])
	return flushAndFence(m, magicAt, 8)
}

// clearStaged makes the part of the log in which entries were staged zeros again, unless
// something was appended since, which may be there.
func (c *compactionRecord) clearStaged(m sharedMemory, sb *Superblock) error {
	if c.staged >= sb.logEnd() {
		return nil
	}
	var b [logHeaderSize]byte
	read(m, b[:], logOffset)
	if h, err := decodeLogHeader(&b, sb.LogSize); err != nil || h.next != c.count {
		return err
	}
	return zero(m, c.staged, c.stagedEnd()-c.staged)
}

// errCompacting: what is on the device is between an old and a new log.
var errCompacting = fmt.Errorf("its log is being compacted, or that was interrupted; open it with ReadWrite on the master, which finishes it: %w", ErrBusy)

// interrupted says what to do about a record of something that is not done.
func (c *compactionRecord) interrupted() error {
	if c.replacing() {
		return errReplacing
	}
	return errCompacting
}

// stagedDevices finds the devices whose superblocks an interrupted compaction is still to write: those
// that the staged entries add. They may have the old UUID of the file system, the new one, or
// something between.
func (f *FS) stagedDevices(c *compactionRecord, sb Superblock) (members []*member, err error) {
	m := &mappedMemory{dev: f.dev, mem: f.window.mem}
	records := readRecords(m, f.size())
	if _, stands, _ := records.underWay(m, f.size()); stands == newStands || c.checkBounds(&sb, f.size()) != nil {
		return nil, nil
	}
	f.sb = sb // whose allocation unit the devices have
	s := f.startSearch()
	defer func() {
		err = errors.Join(err, s.release())
		if err != nil {
			for _, m := range members {
				m.release()
			}
			members = nil
		}
	}()
	var b [entrySize]byte
	var e entry
	for i := range c.count {
		err := Guard(func() error {
			read(m, b[:], c.staged+int64(i)*entrySize)
			return checkEntry(&b, i)
		})
		if err != nil {
			return members, nil // it will be given up
		}
		if e.decode(&b); e.kind != typeAddDev {
			return members, nil // they come first
		}
		d := addedDevice{e.deviceSize, e.deviceUUID}
		for _, candidate := range s.candidates {
			candidate.allow(d.uuid, c)
		}
		found := s.find(f, int(e.deviceIndex), d)
		switch {
		case found.err == nil:
			members = append(members, found)
		case sb.hasDevices():
			return members, fmt.Errorf("the compaction was interrupted, and to finish it every device must be here: %w", found.err)
		}
	}
	return members, nil
}

// allow lets a candidate that is the device of this UUID pass, if a compaction is changing its
// superblock.
func (c *candidate) allow(uuid UUID, record *compactionRecord) {
	if c.dev == nil || c.bad == nil || c.sb.DeviceUUID != uuid {
		return
	}
	_ = Guard(func() error {
		b := loadSuperblock(&mappedMemory{dev: c.dev, mem: c.window.mem})
		if isSecondary(&b) && record.ofEither(&b) {
			c.bad = nil
		}
		return nil
	})
}

// errReplacing: version and CRC of the superblock are of two moments.
var errReplacing = fmt.Errorf("its superblock is being changed, as a device is added, or that was interrupted; open it with ReadWrite on the master, which finishes it: %w", ErrBusy)

// finishCompaction finishes a compaction that was found to be under way. It waits for the
// writers' lock; if another process was compacting, nothing is left to do then.
func (f *FS) finishCompaction() (err error) {
	if err := f.lock.acquire(context.Background(), f.config.lockTimeout); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.lock.release()) }()
	records := readRecords(&mappedMemory{dev: f.dev, mem: f.window.mem}, f.size())
	c, _, ok := records.underWay(&mappedMemory{dev: f.dev, mem: f.window.mem}, f.size())
	if !ok {
		return nil
	}
	sb, err := decodeSuperblock(&c.superblock, f.size())
	if err != nil {
		return err
	}
	end := sb.dataStart()
	if c.replacing() {
		return f.withPrefix(end, func(m sharedMemory) error { return c.finish(m, &records, f.size(), 0) })
	}
	if c.checkBounds(&sb, f.size()) == nil {
		end = max(end, c.stagedEnd())
	}
	// What the old log said of earlier owners is not known for the new one's entries. Only
	// the first record of all can be about memory that never had another owner.
	fresh := uint64(0)
	if c.number == 1 && !sb.reuses() {
		fresh = c.count
	}
	members, err := f.stagedDevices(c, sb)
	if err != nil {
		return err
	}
	defer func() {
		for _, m := range members {
			err = errors.Join(err, m.release())
		}
	}()
	err = f.withPrefix(end, func(m sharedMemory) error {
		return f.withSecondaries(members, func(others []sharedMemory) error {
			return c.finish(m, &records, f.size(), fresh, others...)
		})
	})
	if err == nil {
		message := "interrupted compaction given up, as what it had staged is damaged"
		if latest := records.latest(); latest >= 0 && records.at[latest].uuid == sb.UUID {
			message = "interrupted compaction finished"
		}
		f.config.log.Info(message, "path", f.dev.info.Path, "entries", c.count)
	}
	return err
}
