package main

// Errors as people see them: what failed, the lines on stderr that name it and say what is wrong
// and what to do, and the one exit status of the process. Nothing here knows what the commands
// do.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"famfs"
)

// Exit statuses. After a signal the status is 128 plus the signal's number.
const (
	statusDone   = 0
	statusFailed = 1
	statusUsage  = 2 // not understood; for fsck, verify and chkread: could not be done
	statusSignal = 128
)

// statusError is an exit status. If err is nil, everything has been said already.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("status %d", e.status)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

func usageError(err error) error { return &statusError{statusUsage, err} }

// status reports err and returns the exit status: the worst of err, of what was reported before,
// and of writing to stdout. Only this method decides the status.
func (a *app) status(err error) int {
	status := statusDone
	var known *statusError
	switch {
	case err == nil || a.out.err != nil && errors.Is(err, a.out.err): // said below
	case errors.As(err, &known):
		if known.err != nil {
			a.report(known)
		}
		status = known.status
	case isUsage(err):
		a.report(usageError(err))
		status = statusUsage
	default:
		a.reportFailure(err)
	}
	if a.out.err != nil {
		a.reportFailure(&failure{about: aboutOutput, what: "standard output", err: a.out.err})
	}
	if a.failed {
		status = max(status, a.failStatus)
	}
	return status
}

// about is the kind of thing that failed. Hints depend on it.
type about int

const (
	aboutNothing about = iota
	aboutDevice        // a device, or the file that stands in for one
	aboutName          // a file or directory on a device
	aboutSource        // a local file or tree that is read
	aboutLocal         // a local file or directory that is written
	aboutOutput        // stdout
)

// failure is an error and the thing that failed.
type failure struct {
	about  about
	what   string // as written on the command line
	device string // the device, or the device that it is on
	err    error
}

