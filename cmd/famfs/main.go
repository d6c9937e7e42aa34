// Command famfs makes, fills, inspects and checks famfs devices: without Go code, without the C
// tools, and without a kernel file system or a daemon. It uses only what the library exports.
//
//	famfs mkfs /dev/dax0.0
//	famfs cp -r ./models /dev/dax0.0:/models
//	famfs ls -l /dev/dax0.0:/models
//
// See README.md in this directory, and famfs help.
package main

// What all commands share: the root command, the options that every command has, and the exit
// status. Each command is in a file of its own.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"famfs"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// app is one run of the command.
type app struct {
	args []string
	in   io.Reader
	out  *output
	err  io.Writer

	// Options of every command.
	systemUUID  uuidValue
	tolerant    bool
	salvage     bool
	verbose     int // number of times that -v was given
	lockTimeout time.Duration
	devices     []string      // where added devices may be
	progressAs  progressValue // how commands that show progress show it

	command     string          // for example "famfs ls"; errors begin with it
	opened      map[string]bool // devices that were opened successfully
	hinted      map[string]bool // hints that were shown
	failed      bool            // an error was reported, and the command went on
	failures    []failureJSON   // the errors reported in this way
	leftOutSaid map[string]bool // devices whose left-out entries were reported
	furtherSaid map[string]bool // the same of devices that cannot be used
	failStatus  int             // the exit status if failed is set
}

// run runs the command and returns the exit status: 0 done, 1 failed, 2 not understood, or what
// the command defines.
func run(args []string, in io.Reader, out, err io.Writer) int {
	a := &app{args: args, in: in, out: &output{to: out}, err: err, command: "famfs", opened: make(map[string]bool), hinted: make(map[string]bool), failStatus: statusFailed}
	root := a.rootCommand()
	if cmd, _, err := root.Find(args); err == nil && cmd.Name() == "find" {
		args = withTwoDashes(args)
	}
	root.SetArgs(args)
	return a.status(root.Execute())
}

