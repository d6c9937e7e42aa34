package main

// famfs devices: lists the devices of a file system. famfs devadd: adds some.

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"famfs"
)

// deviceJSON is a device of a file system.
type deviceJSON struct {
	Index int    `json:"index"`
	UUID  string `json:"uuid"`
	// Path is "" for a device that is not here, and Why says why.
	Path        string `json:"path"`
	Here        bool   `json:"here"`
	Why         string `json:"why,omitempty"`
	Kind        string `json:"kind,omitempty"`
	Size        int64  `json:"size"`
	Allocated   int64  `json:"allocated"`
	Free        int64  `json:"free"`
	LargestFree int64  `json:"largest_free"`
	FileBytes   int64  `json:"file_bytes"`
	Removed     int64  `json:"removed"`
	// Bad is how many bytes the system lists as bad.
	Bad int64 `json:"bad,omitempty"`
}

// devicesJSON is the output of devices for one file system.
type devicesJSON struct {
	Device  string       `json:"device"`
	Devices []deviceJSON `json:"devices"`
}

func describeDevices(infos []famfs.DeviceInfo, usage []famfs.DeviceUsage) []deviceJSON {
	all := make([]deviceJSON, len(infos))
	for i, d := range infos {
		u := usage[i]
		all[i] = deviceJSON{
			Index: i, UUID: d.UUID.String(), Path: d.Path, Here: d.Err == nil, Size: u.Size, Allocated: u.Allocated, Free: u.Free,
			LargestFree: u.LargestFree, FileBytes: u.FileBytes, Removed: u.Removed,
		}
		for _, b := range d.Bad {
			all[i].Bad += b.Length
		}
		if d.Err != nil {
			all[i].Why = commandWords.Replace(d.Err.Error())
		} else {
			all[i].Kind = d.Kind.String()
		}
	}
	return all
}

