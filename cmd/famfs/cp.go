package main

// famfs cp: options, and which argument goes where. What is copied is a tree that
// cp_tree.go puts together; the copying to a device is the library's CopyFS, that from a
// device is in cp_out.go.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"famfs"
)

// copyCommand is one call of cp.
type copyCommand struct {
	*app
	recursive, follow, noTarget, quiet, force, asJSON bool
	create                                            createOptions

	devices map[string]*famfs.FS
	tree    *tree
	// Where the tree is put: into a device, or into the local directory localBase.
	device    *famfs.FS
	to        target
	localBase string

	progress       *progress
	copied, passed int
	again          string // what to say of running it again
}

// copyJSON is what cp prints for programs.
type copyJSON struct {
	Files       int   `json:"files"`
	Bytes       int64 `json:"bytes"`
	Copied      int   `json:"copied"`
	Passed      int   `json:"passed_over"`
	Interrupted bool  `json:"interrupted"`
}

func (a *app) cpCommand() *cobra.Command {
	c := &copyCommand{app: a, devices: make(map[string]*famfs.FS)}
	cmd := &cobra.Command{
		Use:   "cp [-r] SOURCE... DEST",
		Short: "Copy files and trees to, from and between devices",
		Long: `cp copies files, and with -r directories, to a device, from a device, or between
devices; SOURCE and DEST are local paths or DEVICE:PATH. Where DEST is a directory the
copies go into it; otherwise DEST is the copy's name. Copying to a device needs the
master, and keeps permission bits, not owners: the files and directories that are made
are the caller's, or whose --uid and --gid say. --mode is for files only.

Every file appears whole or not at all, also when Ctrl-C ends the copy. Run the same
command again and it goes on: files that are there with the same size and content are
passed over, files with another are refused, and the rest is copied. For that, a DEST
directory that has SOURCE's name, or that holds nothing but what SOURCE has, is taken
for the copy that was begun, instead of one to copy into. -T says that it is; a slash
after DEST says that it is not.

famfs has no empty files, links or special files: they are refused, each with the
reason, and the rest is copied. A symbolic link named as SOURCE is followed, those
inside a tree with -L.

Status: 0 all is copied, 1 something is not, 130 interrupted.`,
		Example: `  famfs cp -r ./models /dev/dax0.0:/models
  famfs cp a.bin b.bin /dev/dax0.0:/data/
  famfs cp -r -N 4 -B 8 -C 2M ./tables /dev/dax0.0:/
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
	flags.BoolVarP(&c.force, "force", "f", false, "replace local files that differ; files on a device are never replaced")
	flags.BoolVar(&c.asJSON, "json", false, "print a summary as JSON instead of progress")
	c.create.register(flags, "that of the source", "files and directories")
	return cmd
}

func (c *copyCommand) run(args []string) (err error) {
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
	if err := c.plan(args); err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	files, bytes := c.tree.total()
	c.progress = c.newProgress("copied", files, bytes, c.quiet || c.asJSON, c.verbose > 0)
	if c.device != nil {
		err = c.copyIn(ctx, opts)
	} else {
		err = c.copyOut(ctx)
	}
	interrupted := ctx.Err() != nil
	what := "copied " + count(c.copied, "file", "files")
	if c.passed > 0 {
		what += fmt.Sprintf(", passed over %s that were there already", grouped(c.passed))
	}
	if interrupted {
		what = "" // said below
	}
	c.progress.finish(err == nil, what)
	if c.asJSON {
		if err := c.printJSON(copyJSON{files, bytes, c.copied, c.passed, interrupted}); err != nil {
			return err
		}
	}
	if interrupted {
		return &statusError{statusInterrupted, fmt.Errorf("interrupted: %d of %d files are there, whole; run the same command again%s to go on", c.copied+c.passed, files, c.again)}
	}
	if err != nil {
		c.reportFailure(c.to.device, err)
	}
	return nil
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
	if err != nil {
		var known *statusError
		if errors.As(err, &known) {
			return nil, err
		}
		c.report(device, err)
		return nil, &statusError{status: statusFailed}
	}
	c.devices[device] = fsys
	return fsys, nil
}

// plan finds out what goes where, and puts the tree together.
func (c *copyCommand) plan(args []string) error {
	var all []target
	for _, arg := range args {
		t, err := parseTarget(arg)
		if err != nil {
			c.report(arg, err)
			return &statusError{status: statusFailed}
		}
		all = append(all, t)
	}
	sources, dest := all[:len(all)-1], all[len(all)-1]
	c.to = dest
	var err error
	var there fs.FS // what DEST lies in
	name := dest.name
	if dest.device != "" {
		if c.device, err = c.openOnce(dest.device, true); err != nil {
			return err
		}
		there = c.device
	} else {
		for _, s := range sources {
			if s.device == "" {
				return usageError(fmt.Errorf("neither %s nor %s is on a device; write one as DEVICE:PATH, or use cp", s, dest))
			}
		}
		full, err := filepath.Abs(dest.name)
		if err != nil {
			return err
		}
		c.localBase, name = filepath.Dir(full), filepath.ToSlash(filepath.Base(full))
		if c.localBase == full {
			name = "."
		}
		there = os.DirFS(c.localBase)
	}
	c.tree = newTree()
	if c.device != nil {
		c.tree.mode = c.create.mode
	}
	for _, s := range sources {
		from, root, err := c.sourceFS(s)
		if err != nil {
			return err
		}
		at, err := c.place(s, from, root, dest, there, name, len(sources) > 1)
		if err == nil {
			err = c.tree.add(from, root, at, s, c.recursive, c.follow, func(t target, err error) { c.reportFailure(t.String(), err) })
		}
		if err != nil {
			c.reportFailure(s.String(), err)
		}
	}
	return nil
}

// sourceFS returns a file system that holds s, and its name there.
func (c *copyCommand) sourceFS(s target) (fs.FS, string, error) {
	if s.device != "" {
		fsys, err := c.openOnce(s.device, false)
		return fsys, s.name, err
	}
	full, err := filepath.Abs(s.name)
	if err != nil {
		return nil, "", err
	}
	dir, base := filepath.Split(full)
	if base == "" { // a root
		return os.DirFS(dir), ".", nil
	}
	return os.DirFS(dir), filepath.ToSlash(base), nil
}

// place says where in the tree source s goes, which is root in from.
func (c *copyCommand) place(s target, from fs.FS, root string, dest target, there fs.FS, name string, several bool) (string, error) {
	src, err := fs.Stat(from, root)
	if err != nil {
		return "", err
	}
	st, err := fs.Stat(there, name)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	into := path.Join(name, s.base())
	switch {
	case several && c.noTarget:
		return "", usageError(errors.New("-T takes one SOURCE"))
	case !exists && (several || dest.slash && !src.IsDir()):
		return "", fmt.Errorf("%s is no directory to copy into; make it with famfs mkdir: %w", dest, fs.ErrNotExist)
	case !exists:
		if parent := path.Dir(name); parent != "." || dest.device == "" {
			if st, err := fs.Stat(there, parent); err != nil || !st.IsDir() {
				return "", fmt.Errorf("%s lies in a directory that does not exist; make it with famfs mkdir -p: %w", dest, fs.ErrNotExist)
			}
		}
		if src.IsDir() && s.base() != path.Base(name) && !c.noTarget {
			c.again = ", with -T,"
		}
		return name, nil
	case !st.IsDir() && (several || dest.slash || src.IsDir()):
		return "", fmt.Errorf("%s is a file, not a directory: %w", dest, fs.ErrExist)
	case !st.IsDir(), c.noTarget:
		return name, nil
	case several, !src.IsDir(), dest.slash, s.base() == ".":
		return into, nil
	}
	// A directory onto a directory: into it, unless it is the copy that was begun.
	has := func(fsys fs.FS, name string) bool {
		_, err := fs.Stat(fsys, name)
		return err == nil
	}
	switch {
	case s.base() == path.Base(name) && (!has(there, into) || has(from, path.Join(root, s.base()))):
		return name, nil
	case has(there, into):
		return into, nil
	}
	entries, err := fs.ReadDir(there, name)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		st, err := fs.Stat(from, path.Join(root, e.Name()))
		if err != nil || st.IsDir() != e.IsDir() {
			return into, nil
		}
	}
	if len(entries) == 0 {
		return into, nil
	}
	return name, nil
}

// copyIn copies the tree to the device.
func (c *copyCommand) copyIn(ctx context.Context, opts []famfs.CreateOption) error {
	var last int64
	return c.device.CopyFS(ctx, ".", c.tree, famfs.Workers(c.create.workers), famfs.CreateWith(opts...), famfs.OnProgress(func(p famfs.Progress) {
		c.progress.bytes(p.Bytes - last)
		last = p.Bytes
		switch {
		case p.Passed:
			c.passed++
			c.progress.file(c.to.at(p.Name), " was there already")
		case p.Done:
			c.copied++
			c.progress.file(c.to.at(p.Name), "")
		}
	}))
}
