package famfs

// Damaged metadata: whether there is a famfs at all, and what superblock and log header must
// have been, as far as anything sound says it. Check, Salvage, Format and Wipe use this; Open
// without Salvage uses it only to explain errors. Nothing here writes.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// scanPiece is how many entries are read at once.
const scanPiece = 64

// remains describes what is left of a famfs. It returns "" if there is nothing. What counts is:
// a superblock's magic, a second copy that can be believed, a CRC that is right once the magic is
// restored, a sound log header, and a sound entry. A log without entries behind a cleared superblock does not count: an
// interrupted Format leaves that, and it holds nothing that could be lost. m reaches size bytes of a device of
// deviceSize.
func remains(m sharedMemory, size, deviceSize int64) string {
	if size < superblockArea {
		return ""
	}
	var b [superblockSize]byte
	read(m, b[:], 0)
	if binary.LittleEndian.Uint64(b[magicAt:]) == superblockMagic {
		what := "famfs file system"
		if isSecondary(&b) {
			what = "a secondary device of famfs file system"
		}
		return fmt.Sprintf("%s %s", what, UUID(b[fsUUIDAt:]))
	}
	_, sb, noCopy := secondCopy(m, size, deviceSize)
	if noCopy == nil && sb.secondary() {
		return fmt.Sprintf("a secondary device of famfs file system %s (without its superblock, which has a second copy)", sb.UUID)
	}
	if size < superblockArea+minLogSize {
		return ""
	}
	records := readRecords(m, size)
	if c, _, ok := records.underWay(m, deviceSize); ok {
		return fmt.Sprintf("famfs file system %s, whose log is being compacted", c.uuid)
	}
	gone := binary.LittleEndian.Uint64(b[magicAt:]) == 0
	restoreMagic(&b)
	var header [logHeaderSize]byte
	read(m, header[:], logOffset)
	h, err := decodeLogHeader(&header, int64(binary.LittleEndian.Uint64(header[logLengthAt:])))
	sound := isSoundHeader(&header)
	used := sound && h.next > 0 || scanEntries(m, scanPiece, nil) > 0
	switch {
	case noCopy == nil && (!gone || used):
		return fmt.Sprintf("famfs file system %s (without its superblock, which has a second copy)", sb.UUID)
	case hasSum(b[:], superblockCRC) && (!gone || used):
		return fmt.Sprintf("famfs file system %s (without its magic)", UUID(b[fsUUIDAt:]))
	case sound && (!gone || used) && err == nil:
		return fmt.Sprintf("a famfs log of %d entries", h.next)
	case sound && (!gone || used):
		return "a famfs log"
	case used:
		return "entries of a famfs log"
	}
	return ""
}

// explainUnformatted adds to err why a device has no superblock: it is damaged, holds something
// else, or is empty.
func explainUnformatted(m sharedMemory, deviceSize int64, err error) error {
	if found := remains(m, deviceSize, deviceSize); found != "" {
		return fmt.Errorf("superblock: found magic %#x, want %#x, yet here is %s; it is damaged, or being formatted just now: %w", m.load64(0), uint64(superblockMagic), found, ErrCorrupt)
	}
	area := min(deviceSize, logOffset+minLogSize)
	if found := findContent(m, area, true); found != "" {
		return fmt.Errorf("%w: it holds %s: %w", err, found, ErrNotEmpty)
	}
	if deviceSize >= superblockArea+minLogSize {
		return fmt.Errorf("%w; it is empty: format it first (famfs.Format)", err)
	}
	return err
}

// readOrExplain reads the superblock. If there is none, the error says why. Where more is left than
// nothing, the superblock is read again before it is said to be lost: it may have come after it was
// missed, and what is left came with it.
func readOrExplain(m sharedMemory, deviceSize int64, pause func(time.Duration)) (Superblock, error) {
	for try := 0; ; try++ {
		sb, err := readSuperblock(m, deviceSize)
		if !errors.Is(err, ErrNotFormatted) {
			return sb, err
		}
		if err = explainUnformatted(m, deviceSize, err); !errors.Is(err, ErrCorrupt) || try == len(settleTimes) {
			return sb, err
		}
		pause(settleTimes[try])
	}
}

