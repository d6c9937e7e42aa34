package famfs

// The options of Format, Open and Check, Map, and Create. The functions that use them document what
// they do.

import (
	"context"
	"io/fs"
	"log/slog"
	"slices"
	"time"
)

// DefaultLogSize is the size of the log that Format makes by default, in bytes: 8 MiB, with room
// for 15,420 files and directories.
const DefaultLogSize = minLogSize

// DefaultLockTimeout is how long a writer waits for another by default.
const DefaultLockTimeout = 10 * time.Second

// FormatOption changes what Format does. A nil option changes nothing.
type FormatOption interface{ applyFormat(*formatConfig) }

type formatConfig struct {
	logSize    int64
	unit       int64
	force      bool
	reuse      bool
	systemUUID UUID
	// secondaries are the paths of further devices.
	secondaries []string
	prepare     func(*device) // as in openConfig
}

type formatOption func(*formatConfig)

func (o formatOption) applyFormat(c *formatConfig) { o(c) }

// LogSize sets the size of the log in bytes: a power of two of at least 8 MiB (the default). Each
// entry takes 544 bytes: 8 MiB hold 15,420 files and directories, 256 MiB hold 493,447.
func LogSize(bytes int64) FormatOption {
	return formatOption(func(c *formatConfig) { c.logSize = bytes })
}

// Secondaries gives the new file system further devices from the beginning, as AddDevice adds them:
// the device that Format formats has the log, and the others only files. They are formatted too. If
// one of them would be refused, nothing is changed. If Format is interrupted, some of them may be
// formatted already; the same call then needs Force. The reference refuses such a file system.
func Secondaries(paths ...string) FormatOption {
	return formatOption(func(c *formatConfig) { c.secondaries = append(slices.Clone(c.secondaries), paths...) })
}

// AllocUnit sets the unit of allocation in bytes, of which each file takes whole ones: 2 MiB (the
// default), or 4 KiB, so that small files take less of the device. The C reference reads such a file
// system, but MUST NOT WRITE it: it would give out space that is in use. On a device whose pages are larger
// than 4 KiB (DeviceInfo.Align) files can be created and read, through fs.FS and View, but only
// those that happen to lie on whole pages can be mapped; elsewhere all can be mapped, with small
// pages. Any other unit is fs.ErrInvalid, and so is one of 4 KiB with Reuse.
func AllocUnit(bytes int64) FormatOption {
	return formatOption(func(c *formatConfig) { c.unit = bytes })
}

// Force lets Format format a device that it would refuse, because the device is formatted
// already or holds something else. Everything on it is lost, and every host that has it open
// must open it again.
func Force() FormatOption { return formatOption(func(c *formatConfig) { c.force = true }) }

// Reuse makes a file system that gives the memory of removed files out again, when no host can
// reach them any more. The reference's tools refuse it.
//
// On such a file system a host that maps files, or uses View, says so in shared memory: it needs
// write access to the device, and must have been admitted (Admit). Other hosts can list and
// read, but their Map and View fail with ErrNotAdmitted. So do they on systems other than Linux.
//
// Memory of a removed file comes back when every FS that has mapped something, on any host, has
// followed the log past the removal (Refresh, Watch) and has closed its mappings of the file. An FS that
// does neither, and a host that died, hold it back until a process on that host maps something
// again, or the host is evicted. Reclaim says who. What is mapped stays what it was until it is
// closed. An open file that was removed, on the other hand, cannot be read any more
// (ErrRemoved): who wants to go on maps it. WriteTo of an open file passes copies to its writer.
//
// Behind a corrupt entry it is not known whose memory is whose: Tolerant and Salvage serve only
// names then.
func Reuse() FormatOption { return formatOption(func(c *formatConfig) { c.reuse = true }) }

// Option changes how Open and Check open a device. A nil option changes nothing.
type Option interface{ applyOpen(*openConfig) }

type openConfig struct {
	readWrite    bool
	tolerant     bool
	salvage      bool
	grow         bool
	clientWrites bool
	dropProblems bool
	systemUUID   UUID
	log          *slog.Logger // writes into the journal
	journal      *journal
	lockTimeout  time.Duration
	pause        func(time.Duration) // called before an unsound record is read again
	devices      []string            // where added devices may be
	discover     func() []string     // looks for more of them; may be nil
	prepare      func(*device)       // lets tests change a device before it is used; may be nil
}

// onCorrupt returns what a replay does at corrupt entries.
func (c *openConfig) onCorrupt() onCorrupt {
	switch {
	case c.dropProblems:
		return skipCorrupt
	case c.tolerant:
		return stopAtCorrupt
	}
	return failAtCorrupt
}

func newOpenConfig(opts []Option) openConfig {
	c := openConfig{lockTimeout: DefaultLockTimeout, pause: time.Sleep}
	for _, o := range opts {
		if o != nil {
			o.applyOpen(&c)
		}
	}
	c.journal = newJournal(c.log)
	c.log = c.journal.log()
	return c
}