func (f *failure) Error() string { return f.what + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failed adds what failed to an error, unless the error says it already.
func failed(f failure) error {
	var known *failure
	var status *statusError
	if f.err == nil || errors.As(f.err, &status) || !isJoin(f.err) && errors.As(f.err, &known) {
		return f.err
	}
	return &f // each of several joined errors may say it
}

// deviceFailed returns err as an error about a whole device.
func deviceFailed(device string, err error) error {
	return failed(failure{about: aboutDevice, what: device, device: device, err: err})
}

// targetFailed returns err as an error about t. If t is local, it is a file that is read.
func targetFailed(t target, err error) error {
	if t.device == "" {
		return failed(failure{about: aboutSource, what: t.name, err: err})
	}
	return failed(failure{about: aboutName, what: t.String(), device: t.device, err: err})
}

// localFailed returns err as an error about a local file or directory that is written.
func localFailed(name string, err error) error {
	return failed(failure{about: aboutLocal, what: name, err: err})
}

// failureJSON is a failure in the output of a command for programs.
type failureJSON struct {
	Argument string `json:"argument"`
	Error    string `json:"error"`
}

// reportFailure reports an error. The command goes on after it, and fails at the end.
func (a *app) reportFailure(err error) {
	for _, f := range a.noteFailure(err) {
		a.reportOne(f)
	}
}

// noteFailure is reportFailure without the lines on stderr. It returns what failed.
func (a *app) noteFailure(err error) []*failure {
	a.failed = true
	all := separate(err)
	for _, f := range all {
		a.failures = append(a.failures, failureJSON{f.what, f.message()})
	}
	return all
}

// report writes err to stderr. Each error that it joins gets lines of its own.
func (a *app) report(err error) {
	for _, f := range separate(err) {
		a.reportOne(f)
	}
}

// separate returns the errors that err joins, each with what failed.
func separate(err error) []*failure {
	f, ok := err.(*failure)
	if !ok {
		f = &failure{err: err}
		var inner *failure
		if errors.As(err, &inner) && !isJoin(err) {
			f = &failure{inner.about, "", inner.device, err}
		}
	}
	if !isJoin(f.err) {
		return []*failure{f}
	}
	var all []*failure
	for _, e := range f.err.(interface{ Unwrap() []error }).Unwrap() {
		all = append(all, separate(failed(failure{f.about, f.what, f.device, e}))...)
	}
	return all
}

// isJoin reports whether err is from errors.Join, and not an error with its own message that
// wraps several.
func isJoin(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	var parts []string
	for _, e := range joined.Unwrap() {
		parts = append(parts, e.Error())
	}
	return strings.Join(parts, "\n") == err.Error()
}

// reportOne writes what failed, why, and what to do.
func (a *app) reportOne(f *failure) {
	line := a.command + ": "
	if f.what != "" {
		line += printable(f.what) + ": "
	}
	// An error may have several lines. A name with a newline is quoted in it.
	for i, part := range strings.FieldsFunc(line+f.message(), func(r rune) bool { return r == '\n' }) {
		if i > 0 {
			part = "    " + strings.TrimSpace(part)
		}
		fmt.Fprintln(a.err, printable(strings.ReplaceAll(part, "\t", " ")))
	}
	if hint := a.wayOut(f); hint != "" && !a.hinted[hint] {
		a.hinted[hint] = true // once is enough, even for a thousand files
		fmt.Fprintln(a.err, "    "+printable(hint))
	}
}

// commandWords replaces Go names in messages of the library by options of the command.
var commandWords = strings.NewReplacer(
	"format with force to lose it", "--force loses it",
	"; give the path that this device has on this host to WithDevices: device error", "; give the path that this device has on this host to --device",
	"; give the path that this device has on this host to WithDevices", "; give the path that this device has on this host to --device",
	"; one is a copy: give only the right one to WithDevices", "; one is a copy: give only the right one to --device",
	", and give this one to WithDevices", ", and give this one to --device",
	"; make a stand-in device with CreateBacking", "",
	": format it first (famfs.Format)", "",
	"with WithSystemUUID", "with --system-uuid",
	"give WithSystemUUID", "give --system-uuid",
	"open with ReadWrite to create: ", "",
	"; open with ReadWrite or WithClientWrites", "",
	"; open with ReadWrite", "",
	"its second copy is sound: RestoreSuperblock puts it back, on the master", "its second copy is sound: famfs mkfs --restore-superblock puts it back, on the master",
	"its second copy is sound, and is used: RestoreSuperblock puts it back, on the master", "its second copy is sound, and is used: famfs mkfs --restore-superblock puts it back, on the master",
	"; open it with ReadWrite on the master, which finishes it", "",
	": open without ReadWrite and WithClientWrites", "",
	" on the master (Admit); reading through fs.FS needs no admission", " with famfs hosts admit, on the master",
	" on the master (Admit)", " with famfs hosts admit, on the master",
	" (WithSystemUUID),", " (--system-uuid),",
	" (see Hosts)", " (see famfs hosts)",
	" (see Reclaim)", " (see famfs reclaim)",
	" has to be evicted (Evict)", " has to be evicted (famfs hosts evict)",
	"copy the file in again from a sound source, in its place", "copy it in again from a sound source, in its place (famfs cp --replace, and --seal to seal it again)",
	"opening with ReadWrite on the master writes it anew", "the next command on the master that writes to the device makes it anew",
	", or the master opens it with ReadWrite", ", or famfs compact finishes it on the master",
	"; Salvage may get files out", "; --salvage may get files out",
	" with Reuse, want", " with --reuse, want",
	"Salvage shows names and reads copies, and does not map", "--salvage shows names and reads copies, and does not map",
	"; Grow writes that", "; famfs grow writes that",
	", which Grow writes", ", which famfs grow writes",
	"; read through fs.FS", "",
	"formatted without Reuse", "made without --reuse",
	"it was opened with Salvage, which", "--salvage",
	"check it first, or drop them (DropProblems)", "look at them first with famfs fsck; --drop-problems leaves them out, for good",
)

// message returns what is wrong, without the name of what failed, which is printed before it.
func (f *failure) message() string {
	message := strings.TrimPrefix(f.err.Error(), "famfs: ")
	message = withoutEchoes(message)
	var path *fs.PathError
	if errors.As(f.err, &path) && f.what != "" {
		named := path.Op + " " + path.Path + ": "
		if strings.HasPrefix(message, named) || path.Path == f.what {
			message = strings.Replace(message, named, path.Op+": ", 1)
		}
	}
	for _, op := range [...]string{"open", "format", "check", "wipe", "restore superblock", "read superblock copy", "compact"} {
		if rest, ok := strings.CutPrefix(message, op+" "+f.what+": "); ok && f.what != "" {
			message = op + ": " + rest
		}
	}
	message = withoutEchoes(message)
	if f.what != "" { // printed before the message
		message = strings.TrimPrefix(message, f.what+" ")
	}
	return commandWords.Replace(message)
}

// withoutEchoes removes from a message what several layers repeat: "open x: open x: why" becomes
// "open x: why".
func withoutEchoes(message string) string {
	for at := 0; ; {
		i := strings.Index(message[at:], ": ")
		if i < 0 {
			return message
		}
		at += i + 2
		for strings.HasPrefix(message[at:], message[:at]) {
			message = message[at:]
		}
	}
}

// wayOut says what a person can do about f.
func (a *app) wayOut(f *failure) string {
	device := f.device
	if device == "" {
		device = "DEVICE"
	}
	if a.command == "famfs mount" {
		if hint, ok := mountWayOut(f.err, f.what); ok {
			return hint
		}
	}
	mkfs := a.command == "famfs mkfs"
	var known *statusError
	switch is := func(target error) bool { return errors.Is(f.err, target) }; {
	case errors.As(f.err, &known) && known.status == statusUsage:
		for name, instead := range habits {
			if strings.HasPrefix(f.message(), fmt.Sprintf("unknown command %q for ", name)) {
				return instead
			}
		}
		return "see " + a.command + " --help"
	case is(context.Canceled), f.about == aboutOutput:
		return ""
	case mkfs && errors.Is(f.err, fs.ErrInvalid) && strings.HasPrefix(f.err.Error(), "nothing was changed"):
		return ""
	case is(famfs.ErrNotFormatted) && mkfs && strings.Contains(f.err.Error(), "second copy"):
		return fmt.Sprintf("read what is sound with --salvage: famfs --salvage cp -r %s:/ ./rescue", device)
	case is(famfs.ErrNotFormatted) && mkfs: // --kill
		return "there is no file system on it: nothing to do"
	case is(famfs.ErrNotEmpty), is(famfs.ErrNotFormatted) && is(fs.ErrInvalid):
		return "check that this is the device that you mean"
	case is(famfs.ErrNotFormatted):
		return fmt.Sprintf("make a file system on it with: famfs mkfs %s", device)
	case is(famfs.ErrReformatted):
		return "start again, to see what is on it now"
	case is(errLeftOut):
		return fmt.Sprintf("see what is wrong, and what to do, with: famfs fsck %s", device)
	case is(famfs.ErrVersion):
		return fmt.Sprintf("use a famfs of the version that formatted it; if it was this one, the superblock is damaged: see famfs fsck %s", device)
	case is(famfs.ErrNotMaster):
		return "only the host that formatted the device may do this: run it there, or say with --system-uuid that this is that host"
	case is(famfs.ErrLogFull):
		return fmt.Sprintf("if files were removed, famfs compact %s gives their entries back; otherwise copy the device to one that is formatted with a larger --loglen", device)
	case is(famfs.ErrNoSpace) && strings.Contains(f.err.Error(), "buckets:"):
		return fmt.Sprintf("each strip needs a free run in another part of a device: see famfs layout %s; of several devices, 0 parts (--interleave STRIPS,0) take them from all", device)
	case is(famfs.ErrNoSpace) && strings.Contains(f.err.Error(), "is on has no room"): // under a stand-in
		return fmt.Sprintf("see what is free there with: df %s", filepath.Dir(device))
	case is(famfs.ErrNoSpace):
		return fmt.Sprintf("see what is free with: famfs df %s and famfs layout %s; what removed files had, famfs compact gives back", device, device)
	case is(famfs.ErrBusy) && strings.Contains(f.err.Error(), "a device of this file system already"):
		return "give each device once; famfs devices shows those that a file system has"
	case is(famfs.ErrBusy) && strings.Contains(f.err.Error(), "may have files mapped"):
		return fmt.Sprintf("see who that is with: famfs hosts %s", device)
	case f.about == aboutDevice && is(famfs.ErrBusy):
		if strings.Contains(f.err.Error(), "was interrupted") {
			return fmt.Sprintf("finish it on the master with: famfs compact %s", device)
		}
		return "" // the error says who uses it
	case is(famfs.ErrBusy) && strings.HasPrefix(a.command, "famfs queue"):
		return "wait until the other process is done: each end of a queue is one process's at a time"
	case is(famfs.ErrLocked):
		return "another process is writing: try again, or wait longer with --lock-timeout"
	case is(famfs.ErrCorrupt) && a.command == "famfs compact":
		return fmt.Sprintf("see what is wrong with: famfs fsck %s; --drop-problems leaves it out, for good, and compacts the rest", device)
	case is(famfs.ErrCorrupt) && !a.tolerant && !a.salvage && f.about == aboutDevice:
		return fmt.Sprintf("see what is wrong with: famfs fsck %s; read what is sound with --salvage", device)
	case is(famfs.ErrCorrupt), f.about == aboutDevice && is(famfs.ErrDevice) && a.opened[device]:
		return fmt.Sprintf("see what is wrong with: famfs fsck %s", device)
	}
	switch is := func(target error) bool { return errors.Is(f.err, target) }; f.about {
	case aboutDevice:
		switch {
		case is(fs.ErrExist) && strings.Contains(f.err.Error(), "a secondary device of"):
			return "to see what is on it, give it to --device, and DEVICE is the one that has the log"
		case is(fs.ErrExist) && mkfs:
			return fmt.Sprintf("look at it with: famfs fsck %s", device)
		case is(fs.ErrNotExist) && inDev(device):
			return "see which there are with: daxctl list; one that is missing may be bound to no driver, or be in mode system-ram"
		case is(fs.ErrNotExist) && filepath.Dir(device) != "." && !exists(filepath.Dir(device)):
			return "check the name: the folder does not exist"
		case is(fs.ErrNotExist) && a.command == "famfs devadd":
			return "check the name; famfs devadd --create SIZE makes a file that stands in for a device"
		case is(fs.ErrNotExist):
			return "check the name; famfs mkfs --create SIZE makes a file that stands in for a device"
		case is(os.ErrPermission):
			return "run it as a user who may read and write the device, for example root"
		case is(famfs.ErrDevice) && isEmptyFile(device):
			return "remove it, and make one of a size with: famfs mkfs --create SIZE " + device
		case is(famfs.ErrDevice) && strings.Contains(f.message(), "--device"):
			return "" // it says what to do
		case is(famfs.ErrDevice):
			return "DEVICE is a devdax device, a file on fs-dax, or a plain file that stands in for one"
		}
	case aboutName:
		switch {
		case is(fs.ErrInvalid) && strings.Contains(f.err.Error(), "sealed, so nothing says"):
			return "compare it with its source (--against) or a seed (--seed); famfs seal seals it as it is now"
		case is(fs.ErrInvalid) && a.command == "famfs seal" && strings.Contains(f.err.Error(), "directory"):
			return fmt.Sprintf("of all files in it: famfs find %s -type f -print0 | xargs -0 famfs seal --ignore-sealed", f.what)
		case is(fs.ErrExist):
			if a.command == "famfs cp" {
				return "--replace replaces files that have other content, never directories; or use another name"
			}
			if a.command == "famfs seal" {
				return "--ignore-sealed passes over files that are sealed already; famfs verify compares them with their seals"
			}
			return "use another name, or remove what is there first: famfs rm"
		case is(fs.ErrNotExist):
			return fmt.Sprintf("see what is there with: famfs ls -R %s", device)
		}
	case aboutSource:
		switch {
		case is(fs.ErrNotExist):
			return "check the name; what is on a device is written DEVICE:PATH"
		}
	case aboutLocal:
		if is(fs.ErrNotExist) {
			return "check the name; folders are made with mkdir -p"
		}
	}
	return ""
}

// habits says what to do instead of commands that people type out of habit and that are not there.
var habits = map[string]string{
	"mv":   "a file stays where it is made: copy it with famfs cp DEVICE:OLD DEVICE:NEW, and remove it with famfs rm",
	"tree": "see what is there with: famfs ls -R, famfs find, or famfs du -a",
}

// isSum reports whether word is a kind of sum, which a person may have written after --seal.
func isSum(word string) bool { return word == famfs.CRC32C.String() || word == famfs.SHA256.String() }

// because returns an error with a text of its own that errors.Is recognizes as kind.
func because(kind error, format string, args ...any) error {
	return &reason{fmt.Sprintf(format, args...), kind}
}

type reason struct {
	text string
	kind error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.kind }

// errWholeDevice says that a path was given to a command that is about the whole device.
var errWholeDevice = because(fs.ErrInvalid, "this is about the device as a whole: leave the path out")

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// isEmptyFile reports whether name is a plain file without content, as touch makes it.
func isEmptyFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular() && st.Size() == 0
}

// isUsage reports whether err is an error of cobra about the command line; cobra has no type for
// these.
func isUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command ") || strings.HasPrefix(err.Error(), "required flag(s) ") ||
		strings.HasPrefix(err.Error(), "if any flags in the group ") || strings.HasPrefix(err.Error(), "at least one of the flags ")
}
