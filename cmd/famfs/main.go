// Command famfs makes, fills, looks at and checks famfs devices: without Go code,
// without the C tools, and without a kernel file system or a daemon. It uses the
// library's public face only.
//
//	famfs mkfs /dev/dax0.0
//	famfs cp -r ./models /dev/dax0.0:/models
//	famfs ls -l /dev/dax0.0:/models
//
// See README.md beside it, and famfs help.
package main

// What all commands share: the root command, the options that every command has, and
// the status that the process ends with. Each command stands in a file of its own.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
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
	in  io.Reader
	out *output
	err io.Writer

	// Options of every command.
	systemUUID  uuidValue
	tolerant    bool
	salvage     bool
	verbose     int // how often -v was given
	lockTimeout time.Duration

	command     string          // "famfs ls", what errors begin with
	opened      map[string]bool // devices that could be opened
	hinted      map[string]bool // ways out that were shown
	failed      bool            // an error was reported, and the command went on
	failures    []failureJSON   // what was reported then
	leftOutSaid map[string]bool // devices of which it was said what is missing
	failStatus  int             // what the process ends with then
}

// run runs the command and returns the status of the process: 0 done, 1 failed, or
// what the command defines, 2 not understood.
func run(args []string, in io.Reader, out, err io.Writer) int {
	a := &app{in: in, out: &output{to: out}, err: err, command: "famfs", opened: make(map[string]bool), hinted: make(map[string]bool), failStatus: statusFailed}
	root := a.rootCommand()
	root.SetArgs(args)
	return a.status(root.Execute())
}

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

Creating and removing files and directories is the master's: the host that formatted the device.
A host is known by --system-uuid, else by /opt/famfs/system_uuid, else by a UUID
that is derived from /etc/machine-id. Everything else any host can do.

Status: 0 done, 1 failed, in part too, 2 not understood; fsck, verify and chkread:
1 problems found, 2 could not check. After a signal 128 and its number: 130 after
Ctrl-C. What a command would leave out because the device is damaged or cut short is
said on stderr, and the status is that of a failure.`,
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
			return nil
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out) // before there is a command for completion, which keeps it
	root.SetErr(a.err)
	flags := root.PersistentFlags()
	flags.Var(&a.systemUUID, "system-uuid", "who this host is, as `UUID`: decides whether it is the master")
	flags.BoolVar(&a.tolerant, "tolerant", false, "read what comes before the first corrupt log entry instead of refusing the device")
	flags.BoolVar(&a.salvage, "salvage", false, "read all that is sound, past every corrupt log entry, and without a sound superblock")
	root.MarkFlagsMutuallyExclusive("tolerant", "salvage")
	flags.CountVarP(&a.verbose, "verbose", "v", "say more: each file, log entries that are passed over; -vv: what the device is")
	flags.DurationVar(&a.lockTimeout, "lock-timeout", famfs.DefaultLockTimeout, "how long to wait for another process that writes")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		a.command = cmd.CommandPath()
		return usageError(err)
	})
	root.AddCommand(
		a.mkfsCommand(), a.lsCommand(), a.statCommand(), a.catCommand(), a.cpCommand(), a.creatCommand(),
		a.mkdirCommand(), a.rmCommand(), a.verifyCommand(), a.chkreadCommand(), a.getmapCommand(), a.flushCommand(),
		a.logdumpCommand(), a.watchCommand(), a.fsckCommand(), a.dfCommand(), a.layoutCommand(), a.growCommand(),
	)
	for _, c := range root.Commands() {
		c.ValidArgsFunction = a.completeTarget
		// A command's own -h may mean something else, as in ls -h.
		if c.Flags().ShorthandLookup("h") != nil {
			c.Flags().Bool("help", false, "help for "+c.Name())
		}
	}
	a.strictHelp(root)
	return root
}

// strictHelp has help and completion refuse what there is none of: cobra's print the
// general help, and all is well.
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

// arguments makes a check of the number of arguments; most < 0 is any number.
func (a *app) arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		a.command = cmd.CommandPath()
		return usageError(fmt.Errorf("%d arguments, want %s", len(args), what))
	}
}

// options are those that every device is opened with.
func (a *app) options() []famfs.Option {
	opts := []famfs.Option{famfs.WithSystemUUID(a.systemUUID.id), famfs.WithLockTimeout(a.lockTimeout)}
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
	a.opened[device] = true
	return fsys, nil
}

// openToWrite opens a device for creating files.
func (a *app) openToWrite(device string) (*famfs.FS, error) {
	if a.tolerant || a.salvage {
		return nil, usageError(errors.New("--tolerant and --salvage only read, and this writes"))
	}
	return a.opening(device, append(a.options(), famfs.ReadWrite()))
}

// reformatted is famfs.ErrReformatted if from is a device that was formatted anew since it
// was opened. Whoever has read much of it asks, before that passes for a file: others may
// have written into its memory meanwhile.
func reformatted(from fs.FS) error {
	if fsys, ok := from.(*famfs.FS); ok {
		if _, err := fsys.Refresh(); errors.Is(err, famfs.ErrReformatted) {
			return err
		}
	}
	return nil
}

// eachTarget calls do for each argument that names a path on a device, with the device
// open for reading. What goes wrong with one is reported and does not keep the others
// from their turn. Of a directory, and of what is not there, it is also
// reported what is left out.
func (a *app) eachTarget(args []string, do func(fsys *famfs.FS, t target) error) error {
	return a.eachOn(args, a.open, func(fsys *famfs.FS, t target) error {
		err := do(fsys, t)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			a.reportLeftOut(fsys, t)
		}
		return err
	}, nil)
}

// eachOn is eachTarget for devices that open opens; then is called at the end, while
// they are still open.
func (a *app) eachOn(args []string, open func(string) (*famfs.FS, error), do func(fsys *famfs.FS, t target) error, then func()) error {
	devices := make(map[string]*famfs.FS)
	refused := make(map[string]bool) // reported already
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
				return err // nobody takes what the others would print
			}
			a.reportFailure(targetFailed(t, err))
		}
	}
	if then != nil {
		then()
	}
	return nil
}

// uuidValue is a UUID as an option.
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