// clearInterrupted clears in b, a piece of the device from at on, what an interrupted Format may
// have left: a superblock without its magic, and a log header without entries.
func clearInterrupted(b []byte, at int64) {
	le := binary.LittleEndian
	if at == 0 && len(b) >= superblockSize {
		if version := le.Uint64(b[versionAt:]); le.Uint64(b[magicAt:]) == 0 && (version == 0 || uint32(version) == formatVersion) {
			clear(b[:superblockSize])
		}
	}
	if at <= copyAt && at+int64(len(b)) >= copyAt+copySize {
		c := (*[copySize]byte)(b[copyAt-at:])
		version := le.Uint64(c[versionAt:])
		magic := le.Uint64(c[magicAt:])
		if magic == superblockMagic || magic == 0 && (version == 0 || uint32(version) == formatVersion) { // it may be torn
			clear(c[:])
		}
	}
	for i := range recordPlaces {
		place := recordPlace(i)
		if at <= place && at+int64(len(b)) >= place+recordSize {
			r := b[place-at:][:recordSize]
			if _, ok := decodeRecord((*[recordSize]byte)(r)); ok {
				clear(r) // it says no more than that a file system was here
			}
		}
	}
	if at <= logOffset && at+int64(len(b)) >= logOffset+logHeaderSize {
		h := b[logOffset-at:][:logHeaderSize]
		if magic := le.Uint64(h[logMagicAt:]); (magic == 0 || magic == logMagic) && le.Uint64(h[nextSeqAt:]) == 0 && le.Uint64(h[nextIndexAt:]) == 0 {
			clear(h)
		}
	}
}

// soundSuperblock reports whether the superblock has its magic and a right CRC, whatever its
// fields say. No CRC covers the flags, without which nobody takes one without a log for anything.
func soundSuperblock(m sharedMemory) bool {
	var b [superblockSize]byte
	read(m, b[:], 0)
	return binary.LittleEndian.Uint64(b[magicAt:]) == superblockMagic && hasSum(b[:], superblockCRC) && hasNoLog(&b) == isSecondary(&b)
}

func restoreMagic(b *[superblockSize]byte) {
	binary.LittleEndian.PutUint64(b[magicAt:], superblockMagic)
}

// isSoundHeader reports whether b is a log header, whatever its counters say.
func isSoundHeader(b *[logHeaderSize]byte) bool {
	return binary.LittleEndian.Uint64(b[logMagicAt:]) == logMagic && hasSum(b[:], logHeaderCRC)
}

// guessSuperblock makes a superblock for a device whose own cannot be believed. If only the
// magic is wrong, the rest is used. Otherwise the length of the log comes from a sound log
// header, from superblock and log header if they agree, or from the beginning of the first file.
// The allocation unit comes from the alignment of the entries.
func guessSuperblock(m sharedMemory, deviceSize int64) (Superblock, error) {
	var b [superblockSize]byte
	read(m, b[:], 0)
	restoreMagic(&b)
	if sb, err := decodeSuperblock(&b, deviceSize); err == nil {
		return sb, nil
	}
	sb := Superblock{Version: formatVersion, LogOffset: logOffset, AllocUnit: defaultUnit, OMFMajor: omfMajor, OMFMinor: omfMinor, DeviceSize: deviceSize}
	var header [logHeaderSize]byte
	read(m, header[:], logOffset)
	claimed := binary.LittleEndian.Uint64(header[logLengthAt:])
	known := isSoundHeader(&header) || claimed == binary.LittleEndian.Uint64(b[logSizeAt:])
	if known && claimed <= math.MaxInt64 && checkLogSize(int64(claimed), deviceSize) == nil {
		sb.LogSize = int64(claimed)
	}
	// If nothing else says where the entries end, they end at a piece of log without any.
	limit := lastIndex(minLogSize) + 1
	if sb.LogSize > 0 {
		limit = lastIndex(sb.LogSize) + 1
	}
	first := uint64(deviceSize) // beginning of the first file
	count := uint64(0)
	var e entry
	for more := true; more; {
		more = false
		count = max(count, scanEntriesFrom(m, count, min(limit, entriesWithin(deviceSize)), func(b *[entrySize]byte) {
			e.decode(b)
			for _, x := range e.extents {
				if e.kind != typeFile {
					continue
				}
				if (x.offset|x.length)%defaultUnit != 0 { // the unit is that of all devices
					sb.AllocUnit = smallUnit
				}
				if x.device == 0 {
					first = min(first, x.offset)
				}
			}
			more = true
		}))
		if sb.LogSize > 0 {
			break
		}
		limit = count + lastIndex(minLogSize) + 1
	}
	if sb.LogSize == 0 && count > 0 {
		for size := int64(minLogSize); checkLogSize(size, min(deviceSize, int64(min(first, math.MaxInt64)))) == nil; size *= 2 {
			sb.LogSize = size
		}
	}
	if sb.LogSize == 0 {
		return Superblock{}, fmt.Errorf("log: neither superblock, log header nor entries say how long it is, so its entries cannot be read: %w", ErrCorrupt)
	}
	if sb.AllocUnit == defaultUnit && sb.LogSize <= deviceSize-logOffset-pinsSize {
		var pins [pinsHeaderSize]byte
		read(m, pins[:], sb.logEnd())
		if _, err := decodePinsHeader(&pins); err == nil {
			sb.Version |= featureReuse
		}
	}
	return sb, nil
}

