package main

// famfs cat: the content of files.

import (
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) catCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cat DEVICE:PATH...",
		Short: "Print the content of files",
		Long:  "cat writes the content of files to stdout, one after the other, straight from the\nshared memory.",
		Example: `  famfs cat /dev/dax0.0:/models/config.json
  famfs cat /dev/dax0.0:/data.tar | tar t`,
		Args: a.arguments(1, -1, "DEVICE:PATH..."),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.eachTarget(args, func(fsys *famfs.FS, t target) (err error) {
				f, err := fsys.Open(t.name)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, f.Close()) }()
				if st, err := f.Stat(); err != nil {
					return err
				} else if st.IsDir() {
					return because(fs.ErrInvalid, "is a directory; list it with famfs ls")
				}
				if _, err = io.Copy(a.out, f); err != nil {
					return err
				}
				return reformatted(fsys)
			})
		},
	}
}
