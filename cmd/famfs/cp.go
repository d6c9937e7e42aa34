package main

// famfs cp: its options, its beginning and its end. cp_place.go decides which argument goes where,
// cp_tree.go has the tree that is copied, cp_list.go lists its directories, cp_fit.go finds out what of
// it fits, and cp_way.go what stands in its way. cp_in.go copies to a device, cp_out.go from a device.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/spf13/cobra"

	"famfs"
)

// copyCommand is one call of cp.
type copyCommand struct {
	*app
	recursive, follow, noTarget, quiet, force, asJSON bool
	skipChanged, replace, atomic                      bool
	preserve, archive, keep, ask, dryRun, packing     bool
	size                                              sizeValue // of standard input
	create                                            createOptions

	devices map[string]*famfs.FS
	tree    *tree
	// The tree is put into device, or into the local directory localBase.
	device    *famfs.FS
	to        target
	localBase string
	localName string      // the name of DEST in localBase
	record    *copyRecord // of a copy that makes DEST; otherwise nil
	// Without its record this copy would go into DEST if it is run again: see placeDir.
	mistakable bool

	written        writtenFiles
	named          atomic.Bool     // files need names while they are written
	approved       map[string]bool // files of the tree that the user lets replace others (-i)
	left           int             // files that are left as they are (-n, -i)
	planned        []plannedJSON   // these files, for --dry-run
	space          spaceNeeded
	refused        []refusal // what will not be copied, as far as this is known in advance
	progress       *progress
	copied, passed int
	bytes          int64                    // of these files
	changed        []string                 // files of the tree that changed and were passed over
	sealed         map[string]famfs.SumKind // sealed files of the device that may be replaced
	unsealed       []string                 // those that were
	said           map[refusalKind]int
	again          string // what to add to the advice to run it again
}

// copyJSON is the output of cp for programs.
type copyJSON struct {
	Files   int   `json:"files"`
	Bytes   int64 `json:"bytes"`
	Copied  int   `json:"copied"`
	Passed  int   `json:"passed_over"`
	Changed int   `json:"changed"`
	// Unsealed is how many files that are not sealed have replaced sealed ones.
	Unsealed    int           `json:"unsealed,omitempty"`
	NotCopied   int           `json:"not_copied"`
	Interrupted bool          `json:"interrupted"`
	Errors      []failureJSON `json:"errors"`
}

