package main

// famfs rm: removes files, and directories with everything in them.

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"famfs"
)

// removal is one call of rm.
type removal struct {
	*app
	recursive, dirs, force, asJSON bool
	removed                        []nodeJSON // in the order in which they were removed
}

func (a *app) rmCommand() *cobra.Command {
	r := &removal{app: a, removed: []nodeJSON{}}
	cmd := &cobra.Command{
		Use:   "rm [-r] [-f] DEVICE:PATH...",
		Short: "Remove files and directories",
		Long: `rm removes files, and with -r directories with all that is in them, as rm does. It
needs the master. It does not ask, and says nothing if all goes well; with -v each name
that is removed is printed.

Each PATH goes at one moment, on all hosts, a directory with all that is in it. Whoever
has a file open or mapped keeps what it was. Its name can be used again at once; its
memory is not given out again, as hosts that do not know of the removal yet may be
reading it: famfs df shows how much that is, and famfs compact gives it back. On a device
made with mkfs --reuse it is given out again when no host can reach it any more. A removal
takes an entry of the log for each file and directory. The C tools go on showing what
was removed.

The root of a device is never removed: to be rid of all that is on it format it anew with
famfs mkfs --force.

What cannot be removed does not keep the others from it; then the status is 1. Ctrl-C
ends it between two PATHs.`,
		Example: `  famfs rm /dev/dax0.0:/models/old.bin
  famfs rm -r /dev/dax0.0:/models/llama /dev/dax0.0:/models/whisper
  famfs rm -rf --json /dev/dax0.0:/tmp | jq -r '.[].path'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if r.force { // without arguments there is nothing to remove, which is no error
				return nil
			}
			return a.arguments(1, -1, "DEVICE:PATH...")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error { return r.run(args) },
	}
	flags := cmd.Flags()
	flags.BoolVarP(&r.recursive, "recursive", "r", false, "remove directories with all that is in them")
	flags.BoolVarP(&r.recursive, "recursive-too", "R", false, "the same as -r")
	flags.Lookup("recursive-too").Hidden = true
	flags.BoolVarP(&r.dirs, "dir", "d", false, "remove empty directories")
	flags.BoolVarP(&r.force, "force", "f", false, "no error for what is not there")
	flags.BoolVar(&r.asJSON, "json", false, "print what was removed as a JSON array")
	return cmd
}

func (r *removal) run(args []string) error {
	ctx, stop := interruptible()
	defer stop()
	err := r.eachOn(args, r.openToWrite, func(fsys *famfs.FS, t target) error {
		if ctx.Err() != nil {
			return &statusError{signalStatus(ctx), fmt.Errorf("interrupted: %s and what comes after it is left", t)}
		}
		return r.remove(fsys, t)
	}, nil)
	var known *statusError
	if !r.asJSON || errors.As(err, &known) && known.status == statusUsage {
		return err
	}
	return errors.Join(printJSONList(r.app, r.removed), err)
}

// remove removes t.
func (r *removal) remove(fsys *famfs.FS, t target) error {
	if t.name == "." {
		return because(fs.ErrInvalid, "is the root of the device, which is never removed; name what is in it, or format the device anew with: famfs mkfs --force %s", t.device)
	}
	if _, err := fsys.Refresh(); err != nil { // t may have been made just now
		return err
	}
	st, err := fsys.Stat(t.name)
	switch {
	case r.force && errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case t.slash && !st.IsDir():
		return because(fs.ErrInvalid, "is not a directory")
	case st.IsDir() && !r.recursive && !r.dirs:
		return because(fs.ErrInvalid, "is a directory; remove it with -r")
	}
	var going []nodeJSON
	if r.asJSON || r.verbose > 0 {
		if going, err = below(fsys, t); err != nil {
			return err
		}
	}
	if st.IsDir() && r.recursive {
		err = fsys.RemoveAll(t.name)
	} else {
		err = fsys.Remove(t.name)
	}
	if err != nil {
		if r.force && errors.Is(err, fs.ErrNotExist) { // another process removed it first
			return nil
		}
		return err
	}
	r.removed = append(r.removed, going...)
	if r.verbose == 0 || r.asJSON {
		return nil
	}
	for _, n := range going {
		if _, err := fmt.Fprintf(r.out, "removed %s\n", r.displayName(t.at(n.Path))); err != nil {
			return err
		}
	}
	return nil
}

// below describes t and everything in it, the innermost first.
func below(fsys *famfs.FS, t target) ([]nodeJSON, error) {
	var all []nodeJSON
	err := fs.WalkDir(fsys, t.name, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil {
			all = append(all, describeNode(t.device, name, st))
		}
		return err
	})
	slices.Reverse(all)
	return all, err
}