// entriesWithin returns how many entries fit into a log that fills the device.
func entriesWithin(deviceSize int64) uint64 { return lastIndex(deviceSize-logOffset) + 1 }

// scanEntries calls f for each sound entry of the first n. It returns the index of the last
// sound one plus 1, or 0 if there is none.
func scanEntries(m sharedMemory, n uint64, f func(b *[entrySize]byte)) uint64 {
	return scanEntriesFrom(m, 0, n, f)
}

// scanEntriesFrom is scanEntries, beginning at entry from.
func scanEntriesFrom(m sharedMemory, from, n uint64, f func(b *[entrySize]byte)) (end uint64) {
	buffer := make([]byte, scanPiece*entrySize)
	for first := from; first < n; first += scanPiece {
		piece := buffer[:min(scanPiece, n-first)*entrySize]
		read(m, piece, entryAt(first))
		for i := uint64(0); len(piece) > 0; i, piece = i+1, piece[entrySize:] {
			if b := (*[entrySize]byte)(piece); checkEntry(b, first+i) == nil {
				if end = first + i + 1; f != nil {
					f(b)
				}
			}
		}
	}
	return end
}

// salvage reads as much of the log as possible into a new replica, past everything that is
// wrong. The replica's problems list what is wrong. salvage fails if there is no famfs, or if
// even the place of the log is not known; then wrong says why.
func (f *FS) salvage() (wrong []error, err error) {
	m := &mappedMemory{dev: f.dev, mem: f.window.mem}
	f.salvaging = true
	err = Guard(func() (err error) {
		f.sb, err = readOrExplain(m, f.size(), f.config.pause)
		return err
	})
	var records compactionRecords
	noted := false // wrong has something with which nothing is lost
	recordsErr := Guard(func() error {
		records = readRecords(m, f.size())
		c, stands, underWay := records.underWay(m, f.size())
		if !underWay || stands == newStands {
			return nil
		}
		wrong = append(wrong, c.interrupted())
		if noted = c.replacing(); noted && err != nil { // all else is as it was
			f.sb, err = decodeSuperblock(&c.superblock, f.size())
		}
		return nil
	})
	var fault *FaultError
	unread := errors.As(err, &fault)
	if !unread && (errors.Is(err, ErrNotFormatted) || errors.Is(err, ErrDevice)) {
		return nil, err // there is none, or this is a secondary device
	}
	if errors.Is(err, ErrVersion) && f.config.salvage && soundSuperblock(m) {
		return nil, err // nothing is damaged: its entries may have an unknown meaning
	}
	if err != nil {
		noted = false
		lost := err
		if checkDeviceSize(f.size()) != nil {
			return append(wrong, lost), lost // the device ends before the end of any log
		}
		copied := false
		if f.sb, copied, err = lostSuperblock(m, f.size()); err != nil {
			return append(wrong, lost, err), err
		}
		switch {
		case f.sb.secondary():
			return nil, fmt.Errorf("superblock: its second copy is that of a secondary device (%s) of file system %s, which has no log; open the device that has the log: %w", f.sb.DeviceUUID, f.sb.UUID, ErrDevice)
		case copied:
			lost = fmt.Errorf("%w; its second copy is sound, and is used: RestoreSuperblock puts it back, on the master", lost)
		}
		wrong = append(wrong, lost)
	}
	if newer := f.sb.newerFormat(); newer != nil {
		f.config.log.Warn("checking a file system of a newer format", "path", f.dev.info.Path, "err", newer)
	}
	if f.usedFrom = records.usedFrom(f.sb.UUID); recordsErr != nil {
		f.usedFrom = 0 // nothing is known of who had the memory before
	}
	r := newReplica(m, f.sb, f.size(), f.config.log)
	r.pause = f.config.pause
	r.attach = f.attach
	if f.sb.UUID == (UUID{}) { // nothing is known of features: files on other devices are served
		r.sb.Version |= featureDevices
	}
	f.replica = r // which finding devices needs
	damaged := func(err error) { r.passedOver = append(r.passedOver, Problem{Index: -1, Err: err}) }
	for _, err := range wrong {
		damaged(err)
	}
	h, err := r.readLogHeader()
	if err != nil {
		damaged(err)
		h.next = min(scanEntries(m, lastIndex(f.sb.LogSize)+1, nil), math.MaxUint32-1)
	}
	if h.next > 0 {
		if err := r.replay(h.next, skipCorrupt, true); err != nil {
			return nil, err
		}
	}
	r.publishProblems()
	if len(wrong) > 0 && !noted || err != nil {
		r.skipped.Store(true)
	}
	return nil, f.endSearch()
}