// helpWidth is the number of columns that help takes at most.
const helpWidth = 96

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "famfs",
		Short: "Make, fill, look at and check famfs devices",
		Long: `famfs makes, fills, looks at and checks famfs devices: shared memory (devdax, a
file on fs-dax, or a plain file that stands in for them) with a file system on it.

A path on a device is written DEVICE:PATH, as in /dev/dax0.0:/models/llama; the
device alone stands for its root. The device is what stands before the first colon
that ends the name of an existing file or device. An argument that names an
existing local file as a whole is that file.

Sizes: 4096, 64K, 64M, 2GiB, 1.5T; K, M, G, T and KiB, MiB … are powers of 1024,
KB, MB … powers of 1000.

Creating and removing files and directories is the master's: the host that formatted
the device. A host is the master if one of its UUIDs is the one that mkfs wrote down:
that of --system-uuid, that in /opt/famfs/system_uuid, or one that is derived from
/etc/machine-id; mkfs writes down the first that there is. All else any host can do.

Status: 0 done, 1 failed, in part too, 2 not understood; fsck, verify, scrub, check and chkread:
1 problems found, 2 could not check. After a signal 128 and its number: 130 after
Ctrl-C; but 0 for what only a signal ends: watch, queue get -f, queue stat -f and mount.
What a command would leave out because the device is damaged or cut short is said on
stderr, and the status is that of a failure.`,
		Example: `  famfs mkfs --create 1GiB /dev/shm/device     # a file that stands in for a device
  famfs cp -r ./models /dev/dax0.0:/models
  famfs ls -lR /dev/dax0.0
  famfs layout --svg layout.svg /dev/dax0.0`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError(errors.New("say what to do"))
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.command = cmd.CommandPath()
			if err := noneEmpty(cmd.Flags()); err != nil {
				return usageError(err)
			}
			return nil
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out) // before cobra adds the command completion, which keeps it
	root.SetErr(a.err)
	root.Version = describeBuild().String()
	root.SetVersionTemplate("{{.Version}}\n")
	flags := root.PersistentFlags()
	flags.Var(&a.systemUUID, "system-uuid", "a `UUID` that this host has too, besides its own: decides whether it is the master, and mkfs writes it down")
	flags.BoolVar(&a.tolerant, "tolerant", false, "read what comes before the first corrupt log entry instead of refusing the device")
	flags.BoolVar(&a.salvage, "salvage", false, "read all that is sound, past every corrupt log entry, and without a sound superblock")
	root.MarkFlagsMutuallyExclusive("tolerant", "salvage")
	flags.CountVarP(&a.verbose, "verbose", "v", "say more: each file, log entries that are passed over; -vv: what the device is")
	flags.StringArrayVar(&a.devices, "device", nil, "where a further device of the file system is: see famfs devices; may be given more than once, and devdax devices are found without")
	flags.DurationVar(&a.lockTimeout, "lock-timeout", famfs.DefaultLockTimeout, "how long to wait for another process that writes")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		a.command = cmd.CommandPath()
		return usageError(err)
	})
	root.AddCommand(
		a.mkfsCommand(), a.lsCommand(), a.statCommand(), a.catCommand(), a.cpCommand(), a.creatCommand(),
		a.mkdirCommand(), a.rmCommand(), a.verifyCommand(), a.scrubCommand(), a.sealCommand(), a.chkreadCommand(), a.getmapCommand(), a.flushCommand(),
		a.logdumpCommand(), a.watchCommand(), a.fsckCommand(), a.dfCommand(), a.layoutCommand(), a.growCommand(),
		a.compactCommand(), a.hostsCommand(), a.reclaimCommand(), a.devicesCommand(), a.devaddCommand(), a.queueCommand(),
		a.mountCommand(),
		a.versionCommand(), a.duCommand(), a.findCommand(), a.manCommand(), a.checkCommand(),
	)
	for _, c := range root.Commands() {
		c.ValidArgsFunction = a.completeTarget
		if c.Name() == "man" {
			c.ValidArgsFunction = completeCommand
		}
		// A command's own -h may have another meaning, as in ls -h.
		if c.Flags().ShorthandLookup("h") != nil {
			c.Flags().Bool("help", false, "help for "+c.Name())
		}
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages ", fmt.Sprintf("FlagUsagesWrapped %d ", helpWidth)))
	a.strictHelp(root)
	return root
}

// strictHelp makes help and completion fail for unknown arguments. Those of cobra print the
// general help and succeed.
func (a *app) strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.PersistentPreRunE = nil
			c.Run = nil
			c.RunE = func(cmd *cobra.Command, args []string) error {
				about, rest, err := root.Find(args)
				if err != nil || len(rest) > 0 {
					a.command = cmd.CommandPath()
					return usageError(fmt.Errorf("there is no command %q", strings.Join(args, " ")))
				}
				about.InitDefaultHelpFlag()
				return about.Help()
			}
		case "completion":
			c.Args = cobra.ArbitraryArgs
			c.RunE = func(cmd *cobra.Command, args []string) error {
				a.command = cmd.CommandPath()
				if len(args) == 0 {
					return usageError(errors.New("say for which shell: bash, zsh, fish or powershell"))
				}
				return usageError(fmt.Errorf("shell %q, want bash, zsh, fish or powershell", args[0]))
			}
		}
	}
}

// arguments returns a check of the number of arguments. If most < 0, there is no upper limit.
func (a *app) arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		a.command = cmd.CommandPath()
		return usageError(fmt.Errorf("%d arguments, want %s", len(args), what))
	}
}

// options returns the options with which every device is opened.
func (a *app) options() []famfs.Option {
	opts := []famfs.Option{famfs.WithSystemUUID(a.systemUUID.id), famfs.WithLockTimeout(a.lockTimeout), famfs.WithDevices(a.devices...), famfs.DiscoverDevices()}
	if a.verbose > 0 {
		level := slog.LevelWarn
		if a.verbose > 1 {
			level = slog.LevelDebug
		}
		opts = append(opts, famfs.WithLogger(slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))))
	}
	return opts
}

