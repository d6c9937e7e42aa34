package main

// famfs mkfs: making a file system on a device, or on a file that stands in for one.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) mkfsCommand() *cobra.Command {
	var (
		logSize, create sizeValue
		force, kill     bool
		asJSON          bool
	)
	cmd := &cobra.Command{
		Use:   "mkfs DEVICE",
		Short: "Make an empty file system on a device",
		Long: `mkfs makes an empty file system on a device. This host becomes its master, the one
host that may create files on it. Without --force a device is refused that is formatted
already, damaged too, that carries the signature of something else, such as a file
system, partition table or archive, or that is a file with anything but zeros in the
place of superblock and log. The log holds an entry for each file and directory that will ever
be made: 8 MiB hold 15,420, 256 MiB hold 493,447.

With --kill --force it takes the file system off the device instead:
superblock and log are overwritten, all that was on it is lost, and hosts that have it
open must open it again once it is formatted.`,
		Example: `  famfs mkfs /dev/dax0.0
  famfs mkfs --loglen 256M --force /dev/dax0.0
  famfs mkfs --create 1GiB /dev/shm/device    # a sparse file that stands in for a device
  famfs mkfs --kill --force /dev/dax0.0       # no file system any more`,
		Args: a.arguments(1, 1, "one DEVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			device := args[0]
			if kill {
				return a.kill(device, force, asJSON)
			}
			opts := []famfs.FormatOption{famfs.LogSize(int64(logSize)), famfs.WithSystemUUID(a.systemUUID.id)}
			if force {
				opts = append(opts, famfs.Force())
			}
			format := func() error { return deviceFailed(device, famfs.Format(device, opts...)) }
			err := error(nil)
			switch {
			case !cmd.Flags().Changed("create"):
				err = format()
			case create <= 0:
				return usageError(errors.New("--create needs a size, such as 1GiB"))
			default:
				err = createAnd(device, int64(create), format)
			}
			if err != nil {
				return err
			}
			fsys, err := a.open(device)
			if err != nil {
				return err
			}
			defer fsys.Close()
			if asJSON {
				return a.printJSON(describeFileSystem(fsys))
			}
			sb, u := fsys.Superblock(), fsys.Usage()
			_, err = fmt.Fprintf(a.out, "%s: formatted (%s, %v), file system %v; %s free, room for %s files and directories; this host is the %v\n",
				a.displayName(device), human(u.Size), fsys.Device().Kind, sb.UUID, human(u.Free), grouped(u.LogCapacity), fsys.Role())
			return err
		},
	}
	logSize = famfs.DefaultLogSize
	cmd.Flags().VarP(&logSize, "loglen", "l", "size of the log: a power of two of at least 8 MiB")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "format although there is something on it, which is lost")
	cmd.Flags().BoolVarP(&kill, "kill", "k", false, "overwrite superblock and log instead: the device is not formatted then; needs --force")
	cmd.Flags().Var(&create, "create", "make DEVICE first, as a sparse file of this `SIZE` that stands in for a device")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the file system as JSON")
	cmd.MarkFlagsMutuallyExclusive("kill", "create")
	cmd.MarkFlagsMutuallyExclusive("kill", "loglen")
	return cmd
}

// createAnd makes a file that stands in for a device and has it formatted. If that fails, or
// a signal ends it, the file is taken away again.
func createAnd(device string, size int64, format func() error) error {
	if inDev(device) {
		return deviceFailed(device, because(fs.ErrInvalid, "lies below /dev, where a file would only look like a device, and no other host would see it; make it elsewhere, such as in /dev/shm"))
	}
	ctx, stop := interruptible()
	defer stop()
	switch err := famfs.CreateBacking(device, size); {
	case errors.Is(err, fs.ErrExist):
		return deviceFailed(device, because(fs.ErrInvalid, "exists already, and --create only makes a file that is missing; leave it out to format what is there"))
	case errors.Is(err, fs.ErrPermission):
		return localFailed(device, err) // it is the folder that may not be written
	case err != nil:
		return deviceFailed(device, err)
	}
	made, err := os.Lstat(device)
	if err != nil {
		return deviceFailed(device, err)
	}
	formatted := make(chan error, 1)
	go func() { formatted <- format() }()
	select {
	case err = <-formatted:
	case <-ctx.Done(): // formatting goes on, until the process ends, in a file without a name
		err = &statusError{signalStatus(ctx), errors.New("interrupted: nothing was made")}
	}
	if err == nil {
		return nil
	}
	if st, statErr := os.Lstat(device); statErr == nil && os.SameFile(made, st) {
		err = errors.Join(err, os.Remove(device))
	}
	return err
}

// killedJSON is what mkfs --kill prints for programs.
type killedJSON struct {
	Device string `json:"device"`
	Killed bool   `json:"killed"`
}

// kill takes the file system off a device. As with the C tools one option is not
// enough: all is lost, also to other hosts.
func (a *app) kill(device string, force, asJSON bool) error {
	if !force {
		return usageError(fmt.Errorf("--kill loses all that is on %s: give --force too", device))
	}
	if err := famfs.Wipe(device); err != nil {
		return deviceFailed(device, err)
	}
	if asJSON {
		return a.printJSON(killedJSON{device, true})
	}
	_, err := fmt.Fprintf(a.out, "%s: not formatted any more; what was on it is lost\n", a.displayName(device))
	return err
}
