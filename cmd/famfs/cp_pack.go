package main

// cp --pack: a tree as one uncompressed zip file on a device. Many small files take an allocation
// unit each; in a zip file they take little more than they hold. Entries are aligned, so that who
// maps the file can use them in place.

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"famfs"
)

const (
	// packSmall is the alignment of entries, a cache line, and packLarge that of those that are as
	// large as a page.
	packSmall, packLarge = 64, 4096
	// alignmentID marks the padding in the extra field of an entry, as other tools mark theirs.
	alignmentID = 0xd935
	zip64ID     = 1
	zipHeader   = 30 // bytes of an entry before its name
	zipLimit    = 1<<32 - 1
	packPiece   = 1 << 20
)

// packed is an entry of the zip file.
type packed struct {
	name string // a slash at its end if it is a directory
	node *treeNode
	at   int64 // of its data
	crc  uint32
}

// pack copies sources into one zip file on a device.
func (c *copyCommand) pack(ctx context.Context, args []string, opts []famfs.CreateOption) error {
	to, err := parseTarget(args[len(args)-1])
	switch {
	case err != nil:
		return err
	case c.atomic || c.ask || c.dryRun || c.skipChanged:
		return usageError(errors.New("--pack makes one file, whole or not at all: leave out --atomic, -i, --dry-run and --skip-changed"))
	case to.device == "" || to.slash:
		return usageError(fmt.Errorf("--pack makes a zip file on a device, written DEVICE:NAME.zip, and %s is none", to))
	}
	c.to = to
	if c.device, err = c.openOnce(to.device, true); err != nil {
		return err
	}
	c.sayNarrow(c.device, to.device, &c.create)
	if kind, err := checkPath(to.name); err != nil {
		return c.failPack(refusal{kind, targetFailed(to, err)})
	}
	if st, err := c.device.Stat(to.name); err == nil {
		switch {
		case st.IsDir():
			return targetFailed(to, because(fs.ErrInvalid, "is a directory; name the zip file to make"))
		case c.keep:
			return c.passedOver(st.Size())
		case !c.replace:
			return targetFailed(to, because(fs.ErrExist, "is there already"))
		}
		c.noteSealed(c.device, to.name)
	}
	if err := c.packTree(ctx, args[:len(args)-1]); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return c.packInterrupted(ctx)
	}
	entries := c.packEntries()
	files, bytes := c.tree.total()
	wanted := files + len(c.refused)
	c.announce(wanted)
	announced := len(c.refused)
	c.reclaim()
	usage := c.device.Usage()
	switch {
	case files == 0:
		return c.failPack(refusal{otherRefusal, targetFailed(to, because(fs.ErrInvalid, "would be empty: there is nothing to pack"))})
	case bytes > usage.Size: // finding a place for each of them would take for ever
		return c.failPack(refusal{spaceRefusal, targetFailed(to, because(famfs.ErrNoSpace, "does not fit: it would have more than %s, and the device has %s", human(bytes), human(usage.Size)))})
	}
	size, err := layOut(entries)
	if err != nil {
		return err
	}
	need := units(size, c.device.Superblock().AllocUnit)
	if !c.quiet && !c.asJSON {
		fmt.Fprintf(c.err, "%s: %s of %s in one of %s, which takes %s; %s free\n", c.command, count(files, "file", "files"), human(bytes), human(size), human(need), human(usage.Free))
	}
	c.progress = c.newProgress("packed", files, bytes, c.quiet || c.asJSON, c.verbose > 0)
	err = c.writePacked(ctx, entries, size, opts)
	if err == nil {
		c.copied, c.bytes = files, bytes
		c.replaced(to.name)
	}
	c.summarise(ctx.Err() != nil || err != nil, wanted-c.copied)
	if err != nil && ctx.Err() == nil {
		c.reportFailure(err)
	}
	for _, r := range c.refused[announced:] {
		c.reportRefusal(r)
	}
	c.sayUnsealed()
	if c.asJSON {
		if err := c.printJSON(copyJSON{wanted, bytes, c.copied, 0, 0, len(c.unsealed), wanted - c.copied, ctx.Err() != nil, c.listFailures()}); err != nil {
			return err
		}
	}
	if ctx.Err() != nil && c.copied == 0 {
		return c.packInterrupted(ctx)
	}
	return nil
}

func (c *copyCommand) packInterrupted(ctx context.Context) error {
	return &statusError{signalStatus(ctx), fmt.Errorf("interrupted: %s was not made", c.to)}
}

func (c *copyCommand) failPack(r refusal) error {
	c.reportRefusal(r)
	return nil
}

