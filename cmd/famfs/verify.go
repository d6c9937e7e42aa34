package main

// famfs verify: checks that files have the content that they should have. The checking of many
// files, which famfs chkread uses too, is here.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"famfs"
)

// firstError keeps the first error of several goroutines.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) keep(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// verdict is the result for one file.
type verdict struct {
	File string `json:"file"`
	Size int64  `json:"size"`
	OK   bool   `json:"ok"`
	// Checked tells what differs from what could not be checked, which are both not OK.
	Checked bool   `json:"checked"`
	Found   string `json:"found,omitempty"` // what is wrong
	// Offset is the offset of the first byte that differs, or -1 if something else is wrong.
	Offset int64 `json:"offset"`
}

// differs describes a difference in content.
type differs struct {
	offset int64
	how    string
}

func (d *differs) Error() string { return d.how }

// verifier is one call of verify.
type verifier struct {
	*app
	ctx            context.Context
	quiet, asJSON  bool
	byMap          bool // look at mappings of files, not at what View shows
	workers        int
	progress       *progress
	verdicts       []verdict
	wrong, trouble int
	mu             sync.Mutex
}

// check is one file to verify. run checks data, the file in memory.
type check struct {
	fsys *famfs.FS
	t    target
	size int64
	run  func(data []byte) error
	err  error // set if the file is known to be wrong
	// plain says that there is nothing to run: err is all.
	plain bool
	// sealed says that the content is compared with the file's seal.
	sealed bool
}

func (a *app) verifyCommand() *cobra.Command {
	v := &verifier{app: a}
	var (
		seed    uint64
		against string
		files   []string
		multi   []string
	)
	cmd := &cobra.Command{
		Use:   "verify [--seed N | --against PATH] DEVICE[:PATH]...",
		Short: "Check content against seals, a seed, a file or a tree",
		Long: `verify checks the content of files: against the sums in their seals (see cp --seal),
of which a directory stands for all sealed files below it; against a seed, as famfs creat
--seed filled them; or against a file or a tree, which may itself be on a device. A directory
stands for all files below it. Against a tree, files that only one side has count
as differences; of symbolic links, as cp -L copies them, what they lead to counts.

Against seals, files that are not sealed are counted, and not checked; if none of the files
in a directory is sealed, that is status 2. A tree may have the device itself in it, which is
passed over, as cp does.

Caches are invalidated first, so that what another host wrote and flushed is seen.
` + verdictHelp + `
Status: 0 all as it should be, 1 something differs, ` + troubleHelp + `.`,
		Example: `  famfs verify /dev/dax0.0                  # all that is sealed
  famfs verify --seed 42 /dev/dax0.0:/table
  famfs verify --against ./models /dev/dax0.0:/models
  famfs verify --against /dev/dax1.0:/models /dev/dax0.0:/models
  famfs verify --multi /dev/dax0.0:/a,42 --multi /dev/dax0.0:/b,43`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			args = append(files, args...)
			var seeds []uint64 // one per argument, because arguments may be equal
			hasSeed := cmd.Flags().Changed("seed")
			for range args {
				seeds = append(seeds, seed)
			}
			for _, m := range multi {
				at := strings.LastIndexByte(m, ',')
				n, err := strconv.ParseUint(m[at+1:], 0, 64)
				if at < 0 || err != nil {
					return usageError(fmt.Errorf("--multi %q, want DEVICE:PATH,SEED", m))
				}
				args, seeds = append(args, m[:at]), append(seeds, n)
			}
			switch {
			case len(multi) > 0 && (hasSeed || against != "" || len(args) > len(multi)):
				return usageError(errors.New("--multi says all: leave out --seed, --against and other files"))
			case len(args) == 0:
				return usageError(errors.New("say what to check, as DEVICE:PATH"))
			case hasSeed && against != "":
				return usageError(errors.New("--seed and --against exclude each other"))
			}
			return v.run(args, func(fsys *famfs.FS, t target) ([]check, func() error, error) {
				switch {
				case against != "":
					return v.againstTree(fsys, t, against)
				case len(multi) == 0 && !hasSeed:
					checks, err := v.againstSeals(fsys, t)
					return checks, nil, err
				}
				checks, err := v.withSeed(fsys, t, seeds[t.place])
				return checks, nil, err
			})
		},
	}
	flags := cmd.Flags()
	flags.Uint64VarP(&seed, "seed", "S", 0, "the `number` that the content follows from")
	flags.StringVar(&against, "against", "", "the file or tree that it is to equal: a local path or DEVICE:PATH")
	flags.StringArrayVarP(&files, "filename", "f", nil, "check this `DEVICE:PATH`, as if it were an argument")
	flags.StringArrayVarP(&multi, "multi", "m", nil, "check this file with its own seed: `DEVICE:PATH,SEED`; may be repeated")
	v.register(cmd)
	return cmd
}

