package main

// famfs mkfs: makes a file system on a device, or on a file that stands in for one.

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) mkfsCommand() *cobra.Command {
	var (
		logSize, unit, create sizeValue
		force, kill, reuse    bool
		restore               bool
		asJSON                bool
	)
	cmd := &cobra.Command{
		Use:   "mkfs DEVICE [SECONDARY...]",
		Short: "Make an empty file system on a device",
		Long: `mkfs makes an empty file system on a device. This host becomes its master, the one
host that may create files on it. Without --force a device is refused that is formatted
already, damaged too, that carries the signature of something else, such as a file
system, partition table or archive, or that is a file with anything but zeros in the
place of superblock and log.

The log has an entry for each file and directory that is ever made, one more for each
removal, and two for each replacement. It never grows, and takes its space from the
device. So choose its size by what is to come:

    --loglen    entries         --loglen    entries
       8 MiB     15,420           64 MiB    123,361
      16 MiB     30,840          128 MiB    246,723
      32 MiB     61,680          256 MiB    493,447

Further devices make one file system of several: the first has the log, all have files.
They are formatted too. The C tools refuse such a file system. famfs devadd adds more
later. Every command finds devdax devices by itself; files that stand in for devices it
finds only with --device. famfs devices says which are found.

When it is full, what is there can still be read, but nothing can be made, replaced or
removed. famfs df warns when it is full to 90%. famfs compact rewrites it without what
was removed, while nobody has the device open; if that is not enough, copy everything to
a device with a longer log.

--unit 4KiB gives files units of 4 KiB instead of 2 MiB: for many small files. What is
lost: files are mapped with small pages, which costs more page faults and address
translation; on a device with larger pages (famfs stat: Alignment) most files cannot be
mapped at all, only read (cat, cp, mount; fs.FS and View of the library); and the C
tools MUST NOT WRITE such a device: they read it right, but take 2 MiB for 4 KiB when they
write, and so give out space that is in use. famfs cp --pack, which keeps units as they
are, is often the better way.

With --reuse memory of removed files is given out again, as soon as no process on any host
can reach it any more. Hosts that are to map files must be admitted (famfs hosts admit)
and may write the device; all others can list and read. The C tools refuse such a device.
famfs hosts and famfs reclaim show who holds memory back.

With --kill --force it takes the file system off the device instead:
superblock and log are overwritten, all that was on it is lost, and hosts that have it
open must open it again once it is formatted.

With --restore-superblock it puts the superblock's second copy back, on the master, where
the superblock is lost or damaged: a copy is made when a device is formatted here, or opened
for writing. It shows what the copy says and asks first, unless --force is given. A copy is
believed only if nothing else on the device contradicts it; nothing else is changed.`,
		Example: `  famfs mkfs /dev/dax0.0
  famfs mkfs --loglen 256M --force /dev/dax0.0
  famfs mkfs --create 1GiB /dev/shm/device    # a sparse file that stands in for a device
  famfs mkfs /dev/dax0.0 /dev/dax1.0          # a file system on two devices
  famfs mkfs --kill --force /dev/dax0.0       # no file system any more
  famfs mkfs --restore-superblock /dev/dax0.0 # its superblock is lost`,
		Args: a.arguments(1, -1, "DEVICE and further devices"),
		RunE: func(cmd *cobra.Command, args []string) error {
			device := args[0]
			if restore {
				if len(args) > 1 {
					return usageError(errors.New("--restore-superblock takes one DEVICE"))
				}
				return a.restoreSuperblock(device, force, asJSON)
			}
			if kill {
				if len(args) > 1 {
					return usageError(errors.New("--kill takes one DEVICE"))
				}
				return a.kill(device, force, asJSON)
			}
			opts := []famfs.FormatOption{famfs.LogSize(int64(logSize)), famfs.AllocUnit(int64(unit)), famfs.WithSystemUUID(a.systemUUID.id)}
			if force {
				opts = append(opts, famfs.Force())
			}
			if len(args) > 1 {
				opts = append(opts, famfs.Secondaries(args[1:]...))
				a.devices = append(a.devices, args[1:]...)
			}
			if reuse {
				opts = append(opts, famfs.Reuse())
			}
			format := func() error { return deviceFailed(device, famfs.Format(device, opts...)) }
			err := error(nil)
			switch {
			case !cmd.Flags().Changed("create"):
				err = format()
			case create <= 0:
				return usageError(errors.New("--create needs a size, such as 1GiB"))
			default:
				for _, path := range args[1:] {
					if !exists(path) {
						inner := format
						format = func() error { return createAnd(path, int64(create), inner) }
					}
				}
				err = createAnd(device, int64(create), func() error {
					if err := format(); err != nil {
						return err
					}
					fsys, err := famfs.Open(device, a.options()...) // one that is too large to be mapped is of no use
					if err != nil {
						return deviceFailed(device, err)
					}
					return fsys.Close()
				})
			}
			if err != nil {
				return err
			}
			fsys, err := a.open(device)
			if err != nil {
				return err
			}
			defer fsys.Close()
			if sb := fsys.Superblock(); sb.AllocUnit < 2<<20 {
				fmt.Fprintf(a.err, "%s: WARNING: %s has units of %s: the C tools read it, but MUST NOT WRITE it, or files will be overwritten\n", a.command, printable(device), human(sb.AllocUnit))
				if align := fsys.Device().Align; align > sb.AllocUnit {
					fmt.Fprintf(a.err, "    its pages are of %s: files on it can be read, but most cannot be mapped\n", human(align))
				}
			}
			if asJSON {
				return a.printJSON(describeFileSystem(fsys))
			}
			sb, u := fsys.Superblock(), fsys.Usage()
			_, err = fmt.Fprintf(a.out, "%s: formatted (%s, %v), file system %v; %s free, room for %s files and directories; this host is the %v\n",
				a.displayName(device), human(u.Size), kindsOf(fsys), sb.UUID, human(u.Free), grouped(u.LogCapacity), fsys.Role())
			if err == nil && len(args) > 1 {
				_, err = fmt.Fprint(a.out, "    "+cToolsRefuse+"\n"+a.howToFind(fsys.Devices()))
			}
			return err
		},
	}
	logSize = famfs.DefaultLogSize
	cmd.Flags().VarP(&logSize, "loglen", "l", "size of the log: a power of two of at least 8 MiB")
	unit = 2 << 20
	cmd.Flags().Var(&unit, "unit", "files take whole units of this `SIZE`: 2MiB, or 4KiB, which the C tools must not write")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "format although there is something on it, which is lost")
	cmd.Flags().BoolVar(&reuse, "reuse", false, "give memory of removed files out again; the C tools refuse the device")
	cmd.Flags().BoolVarP(&kill, "kill", "k", false, "overwrite superblock and log instead: the device is not formatted then; needs --force")
	cmd.Flags().BoolVar(&restore, "restore-superblock", false, "put the superblock's second copy back instead, after asking; --force does not ask")
	cmd.Flags().Var(&create, "create", "make DEVICE first, as a sparse file of this `SIZE` that stands in for a device, and each SECONDARY that is missing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the file system as JSON")
	cmd.MarkFlagsMutuallyExclusive("kill", "create")
	cmd.MarkFlagsMutuallyExclusive("kill", "loglen")
	cmd.MarkFlagsMutuallyExclusive("kill", "unit")
	cmd.MarkFlagsMutuallyExclusive("kill", "reuse")
	for _, other := range []string{"kill", "create", "loglen", "unit", "reuse"} {
		cmd.MarkFlagsMutuallyExclusive("restore-superblock", other)
	}
	return cmd
}

