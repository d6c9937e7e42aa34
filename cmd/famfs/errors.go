package main

// Errors as a person meets them: the status that they end the process with, and the
// lines on stderr that name the device, the path, what is wrong, and the way out.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"famfs"
)

// What the process ends with.
const (
	statusDone        = 0
	statusFailed      = 1
	statusUsage       = 2 // not understood; of fsck and verify: could not be done
	statusInterrupted = 130
)

// statusError ends the process with a status. If err is nil everything has been said.
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

// reportFailure reports an error after which the command goes on, to fail in the end.
func (a *app) reportFailure(what string, err error) {
	a.failed = true
	a.report(what, err)
}

// report writes err to stderr, each of the errors that it joins on lines of its own.
// what is the target, "" where the error names it.
func (a *app) report(what string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && isJoin(err) {
		for _, e := range joined.Unwrap() {
			a.report(what, e)
		}
		return
	}
	message := err.Error()
	var path *fs.PathError
	if errors.As(err, &path) && err == error(path) && what != "" && strings.HasSuffix(what, path.Path) {
		message = path.Op + ": " + path.Err.Error() // what names the path already
	}
	message = strings.TrimPrefix(message, "famfs: ")
	line := a.command + ": "
	if what != "" && !strings.Contains(message, what) {
		line += printable(what) + ": "
	}
	// An error may take several lines; a name with a newline in it is quoted in it.
	for i, part := range strings.FieldsFunc(line+message, func(r rune) bool { return r == '\n' }) {
		if i > 0 {
			part = "    " + strings.TrimSpace(part)
		}
		fmt.Fprintln(a.err, printable(strings.ReplaceAll(part, "\t", " ")))
	}
	if hint := a.wayOut(what, err); hint != "" {
		fmt.Fprintln(a.err, "    "+printable(hint))
	}
}

// isJoin tells errors.Join from an error with a message of its own that wraps several.
func isJoin(err error) bool {
	var parts []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		parts = append(parts, e.Error())
	}
	return strings.Join(parts, "\n") == err.Error()
}

// wayOut says what a person can do about err.
func (a *app) wayOut(what string, err error) string {
	device := what
	if t, parseErr := parseOnDevice(what); what != "" && parseErr == nil {
		device = t.device
	}
	if device == "" {
		device = "DEVICE"
	}
	var known *statusError
	switch is := func(target error) bool { return errors.Is(err, target) }; {
	case errors.As(err, &known) && known.status == statusUsage, isUsage(err):
		return "see " + a.command + " --help"
	case is(context.Canceled):
		return ""
	case is(famfs.ErrNotFormatted) && a.command == "famfs mkfs": // --kill
		return "there is no file system on it: nothing to do"
	case is(famfs.ErrNotFormatted):
		return fmt.Sprintf("format it with: famfs mkfs %s (what is on it is lost)", device)
	case is(famfs.ErrVersion):
		return "use a famfs of the version that formatted it, or format it anew: famfs mkfs --force"
	case is(famfs.ErrNotMaster):
		return "only the host that formatted the device may do this: run it there, or say with --system-uuid that this is that host"
	case is(famfs.ErrLogFull):
		return "files are never removed: copy the device to one that is formatted with a larger --loglen"
	case is(famfs.ErrNoSpace):
		return fmt.Sprintf("see what is free with: famfs df %s and famfs layout %s", device, device)
	case is(famfs.ErrLocked):
		return "another process is writing: try again, or wait longer with --lock-timeout"
	case is(famfs.ErrCorrupt) && !a.tolerant:
		return fmt.Sprintf("see what is wrong with: famfs fsck %s; read what is still readable with --tolerant", device)
	case is(famfs.ErrCorrupt):
		return fmt.Sprintf("see what is wrong with: famfs fsck %s", device)
	case is(fs.ErrExist) && a.command == "famfs mkfs":
		return fmt.Sprintf("look at it with: famfs stat %s; lose it with --force", device)
	case is(fs.ErrExist):
		return "files on famfs are never replaced or removed: use another name"
	case is(fs.ErrNotExist) && device != what:
		return fmt.Sprintf("see what is there with: famfs ls -R %s", device)
	case is(fs.ErrNotExist):
		return "check the name; famfs mkfs --create SIZE makes a file that stands in for a device"
	case is(os.ErrPermission):
		return "run it as a user who may read and write the device, for example root"
	case is(famfs.ErrDevice):
		return "DEVICE is a devdax device, a file on fs-dax, or a plain file that stands in for one"
	}
	return ""
}

// isUsage says that err is cobra's, which has no type for what it does not understand.
func isUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command ") || strings.HasPrefix(err.Error(), "required flag(s) ") ||
		strings.HasPrefix(err.Error(), "if any flags in the group ") || strings.HasPrefix(err.Error(), "at least one of the flags ")
}
