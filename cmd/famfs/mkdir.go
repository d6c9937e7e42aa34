package main

// famfs mkdir: makes directories.

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) mkdirCommand() *cobra.Command {
	var parents bool
	var mode modeValue
	var owner ownerOptions
	cmd := &cobra.Command{
		Use:   "mkdir DEVICE:PATH...",
		Short: "Make directories",
		Long: `mkdir makes directories, as mkdir does. It needs the master. Each directory takes
an entry of the log, and so does its removal. With -p the directories above that are
missing are made too, with the same mode and owner; those that are there stay as they
are. With -v each one that is made is printed.`,
		Example: `  famfs mkdir /dev/dax0.0:/models
  famfs mkdir -p -m 0700 -u 1000 -g 1000 /dev/dax0.0:/models/llama/7b`,
		Args: a.arguments(1, -1, "DEVICE:PATH..."),
		RunE: func(_ *cobra.Command, args []string) error {
			opts := owner.options()
			if mode.set {
				opts = append(opts, famfs.Mode(mode.mode))
			}
			return a.eachOn(args, a.openToWrite, func(fsys *famfs.FS, t target) error {
				made := func(dir string) error {
					if a.verbose == 0 {
						return nil
					}
					_, err := fmt.Fprintf(a.out, "created %s\n", a.displayName(t.at(dir)))
					return err
				}
				switch {
				case parents:
					return mkdirAll(fsys, t.name, opts, made)
				case t.name == ".":
					return because(fs.ErrInvalid, "is the root directory, which is always there")
				}
				err := fsys.MkdirWith(t.name, opts...)
				if errors.Is(err, fs.ErrNotExist) {
					return because(fs.ErrInvalid, "lies in a directory that does not exist; -p makes it too")
				}
				if err != nil {
					return err
				}
				return made(t.name)
			}, nil)
		},
	}
	cmd.Flags().BoolVarP(&parents, "parents", "p", false, "make directories above it too, and no error if it is there")
	cmd.Flags().VarP(&mode, "mode", "m", "permission bits in octal (default 0755)")
	owner.register(cmd.Flags(), "directories")
	return cmd
}

// mkdirAll makes name and the missing directories above it, one by one, because the library's
// MkdirAll cannot set an owner.
func mkdirAll(fsys *famfs.FS, name string, opts []famfs.CreateOption, made func(dir string) error) error {
	if name == "." {
		return nil
	}
	isDir := func(name string) bool {
		st, err := fsys.Stat(name)
		return err == nil && st.IsDir()
	}
	for end := range len(name) + 1 {
		dir := name[:end]
		if end < len(name) && name[end] != '/' || isDir(dir) {
			continue
		}
		// Another process may make it at the same time. MkdirWith replays the log, so that shows
		// now.
		err := fsys.MkdirWith(dir, opts...)
		if errors.Is(err, fs.ErrExist) && isDir(dir) {
			continue
		}
		if errors.Is(err, fs.ErrExist) && dir != name {
			return because(fs.ErrInvalid, "%s exists and is a file: nothing can lie in it", dir)
		}
		if err == nil {
			err = made(dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
