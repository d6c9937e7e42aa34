package main

// famfs cat: prints the content of files, or a part of it.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"famfs"
)

// catter is one call of cat.
type catter struct {
	*app
	offset, length sizeValue
	toEnd          bool // no --length was given
}

func (a *app) catCommand() *cobra.Command {
	c := &catter{app: a}
	cmd := &cobra.Command{
		Use:   "cat DEVICE:PATH...",
		Short: "Print the content of files",
		Long: `cat writes the content of files to stdout, one after the other, straight from the
shared memory. With --offset and --length it writes that part of each: what there is of
it, if the file ends before.`,
		Example: `  famfs cat /dev/dax0.0:/models/config.json
  famfs cat /dev/dax0.0:/data.tar | tar t
  famfs cat --offset 1M --length 4096 /dev/dax0.0:/table | xxd`,
		Args: a.arguments(1, -1, "DEVICE:PATH..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.toEnd = !cmd.Flags().Changed("length")
			return a.eachTarget(args, c.cat)
		},
	}
	cmd.Flags().VarP(&c.offset, "offset", "o", "begin behind so many bytes of each file")
	cmd.Flags().VarP(&c.length, "length", "n", "at most so many bytes of each file (default: all)")
	return cmd
}

func (c *catter) cat(fsys *famfs.FS, t target) (err error) {
	f, err := through(fsys, t).Open(t.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	switch {
	case err != nil:
		return err
	case st.IsDir():
		return because(fs.ErrInvalid, "is a directory; list it with famfs ls")
	case int64(c.offset) > st.Size():
		return because(fs.ErrInvalid, "has %d bytes, and --offset is %d", st.Size(), int64(c.offset))
	}
	if s, ok := f.(io.Seeker); ok {
		_, err = s.Seek(int64(c.offset), io.SeekStart)
	} else { // in a zip file
		_, err = io.CopyN(io.Discard, f, int64(c.offset))
	}
	if err != nil {
		return fmt.Errorf("go to --offset: %w", err)
	}
	if c.toEnd {
		_, err = io.Copy(c.out, f)
	} else if _, err = io.CopyN(c.out, f, int64(c.length)); errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		return err
	}
	return reformatted(fsys)
}