func (a *app) cpCommand() *cobra.Command {
	c := &copyCommand{app: a, devices: make(map[string]*famfs.FS)}
	cmd := &cobra.Command{
		Use:   "cp [-r] SOURCE... DEST",
		Short: "Copy files and trees to, from and between devices",
		Long: `cp copies files, and with -r directories, to a device, from a device, or between
devices; SOURCE and DEST are local paths or DEVICE:PATH. Copying to a device needs the
master, and keeps permission bits, not owners: the files and directories that are made
are the caller's, or whose --uid and --gid say. With -p they keep their owner, from a
device too, as far as the caller may give files away. -a is -r -p. --mode is for files
only.

Where copies go is as with cp: into DEST if it is a directory, otherwise DEST is the
copy's name. -T says that DEST is the copy, a slash after DEST that it is a directory to
copy into.

Every file appears whole or not at all. Run the same command again after it was broken
off, and it goes on: files that are there with the same size and content are passed over,
files with another are refused, and the rest is copied. So there is no -u for "only what
is newer": contents are compared, and famfs keeps no times. With -n whatever is there is
passed over, without comparing; with -i cp asks before it replaces a file of other
content. --dry-run says what would be done, and does nothing. What is passed over keeps
the mode and owner that it has, with -p too, and so do directories on a device that are
there; local directories that are there get those of the source with -p. With --replace
the files on a device with other content are replaced, each at one moment; directories
never are. Whoever has an old file open or mapped keeps it; its memory is not given out
again, see famfs rm. What replaces a sealed file is sealed only with --seal, and cp says
if it is not. With --atomic all that is copied to a device appears at one moment, or
nothing does: if any of it cannot be copied, or the copy is broken off, DEST is left as it
is. Until it is done no other process can write. With both, a new version takes the place
of an old one; what only the old one has is left there.

DEST means, when a copy is run again, what it meant the first time: if the copy made
it, it is the copy. That is written down while the copy is under way, in
$XDG_STATE_HOME/famfs or ~/.local/state/famfs; cp says if it cannot be. A DEST directory
is also taken for the copy if it has SOURCE's name, or if it holds something and nothing
that SOURCE has not; but if --force or --replace would replace any of that, -T or a slash
has to say which it is.

famfs has no empty files, links or special files, and its paths have at most 79 bytes.
What cannot be copied, because of that or for lack of space, is said before anything is
copied, and does not keep the rest from it; so is the space that it takes, in whole units
of mostly 2 MiB for each file. --dry-run also opens each source, and says which cannot be
read; the copy itself says that when it comes to them. Whether local files can be written
only the copy finds out. A symbolic link named as SOURCE is followed, those inside a tree
with -L; what several links point to is copied as often. The device itself is passed over
if it lies in the tree.

Copies from a device have holes in place of zeros; with --force they are written through
symbolic links, and never replace a device. Without --force a link in the place of a
directory of the tree is not followed: what is to lie in it is not copied. DEST itself may
be a link. --force puts a new file in the place of the old one: it is the caller's, with
the mode of the old one (or owner and mode of the source, with -p), and hard links to the
old one keep its content.

A SOURCE of - is standard input, copied to one file on a device: files need their size
at once, so --size says it unless standard input is a file, and nothing is made if that
is not how much comes. A DEST of - is standard output.

With --pack all becomes one uncompressed zip file, DEVICE:NAME.zip, so that many small
files do not take a unit each: what is in a single directory, or several SOURCEs under
their names, empty files too, with paths of up to 4 KiB, without owners. famfs ls, cat,
find, du and cp read through it (DEVICE:NAME.zip/PATH), and so does every program that
knows zip files. Entries begin at multiples of 64 bytes, and from 4 KiB on of pages, so
that who maps the file has them in place. One that is there is not compared: it is
passed over with -n, replaced with --replace, and otherwise refused.

A file that changes while it is copied to a device is not made there: that is an error,
or with --skip-changed it is passed over and said.

Status: 0 all is copied, 1 something is not, 130 interrupted.`,
		Example: `  famfs cp -r ./models /dev/dax0.0:/models
  famfs cp a.bin b.bin /dev/dax0.0:/data/
  famfs cp -r -N 4 -B 8 -C 2M ./tables /dev/dax0.0:/
  famfs cp -rT --replace --atomic ./llama-v2 /dev/dax0.0:/models/llama    # a new version
  famfs cp -r /dev/dax0.0:/models ./models
  curl -s "$url" | famfs cp --size 1234567 - /dev/dax0.0:/model.bin
  famfs cp -r --progress json ./models /dev/dax0.0:/ | jq .rate
  famfs cp -r /dev/dax0.0:/models /dev/dax1.0:/models
  famfs cp -r --pack ./dataset /dev/dax0.0:/dataset.zip`,
		Args: a.arguments(2, -1, "SOURCE... DEST"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(args, cmd.Flags().Changed("size")) },
	}
	flags := cmd.Flags()
	flags.BoolVarP(&c.recursive, "recursive", "r", false, "copy directories with all below them")
	flags.BoolVarP(&c.recursive, "recursive-too", "R", false, "the same as -r")
	flags.Lookup("recursive-too").Hidden = true
	flags.BoolVarP(&c.archive, "archive", "a", false, "the same as -r -p")
	flags.BoolVarP(&c.preserve, "preserve", "p", false, "keep owners too, and from a device all permission bits; there are no times")
	flags.BoolVarP(&c.keep, "no-clobber", "n", false, "pass over what is there, whatever its content")
	flags.BoolVarP(&c.ask, "interactive", "i", false, "ask before replacing a file that has other content")
	flags.BoolVar(&c.dryRun, "dry-run", false, "say what would be copied, replaced and passed over, and do nothing")
	flags.BoolVarP(&c.follow, "dereference", "L", false, "copy what symbolic links in a tree point to")
	flags.BoolVarP(&c.noTarget, "no-target-directory", "T", false, "DEST is the copy itself, also where it is a directory")
	flags.BoolVarP(&c.quiet, "quiet", "q", false, "show no progress and no summary")
	flags.BoolVarP(&c.force, "force", "f", false, "replace local files that differ; for files on a device see --replace")
	flags.BoolVar(&c.replace, "replace", false, "replace files on a device that have other content")
	flags.BoolVar(&c.atomic, "atomic", false, "let all that is copied to a device appear at one moment, or nothing")
	flags.BoolVar(&c.skipChanged, "skip-changed", false, "pass over local files that change while they are copied, instead of failing")
	flags.BoolVar(&c.packing, "pack", false, "make one zip file of all, DEVICE:NAME.zip")
	flags.Var(&c.size, "size", "how many bytes standard input has, where SOURCE is -")
	flags.BoolVar(&c.asJSON, "json", false, "print a summary as JSON instead of progress")
	c.registerProgress(flags)
	c.create.register(flags, "that of the source", "files and directories")
	for _, other := range []string{"interactive", "force", "replace"} {
		cmd.MarkFlagsMutuallyExclusive("no-clobber", other)
	}
	cmd.MarkFlagsMutuallyExclusive("interactive", "dry-run")
	return cmd
}