// open opens a device for reading.
func (a *app) open(device string) (*famfs.FS, error) {
	opts := a.options()
	if a.tolerant {
		opts = append(opts, famfs.Tolerant())
	}
	if a.salvage {
		opts = append(opts, famfs.Salvage())
	}
	return a.opening(device, opts)
}

func (a *app) opening(device string, opts []famfs.Option) (*famfs.FS, error) {
	fsys, err := famfs.Open(device, opts...)
	if err != nil {
		return nil, deviceFailed(device, err)
	}
	if !a.opened[device] { // a mount opens it again, while others look
		a.opened[device] = true
	}
	return fsys, nil
}

// openToWrite opens a device for creating files.
func (a *app) openToWrite(device string) (*famfs.FS, error) {
	if a.tolerant || a.salvage {
		return nil, usageError(errors.New("--tolerant and --salvage only read, and this writes"))
	}
	return a.opening(device, append(a.options(), famfs.ReadWrite()))
}

// reformatted returns famfs.ErrReformatted if from is a device that was formatted anew since it
// was opened. Call it after reading much of a device and before using the data as a file: others
// may have written to its memory meanwhile.
func reformatted(from fs.FS) error {
	if fsys := deviceOf(from); fsys != nil {
		if _, err := fsys.Refresh(); errors.Is(err, famfs.ErrReformatted) {
			return err
		}
	}
	return nil
}

// eachTarget calls do for each argument that names a path on a device, with the device open for
// reading. It reports an error of one argument and goes on with the others. For a directory, and
// for a missing path, it also reports what is left out.
func (a *app) eachTarget(args []string, do func(fsys *famfs.FS, t target) error) error {
	return a.eachOn(args, a.open, func(fsys *famfs.FS, t target) error {
		err := do(fsys, t)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			a.reportLeftOut(fsys, t)
		}
		return err
	}, nil)
}

// eachOn is eachTarget for devices that open opens. It calls then at the end, while they are
// still open.
func (a *app) eachOn(args []string, open func(string) (*famfs.FS, error), do func(fsys *famfs.FS, t target) error, then func()) error {
	devices := make(map[string]*famfs.FS)
	refused := make(map[string]bool) // already reported
	defer func() {
		for _, fsys := range devices {
			fsys.Close()
		}
	}()
	for i, arg := range args {
		t, err := parseOnDevice(arg)
		if err != nil {
			a.reportFailure(err)
			continue
		}
		t.place = i
		if refused[t.device] {
			continue
		}
		fsys := devices[t.device]
		if fsys == nil {
			if fsys, err = open(t.device); err != nil {
				var known *statusError
				if errors.As(err, &known) {
					return err
				}
				refused[t.device] = true
				a.reportFailure(err)
				continue
			}
			devices[t.device] = fsys
		}
		if err := do(fsys, t); err != nil {
			var known *statusError
			if errors.As(err, &known) {
				return err
			}
			if a.out.err != nil {
				return err // there is no reader for what the others would print
			}
			a.reportFailure(targetFailed(t, err))
		}
	}
	if then != nil {
		then()
	}
	return nil
}

// uuidValue is an option whose value is a UUID.
type uuidValue struct{ id famfs.UUID }

func (v *uuidValue) String() string {
	if v.id == (famfs.UUID{}) {
		return ""
	}
	return v.id.String()
}

func (v *uuidValue) Type() string { return "UUID" }

func (v *uuidValue) Set(s string) (err error) {
	v.id, err = famfs.ParseUUID(strings.TrimSpace(s))
	return err
}

// collectRarely has garbage collected less often, until the function that it returns is called, unless
// the user has said how often. It is for commands that look at many files and end soon: their heap is
// small, as content is not in it, and collecting it took a tenth of their time.
func collectRarely() (restore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	was := debug.SetGCPercent(400)
	return func() { debug.SetGCPercent(was) }
}
