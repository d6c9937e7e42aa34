package main

// famfs flush: writes cached data of files back to the memory, and can invalidate it.

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) flushCommand() *cobra.Command {
	var invalidate bool
	cmd := &cobra.Command{
		Use:   "flush DEVICE[:PATH]...",
		Short: "Write cached data back, or forget it",
		Long: `flush writes what this host has in its caches of a file's data back to the memory,
so that other hosts can see it; with --invalidate it also forgets it, so that this
host sees what others wrote. It is for memory that the hardware does not keep
coherent between hosts. A directory stands for all files below it.`,
		Example: `  famfs flush /dev/dax0.0:/table               # after writing
  famfs flush --invalidate /dev/dax0.0:/table  # before reading what another host wrote`,
		Args: a.arguments(1, -1, "DEVICE[:PATH]..."),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.eachTarget(args, func(fsys *famfs.FS, t target) error {
				return fs.WalkDir(fsys, t.name, func(name string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					return a.flush(fsys, target{device: t.device, name: name}, invalidate)
				})
			})
		},
	}
	cmd.Flags().BoolVarP(&invalidate, "invalidate", "i", false, "forget what is cached too")
	return cmd
}

func (a *app) flush(fsys *famfs.FS, t target, invalidate bool) (err error) {
	m, err := fsys.Map(t.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	what := "flushed"
	if err := m.Flush(); err != nil {
		return err
	}
	if invalidate {
		what = "flushed and invalidated"
		if err := m.Invalidate(); err != nil {
			return err
		}
	}
	if a.verbose > 0 {
		_, err = fmt.Fprintf(a.out, "%s %s: %s\n", what, a.displayName(t.String()), human(int64(len(m.Bytes()))))
	}
	return err
}
