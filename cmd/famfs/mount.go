package main

// famfs mount: shows a device as a directory that any program can read. Here are the command line,
// the checks of DIR, and what a person can do about errors. mount_linux.go serves the mount.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"famfs"
)

// mountOptions are what mount was told.
type mountOptions struct {
	device, dir string // absolute
	// allowOther lets users other than the one who mounts read too.
	allowOther bool
	// keepCache says that files are written once: what the kernel has read of one it may keep
	// when the file is opened again.
	keepCache bool
	// directIO has every read come from the memory, past the kernel's cache.
	directIO bool
	// nonEmpty allows a directory that holds something, which is hidden meanwhile.
	nonEmpty bool
	interval time.Duration

	background bool
	log        string // where messages go in the background
}

// mountOptionHelp describes what -o takes.
const mountOptionHelp = `Options for -o, separated by commas:
  allow_other   other users may read, as far as modes and owners let them; without it
                nobody else sees anything, not even root. Users other than root need
                user_allow_other in /etc/fuse.conf.
  kernel_cache  files are written once: keep what was read of a file when it is opened
                again. Without it every open reads the memory anew, as a host may have
                written to the file in place.
  direct_io     read past the kernel's cache: no private copy, nothing read in advance,
                and no shared mmap. O_DIRECT does it for one open file.
  nonempty      mount over a directory that holds something, which is hidden meanwhile
  ro            is what it always is`

func (a *app) mountCommand() *cobra.Command {
	var (
		o       mountOptions
		options []string
	)
	cmd := &cobra.Command{
		Use:   "mount DEVICE DIR",
		Short: "Show a device as a directory that any program can read",
		Long: `mount shows what is on a device as the directory DIR, read-only, until it is
unmounted: by Ctrl-C or SIGTERM, or by umount DIR (users other than root:
fusermount3 -u DIR). It needs Linux with FUSE, and root or fusermount3 of the package
fuse3; no kernel module of its own, and no other process.

It follows the master: new files appear, removed ones go, and if the device is formatted
anew the new file system is shown, while what is open of the old one gives errors
(ESTALE). Memory that fails is an error of the read (EIO).

Bytes go from the memory into the kernel's cache, from which programs read and mmap them:
a private copy, of this host. For the memory itself, without any copy, there are the
library, and the extents of getmap --json or of the attribute user.famfs.map.

If DIR is in use when it is to be unmounted, it disappears, and what is open stays until it
is closed; a second signal ends it at once.

` + mountOptionHelp,
		Example: `  famfs mount /dev/dax0.0 /mnt/models
  famfs mount --background -o allow_other,kernel_cache /dev/dax0.0 /mnt/models
  getfattr -d /mnt/models/weights        # index, and where it lies
  umount /mnt/models`,
		Args: a.arguments(2, 2, "DEVICE DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := o.parse(options); err != nil {
				return usageError(err)
			}
			if o.log != "" && !o.background {
				return usageError(errors.New("--log is for --background"))
			}
			t, err := parseOnDevice(args[0])
			if err != nil {
				return err
			}
			if t.name != "." {
				return targetFailed(t, errWholeDevice)
			}
			if o.device, err = filepath.Abs(t.device); err != nil {
				return deviceFailed(t.device, err)
			}
			for i, further := range a.devices { // in the background it has another folder
				if a.devices[i], err = filepath.Abs(further); err != nil {
					return deviceFailed(further, err)
				}
			}
			if args[1] == "" { // it would be the current directory
				return localFailed("DIR", because(fs.ErrInvalid, "an empty name"))
			}
			if o.dir, err = filepath.Abs(args[1]); err != nil {
				return localFailed(args[1], err)
			}
			return a.mount(o)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVarP(&options, "options", "o", nil, "`OPTIONS` of the mount, see above")
	flags.BoolVar(&o.background, "background", false, "return when it is mounted, and go on without a terminal")
	flags.StringVar(&o.log, "log", "", "append messages to `FILE`, in the background, where else they are lost")
	flags.DurationVarP(&o.interval, "interval", "n", famfs.DefaultWatchInterval, "how often to look for what is new or gone")
	return cmd
}

// parse reads the options of -o.
func (o *mountOptions) parse(options []string) error {
	for _, option := range options {
		switch option {
		case "", "ro":
		case "allow_other":
			o.allowOther = true
		case "kernel_cache":
			o.keepCache = true
		case "direct_io":
			o.directIO = true
		case "nonempty":
			o.nonEmpty = true
		case "rw":
			return errors.New("-o rw: a mount only reads; files are made by famfs cp and creat, or by the library")
		default:
			return fmt.Errorf("-o %s, want some of ro, allow_other, kernel_cache, direct_io, nonempty", option)
		}
	}
	if o.directIO && o.keepCache {
		return errors.New("-o direct_io goes past the cache that kernel_cache keeps: give one of them")
	}
	return nil
}

// Errors of mounting that have a way out of their own.
var (
	errNoFUSE    = errors.New("FUSE is not to be had here")
	errNoMounter = errors.New("fusermount3 is missing, without which only root can mount")
	errMountFull = because(fs.ErrExist, "holds something, which the mount would hide")
	errDeadMount = errors.New("a mount is there whose process has ended")
)

// checkMountPoint says what speaks against mounting on dir.
func checkMountPoint(dir string, nonEmpty bool) error {
	err := checkDirectory(dir, nonEmpty)
	if isDeadMount(err) {
		return errDeadMount
	}
	return err
}

func checkDirectory(dir string, nonEmpty bool) error {
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !st.IsDir():
		return because(fs.ErrInvalid, "is not a directory")
	case nonEmpty:
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err = d.Readdirnames(1); errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = errMountFull
	}
	return err
}

// mountWayOut is what a person can do about an error of mount, if that is not what it is for
// other commands.
func mountWayOut(err error, what string) (hint string, ok bool) {
	switch is := func(target error) bool { return errors.Is(err, target) }; {
	case is(errNoFUSE):
		return "without it: famfs cp copies files out, and Go programs read the device by the library", true
	case is(errNoMounter):
		return "install the package fuse3, or run it as root", true
	case is(errMountFull):
		return "use an empty directory, or -o nonempty", true
	case is(errDeadMount):
		return fmt.Sprintf("take it away with: umount %s (users other than root: fusermount3 -u %s)", what, what), true
	case is(famfs.ErrReformatted):
		return "", true // it goes on with what is there now
	}
	return "", false
}

// mountName is how the device is called in the list of mounts.
func mountName(device string) string { return strings.ReplaceAll(device, "\n", "?") }
