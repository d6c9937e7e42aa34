package famfs

// The options of Format, Open and Check, Map, and Create. What they do is documented where
// they are used.

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// DefaultLogSize is the size of the log that Format makes, in bytes: 8 MiB, room
// for 15,420 files and directories.
const DefaultLogSize = minLogSize

// DefaultLockTimeout is how long writers wait for one another.
const DefaultLockTimeout = 10 * time.Second

// FormatOption changes what Format does. One that is nil changes nothing.
type FormatOption interface{ applyFormat(*formatConfig) }

type formatConfig struct {
	logSize    int64
	force      bool
	systemUUID UUID
	prepare    func(*device) // as in openConfig
}

type formatOption func(*formatConfig)

func (o formatOption) applyFormat(c *formatConfig) { o(c) }

// LogSize sets the size of the log in bytes, a power of two of at least 8 MiB (the
// default). An entry takes 544: 8 MiB hold 15,420 files and directories, 256 MiB
// hold 493,447.
func LogSize(bytes int64) FormatOption {
	return formatOption(func(c *formatConfig) { c.logSize = bytes })
}

// Force formats a device that Format would refuse, because it is formatted already or
// holds something else. All that was on it is lost, and
// every host that has it open must open it again.
func Force() FormatOption { return formatOption(func(c *formatConfig) { c.force = true }) }

// Option changes how Open and Check open a device. One that is nil changes nothing.
type Option interface{ applyOpen(*openConfig) }

type openConfig struct {
	readWrite    bool
	tolerant     bool
	salvage      bool
	grow         bool
	clientWrites bool
	systemUUID   UUID
	log          *slog.Logger // writes into the journal
	journal      *journal
	lockTimeout  time.Duration
	pause        func(time.Duration) // before memory that does not add up is read again
	prepare      func(*device)       // what tests do to a device before it is used; may be nil
}

