package main

// famfs seal: seals files that are there.

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"famfs"
)

// sealedJSON is a file that was sealed.
type sealedJSON struct {
	File string `json:"file"`
	Size int64  `json:"size"`
	Seal string `json:"seal"`
}

func (a *app) sealCommand() *cobra.Command {
	var (
		kind          string
		quiet, asJSON bool
		already       bool
	)
	cmd := &cobra.Command{
		Use:   "seal DEVICE:FILE...",
		Short: "Seal files: nobody may write them from then on",
		Long: `seal makes files read-only on all hosts, for good, and logs a sum of their content, as it
is in memory now: famfs verify and famfs scrub compare with it later, and ls -l shows which
files are sealed. It needs the master, and takes an entry of the log for each file. Seal a
file when all who write it are done, and have flushed what they wrote (famfs flush). Who
has it mapped for writing at that time can still write it, which verify will find.

cp --seal and creat --seal seal what they make, without reading it again.`,
		Example: `  famfs seal /dev/dax0.0:/models/llama.gguf
  famfs seal --sum sha256 --json /dev/dax0.0:/a /dev/dax0.0:/b`,
		Args: a.arguments(1, -1, "DEVICE:FILE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			sum := famfs.CRC32C
			switch kind {
			case "crc32c":
			case "sha256":
				sum = famfs.SHA256
			default:
				return usageError(fmt.Errorf("--sum %q, want crc32c or sha256", kind))
			}
			ctx, stop := interruptible()
			defer stop()
			interrupted := func(t target) error {
				return &statusError{signalStatus(ctx), fmt.Errorf("interrupted: %s and what comes after it is not sealed", t)}
			}
			all := []sealedJSON{}
			err := a.eachOn(args, a.openToWrite, func(fsys *famfs.FS, t target) error {
				if ctx.Err() != nil {
					return interrupted(t)
				}
				if t.name == "." {
					return because(fs.ErrInvalid, "is the root directory: only files can be sealed")
				}
				err := fsys.Seal(t.name, famfs.SealWith(sum), famfs.WithContext(ctx))
				if errors.Is(err, fs.ErrExist) && already {
					err = nil
				}
				if err != nil && ctx.Err() != nil {
					return interrupted(t)
				}
				if err != nil {
					return err
				}
				st, err := fsys.Stat(t.name)
				if err != nil {
					return err
				}
				n := describeNode(t.device, t.name, st)
				all = append(all, sealedJSON{t.String(), n.Size, n.Seal})
				if quiet || asJSON {
					return nil
				}
				_, err = fmt.Fprintf(a.out, "%s: sealed, %s\n", a.displayName(t.String()), n.Seal)
				return err
			}, nil)
			if !asJSON {
				return err
			}
			return errors.Join(err, printJSONList(a, all))
		},
	}
	cmd.Flags().StringVar(&kind, "sum", "crc32c", "the sum to log: crc32c or sha256")
	cmd.Flags().BoolVar(&already, "ignore-sealed", false, "no error for a file that is sealed already")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array, one object a file")
	return cmd
}