// packTree makes the tree of what is to be packed: what is in a single directory, or each source
// under its name.
func (c *copyCommand) packTree(ctx context.Context, sources []string) error {
	c.tree = newTree()
	var all []target
	for _, arg := range sources {
		t, err := parseTarget(arg)
		if err != nil {
			return err
		}
		all = append(all, t)
	}
	b := c.treeBuilder(ctx, append(all, c.to))
	b.emptyFiles = true
	for _, s := range all {
		from, root, _, err := c.sourceFS(s)
		if err != nil {
			c.refuse(s, otherRefusal, err)
			continue
		}
		name := s.base()
		if st, err := fs.Stat(from, root); err == nil && st.IsDir() && len(all) == 1 {
			name = "."
		}
		b.add(from, root, name, s)
		if fsys := deviceOf(from); fsys != nil {
			c.reportLeftOut(fsys, s)
		}
	}
	c.refuseUnpackable()
	return nil
}

// refuseUnpackable takes out of the tree what no zip file can name.
func (c *copyCommand) refuseUnpackable() {
	fs.WalkDir(c.tree, ".", func(name string, d fs.DirEntry, _ error) error {
		switch {
		case !fs.ValidPath(name):
			c.refuseNode(name, nameRefusal, because(fs.ErrInvalid, "has a name that is not UTF-8; rename it"))
		case strings.Contains(d.Name(), `\`):
			c.refuseNode(name, nameRefusal, because(fs.ErrInvalid, `has a \ in its name, which readers of zip files take for a slash; rename it`))
		case len(name) >= mostPackedPath: // a directory's ends with a slash
			c.refuseNode(name, longRefusal, because(fs.ErrInvalid, "has a path of %d bytes, want less than %d; pack what is in a directory of it", len(name), mostPackedPath))
		default:
			return nil
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// packEntries returns the entries in the order of the tree.
func (c *copyCommand) packEntries() (all []*packed) {
	fs.WalkDir(c.tree, ".", func(name string, d fs.DirEntry, _ error) error {
		if name != "." {
			if d.IsDir() {
				all = append(all, &packed{name: name + "/", node: c.tree.nodes[name]})
			} else {
				all = append(all, &packed{name: name, node: c.tree.nodes[name]})
			}
		}
		return nil
	})
	return all
}

// layOut finds the place of each entry, and returns the size of the zip file.
func layOut(entries []*packed) (int64, error) {
	var size countingWriter
	zeros := make([]byte, packPiece)
	err := writeZip(&size, entries, func(e *packed, w io.Writer) error {
		e.at = int64(size)
		for left := e.node.size; left > 0; left -= packPiece {
			if _, err := w.Write(zeros[:min(left, packPiece)]); err != nil {
				return err
			}
		}
		return nil
	})
	return int64(size), err
}

// countingWriter counts what is written to it.
type countingWriter int64

func (w *countingWriter) Write(b []byte) (int, error) {
	*w += countingWriter(len(b))
	return len(b), nil
}

// writeZip writes a zip file. The data of each entry is written by data, when all before it has
// been written.
func writeZip(w *countingWriter, entries []*packed, data func(e *packed, w io.Writer) error) error {
	return writeZipTo(w, func() int64 { return int64(*w) }, entries, data)
}

func writeZipTo(w io.Writer, at func() int64, entries []*packed, data func(e *packed, w io.Writer) error) error {
	z := zip.NewWriter(w)
	for _, e := range entries {
		if err := z.Flush(); err != nil {
			return err
		}
		h := &zip.FileHeader{
			Name: e.name, Method: zip.Store, CRC32: e.crc, UncompressedSize64: uint64(e.node.size), CompressedSize64: uint64(e.node.size),
			Flags: 0x800, // names are UTF-8
		}
		h.SetMode(e.node.mode)
		//lint:ignore SA1019 CreateRaw takes the time from here, not from Modified
		h.ModifiedDate, h.ModifiedTime = dosTime(e.node.modified)
		h.CreatorVersion |= 45
		h.ReaderVersion = 45
		if !e.node.mode.IsDir() {
			h.Extra = alignment(at()+zipHeader+int64(len(e.name)), e.node.size)
		}
		out, err := z.CreateRaw(h)
		if err != nil {
			return fmt.Errorf("pack %s: %w", e.name, err)
		}
		h.Extra = nil // is not needed once more in the directory at the end
		if err := z.Flush(); err != nil {
			return err
		}
		if e.node.mode.IsDir() {
			continue
		}
		if err := data(e, out); err != nil {
			return err
		}
	}
	return z.Close()
}

// alignment returns the extra field that puts an entry's data on its alignment, if its fixed part
// and its name end at this offset.
func alignment(end, size int64) []byte {
	var extra []byte
	le := func(b []byte, n uint64, bytes int) []byte {
		for ; bytes > 0; bytes-- {
			b, n = append(b, byte(n)), n>>8
		}
		return b
	}
	if size >= zipLimit { // sizes are here, for who reads entries one by one
		extra = le(le(le(le(extra, zip64ID, 2), 16, 2), uint64(size), 8), uint64(size), 8)
	}
	to := int64(packSmall)
	if size >= packLarge {
		to = packLarge
	}
	const least = 6 // bytes of the padding without any
	at := end + int64(len(extra)) + least
	pad := (to - at%to) % to
	extra = le(le(le(extra, alignmentID, 2), uint64(2+pad), 2), uint64(to), 2)
	return append(extra, make([]byte, pad)...)
}

// dosTime returns a time as zip files have it, in UTC. They know no time before 1980.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	if t.Year() < 1980 || t.Year() > 2107 {
		return 1 | 1<<5, 0
	}
	return uint16(t.Day() + int(t.Month())<<5 + (t.Year()-1980)<<9), uint16(t.Second()/2 + t.Minute()<<5 + t.Hour()<<11)
}

// writePacked makes the zip file: it reads sources, several at a time, to their places in shared
// memory, and then writes what is between them.
func (c *copyCommand) writePacked(ctx context.Context, entries []*packed, size int64, opts []famfs.CreateOption) error {
	if c.create.mode.set {
		opts = append(opts, famfs.Mode(c.create.mode.mode))
	}
	if c.replace {
		opts = append(opts, famfs.Replace())
	}
	p, err := c.device.CreateContext(ctx, c.to.name, size, opts...)
	if err != nil {
		return targetFailed(c.to, err)
	}
	defer p.Close()
	mem := p.Bytes()
	if err := c.readSources(ctx, entries, mem); err != nil {
		return err
	}
	err = famfs.Guard(func() error {
		w := &memoryWriter{mem: mem}
		return writeZipTo(w, func() int64 { return w.at }, entries, func(e *packed, out io.Writer) error {
			if w.at != e.at {
				return fmt.Errorf("pack %s: at %d instead of %d", e.name, w.at, e.at)
			}
			_, err := out.Write(mem[e.at : e.at+e.node.size]) // which is there already
			return err
		})
	})
	if err != nil {
		return targetFailed(c.to, err)
	}
	return targetFailed(c.to, p.Commit())
}

// memoryWriter writes to memory. What is written from its own place is there already.
type memoryWriter struct {
	mem []byte
	at  int64
}

func (w *memoryWriter) Write(b []byte) (int, error) {
	if int64(len(b)) > int64(len(w.mem))-w.at {
		return 0, io.ErrShortWrite
	}
	if len(b) > 0 && &b[0] != &w.mem[w.at] {
		copy(w.mem[w.at:], b)
	}
	w.at += int64(len(b))
	return len(b), nil
}

// readSources reads every source to its place. Nothing is made if one fails.
func (c *copyCommand) readSources(whole context.Context, entries []*packed, mem []byte) error {
	ctx, stop := context.WithCancel(whole)
	defer stop()
	var mu sync.Mutex
	var errs []error
	work := make(chan *packed)
	var running sync.WaitGroup
	for range c.create.workers {
		running.Go(func() {
			for e := range work {
				err := famfs.Guard(func() error { return c.readSource(ctx, e, mem[e.at:e.at+e.node.size]) })
				if err == nil {
					c.progress.file(path.Join(c.to.String(), e.name), "")
					continue
				}
				mu.Lock()
				if ctx.Err() == nil {
					errs = append(errs, targetFailed(e.node.source, err))
				}
				mu.Unlock()
				stop()
			}
		})
	}
	for _, e := range entries {
		if !e.node.mode.IsDir() && ctx.Err() == nil {
			work <- e
		}
	}
	close(work)
	running.Wait()
	return errors.Join(append(errs, context.Cause(whole))...)
}

// readSource reads a source of exactly so many bytes.
func (c *copyCommand) readSource(ctx context.Context, e *packed, to []byte) (err error) {
	f, err := e.node.from.Open(e.node.at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for len(to) > 0 && ctx.Err() == nil {
		piece := to[:min(len(to), packPiece)]
		n, err := io.ReadFull(f, piece)
		c.progress.bytes(int64(n))
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return because(famfs.ErrChanged, "became shorter while it was read; nothing was made")
		}
		if err != nil {
			return err
		}
		e.crc = crc32.Update(e.crc, crc32.IEEETable, piece)
		to = to[n:]
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var more [1]byte
	switch n, err := f.Read(more[:]); {
	case n > 0:
		return because(famfs.ErrChanged, "became longer while it was read; nothing was made")
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	return reformatted(e.node.from)
}