// kindsOf says what kind of device a file system is on, and how many, if there are several.
func kindsOf(fsys *famfs.FS) string {
	kind := fsys.Device().Kind.String()
	if n := len(fsys.Devices()); n > 1 {
		kind += fmt.Sprintf(" and %s", count(n-1, "further device", "further devices"))
	}
	return kind
}

// createAnd makes a file that stands in for a device, and lets format format it. If that fails,
// or a signal ends it, createAnd removes the file again.
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
		return localFailed(device, err) // the error is about the folder
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
	case <-ctx.Done(): // formatting goes on until the process ends, in a file without a name
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

// killedJSON is the output of mkfs --kill for programs.
type killedJSON struct {
	Device string `json:"device"`
	Killed bool   `json:"killed"`
}

// kill removes the file system from a device. As with the C tools, one option is not enough,
// because everything is lost, for other hosts too.
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

// restoredJSON is the output of mkfs --restore-superblock for programs.
type restoredJSON struct {
	Device   string `json:"device"`
	Restored bool   `json:"restored"`
	UUID     string `json:"uuid"`
}

// restoreSuperblock puts the second copy of a superblock back, after asking.
func (a *app) restoreSuperblock(device string, force, asJSON bool) error {
	sb, err := famfs.SuperblockCopy(device)
	if err != nil {
		return deviceFailed(device, err)
	}
	if fsys, err := a.open(device); err == nil {
		fsys.Close()
		return deviceFailed(device, because(fs.ErrExist, "its superblock can be read: it is sound, so there is nothing to restore"))
	}
	if !force {
		what := fmt.Sprintf("with a log of %s", human(sb.LogSize))
		if sb.LogSize == 0 {
			what = "as a secondary device of it"
		}
		fmt.Fprintf(a.err, "%s: the copy is of file system %v, %s, in units of %s, formatted as %s with %s, for master %v: put it back? [y/N] ",
			a.command, sb.UUID, what, human(sb.AllocUnit), printable(sb.DeviceName), human(sb.DeviceSize), sb.SystemUUID)
		answered := yes(bufio.NewReader(a.in))
		if !a.asksPeople() {
			fmt.Fprintln(a.err) // people have typed one
		}
		if !answered {
			return deviceFailed(device, because(fs.ErrInvalid, "nothing was changed; answer y, or give --force, to put the copy back"))
		}
	}
	if err := famfs.RestoreSuperblock(device, a.options()...); err != nil {
		return deviceFailed(device, err)
	}
	if asJSON {
		return a.printJSON(restoredJSON{device, true, sb.UUID.String()})
	}
	look := a.displayName(device)
	if sb.LogSize == 0 {
		look = "--device " + look + " DEVICE, where DEVICE has the log"
	}
	_, err = fmt.Fprintf(a.out, "%s: the superblock of file system %v is back; look at it with: famfs fsck %s\n", a.displayName(device), sb.UUID, look)
	return err
}