// onCorrupt says what a replay does about corrupt entries.
func (c *openConfig) onCorrupt() onCorrupt {
	if c.tolerant {
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

// ReadWrite opens the file system for creating files too, which only the master
// can. Without it nothing on the device can be changed through the FS: the memory
// is mapped read-only.
func ReadWrite() Option { return openOption(func(c *openConfig) { c.readWrite = true }) }

// Tolerant opens a file system whose log is corrupt: what comes before the first
// corrupt entry is served, the rest is in Problems. It cannot be combined with
// ReadWrite.
func Tolerant() Option { return openOption(func(c *openConfig) { c.tolerant = true }) }

// Salvage opens a file system that is damaged, for getting out what can be got: without a
// sound superblock it goes by the log header, without that by the entries; and it serves
// every sound entry, wherever bad ones lie, if what the entry needs, as its directory, is
// there too. All that is wrong is in Problems, superblock and log header, with index -1,
// first. Superblock and Role say no more than is known: what a superblock that is lost
// said is zero.
//
// It shows the device as it is while it is opened: Refresh fails with
// errors.ErrUnsupported. It excludes ReadWrite and WithClientWrites, and has all that
// Tolerant has. A sound superblock of another version is refused as ever.
func Salvage() Option { return openOption(func(c *openConfig) { c.salvage = true }) }

// Grow makes what the device has gained since it was formatted part of the file system: it
// writes the size that the device has now into the superblock, in one store under the
// writers' lock. It needs ReadWrite, and does nothing if the device has not grown. What
// others have open goes on with the size that it had when they opened it: they give out
// no space beyond, and have files beyond the end of the device as they know it in their
// Problems until they open it again. ErrLocked as for Create.
func Grow() Option { return openOption(func(c *openConfig) { c.grow = true }) }

// WithClientWrites lets a client, or a master without ReadWrite, map files
// Writable: for serial sharing, in which hosts take turns at writing data. It never
// gives write access to superblock or log.
func WithClientWrites() Option { return openOption(func(c *openConfig) { c.clientWrites = true }) }

// WithLogger logs what happens besides results: log entries that are passed over, and a
// format that is newer than this package (Warn); what the device is (Debug). A nil logger
// logs nothing; this is the default.
//
// The logger is called when nothing is locked and what it is told about is done, before
// the method that found it returns. It may call any method of the FS, Close too. It is
// called by one goroutine at a time: if several use the FS, one of them tells what the
// others found. If the logger panics, the panic goes on in the caller of that method;
// Open has then opened nothing, Create created nothing, and any other method has done
// its work; what was not logged yet is logged by the next method.
func WithLogger(log *slog.Logger) Option {
	return openOption(func(c *openConfig) { c.log = log })
}

// WithLockTimeout sets how long creating files and directories waits for a writer in
// another process before it fails with ErrLocked; the default is 10 seconds, and 0
// does not wait.
func WithLockTimeout(d time.Duration) Option {
	return openOption(func(c *openConfig) { c.lockTimeout = max(d, 0) })
}

// SystemUUIDOption is an option of both Format and Open.
type SystemUUIDOption struct{ id UUID }

func (o SystemUUIDOption) applyFormat(c *formatConfig) { c.systemUUID = o.id }
func (o SystemUUIDOption) applyOpen(c *openConfig)     { c.systemUUID = o.id }

// WithSystemUUID says who this host is. Format records it as the master; Open
// compares it, besides the host's own UUIDs, with what was recorded. The zero UUID
// counts as none.
func WithSystemUUID(id UUID) SystemUUIDOption { return SystemUUIDOption{id} }

// MapOption changes how Map maps a file. One that is nil changes nothing.
type MapOption interface{ applyMap(*mapConfig) }

type mapConfig struct{ writable, populate bool }

type mapOption func(*mapConfig)

func (o mapOption) applyMap(c *mapConfig) { o(c) }

// Writable maps the file for writing too. See Map for when that is refused.
func Writable() MapOption { return mapOption(func(c *mapConfig) { c.writable = true }) }

// Populate takes all page faults in advance: Map takes longer, and no access to the
// slice faults any more.
func Populate() MapOption { return mapOption(func(c *mapConfig) { c.populate = true }) }

// CreateOption changes what Create creates. One that is nil changes nothing.
type CreateOption interface{ applyCreate(*createConfig) }

type createConfig struct {
	mode       fs.FileMode
	uid, gid   uint32
	interleave *Interleaving
	replace    bool
	planned    map[string]bool // directories that are to be made together with the file
	ctx        context.Context
}

func newCreateConfig(opts []CreateOption) createConfig {
	c := createConfig{mode: 0o644, uid: uint32(max(os.Getuid(), 0)), gid: uint32(max(os.Getgid(), 0)), ctx: context.Background()}
	for _, o := range opts {
		if o != nil {
			o.applyCreate(&c)
		}
	}
	return c
}

type createOption func(*createConfig)

func (o createOption) applyCreate(c *createConfig) { o(c) }

// Mode sets the permission bits, and setuid, setgid and sticky; the default is 0644.
// No umask is applied.
func Mode(m fs.FileMode) CreateOption { return createOption(func(c *createConfig) { c.mode = m }) }

// Owner sets user and group; the default is those of the process.
func Owner(uid, gid uint32) CreateOption {
	return createOption(func(c *createConfig) { c.uid, c.gid = uid, gid })
}

// Replace lets a file take the place of one that has its name: from the commit on, all hosts
// see the new file, and at no moment neither. What is replaced is decided at the commit, and
// need not exist. Who has the old file open or mapped keeps it: see Remove. A directory
// cannot be replaced, nor can one replace anything. A file that is pending with Replace has
// two entries of the log kept for it.
func Replace() CreateOption { return createOption(func(c *createConfig) { c.replace = true }) }

// Interleave spreads the file over the device; the default is one extent, or a few
// if no free run is long enough.
func Interleave(i Interleaving) CreateOption {
	return createOption(func(c *createConfig) { c.interleave = &i })
}

// WithContext gives up waiting for another process's lock when ctx is done; the
// error wraps ErrLocked and the context's. It does not end anything else.
// CreateContext and MkdirContext are the newer way to say so.
func WithContext(ctx context.Context) CreateOption {
	return createOption(func(c *createConfig) { c.ctx = ctx })
}