func (a *app) devicesCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "devices DEVICE...",
		Short: "List the devices of file systems",
		Long: `devices lists the devices that a file system consists of: the one with superblock and
log, which is device 0, and those that famfs devadd has added. A device is known by the
UUID in its superblock, never by its path, which differs from host to host: it is looked
for among the paths of --device, which every command takes, and all devdax devices of
this host. What lies on a device that is not here is listed, and cannot be read.

A device that is lost for good stays one of the file system: files that lie elsewhere are
served, and new ones are made, but compact needs all devices. So remove what cannot be read
(famfs rm), and copy the rest to another file system when there is time.`,
		Example: `  famfs devices /dev/dax0.0
  famfs --device /dev/shm/second devices /dev/shm/first
  famfs devices --json /dev/dax0.0 | jq '.[0].devices[] | select(.here | not) | .uuid'`,
		Args: a.arguments(1, -1, "DEVICE..."),
		RunE: func(_ *cobra.Command, args []string) error {
			all := []devicesJSON{}
			err := a.eachTarget(args, func(fsys *famfs.FS, t target) error {
				if t.name != "." {
					return errWholeDevice
				}
				d := devicesJSON{t.device, describeDevices(fsys.Devices(), fsys.UsageByDevice())}
				if all = append(all, d); asJSON {
					return nil
				}
				return a.printDevices(d)
			})
			if err != nil || !asJSON {
				return err
			}
			return printJSONList(a, all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array, with sizes in bytes")
	return cmd
}

func (a *app) printDevices(d devicesJSON) error {
	rows := [][]string{{"Device", "Size", "Used", "Free", "Largest", "UUID", "Kind", "Path"}}
	for _, x := range d.Devices {
		kind, path := x.Kind, a.displayName(x.Path)
		if !x.Here {
			kind, path = "-", "not here"
		}
		rows = append(rows, []string{strconv.Itoa(x.Index), human(x.Size), human(x.Allocated), human(x.Free), human(x.LargestFree), x.UUID, kind, path})
	}
	if err := columns(a.out, rows, 0, 1, 2, 3, 4); err != nil {
		return err
	}
	for _, x := range d.Devices {
		if x.Bad > 0 {
			fmt.Fprintf(a.out, "device %d: the system lists %s of its memory as bad: nothing new is put there, and famfs fsck says which files are there\n", x.Index, human(x.Bad))
		}
	}
	return a.printMissing(d.Devices)
}

// absentDevices returns how many devices are not here.
func absentDevices(devices []deviceJSON) (n int) {
	for _, x := range devices {
		if !x.Here {
			n++
		}
	}
	return n
}

// sayNarrow says, once for each file system, that files are interleaved over fewer devices than it has.
func (a *app) sayNarrow(fsys *famfs.FS, device string, create *createOptions) {
	absent := absentDevices(describeDevices(fsys.Devices(), fsys.UsageByDevice()))
	if absent == 0 || !create.overDevices() || a.hinted["narrow "+device] {
		return
	}
	a.hinted["narrow "+device] = true
	fmt.Fprintf(a.err, "%s: %s: %s not here: nothing is put there, and strips go to those that are; see famfs devices %s\n",
		a.command, printable(device), count(absent, "device is", "devices are"), printable(device))
}

// printMissing says of devices that are not here what to do.
func (a *app) printMissing(devices []deviceJSON) error {
	for _, x := range devices {
		if x.Here {
			continue
		}
		if _, err := fmt.Fprintln(a.out, printable(x.Why)); err != nil {
			return err
		}
	}
	return nil
}

// addedJSON is the output of devadd.
type addedJSON struct {
	Device  string       `json:"device"`
	Added   []string     `json:"added"`
	Devices []deviceJSON `json:"devices"`
}

func (a *app) devaddCommand() *cobra.Command {
	var (
		force, asJSON, assumeYes bool
		create                   sizeValue
	)
	cmd := &cobra.Command{
		Use:   "devadd DEVICE NEW...",
		Short: "Add devices to a file system",
		Long: `devadd formats further devices and adds them to the file system on DEVICE, on its master.
From then on files are made on them too, and every host uses those that it finds: see
famfs devices. A device cannot be taken away again. Without --force, NEW is refused if
there is anything on it, as mkfs does.

From the first devadd on, the C tools and earlier versions of this command refuse the
file system, for good: they would take files on other devices for files on this one.
At a terminal devadd asks before that, unless --yes is given.

Every command finds devdax devices by itself; files that stand in for devices it finds
only with --device.`,
		Example: `  famfs devadd /dev/dax0.0 /dev/dax1.0 /dev/dax2.0
  famfs creat --size 8G --interleave 3,0,2M /dev/dax0.0:/wide   # over all devices`,
		Args: a.arguments(2, -1, "DEVICE NEW..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			device := args[0]
			if cmd.Flags().Changed("create") && create <= 0 {
				return usageError(errors.New("--create needs a size, such as 1GiB"))
			}
			fsys, err := a.openToWrite(device)
			if err != nil {
				return err
			}
			defer fsys.Close()
			if len(fsys.Devices()) == 1 && !assumeYes && a.asksPeople() {
				fmt.Fprintf(a.err, "%s: from now on %s, and earlier versions of this command do, for good; no device can be taken away again: add the first? [y/N] ", a.command, cToolsRefuse)
				if !yes(bufio.NewReader(a.in)) {
					return deviceFailed(device, because(fs.ErrInvalid, "nothing was changed; answer y, or give --yes, to add it"))
				}
			}
			var opts []famfs.FormatOption
			if force {
				opts = append(opts, famfs.Force())
			}
			added := addedJSON{Device: device, Added: []string{}}
			for _, path := range args[1:] {
				add := func() error { return deviceFailed(path, fsys.AddDevice(path, opts...)) }
				if cmd.Flags().Changed("create") {
					err = createAnd(path, int64(create), add)
				} else {
					err = add()
				}
				if err != nil {
					break // those before it are there for good, and are said
				}
				added.Added = append(added.Added, path)
				if !asJSON {
					devices := fsys.Devices()
					d := devices[len(devices)-1]
					fmt.Fprintf(a.out, "%s: added %s as device %d (%s, UUID %v); %s free\n",
						a.displayName(device), a.displayName(path), len(devices)-1, human(d.Size), d.UUID, human(fsys.Usage().Free))
				}
			}
			if asJSON {
				added.Devices = describeDevices(fsys.Devices(), fsys.UsageByDevice())
				return errors.Join(err, a.printJSON(added))
			}
			if len(added.Added) > 0 {
				fmt.Fprint(a.out, "    "+cToolsRefuse+"\n"+a.howToFind(fsys.Devices()))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "add a device although there is something on it, which is lost")
	cmd.Flags().BoolVarP(&assumeYes, "yes", "y", false, "do not ask before the first device is added")
	cmd.Flags().Var(&create, "create", "make each NEW first, as a sparse file of this `SIZE` that stands in for a device")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the devices as JSON")
	return cmd
}

// cToolsRefuse is what a file system on several devices costs.
const cToolsRefuse = "the C tools refuse a file system on several devices"

// howToFind says how other commands find the devices that they do not find by themselves, in a line, or
// "" if there are none.
func (a *app) howToFind(devices []famfs.DeviceInfo) string {
	line := ""
	for _, d := range devices[1:] {
		if d.Kind != famfs.DevDAX || d.Err != nil {
			where := "PATH"
			if d.Path != "" {
				where = a.displayName(d.Path)
			}
			line += " --device " + where
		}
	}
	if line == "" {
		return ""
	}
	return "    only devdax devices are found by themselves; give every command" + line + "\n"
}

// deviceRows returns a row for each device of a file system, if it has several.
func (a *app) deviceRows(fsys *famfs.FS) (rows [][]string) {
	devices := describeDevices(fsys.Devices(), fsys.UsageByDevice())
	if len(devices) == 1 {
		return nil
	}
	for _, x := range devices {
		where := "not here"
		if x.Here {
			where = strings.TrimSpace(x.Kind + " " + a.displayName(x.Path))
		}
		rows = append(rows, []string{"  device " + strconv.Itoa(x.Index), fmt.Sprintf("%s, %s of %s free, UUID %s", where, human(x.Free), human(x.Size), x.UUID)})
	}
	return rows
}
