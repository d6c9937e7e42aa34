package main

// famfs check: does a directory hold what the log of a device says? verify.go does the checking
// of content, and tells what was found.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"famfs"
)

// checker is one call of check.
type checker struct {
	*verifier
	content, owners bool
}

func (a *app) checkCommand() *cobra.Command {
	c := &checker{verifier: &verifier{app: a}}
	cmd := &cobra.Command{
		Use:   "check DEVICE[:PATH] DIRECTORY",
		Short: "Check that a directory holds what the log says",
		Long: `check compares a directory with what the log of a device says: a mount of the device,
by this command or by the C tools, or any directory that is to hold the same, such as a
copy. Each file and directory of the log must be there, as what it is and with its size;
what is there and not in the log is a difference too. With --owners the permission bits,
the user and the group must be the same, and with --content every byte: files that a
program made in a mount without the famfs tools show that they have none of the memory.

What the C tools keep in .meta is passed over, and so is the device itself.
` + verdictHelp + `
Status: 0 all is as the log says, 1 something differs, ` + troubleHelp + `.`,
		Example: `  famfs check /dev/dax0.0 /mnt/famfs
  famfs check --content /dev/dax0.0:/models /mnt/famfs/models
  famfs check --json /dev/dax0.0 ./copy | jq '.[] | select(.ok | not)'`,
		Args: a.arguments(2, 2, "DEVICE[:PATH] and DIRECTORY"),
		RunE: func(_ *cobra.Command, args []string) error {
			return c.run(args[:1], func(fsys *famfs.FS, t target) ([]check, func() error, error) {
				checks, err := c.list(fsys, t, args[1])
				return checks, nil, err
			})
		},
		ValidArgsFunction: a.completeTarget,
	}
	c.register(cmd)
	cmd.Flags().BoolVarP(&c.content, "content", "c", false, "compare every byte too")
	cmd.Flags().BoolVarP(&c.owners, "owners", "o", false, "compare permission bits, users and groups too")
	return cmd
}

// metaDir is the directory in a mount in which the C tools keep superblock and log.
const metaDir = ".meta"

// list makes a check for everything that the log or dir has.
func (c *checker) list(fsys *famfs.FS, t target, dir string) (checks []check, err error) {
	st, err := os.Stat(dir)
	if err == nil && !st.IsDir() {
		err = because(fs.ErrInvalid, "is not a directory; famfs verify --against compares single files")
	}
	if err != nil {
		return nil, localFailed(dir, err)
	}
	there, err := fsys.Stat(t.name)
	if err == nil && !there.IsDir() {
		err = because(fs.ErrInvalid, "is a file; famfs verify --against compares single files")
	}
	if err != nil {
		return nil, err
	}
	device, _ := os.Stat(t.device)
	err = fs.WalkDir(fsys, t.name, func(name string, d fs.DirEntry, err error) error {
		switch {
		case c.ctx.Err() != nil:
			return fs.SkipAll
		case err != nil || name == t.name:
			return err
		}
		want, err := d.Info()
		if err != nil {
			return err
		}
		shown := filepath.Join(dir, filepath.FromSlash(counterpart(name, t.name, ".")))
		one := check{fsys: fsys, t: target{device: t.device, name: name}, size: want.Size()}
		one.err = c.compareInfo(want, shown)
		if one.plain = d.IsDir() || !c.content; !one.plain {
			one.run = func(data []byte) error {
				f, err := os.Open(shown)
				if err != nil {
					return localFailed(shown, err)
				}
				defer f.Close()
				return c.compare(data, f, shown)
			}
		}
		checks = append(checks, one)
		return nil
	})
	if err != nil {
		return checks, err
	}
	// What only the directory has.
	root, err := filepath.EvalSymlinks(dir) // a link would be all that is walked
	if err != nil {
		return checks, localFailed(dir, err)
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(root, path)
		path = filepath.Join(dir, rel)
		switch {
		case c.ctx.Err() != nil:
			return fs.SkipAll
		case relErr != nil:
			return localFailed(path, relErr)
		case err != nil: // go on: what else is there is of interest too
			checks = append(checks, check{fsys: fsys, t: target{device: t.device, name: counterpart(filepath.ToSlash(rel), ".", t.name)}, plain: true, err: localFailed(path, err)})
			return nil
		case rel == ".":
			return nil
		case t.name == "." && rel == metaDir && d.IsDir():
			return fs.SkipDir
		}
		name := counterpart(filepath.ToSlash(rel), ".", t.name)
		if _, err := fsys.Stat(name); err == nil {
			return nil // compared above, whatever it is
		}
		if st, err := d.Info(); err == nil && device != nil && os.SameFile(st, device) {
			return nil
		}
		checks = append(checks, check{fsys: fsys, t: target{device: t.device, name: name}, plain: true, err: &differs{-1, path + " is there, and is not in the log"}})
		if d.IsDir() {
			return fs.SkipDir // one line is enough for all that is in it
		}
		return nil
	})
	return checks, err
}

// compareInfo compares what the log says of a file or directory with what lies at path.
func (c *checker) compareInfo(want fs.FileInfo, path string) error {
	found, err := os.Lstat(path)
	differ := func(format string, args ...any) error {
		return &differs{-1, fmt.Sprintf("%s "+format, append([]any{path}, args...)...)}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return differ("does not exist")
	case err != nil:
		return localFailed(path, err)
	case found.Mode().Type() != want.Mode().Type():
		return differ("is %s, want %s", sayKind(found.Mode()), sayKind(want.Mode()))
	case !want.IsDir() && found.Size() != want.Size():
		return differ("has %d bytes, want %d", found.Size(), want.Size())
	case !c.owners:
		return nil
	case found.Mode().Perm() != want.Mode().Perm():
		return differ("has mode %v, want %v", found.Mode().Perm(), want.Mode().Perm())
	}
	uid, gid, ok := ownerOf(found)
	if attr := want.Sys().(*famfs.Attr); ok && (uid != attr.UID || gid != attr.GID) {
		return differ("belongs to %d:%d, want %d:%d", uid, gid, attr.UID, attr.GID)
	}
	return nil
}

// sayKind names the kind of a file.
func sayKind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "neither file nor directory"
}
