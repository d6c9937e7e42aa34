package famfs

// Metadata that is damaged: whether there is a famfs at all, and what superblock and
// log header must have been, from whatever is still sound. Check, Salvage, Format and Wipe
// go by it; Open without Salvage does not. Nothing here writes.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// scanPiece is how many entries are read at once.
const scanPiece = 64

// remains describes what is left of a famfs: "" if there is nothing. A superblock's
// magic, a CRC that is right if only the magic is put back, a sound log header, and a
// sound entry each count, but for a log without entries behind a superblock that is
// gone: an interrupted Format leaves that, and nothing is lost with it.
func remains(m sharedMemory, deviceSize int64) string {
	if deviceSize < superblockArea+minLogSize {
		return ""
	}
	var b [superblockSize]byte
	read(m, b[:], 0)
	if binary.LittleEndian.Uint64(b[:]) == superblockMagic {
		return fmt.Sprintf("famfs file system %s", UUID(b[fsUUIDAt:]))
	}
	gone := binary.LittleEndian.Uint64(b[:]) == 0
	restoreMagic(&b)
	var header [logHeaderSize]byte
	read(m, header[:], logOffset)
	h, err := decodeLogHeader(&header, int64(binary.LittleEndian.Uint64(header[logLengthAt:])))
	sound := isSoundHeader(&header)
	used := sound && h.next > 0 || scanEntries(m, scanPiece, nil) > 0
	switch {
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

// explainUnformatted says more about why a device carries no superblock, err: that it is
// damaged, that something else is there, or that it may be formatted.
func explainUnformatted(m sharedMemory, deviceSize int64, err error) error {
	if found := remains(m, deviceSize); found != "" {
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

// clearInterrupted clears, of a piece of the device from at on, what a Format that was
// interrupted may have left in superblock and log header, each before its magic was stored
// or, in the log's header, before there were entries.
func clearInterrupted(b []byte, at int64) {
	le := binary.LittleEndian
	if at == 0 && len(b) >= superblockSize {
		if version := le.Uint64(b[versionAt:]); le.Uint64(b[magicAt:]) == 0 && (version == 0 || version == formatVersion) {
			clear(b[:superblockSize])
		}
	}
	if at <= logOffset && at+int64(len(b)) >= logOffset+logHeaderSize {
		h := b[logOffset-at:][:logHeaderSize]
		if magic := le.Uint64(h); (magic == 0 || magic == logMagic) && le.Uint64(h[nextSeqAt:]) == 0 && le.Uint64(h[nextIndexAt:]) == 0 {
			clear(h)
		}
	}
}

// soundSuperblock says that the superblock has its magic and its CRC, whatever it says.
func soundSuperblock(m sharedMemory) bool {
	var b [superblockSize]byte
	read(m, b[:], 0)
	return binary.LittleEndian.Uint64(b[:]) == superblockMagic && hasSum(b[:], superblockCRC)
}

func restoreMagic(b *[superblockSize]byte) { binary.LittleEndian.PutUint64(b[:], superblockMagic) }

// hasSum says that a record carries the checksum of what is before it.
func hasSum(b []byte, at int) bool { return binary.LittleEndian.Uint64(b[at:]) == checksum(b[:at]) }

// isSoundHeader says that b is a log header, whatever its counters say.
func isSoundHeader(b *[logHeaderSize]byte) bool {
	return binary.LittleEndian.Uint64(b[:]) == logMagic && hasSum(b[:], logHeaderCRC)
}

// guessSuperblock makes a superblock for a device whose own cannot be believed. If only the
// magic is wrong it is what is there; otherwise the log header says how long the log
// is, or superblock and header do where they agree, or the first file's place; and the
// entries say what unit they are aligned to.
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
	// Nothing else says where entries may end: a piece of log without any is its end.
	limit := lastIndex(minLogSize) + 1
	if sb.LogSize > 0 {
		limit = lastIndex(sb.LogSize) + 1
	}
	first := uint64(deviceSize) // where the first file begins
	count := uint64(0)
	var e entry
	for more := true; more; {
		more = false
		count = max(count, scanEntriesFrom(m, count, min(limit, entriesWithin(deviceSize)), func(b *[entrySize]byte) {
			e.decode(b)
			for _, x := range e.extents {
				if x.device == 0 && e.kind == typeFile {
					first = min(first, x.offset)
					if (x.offset|x.length)%defaultUnit != 0 {
						sb.AllocUnit = smallUnit
					}
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
	return sb, nil
}

// entriesWithin is how many entries a log can have that fills the device.
func entriesWithin(deviceSize int64) uint64 { return lastIndex(deviceSize-logOffset) + 1 }

// scanEntries returns 1 + the index of the last sound entry of the first n, 0 if there is
// none, and calls f for each that is sound.
func scanEntries(m sharedMemory, n uint64, f func(b *[entrySize]byte)) uint64 {
	return scanEntriesFrom(m, 0, n, f)
}

// scanEntriesFrom is scanEntries from entry from on.
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

// salvage reads all of the log that can be read, past whatever is wrong, into a new
// replica. What is wrong is in its problems. It fails if not even the place of the log
// is known, having noted why in wrong, or if there is no famfs.
func (f *FS) salvage() (wrong []error, err error) {
	m := &mappedMemory{dev: f.dev, mem: f.window.mem}
	f.sb, err = readSuperblock(m, f.size())
	if errors.Is(err, ErrNotFormatted) {
		err = explainUnformatted(m, f.size(), err)
	}
	if errors.Is(err, ErrNotFormatted) {
		return nil, err
	}
	if errors.Is(err, ErrVersion) && f.config.salvage && soundSuperblock(m) {
		return nil, err // nothing is damaged: its entries may mean what nobody here knows
	}
	if err != nil {
		wrong = append(wrong, err)
		if checkDeviceSize(f.size()) != nil {
			return wrong, err // the device is cut short before the end of any log
		}
		if f.sb, err = guessSuperblock(m, f.size()); err != nil {
			return append(wrong, err), err
		}
	}
	if newer := f.sb.newerFormat(); newer != nil {
		f.config.log.Warn("checking a file system of a newer format", "path", f.dev.info.Path, "err", newer)
	}
	r := newReplica(m, f.sb, f.size(), f.config.log)
	r.pause = f.config.pause
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
	f.replica = r
	return nil, nil
}
