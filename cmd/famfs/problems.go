package main

// What a device leaves out because it is damaged or was cut off. Commands that read directories
// report it, so that nobody takes the rest for everything. fsck and logdump, whose job that is,
// report it in their own words.

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"famfs"
)

// mostLeftOut is how many log entries of a device are named. fsck names all of them.
const mostLeftOut = 10

// reportLeftOut reports what may be missing in the directory t, or why t itself may be missing.
// It reports nothing for a file that is there.
func (a *app) reportLeftOut(fsys *famfs.FS, t target) {
	a.reportFurther(fsys, t.device)
	st, err := fsys.Stat(t.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() || a.leftOutSaid[t.device] {
		return
	}
	left := leftOut(fsys, t.name)
	if len(left) == 0 {
		return
	}
	if a.leftOutSaid == nil {
		a.leftOutSaid = make(map[string]bool)
	}
	a.leftOutSaid[t.device] = true
	lines := []string{errLeftOut.Error() + ":"}
	for i, err := range left {
		if i == mostLeftOut {
			lines = append(lines, "and "+count(len(left)-i, "more", "more"))
			break
		}
		lines = append(lines, strings.ReplaceAll(printable(err.Error()), "\n", " "))
	}
	a.reportFailure(deviceFailed(t.device, &leftOutError{strings.Join(lines, "\n")}))
}

// isFurther reports whether a problem is about another device than the one with the log.
func isFurther(p famfs.Problem) bool { return p.Index < 0 && isSecondary(p.Err.Error()) }

// reportFurther says of devices that cannot be used what is wrong with them.
func (a *app) reportFurther(fsys *famfs.FS, device string) {
	if a.furtherSaid[device] {
		return
	}
	for _, p := range fsys.Problems() {
		if !isFurther(p) {
			continue
		}
		if a.furtherSaid == nil {
			a.furtherSaid = make(map[string]bool)
		}
		a.furtherSaid[device] = true
		fmt.Fprintf(a.err, "%s: %s: %s\n", a.command, a.displayName(device), printable(commandWords.Replace(p.Err.Error())))
	}
}

// leftOutError lists what is left out.
type leftOutError struct{ message string }

var errLeftOut = errors.New("files may be missing")

func (e *leftOutError) Error() string { return e.message }
func (e *leftOutError) Unwrap() error { return errLeftOut }

// leftOut returns the problems of a device that may concern dir.
func leftOut(fsys *famfs.FS, dir string) []error {
	var left []error
	if was, is := fsys.Superblock().DeviceSize, fsys.Device().Size; was > is {
		left = append(left, fmt.Errorf("the device had %s when it was formatted, now it has %s: files behind its end cannot be read", exact(was), exact(is)))
	}
	for _, p := range fsys.Problems() {
		if isFurther(p) {
			continue // what is on it is listed, and reading it says what is wrong
		}
		if errors.Is(p.Err, famfs.ErrBadMemory) {
			continue // it is served
		}
		// The path of an entry can be believed only if the entry is sound.
		sound := errors.Is(p.Err, fs.ErrExist) || errors.Is(p.Err, famfs.ErrDevice) && !errors.Is(p.Err, famfs.ErrCorrupt)
		if !sound || dir == "." || p.Path == dir || strings.HasPrefix(p.Path, dir+"/") {
			left = append(left, p)
		}
	}
	return left
}