type openOption func(*openConfig)

func (o openOption) applyOpen(c *openConfig) { o(c) }

// ReadWrite opens the file system also for creating files, which is possible only on the master.
// Without it, nothing on the device can be changed through the FS: the memory is mapped read-only.
func ReadWrite() Option { return openOption(func(c *openConfig) { c.readWrite = true }) }

// Tolerant opens a file system even if its log is corrupt. What comes before the first corrupt
// entry is served; the rest is in Problems. Tolerant cannot be combined with ReadWrite.
func Tolerant() Option { return openOption(func(c *openConfig) { c.tolerant = true }) }

// Salvage opens a damaged file system to rescue what can be rescued. If the superblock is not
// sound, it goes by the log header, and if that is not sound either, by the entries. It serves
// every sound entry, even behind corrupt ones, if what the entry needs, such as its directory,
// is there too. Everything that is wrong is in Problems, with superblock and log header first,
// at index -1. Superblock and Role say only what is known: fields of a lost superblock are zero.
//
// The FS shows the device as it is during Open: Refresh fails with errors.ErrUnsupported. Salvage
// cannot be combined with ReadWrite and WithClientWrites, and includes Tolerant. It refuses a sound
// superblock of another version, as Open does without Salvage.
func Salvage() Option { return openOption(func(c *openConfig) { c.salvage = true }) }

// Grow adds what the device has gained since it was formatted to the file system: it writes the
// device's present size into the superblock, in one store under the writers' lock. It needs
// ReadWrite. It does nothing if the device has not grown. An FS that is open already, here or on
// another host, goes on with the size at its opening until the device is opened again: it
// allocates no space beyond that size, and lists files beyond the end of the device, as it knows
// it, in its Problems. The error is ErrLocked as for Create.
func Grow() Option { return openOption(func(c *openConfig) { c.grow = true }) }

// WithDevices says where on this host the devices are that were added to the file system (AddDevice).
// They are known by the UUIDs in their superblocks, so the order of the paths does not matter, and
// devices of other file systems among them do no harm. Two devices with one UUID are an error,
// ErrDevice, that names both. All paths of one device count once. Given more than once, WithDevices
// adds paths.
//
// Files on a device that is not among them are listed, and everything but using their bytes works:
// see FS.Devices.
func WithDevices(paths ...string) Option {
	return openOption(func(c *openConfig) { c.devices = append(slices.Clone(c.devices), paths...) })
}

// DiscoverDevices looks for added devices among all devdax devices of this host too (Linux). It
// opens each of them, and reads nothing but their superblocks.
func DiscoverDevices() Option {
	return openOption(func(c *openConfig) { c.discover = devdaxPaths })
}

// DropProblems has Compact leave out what Problems lists and entries that are corrupt, for
// good, as if they had never been logged: the space that they claim is free afterwards, and
// what a corrupt entry removed is there again. Look with Check first. Open and Check take no
// notice of it.
func DropProblems() Option { return openOption(func(c *openConfig) { c.dropProblems = true }) }

// WithClientWrites lets a client, or a master without ReadWrite, map files Writable. It is for
// serial sharing, in which hosts take turns at writing data. It never allows writing superblock
// or log.
func WithClientWrites() Option { return openOption(func(c *openConfig) { c.clientWrites = true }) }

// WithLogger sets the logger. It is told of log entries that are passed over, of a format that is
// newer than this package, of a DeviceInfo.Caution and of a PendingFile that was dropped (Warn),
// and what the device is (Debug). A nil logger logs nothing; this is the default.
//
// The logger is called after the work that it is told about, when nothing is locked, and before
// the method that found the message returns. It may call any method of the FS, even Close. Only
// one goroutine at a time calls it: if several use the FS, one of them passes the messages of
// the others. If the logger panics, the panic goes on in the caller of that method. Open has
// then opened nothing, Create has created nothing, and any other method has done its work. The
// next method logs the remaining messages.
func WithLogger(log *slog.Logger) Option {
	return openOption(func(c *openConfig) { c.log = log })
}

// WithLockTimeout sets how long creating files and directories waits for a writer in another
// process before it fails with ErrLocked. The default is 10 seconds; 0 does not wait. On Linux an FS
// that writes again and again keeps the lock in between, for about a millisecond, unless another
// writer waits for it. A process that is stopped just then (SIGSTOP) keeps it until it goes on, one
// that is killed does not.
func WithLockTimeout(d time.Duration) Option {
	return openOption(func(c *openConfig) { c.lockTimeout = max(d, 0) })
}

// SystemUUIDOption is an option of both Format and Open.
type SystemUUIDOption struct{ id UUID }

func (o SystemUUIDOption) applyFormat(c *formatConfig) { c.systemUUID = o.id }
func (o SystemUUIDOption) applyOpen(c *openConfig)     { c.systemUUID = o.id }

