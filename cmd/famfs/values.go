package main

// Values of options as people write them: sizes, modes, interleaving. Also here: the options of
// the commands that create files, which have the same names as in the C tools.

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"famfs"
)

// sizeValue is an option whose value is a number of bytes.
type sizeValue int64

func (v *sizeValue) Type() string { return "SIZE" }

func (v *sizeValue) String() string {
	if *v == 0 {
		return ""
	}
	return strings.ReplaceAll(human(int64(*v)), " ", "")
}

func (v *sizeValue) Set(s string) error {
	n, err := parseSize(s)
	*v = sizeValue(n)
	return err
}

// parseSize parses sizes such as 4096, 64M, 2GiB, 1.5T and 64MB. (The ParseBytes of go-humanize
// takes 64M for 64 MB.)
func parseSize(s string) (int64, error) {
	bad := func(why string) error {
		return fmt.Errorf("size %q %s; want a number of bytes such as 4096, 64M or 2GiB", s, why)
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(s), 0, 64); err == nil && n >= 0 {
		return n, nil // also if it ends with what may be a unit: 0x1B
	}
	number := strings.TrimRight(s, "kKmMgGtTpPiIbB ")
	unit := strings.ToLower(strings.TrimSpace(s[len(number):]))
	base := 1024.0
	switch {
	case strings.HasSuffix(unit, "ib") && len(unit) == 3:
		unit = unit[:1]
	case strings.HasSuffix(unit, "b") && len(unit) == 2:
		unit, base = unit[:1], 1000
	case unit == "b":
		unit = ""
	}
	power := strings.Index("kmgtp", unit)
	if len(unit) > 1 || power < 0 {
		return 0, bad("has an unknown unit")
	}
	factor := 1.0
	if unit != "" {
		factor = math.Pow(base, float64(power+1))
	}
	if n, err := strconv.ParseInt(number, 0, 64); err == nil {
		if n < 0 || n > math.MaxInt64/int64(factor) {
			return 0, bad("is out of range")
		}
		return n * int64(factor), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) {
		return 0, bad("is no number")
	}
	if f < 0 || f*factor >= math.MaxInt64 {
		return 0, bad("is out of range")
	}
	return int64(f * factor), nil
}

// modeValue is an option whose value is permission bits in octal.
type modeValue struct {
	mode fs.FileMode
	set  bool
}

func (v *modeValue) Type() string { return "MODE" }

func (v *modeValue) String() string {
	if !v.set {
		return ""
	}
	return fmt.Sprintf("%04o", octal(v.mode))
}

func (v *modeValue) Set(s string) error {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o7777 {
		return fmt.Errorf("mode %q, want octal permission bits such as 0644", s)
	}
	v.mode, v.set = fs.FileMode(n&0o777), true
	for bit, mode := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n&bit != 0 {
			v.mode |= mode
		}
	}
	return nil
}

// octal returns a mode as chmod writes it.
func octal(m fs.FileMode) uint32 {
	n := uint32(m.Perm())
	for bit, mode := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&mode != 0 {
			n |= bit
		}
	}
	return n
}

// idValue is an option whose value is the number of a user or group.
type idValue struct {
	id  uint32
	set bool
}

func (v *idValue) Type() string { return "ID" }

func (v *idValue) String() string {
	if !v.set {
		return ""
	}
	return strconv.FormatUint(uint64(v.id), 10)
}

func (v *idValue) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return fmt.Errorf("%q, want the number of a user or group, of at most 32 bits", s)
	}
	v.id, v.set = uint32(n), true
	return nil
}

// or returns the id if it is set, and otherwise the caller's.
func (v *idValue) or(caller int) uint32 {
	if v.set {
		return v.id
	}
	return uint32(max(caller, 0)) // on some systems there is none
}

// threadsHelp says what --threadct means where it names no number of threads.
const threadsHelp = "(0 or less: the number of processors, which is the default)"

// atATime returns how many to work on at a time for the value of --threadct.
func atATime(threads int) int {
	if threads <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return threads
}

// noneEmpty returns an error if an option was given an empty value, as by a shell variable that is not
// set: it would be taken for an option that is left out, and something else done than was asked.
func noneEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		empty := f.Value.Type() == "string" && f.Value.String() == ""
		if list, ok := f.Value.(pflag.SliceValue); ok {
			empty = len(list.GetSlice()) == 0 || slices.Contains(list.GetSlice(), "")
		}
		if empty && err == nil {
			err = fmt.Errorf("--%s has an empty value; leave the option out, or say what it is to be", f.Name)
		}
	})
	return err
}

// ownerOptions are the options that set an owner.
type ownerOptions struct{ uid, gid idValue }

func (o *ownerOptions) register(flags *pflag.FlagSet, what string) {
	flags.VarP(&o.uid, "uid", "u", "user that owns the "+what+" (default: the caller)")
	flags.VarP(&o.gid, "gid", "g", "group that owns the "+what+" (default: the caller's)")
}

// options returns the options for the library.
func (o *ownerOptions) options() []famfs.CreateOption {
	if !o.uid.set && !o.gid.set {
		return nil
	}
	return []famfs.CreateOption{famfs.Owner(o.uid.or(os.Getuid()), o.gid.or(os.Getgid()))}
}