// verdictHelp says what --json prints of a file, and troubleHelp what the status 2 is, for the help of
// the commands that check files.
const (
	verdictHelp = `With --json, what differs is "ok": false, and what could not be checked is "checked": false too.`
	troubleHelp = `2 something could not be checked,
whether or not something else differs`
)

func (v *verifier) register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&v.quiet, "quiet", "q", false, "say nothing of files that are as they should be, and show no progress")
	cmd.Flags().BoolVar(&v.asJSON, "json", false, "print what was found as a JSON array")
	v.registerProgress(cmd.Flags())
	cmd.Flags().IntVarP(&v.workers, "threadct", "t", 0, "how many files to check at a time "+threadsHelp)
}

// run collects the checks of all arguments and runs them. list also returns a function to call
// at the end.
func (v *verifier) run(args []string, list func(*famfs.FS, target) ([]check, func() error, error)) error {
	v.workers = atATime(v.workers)
	defer collectRarely()()
	ctx, stop := interruptible()
	defer stop()
	v.ctx = ctx
	v.failStatus = statusUsage
	v.verdicts = []verdict{}
	var all []check
	var finish []func() error
	err := v.eachOn(args, v.open, func(fsys *famfs.FS, t target) error {
		checks, close, err := list(fsys, t)
		if close != nil {
			finish = append(finish, close)
		}
		all = append(all, checks...)
		if err == nil {
			v.reportLeftOut(fsys, t)
		}
		return err
	}, func() { v.runChecks(all) })
	for _, close := range finish {
		close()
	}
	if err != nil {
		return err
	}
	if v.asJSON {
		if err := printJSONList(v.app, v.verdicts); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return &statusError{signalStatus(ctx), errors.New("interrupted: not everything was checked")}
	case v.trouble > 0:
		return &statusError{status: statusUsage}
	case v.wrong > 0:
		return &statusError{status: statusFailed}
	}
	return nil
}

func (v *verifier) runChecks(checks []check) {
	var total int64
	for _, c := range checks {
		if !c.plain {
			total += c.size
		}
	}
	v.progress = v.newProgress("checked", len(checks), total, v.quiet || v.asJSON, false)
	queue := make(chan check, 256) // more than are done while the sender waits for a processor
	var running sync.WaitGroup
	for range v.workers {
		running.Go(func() {
			for c := range queue {
				v.runCheck(c)
			}
		})
	}
	for _, c := range checks {
		if v.ctx.Err() != nil {
			break
		}
		queue <- c
	}
	close(queue)
	running.Wait()
	undone := ""
	if v.trouble > 0 {
		undone = grouped(v.trouble) + " could not be checked"
	}
	v.progress.finish("checked "+count(len(v.verdicts)-v.trouble, "file", "files"), undone)
}

