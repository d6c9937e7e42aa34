package famfs

// The log as users may look at it: its entries one by one, as they are on the medium. It is for
// finding out what went wrong; the result of the entries is the namespace.

import (
	"fmt"
	"io/fs"
	"iter"
	"math"
	"slices"
)

// LogEntry is an entry of the log as it is on the medium (format: log entry). If the entry is
// unsound or unacceptable, its fields hold what was found, which need not be valid. A number
// that is too large for its field here is given as the largest that fits.
type LogEntry struct {
	Index int
	// Seq is the sequence number, and CRC is the checksum stored in the entry.
	Seq, CRC uint64
	// Type is "file", "mkdir", "removal", "seal" or "add-daxdev". For others it is "type" and a
	// number.
	Type string
	// Path, Mode, UID and GID are set for files and directories; Size, Flags and Layout for
	// files. Path is as it was logged: "d//a" is served as "d/a".
	Path            string
	Mode            fs.FileMode
	UID, GID, Flags uint32
	Size            int64
	Layout          Layout
	// Removes is set for removals: the index of the entry that made the removed file or
	// directory. Path is then the path that is removed.
	Removes int
	// Seals and Sum are set for seals: the index of the entry that made the sealed file, and
	// the sum of its content. Path is then the path of that file.
	Seals int
	Sum   Sum
	// Device is set for add-daxdev entries: the device that is added.
	Device AddedDevice
}

// AddedDevice is a further device of a file system, named by an add-daxdev entry: see
// FS.AddDevice.
type AddedDevice struct {
	Index int
	Size  int64
	UUID  UUID
}

// Log yields the entries of the log in order, up to the last Refresh. If the FS is Tolerant, it
// also yields all later entries, which are not served. The error says what is wrong with the
// entry, as in Problems, but Problems keeps only a limited number; the sequence goes on after
// it. If the FS is closed or the memory fails, the sequence ends with an error and a zero entry.
func (f *FS) Log() iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		end := uint64(f.replica.ns.end())
		list := f.replica.listed.Load()
		wrong := make(map[uint64]error)
		for _, p := range slices.Concat(list.passedOver, list.unread) {
			wrong[uint64(p.Index)] = p.Err
		}
		unlisted := uint64(math.MaxUint64)
		if len(list.unread) > 0 {
			end, unlisted = max(end, list.end), list.from+uint64(len(list.unread))
		}
		for index := range end {
			e, err := f.logEntry(index)
			if err != nil {
				yield(LogEntry{}, fmt.Errorf("famfs: read log entry %d of %s: %w", index, f.dev.info.Path, err))
				return
			}
			if err = wrong[index]; index >= unlisted {
				err = ofEntry(index, unservedBehind(list.from))
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (f *FS) logEntry(index uint64) (LogEntry, error) {
	if !f.gate.enter() {
		return LogEntry{}, fs.ErrClosed
	}
	defer f.gate.leave()
	if err := f.sameDevice(); err != nil {
		return LogEntry{}, err
	}
	var b [entrySize]byte
	err := Guard(func() error {
		m := &mappedMemory{dev: f.dev, mem: f.window.mem}
		m.invalidate(entryAt(index), entrySize)
		m.fenceLoads()
		m.load(b[:], entryAt(index))
		return nil
	})
	if err != nil {
		return LogEntry{}, err
	}
	var raw entry
	raw.decode(&b)
	return raw.public(int(index), b[:]), nil
}

// public returns e, decoded from b, in the form that users see.
func (e *entry) public(index int, b []byte) LogEntry {
	out := LogEntry{Index: index, Seq: e.seq, CRC: checksumIn(b), Type: fmt.Sprintf("type %d", e.kind), Path: string(e.path)}
	switch e.kind {
	case typeFile:
		out.Type, out.Size, out.Flags = "file", clamp(e.size), e.flags
		out.Layout = e.layout()
	case typeMkdir:
		out.Type, out.Mode = "mkdir", fs.ModeDir
	case typeRemoval:
		out.Type, out.Removes = "removal", int(min(e.removes, math.MaxInt))
		return out
	case typeSeal:
		out.Type, out.Seals, out.Sum = "seal", int(min(e.removes, math.MaxInt)), e.sum
		return out
	case typeAddDev:
		out.Type = "add-daxdev"
		out.Device = AddedDevice{Index: int(min(uint64(e.deviceIndex), math.MaxInt)), Size: clamp(e.deviceSize), UUID: e.deviceUUID}
		return out
	default:
		return out
	}
	out.Mode |= decodeMode(e.mode)
	out.UID, out.GID = e.uid, e.gid
	return out
}