// createOptions are the options of the commands that create files.
type createOptions struct {
	mode  modeValue
	owner ownerOptions
	// interleave is STRIPS[,BUCKETS[,CHUNK]]. The other three are the same values one by one.
	interleave      string
	strips, buckets int
	chunk           sizeValue
	workers         int
	given           func(flag string) bool // whether it was given; may be nil
	seal            string                 // the kind of sum, or ""
}

// register adds the options. mode is the default of --mode; owned names what --uid and --gid
// apply to.
func (o *createOptions) register(flags *pflag.FlagSet, mode, owned string) {
	flags.VarP(&o.mode, "mode", "m", "permission bits of the files in octal (default: "+mode+")")
	o.owner.register(flags, owned)
	flags.StringVar(&o.interleave, "interleave", "", "interleave the files, as `STRIPS[,BUCKETS[,CHUNK]]`, e.g. 4,8,2M: over 4 strips from 4 of 8 parts of the device, in chunks of 2 MiB; with 0 parts, over all devices")
	flags.IntVarP(&o.strips, "nstrips", "N", 0, "interleave over `n` strips, 1 to 16")
	flags.IntVarP(&o.buckets, "nbuckets", "B", 0, "take the strips from different ones of `n` equal parts of a device, at most 64, or, with 0, from different devices (default: as many as strips)")
	o.given = flags.Changed
	flags.VarP(&o.chunk, "chunksize", "C", "bytes on one strip before the next has its turn, a power of two of at least 2 MiB (default 2MiB)")
	flags.StringVar(&o.seal, "seal", "", "make the files read-only on all hosts, and note a sum of their content, of this `KIND`: crc32c, which is meant without a kind, or sha256, as --seal=sha256")
	flags.Lookup("seal").NoOptDefVal = "crc32c"
	flags.IntVarP(&o.workers, "threadct", "t", 0, "how many to work on at a time "+threadsHelp)
}

// options returns the options for the library, without the mode, which does not apply to
// directories.
func (o *createOptions) options() ([]famfs.CreateOption, error) {
	opts := o.owner.options()
	i, err := o.interleaving()
	if err != nil {
		return nil, usageError(err)
	}
	if i.Strips > 0 {
		opts = append(opts, famfs.Interleave(i))
	}
	switch o.seal {
	case "":
	case famfs.CRC32C.String():
		opts = append(opts, famfs.Seal())
	case famfs.SHA256.String():
		opts = append(opts, famfs.SealWith(famfs.SHA256))
	default:
		return nil, usageError(fmt.Errorf("--seal=%s, want %v or %v", o.seal, famfs.CRC32C, famfs.SHA256))
	}
	return opts, nil
}

// kindApart returns an error if a kind of sum follows --seal without an equals sign: it would be
// taken for a file. given are all words of the command line, args those that are no options.
func (o *createOptions) kindApart(given, args []string) error {
	if o.seal == "" {
		return nil
	}
	kind := ""
	for _, word := range args { // options may come between
		if isSum(word) && !exists(word) {
			kind = word
		}
	}
	for i, word := range given[:max(len(given)-1, 0)] {
		if word == "--" {
			break
		}
		if word == "--seal" && isSum(given[i+1]) { // even if there is such a file: which of them is meant?
			kind = given[i+1]
		}
	}
	if kind == "" {
		return nil
	}
	return usageError(fmt.Errorf("with a kind, --seal needs an equals sign: --seal=%s; a file of that name is ./%s", kind, kind))
}

// overDevices reports whether files are to be interleaved over all devices.
func (o *createOptions) overDevices() bool {
	i, err := o.interleaving()
	return err == nil && i.Strips > 0 && i.Buckets == 0
}

func (o *createOptions) interleaving() (i famfs.Interleaving, err error) {
	overDevices := o.given != nil && o.given("nbuckets") && o.buckets == 0
	i = famfs.Interleaving{Strips: o.strips, Buckets: o.buckets, Chunk: int64(o.chunk)}
	if o.interleave != "" {
		if o.strips != 0 || o.buckets != 0 || o.chunk != 0 {
			return i, errors.New("--interleave says all: leave out -N, -B and -C")
		}
		parts := strings.Split(o.interleave, ",")
		if len(parts) > 3 {
			return i, fmt.Errorf("--interleave %q, want STRIPS[,BUCKETS[,CHUNK]]", o.interleave)
		}
		if i.Strips, err = strconv.Atoi(parts[0]); err != nil {
			return i, fmt.Errorf("--interleave %q, want STRIPS[,BUCKETS[,CHUNK]]: %w", o.interleave, err)
		}
		if len(parts) > 1 {
			if i.Buckets, err = strconv.Atoi(parts[1]); err != nil {
				return i, fmt.Errorf("--interleave %q, want STRIPS[,BUCKETS[,CHUNK]]: %w", o.interleave, err)
			}
			overDevices = i.Buckets == 0
		}
		if len(parts) > 2 {
			if i.Chunk, err = parseSize(parts[2]); err != nil {
				return i, fmt.Errorf("--interleave: %w", err)
			}
		}
		if i.Strips == 0 {
			return i, errors.New("--interleave over 0 strips, want 1 to 16")
		}
	}
	if i.Strips == 0 && (i.Buckets != 0 || i.Chunk != 0) {
		return i, errors.New("--nbuckets and --chunksize need --nstrips")
	}
	if i.Strips != 0 && i.Buckets == 0 && !overDevices {
		i.Buckets = i.Strips
	}
	if i.Strips != 0 && i.Chunk == 0 {
		i.Chunk = 2 << 20
	}
	return i, nil
}