func (c *copyCommand) run(args []string, sized bool) error {
	defer func() {
		for _, fsys := range c.devices {
			fsys.Close()
		}
	}()
	if c.create.workers <= 0 {
		c.create.workers = runtime.GOMAXPROCS(0)
	}
	opts, err := c.create.options()
	if err == nil {
		err = c.create.kindApart(c.args, args)
	}
	if err != nil {
		return err
	}
	c.recursive, c.preserve = c.recursive || c.archive, c.preserve || c.archive
	ctx, stop := interruptible()
	defer stop()
	defer collectRarely()()
	if c.packing {
		return c.pack(ctx, args, opts)
	}
	if isStream(args) {
		return c.copyStream(ctx, args, sized, opts)
	}
	if sized {
		return usageError(errors.New("--size is for standard input: cp --size SIZE - DEVICE:PATH"))
	}
	if err := c.plan(ctx, args); err != nil {
		return err
	}
	c.refuseBlocked()
	if err := c.passOverBefore(ctx); err != nil {
		return err
	}
	if c.dryRun {
		c.refuseUnreadable(ctx)
	}
	if c.device != nil {
		c.sayNarrow(c.device, c.to.device, &c.create)
		if c.replace || len(c.approved) > 0 {
			for _, name := range c.fileNames() {
				if c.replaces(name) {
					c.noteSealed(c.device, name)
				}
			}
		}
		c.refuseUnfit()
	}
	if c.dryRun {
		return c.sayWhatWouldBe(ctx)
	}
	files, bytes := c.tree.total()
	wanted := files + len(c.refused) + c.left
	c.passed += c.left
	c.announce(wanted)
	c.sayNeeded()
	announced := len(c.refused)
	c.writeRecord()
	c.progress = c.newProgress("copied", files, bytes, c.quiet || c.asJSON, c.verbose > 0)
	var errs []error
	switch {
	case c.atomic && len(c.refused) > 0:
		errs = []error{c.leftAsItIs()}
	case c.device != nil:
		errs = c.copyIn(ctx, opts)
	default:
		errs = c.copyOut(ctx)
	}
	// An atomic copy that is there already was not interrupted.
	interrupted := ctx.Err() != nil && (!c.atomic || len(errs) > 0)
	there := c.copied + c.passed
	if !interrupted && c.isDone(len(errs)) {
		c.record.remove()
	}
	c.summarise(interrupted, wanted-there-len(c.changed))
	for _, err := range errs {
		if !interrupted || !isInterruption(ctx, err) {
			c.reportRefusal(refusal{refusalOf(err), err})
		}
	}
	for _, r := range c.refused[announced:] {
		c.reportRefusal(r)
	}
	c.sayMore()
	c.sayUnsealed()
	if c.asJSON {
		if err := c.printJSON(copyJSON{wanted, bytes, c.copied, c.passed, len(c.changed), len(c.unsealed), wanted - there - len(c.changed), interrupted, c.listFailures()}); err != nil {
			return err
		}
	}
	if interrupted && c.atomic {
		return &statusError{signalStatus(ctx), fmt.Errorf("interrupted: %s is left as it was", c.to)}
	}
	if interrupted {
		return &statusError{signalStatus(ctx), fmt.Errorf("interrupted: %d of %d files are there, whole; run the same command again%s to go on", there, wanted, c.again)}
	}
	return nil
}

