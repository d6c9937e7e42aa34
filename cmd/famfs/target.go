package main

// Arguments that name DEVICE:PATH, a device, or a local path, and their completion in the shell.

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
	// name is a path on the device as in fs.FS, "." for the root, or the local path as it was
	// given.
	name string
	// slash says that the argument ended with a slash, or is the device's root: it is a directory.
	slash bool
	// place is the index of the argument.
	place int
}

// String returns the argument with its full path.
func (t target) String() string {
	if t.device == "" {
		return t.name
	}
	return t.at(t.name)
}

// at returns another path on the same device as an argument.
func (t target) at(name string) string {
	if name == "." {
		name = ""
	}
	if t.device == "" {
		return name
	}
	return t.device + ":/" + name
}

// base returns the last element of the path, as cp needs it. It returns "." if there is none,
// and for "." and "..", which mean their content.
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

// parseTarget parses DEVICE:PATH or a local path. The device ends at the first colon that
// follows the name of an existing file or device. If the whole argument is the name of an
// existing local file, it is that file. If neither exists, a colon before a slash or at the end
// still means a device, which is then missing: a misspelt device name must not make a local
// file.
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

// parseOnDevice parses an argument that must be on a device. A device without a path means its
// root.
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

// completeTarget completes paths on a device after DEVICE:. Before that, the shell completes
// local files.
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