func (v *verifier) runCheck(c check) {
	err := c.err
	if err == nil && !c.plain {
		err = v.look(c)
	}
	if v.ctx.Err() != nil {
		return
	}
	var d *differs
	var sum *famfs.SumError
	checked := err == nil || errors.As(err, &sum) || errors.As(err, &d)
	if checked {
		v.progress.file(c.t.String(), "")
	} else {
		v.progress.unchecked(c.t.String())
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	found := verdict{File: c.t.String(), Size: c.size, OK: err == nil, Checked: checked, Offset: -1}
	switch {
	case err == nil:
		if !v.quiet && !v.asJSON {
			v.progress.aside(func() { fmt.Fprintf(v.people(), "ok       %s\n", v.displayName(found.File)) })
		}
	case errors.As(err, &sum):
		err = &differs{-1, commandWords.Replace(strings.TrimPrefix(sum.Error(), "content of "+sum.Name+": "))}
		fallthrough
	case errors.As(err, &d):
		errors.As(err, &d)
		v.wrong++
		found.Found, found.Offset = d.how, d.offset
		if !v.asJSON {
			v.progress.aside(func() { fmt.Fprintf(v.people(), "DIFFERS  %s: %s\n", v.displayName(found.File), v.displayName(d.how)) })
		}
	default:
		v.trouble++
		found.Found = commandWords.Replace(err.Error())
		v.progress.aside(func() { v.report(targetFailed(c.t, err)) })
	}
	v.verdicts = append(v.verdicts, found)
}

// look runs a check on the file's memory.
func (v *verifier) look(c check) error {
	if c.sealed {
		err := c.fsys.Verify(c.t.name)
		if !errors.Is(err, fs.ErrInvalid) { // it was read
			v.progress.bytes(c.size)
		}
		return err
	}
	if v.byMap {
		return v.withMapped(c)
	}
	return c.fsys.View(c.t.name, func(data []byte) error {
		famfs.InvalidateCache(data)
		return c.run(data)
	})
}

func (v *verifier) withMapped(c check) (err error) {
	m, err := c.fsys.Map(c.t.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.Invalidate(); err != nil {
		return err
	}
	return famfs.Guard(func() error { return c.run(m.Bytes()) })
}

// eachFile makes a check for each file that t names or contains.
func (v *verifier) eachFile(fsys *famfs.FS, t target, run func(name string) func(data []byte) error) ([]check, error) {
	var checks []check
	err := fs.WalkDir(fsys, t.name, func(name string, d fs.DirEntry, err error) error {
		if v.ctx.Err() != nil {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		checks = append(checks, check{fsys: fsys, t: target{device: t.device, name: name}, size: st.Size(), run: run(name)})
		return nil
	})
	return checks, err
}

const verifyPiece = 8 << 20 // a multiple of patternBlock

// pieces calls look for each piece of data and reports progress, until the command is interrupted.
func (v *verifier) pieces(data []byte, look func(piece []byte, off int64) error) error {
	for off := int64(0); off < int64(len(data)); off += verifyPiece {
		if v.ctx.Err() != nil {
			return v.ctx.Err()
		}
		piece := data[off:min(off+verifyPiece, int64(len(data)))]
		if err := look(piece, off); err != nil {
			return err
		}
		v.progress.bytes(int64(len(piece)))
	}
	return nil
}

// againstSeals makes a check for each sealed file that t names or contains. A file that t names and
// that is not sealed cannot be checked.
func (v *verifier) againstSeals(fsys *famfs.FS, t target) ([]check, error) {
	all, err := v.eachFile(fsys, t, func(string) func([]byte) error { return nil })
	var sealed []check
	for _, c := range all {
		st, err := fsys.Stat(c.t.name)
		if err != nil {
			continue // removed meanwhile
		}
		if c.sealed = true; attrOf(st).Sealed || c.t.name == t.name {
			sealed = append(sealed, c)
		}
	}
	if err == nil && len(sealed) == 0 && len(all) > 0 {
		return nil, because(fs.ErrInvalid, "%s in it, and none is sealed, so nothing says what their content should be", count(len(all), "file is", "files are"))
	}
	if n := len(all) - len(sealed); n > 0 && !v.quiet {
		fmt.Fprintf(v.err, "%s: %s not sealed, and not checked\n", v.displayName(t.String()), count(n, "file is", "files are"))
	}
	return sealed, err
}

func (v *verifier) withSeed(fsys *famfs.FS, t target, seed uint64) ([]check, error) {
	return v.eachFile(fsys, t, func(string) func([]byte) error {
		return func(data []byte) error {
			return v.pieces(data, func(piece []byte, off int64) error {
				at := checkPattern(piece, seed, off)
				if at < 0 {
					return nil
				}
				want := byte(patternWord(seed, uint64(at)/patternBlock) >> (at % 8 * 8))
				return &differs{at, fmt.Sprintf("byte %d is %#02x, want %#02x for seed %d", at, piece[at-off], want, seed)}
			})
		}
	})
}

// compare compares data with the content of r.
func (v *verifier) compare(data []byte, r io.Reader, source string) error {
	buffer := make([]byte, max(1, min(256<<10, len(data))))
	err := v.pieces(data, func(piece []byte, off int64) error {
		for len(piece) > 0 {
			n := min(len(buffer), len(piece))
			got, err := io.ReadFull(r, buffer[:n])
			if at := firstDifference(piece[:got], buffer[:got]); at >= 0 {
				at64 := off + int64(at)
				return &differs{at64, fmt.Sprintf("byte %d is %#02x, and %s gives %#02x", at64, piece[at], source, buffer[at])}
			}
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				end := off + int64(got)
				return &differs{end, fmt.Sprintf("has %d bytes, and %s ends after %d", len(data), source, end)}
			}
			if err != nil {
				return err
			}
			off, piece = off+int64(n), piece[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n, err := io.ReadFull(r, buffer[:1]); n > 0 {
		return &differs{int64(len(data)), fmt.Sprintf("has %d bytes, and %s has more", len(data), source)}
	} else if err != io.EOF {
		return err
	}
	return nil
}

func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// againstTree checks t against a file or tree.
func (v *verifier) againstTree(fsys *famfs.FS, t target, against string) (checks []check, finish func() error, err error) {
	ref, err := parseTarget(against)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = targetFailed(ref, err) }()
	var refFS fs.FS
	root := "."
	if ref.device != "" {
		other, err := v.open(ref.device)
		if err != nil {
			return nil, nil, err
		}
		refFS, root, finish = other, ref.name, other.Close
		v.reportLeftOut(other, ref)
	} else {
		full, err := absolute(ref.name)
		if err != nil {
			return nil, nil, err
		}
		refFS, root = localFS(filepath.Dir(full)), filepath.Base(full)
		if filepath.Dir(full) == full {
			root = "."
		}
	}
	st, err := fs.Stat(refFS, root)
	if err != nil {
		return nil, finish, err
	}
	here, err := fsys.Stat(t.name)
	if err != nil {
		return nil, finish, targetFailed(t, err)
	}
	if st.IsDir() != here.IsDir() {
		return nil, finish, targetFailed(t, because(fs.ErrInvalid, "of this and %s one is a directory, the other a file; name two files or two directories", ref))
	}
	shownAt := func(at string) string {
		if ref.device != "" {
			return ref.at(at)
		}
		return filepath.Join(ref.name, filepath.FromSlash(counterpart(at, root, ".")))
	}
	matched := make(map[string]bool)
	checks, err = v.eachFile(fsys, t, func(name string) func([]byte) error {
		at := counterpart(name, t.name, root)
		matched[at] = true
		shown := shownAt(at)
		return func(data []byte) error {
			f, err := refFS.Open(at)
			if errors.Is(err, fs.ErrNotExist) {
				return &differs{-1, shown + " does not exist"}
			}
			if err != nil {
				return failed(failure{about: aboutSource, what: shown, device: ref.device, err: err})
			}
			defer f.Close()
			return v.compare(data, f, shown)
		}
	})
	if err != nil {
		return nil, finish, err
	}
	more := onlyThere{verifier: v, fsys: fsys, t: t, ref: ref, refFS: refFS, root: root, shownAt: shownAt, matched: matched}
	if st, err := os.Stat(t.device); err == nil {
		more.device = st
	}
	err = fs.WalkDir(refFS, root, more.visit)
	return append(checks, more.checks...), finish, err
}

// onlyThere makes a check for everything that only a reference has, and not the device.
type onlyThere struct {
	*verifier
	fsys    *famfs.FS
	t       target // what is checked
	ref     target // and against what
	refFS   fs.FS
	root    string                 // of the reference in refFS
	shownAt func(at string) string // names what is in the reference, for people
	matched map[string]bool        // files of the reference that are compared
	device  fs.FileInfo            // the device that is checked, or nil
	checks  []check
}

// visit is for fs.WalkDir. It goes on past what cannot be looked at, which is a check of its own: what
// else is missing on the device is of interest too.
func (o *onlyThere) visit(name string, d fs.DirEntry, err error) error {
	switch {
	case o.ctx.Err() != nil:
		return fs.SkipAll
	case err != nil:
		o.add(name, failed(failure{about: aboutSource, what: o.shownAt(name), device: o.ref.device, err: err}))
		return nil // with what was read of a directory
	case d.IsDir() || o.matched[name]:
		return nil
	}
	at := counterpart(name, o.root, o.t.name)
	here := isDir(o.fsys, at)
	st, err := fs.Stat(o.refFS, name) // follows a link
	switch {
	case err == nil && o.device != nil && os.SameFile(st, o.device): // cp does not copy it either
		if !o.quiet {
			fmt.Fprintf(o.err, "%s: %s: is the device that is checked: passed over\n", o.command, printable(o.shownAt(name)))
		}
	case !here:
		o.add(name, &differs{-1, "does not exist on the device"})
	case err == nil && st.IsDir():
		// A link to a directory counts as a directory if the device has a directory there, because
		// then it was copied as one. A tree of links may have no end, but one on a device does.
		return fs.WalkDir(o.refFS, name, o.visit)
	case err == nil || errors.Is(err, fs.ErrNotExist):
		o.add(name, &differs{-1, "is a directory on the device, and " + o.shownAt(name) + " is none"})
	default:
		o.add(name, failed(failure{about: aboutSource, what: o.shownAt(name), device: o.ref.device, err: err}))
	}
	return nil
}

// add adds a check of what is name in the reference, of which the result is known.
func (o *onlyThere) add(name string, err error) {
	at := target{device: o.t.device, name: counterpart(name, o.root, o.t.name)}
	o.checks = append(o.checks, check{fsys: o.fsys, t: at, plain: true, err: err})
}

func isDir(fsys fs.FS, name string) bool {
	st, err := fs.Stat(fsys, name)
	return err == nil && st.IsDir()
}

// counterpart returns the path below to that corresponds to name, which is from or below it.
func counterpart(name, from, to string) string {
	if from == "." {
		return path.Join(to, name)
	}
	return path.Join(to, strings.TrimPrefix(name[len(from):], "/"))
}