// destExists reports whether DEST exists. If it does not, nothing was begun.
func (c *copyCommand) destExists() bool {
	var err error
	if c.device != nil {
		_, err = c.device.Stat(c.to.name)
	} else {
		_, err = os.Lstat(filepath.Join(c.localBase, c.localName))
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// isInterruption reports whether err says only that ctx has ended.
func isInterruption(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))
}

// announce says, before anything is copied, what will not be copied.
func (c *copyCommand) announce(wanted int) {
	if !c.quiet && !c.asJSON && wanted > 1 && len(c.refused) > 0 {
		will := "will not"
		if c.atomic { // the others are not copied either
			will = "cannot"
		}
		fmt.Fprintf(c.err, "%s: of %s, %s %s be copied: %s\n", c.command, count(wanted, "file", "files"), grouped(len(c.refused)), will, countRefusals(c.refused))
	}
	for _, r := range c.refused {
		c.reportRefusal(r)
	}
	c.sayMore()
}

// mostNamed is how many files are named that are not copied for the same reason, without -v.
const mostNamed = 10

// listFailures returns the failures for programs: a list, also if there are none.
func (c *copyCommand) listFailures() []failureJSON {
	return append([]failureJSON{}, c.failures...)
}

// reportRefusal reports what is not copied. A copy of many files onto a device that is full must
// not fill the screen: beyond some of each kind they are only counted.
func (c *copyCommand) reportRefusal(r refusal) {
	if c.said == nil {
		c.said = make(map[refusalKind]int)
	}
	c.said[r.kind]++
	if r.kind == otherRefusal || c.verbose > 0 || c.said[r.kind] <= mostNamed {
		c.reportFailure(r.err)
	} else {
		c.noteFailure(r.err)
	}
}

// sayMore says how many more there were than reportRefusal has named.
func (c *copyCommand) sayMore() {
	for kind, words := range refusalWords {
		more := c.said[refusalKind(kind)] - mostNamed
		if more > 0 && refusalKind(kind) != otherRefusal && c.verbose == 0 {
			fmt.Fprintf(c.err, "%s: and %s more %s; -v names all\n", c.command, grouped(more), words[min(more, 2)-1])
		}
	}
	c.said = nil
}

// summarise ends the progress. It says what was done, and then what was not.
func (c *copyCommand) summarise(interrupted bool, notCopied int) {
	what := "copied " + count(c.copied, "file", "files")
	if c.passed > 0 {
		what += fmt.Sprintf(", passed over %s that were there already", grouped(c.passed))
	}
	if interrupted {
		what = "" // said last, in the error
	}
	if n := len(c.changed); n > 0 {
		what += fmt.Sprintf(", passed over %s that changed", grouped(n))
	}
	undone := ""
	if notCopied > 0 {
		undone = grouped(notCopied) + " not copied"
	}
	c.progress.only(c.bytes)
	c.progress.finish(what, undone)
}

// openOnce opens a device, or returns it if it is open already.
func (c *copyCommand) openOnce(device string, write bool) (*famfs.FS, error) {
	if fsys := c.devices[device]; fsys != nil {
		return fsys, nil
	}
	open := c.open
	if write {
		open = c.openToWrite
	}
	fsys, err := open(device)
	if err == nil {
		c.devices[device] = fsys
	}
	return fsys, err
}
