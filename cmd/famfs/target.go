package main

// Arguments that name something: DEVICE:PATH, a device, or a local path; and their
// completion in the shell.

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
)

// target is what an argument names.
type target struct {
	// device is "" for a local path.
	device string
	// name is a path on the device as fs.FS wants it, "." for the root; or the local
	// path as it was given.
	name string
	// slash says that it ended with a slash, or was the device's root: a directory.
	slash bool
	// place is which of the arguments it is.
	place int
}

// String returns the argument, with the path in full.
func (t target) String() string {
	if t.device == "" {
		return t.name
	}
	return t.at(t.name)
}

// at returns how another path of the same device is written.
func (t target) at(name string) string {
	if name == "." {
		name = ""
	}
	if t.device == "" {
		return name
	}
	return t.device + ":/" + name
}

// base is the last element of the path, as cp needs it: "." where there is none, and
// for "." and "..", whose content is meant.
func (t target) base() string {
	name := t.name
	if t.device == "" {
		name = strings.TrimRight(filepath.ToSlash(name), "/")
	}
	if name = name[strings.LastIndexByte(name, '/')+1:]; name == "" || name == ".." {
		return "."
	}
	return name
}

// parseTarget reads DEVICE:PATH or a local path. The device is what stands before the
// first colon that ends the name of an existing file or device; what names an
// existing local file as a whole is that file. Where nothing of this exists, a colon
// before a slash, or at the end, still means a device, which is missing then: a
// misspelt device must not make a local file.
func parseTarget(arg string) (target, error) {
	local := target{name: arg, slash: strings.HasSuffix(filepath.ToSlash(arg), "/")}
	if arg == "" {
		return target{}, because(fs.ErrInvalid, "an empty name")
	}
	if _, err := os.Lstat(arg); err == nil {
		return local, nil
	}
	var missing error
	for i, c := range arg {
		if c != ':' || i == 0 || runtime.GOOS == "windows" && i == 1 {
			continue
		}
		device, rest := arg[:i], arg[i+1:]
		st, err := os.Stat(device)
		if err == nil && !st.IsDir() {
			return onDevice(device, rest), nil
		}
		if err == nil {
			err = because(fs.ErrInvalid, "is a directory, want a device or a file that stands in for one")
		}
		if missing == nil && (rest == "" || rest[0] == '/') {
			missing = deviceFailed(device, err)
		}
	}
	if missing != nil {
		return target{}, missing
	}
	return local, nil
}

// parseOnDevice reads an argument that must be on a device; one without a path is
// its root.
func parseOnDevice(arg string) (target, error) {
	t, err := parseTarget(arg)
	if err != nil || t.device != "" {
		return t, err
	}
	if _, err := os.Stat(arg); err != nil {
		return target{}, deviceFailed(arg, err)
	}
	return onDevice(arg, ""), nil
}

func onDevice(device, rest string) target {
	name := path.Clean("/" + rest)[1:] // cannot leave the root
	if name == "" {
		return target{device: device, name: ".", slash: true}
	}
	return target{device: device, name: name, slash: strings.HasSuffix(rest, "/")}
}

// completeTarget offers what is on a device once DEVICE: has been typed; before that
// the shell completes local files.
func (a *app) completeTarget(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	colon := strings.IndexByte(typed, ':')
	if colon < 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	t, err := parseTarget(typed)
	if err != nil || t.device == "" {
		return nil, cobra.ShellCompDirectiveDefault
	}
	a.tolerant = true
	fsys, err := a.open(t.device)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer fsys.Close()
	rest := typed[len(t.device)+1:]
	prefix := rest[strings.LastIndexByte(rest, '/')+1:]
	before := typed[:len(typed)-len(prefix)]
	if rest == "" {
		before += "/"
	}
	dir := onDevice(t.device, rest[:len(rest)-len(prefix)]).name
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || printable(e.Name()) != e.Name() {
			continue
		}
		name := before + e.Name()
		if e.IsDir() {
			name += "/"
		}
		found = append(found, name)
	}
	return found, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}
