package main

// famfs cp: its options, and how it begins and ends. Which argument goes where is in
// cp_place.go, the tree that is copied in cp_tree.go, what of it fits in cp_fit.go; the
// copying to a device is in cp_in.go, that from a device in cp_out.go.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"famfs"
)

// copyCommand is one call of cp.
type copyCommand struct {
	*app
	recursive, follow, noTarget, quiet, force, asJSON bool
	skipChanged, replace, atomic                      bool
	create                                            createOptions

	devices map[string]*famfs.FS
	tree    *tree
	// Where the tree is put: into a device, or into the local directory localBase.
	device    *famfs.FS
	to        target
	localBase string
	localName string      // DEST's name in it
	record    *copyRecord // of a copy that makes DEST; nil if it does not

	written        writtenFiles
	refused        []refusal // what is not copied, as far as it is known before
	progress       *progress
	copied, passed int
	changed        []string // files of the tree that changed, and were passed over
	again          string   // what to say of running it again
}

// copyJSON is what cp prints for programs.
type copyJSON struct {
	Files       int           `json:"files"`
	Bytes       int64         `json:"bytes"`
	Copied      int           `json:"copied"`
	Passed      int           `json:"passed_over"`
	Changed     int           `json:"changed"`
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
are the caller's, or whose --uid and --gid say. --mode is for files only.

Where copies go is as with cp: into DEST if it is a directory, otherwise DEST is the
copy's name. -T says that DEST is the copy, a slash after DEST that it is a directory to
copy into.

Every file appears whole or not at all. Run the same command again after it was broken
off, and it goes on: files that are there with the same size and content are passed
over, files with another are refused, and the rest is copied. With --replace the files
on a device with other content are replaced, each at one moment; directories never are.
Whoever has an old file open or mapped keeps it; its memory is not given out again, see
famfs rm. With --atomic all that is copied to a device appears at one moment, or nothing
does: if any of it cannot be copied, or the copy is broken off, DEST is left as it is.
Until it is done no other process can write. With both, a new version takes the place of
an old one; what only the old one has is left there.

DEST means, when a copy is run again, what it
meant the first time: if the copy made it, it is the copy. That is written down while
the copy is under way, in $XDG_STATE_HOME/famfs or ~/.local/state/famfs. A DEST
directory is also taken for the copy if it has SOURCE's name, or if it holds something
and nothing that SOURCE has not; but if --force or --replace would replace any of that,
-T or a slash has to say which it is.

famfs has no empty files, links or special files, and its paths have at most 79 bytes.
What cannot be copied, because of that or for lack of space, is said before anything
is copied, and does not keep the rest from it. A symbolic link named as SOURCE is
followed, those inside a tree with -L; what several links point to is copied as often.
The device itself is passed over if it lies in the tree. Copies from a device have
holes in place of zeros; with --force they are written through symbolic links, and
never replace a device.

A file that changes while it is copied to a device is not made there: that is an error,
or with --skip-changed it is passed over and said.

Status: 0 all is copied, 1 something is not, 130 interrupted.`,
		Example: `  famfs cp -r ./models /dev/dax0.0:/models
  famfs cp a.bin b.bin /dev/dax0.0:/data/
  famfs cp -r -N 4 -B 8 -C 2M ./tables /dev/dax0.0:/
  famfs cp -rT --replace --atomic ./llama-v2 /dev/dax0.0:/models/llama    # a new version
  famfs cp -r /dev/dax0.0:/models ./models
  famfs cp -r /dev/dax0.0:/models /dev/dax1.0:/models`,
		Args: a.arguments(2, -1, "SOURCE... DEST"),
		RunE: func(_ *cobra.Command, args []string) error { return c.run(args) },
	}
	flags := cmd.Flags()
	flags.BoolVarP(&c.recursive, "recursive", "r", false, "copy directories with all below them")
	flags.BoolVarP(&c.recursive, "recursive-too", "R", false, "the same as -r")
	flags.Lookup("recursive-too").Hidden = true
	flags.BoolVarP(&c.follow, "dereference", "L", false, "copy what symbolic links in a tree point to")
	flags.BoolVarP(&c.noTarget, "no-target-directory", "T", false, "DEST is the copy itself, also where it is a directory")
	flags.BoolVarP(&c.quiet, "quiet", "q", false, "show no progress and no summary")
	flags.BoolVarP(&c.force, "force", "f", false, "replace local files that differ; for files on a device see --replace")
	flags.BoolVar(&c.replace, "replace", false, "replace files on a device that have other content")
	flags.BoolVar(&c.atomic, "atomic", false, "let all that is copied to a device appear at one moment, or nothing")
	flags.BoolVar(&c.skipChanged, "skip-changed", false, "pass over local files that change while they are copied, instead of failing")
	flags.BoolVar(&c.asJSON, "json", false, "print a summary as JSON instead of progress")
	c.create.register(flags, "that of the source", "files and directories")
	return cmd
}

func (c *copyCommand) run(args []string) error {
	defer func() {
		for _, fsys := range c.devices {
			fsys.Close()
		}
	}()
	if c.create.workers <= 0 {
		c.create.workers = runtime.GOMAXPROCS(0)
	}
	opts, err := c.create.options()
	if err != nil {
		return err
	}
	if c.replace {
		opts = append(opts, famfs.Replace())
	}
	ctx, stop := interruptible()
	defer stop()
	if err := c.plan(ctx, args); err != nil {
		return err
	}
	if c.device != nil {
		c.refuseUnfit()
	}
	files, bytes := c.tree.total()
	wanted := files + len(c.refused)
	c.announce(wanted)
	if c.record != nil && !c.record.write(c.to.String()) {
		c.again = ", with -T,"
	}
	c.progress = c.newProgress("copied", files, bytes, c.quiet || c.asJSON, c.verbose > 0)
	var errs []error
	switch {
	case c.atomic && len(c.refused) > 0:
		errs = []error{targetFailed(c.to, because(fs.ErrInvalid, "is left as it is: not all can be copied there, and --atomic copies all or nothing"))}
	case c.device != nil:
		errs = c.copyIn(ctx, opts)
	default:
		errs = c.copyOut(ctx)
	}
	// What appears at one moment is not interrupted once it is there.
	interrupted := ctx.Err() != nil && (!c.atomic || len(errs) > 0)
	there := c.copied + c.passed
	if !interrupted && (there > 0 || !c.destExists() || len(errs) == 0 && len(c.refused) == 0) {
		c.record.remove()
	}
	c.summarise(interrupted, wanted-there-len(c.changed))
	for _, err := range errs {
		if !interrupted || !isInterruption(ctx, err) {
			c.reportFailure(err)
		}
	}
	if c.asJSON {
		failures := c.failures
		if failures == nil {
			failures = []failureJSON{}
		}
		if err := c.printJSON(copyJSON{wanted, bytes, c.copied, c.passed, len(c.changed), wanted - there - len(c.changed), interrupted, failures}); err != nil {
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

// destExists says whether DEST is there: if not, nothing was begun.
func (c *copyCommand) destExists() bool {
	var err error
	if c.device != nil {
		_, err = c.device.Stat(c.to.name)
	} else {
		_, err = os.Lstat(filepath.Join(c.localBase, c.localName))
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// isInterruption says that err only says that ctx was ended.
func isInterruption(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))
}

// announce says before anything is copied what is not going to be.
func (c *copyCommand) announce(wanted int) {
	if !c.quiet && !c.asJSON && wanted > 1 && len(c.refused) > 0 {
		will := "will not"
		if c.atomic { // the others will not either
			will = "cannot"
		}
		fmt.Fprintf(c.err, "%s: of %s, %s %s be copied: %s\n", c.command, count(wanted, "file", "files"), grouped(len(c.refused)), will, countRefusals(c.refused))
	}
	for _, r := range c.refused {
		c.reportFailure(r.err)
	}
}

// summarise ends the progress and says what was done, and last what was not.
func (c *copyCommand) summarise(interrupted bool, notCopied int) {
	what := "copied " + count(c.copied, "file", "files")
	if c.passed > 0 {
		what += fmt.Sprintf(", passed over %s that were there already", grouped(c.passed))
	}
	if interrupted {
		what = "" // is said last
	}
	if n := len(c.changed); n > 0 {
		what += fmt.Sprintf(", passed over %s that changed", grouped(n))
	}
	undone := ""
	if notCopied > 0 {
		undone = grouped(notCopied) + " not copied"
	}
	c.progress.finish(what, undone)
}

// openOnce opens each device once.
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
