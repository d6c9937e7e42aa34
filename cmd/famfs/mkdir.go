package main

// famfs mkdir: making directories.

import (
	"io/fs"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) mkdirCommand() *cobra.Command {
	var parents bool
	var mode modeValue
	cmd := &cobra.Command{
		Use:   "mkdir DEVICE:PATH...",
		Short: "Make directories",
		Long:  "mkdir makes directories, as mkdir does. It needs the master. Directories are never\nremoved; each takes an entry of the log.",
		Example: `  famfs mkdir /dev/dax0.0:/models
  famfs mkdir -p -m 0700 /dev/dax0.0:/models/llama/7b`,
		Args: a.arguments(1, -1, "DEVICE:PATH..."),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.eachOn(args, a.openToWrite, func(fsys *famfs.FS, t target) error {
				perm := fs.FileMode(0o755)
				if mode.set {
					perm = mode.mode
				}
				make := fsys.Mkdir
				if parents {
					if t.name == "." {
						return nil
					}
					make = fsys.MkdirAll
				}
				return make(t.name, perm)
			}, nil)
		},
	}
	cmd.Flags().BoolVarP(&parents, "parents", "p", false, "make directories above it too, and no error if it is there")
	cmd.Flags().VarP(&mode, "mode", "m", "permission bits in octal (default 0755)")
	return cmd
}