// WithSystemUUID says who this host is. Format records the UUID as that of the master. Open
// compares it, and the host's own UUIDs, with the recorded one. The zero UUID means none.
//
// On a file system with Reuse, a process on the master's host counts as the master, and one on another
// host as the first of these UUIDs that was ever admitted, that of WithSystemUUID before the host's own. To
// try several hosts on one, format with a UUID that is not the host's own.
func WithSystemUUID(id UUID) SystemUUIDOption { return SystemUUIDOption{id} }

// MapOption changes how Map maps a file. A nil option changes nothing.
type MapOption interface{ applyMap(*mapConfig) }

type mapConfig struct{ writable, populate, verified bool }

type mapOption func(*mapConfig)

func (o mapOption) applyMap(c *mapConfig) { o(c) }

// Writable maps the file for writing too. Map says when that is refused.
func Writable() MapOption { return mapOption(func(c *mapConfig) { c.writable = true }) }

// Populate takes all page faults in advance: Map takes longer, but later accesses to the slice
// do not fault.
func Populate() MapOption { return mapOption(func(c *mapConfig) { c.populate = true }) }

// Verified compares a sealed file with its seal before Map returns, as Verify does. The errors are
// those of Verify, but a cache that was stale is none: it is not stale any more.
func Verified() MapOption { return mapOption(func(c *mapConfig) { c.verified = true }) }

// CreateOption changes what Create creates. A nil option changes nothing.
type CreateOption interface{ applyCreate(*createConfig) }

type createConfig struct {
	mode       fs.FileMode
	uid, gid   uint32
	interleave *Interleaving
	device     int // anyDevice, or that of OnDevice
	replace    bool
	seal       SumKind         // 0: not sealed
	planned    map[string]bool // directories that are made together with the file
	ctx        context.Context
}

func (f *FS) newCreateConfig(opts []CreateOption) createConfig {
	plain := createConfig{mode: 0o644, device: anyDevice, uid: f.uid, gid: f.gid, ctx: context.Background()}
	if len(opts) == 0 {
		return plain
	}
	c := plain // in the heap, because options get its address
	for _, o := range opts {
		if o != nil {
			o.applyCreate(&c)
		}
	}
	return c
}

type createOption func(*createConfig)

func (o createOption) applyCreate(c *createConfig) { o(c) }

// Mode sets the permission bits, and setuid, setgid and sticky. The default is 0644. No umask is
// applied.
func Mode(m fs.FileMode) CreateOption { return createOption(func(c *createConfig) { c.mode = m }) }

// Owner sets user and group. The default is those that the process had when it opened the FS.
func Owner(uid, gid uint32) CreateOption {
	return createOption(func(c *createConfig) { c.uid, c.gid = uid, gid })
}

// Replace lets a file replace one of the same name: from the commit on, all hosts see the new
// file, and there is no moment at which neither exists. Which file is replaced is decided at the
// commit; there need not be one. Anyone who has the old file open or mapped keeps it: see
// Remove. A directory can neither be replaced nor replace anything. For each file that is
// pending with Replace, two log entries are reserved.
func Replace() CreateOption { return createOption(func(c *createConfig) { c.replace = true }) }

// Seal seals the file with a CRC-32C, as SealWith(CRC32C) does.
func Seal() CreateOption { return SealWith(CRC32C) }

// SealWith seals the file: it is read-only on all hosts from the moment on at which it exists,
// and the log holds a sum of its content, of the given kind, which FS.Verify compares with the
// content (see Attr.Sum). A CRC32C is mostly computed while Write, WriteAt and ReadFrom fill the
// file. What is written through Bytes, and a SHA256, take another pass over the file at Commit;
// what is stored to the slice of Bytes during Commit, or later, is not what was sealed. A seal
// needs one more log entry. It cannot be taken off, only removed with its file. A directory has
// no seal: there the option has no effect. A kind that does not exist is fs.ErrInvalid.
func SealWith(kind SumKind) CreateOption {
	return createOption(func(c *createConfig) { c.seal = kind })
}

// Interleave spreads the file over the device. The default is one extent, or a few if no free
// run is long enough.
func Interleave(i Interleaving) CreateOption {
	return createOption(func(c *createConfig) { c.interleave = &i })
}

// OnDevice puts the file on the device with this index: 0 is the one with the superblock, and
// FS.Devices lists all. All strips of an interleaved file are there then. Create fails with
// fs.ErrInvalid if there is no such device, with ErrDevice if it is not here, and with ErrNoSpace if it has
// no room.
func OnDevice(index int) CreateOption {
	if index < 0 {
		index = noDevice
	}
	return createOption(func(c *createConfig) { c.device = index })
}

// noDevice is what no device has as its index, and is not anyDevice either.
const noDevice = -2

// WithContext stops waiting for another process's lock when ctx is done. The error then wraps
// ErrLocked and the cause of ctx. ctx has no other effect. CreateContext and MkdirContext do
// the same, and are newer.
func WithContext(ctx context.Context) CreateOption {
	return createOption(func(c *createConfig) { c.ctx = ctx })
}
