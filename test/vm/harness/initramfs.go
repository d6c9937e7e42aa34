//go:build linux && amd64

// The root folder of a guest, as cpio archives. The kernel takes several, one after the other:
// one that all guests of all runs share and that is cached, one with the tests of this run, and
// one of this guest alone.
//
// Not here: the contents that scenarios decide on (scenarios.go).
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed guest
var guestFiles embed.FS

// busybox must be statically linked; the other tools bring their libraries. All are the host's.
// So guests of another architecture do without the others, and have their own busybox.
const busybox = "/bin/busybox"

var tools = []string{"daxctl", "ndctl"}

// archive writes the "newc" format of cpio, the only one that the kernel reads.
type archive struct {
	buf   bytes.Buffer
	inode int
	dirs  map[string]bool
}

func (a *archive) entry(name string, mode uint32, data []byte) {
	a.inode++
	fmt.Fprintf(&a.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	a.pad()
	a.buf.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}

// parents adds the folders above name, because the kernel makes none by itself.
func (a *archive) parents(name string) {
	if dir := path.Dir(name); dir != "." && dir != "/" {
		a.dir(dir)
	}
}

func (a *archive) dir(name string) {
	name = strings.TrimPrefix(name, "/")
	if a.dirs[name] {
		return
	}
	if a.dirs == nil {
		a.dirs = make(map[string]bool)
	}
	a.parents(name)
	a.dirs[name] = true
	a.entry(name, 0o40755, nil)
}

func (a *archive) file(name string, perm uint32, data []byte) {
	name = strings.TrimPrefix(name, "/")
	a.parents(name)
	a.entry(name, 0o100000|perm, data)
}

func (a *archive) link(name, target string) {
	name = strings.TrimPrefix(name, "/")
	a.parents(name)
	a.entry(name, 0o120777, []byte(target))
}

// tree adds a folder of the host with everything in it.
func (a *archive) tree(name, host string) error {
	return filepath.WalkDir(host, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, p)
		if err != nil {
			return err
		}
		to := path.Join(name, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			a.dir(to)
		case d.Type().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			a.file(to, 0o644, data)
		}
		return nil
	})
}

// bytes ends the archive. It pads to multiples of 512 bytes, as cpio does; further archives can
// follow.
func (a *archive) bytes() []byte {
	a.entry("TRAILER!!!", 0, nil)
	for a.buf.Len()%512 != 0 {
		a.buf.WriteByte(0)
	}
	return a.buf.Bytes()
}

// prepareBase builds the archive with tools, modules and init, or uses the one that an earlier
// run built from the same parts.
func prepareBase(ctx context.Context, cache string, a *arch, k kernel) (string, error) {
	var files []string
	source := k.busybox
	if source == "" {
		source = busybox
		var err error
		if files, err = toolFiles(ctx); err != nil {
			return "", err
		}
	}
	init, err := guestFiles.ReadFile("guest/init")
	if err != nil {
		return "", err
	}
	key := sha256.New()
	fmt.Fprintln(key, k.pkg, a.modules, busybox)
	key.Write(init)
	for _, f := range append(files, source) {
		st, err := os.Stat(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(key, f, st.Size(), st.ModTime().UnixNano())
	}
	name := filepath.Join(cache, fmt.Sprintf("base-%s-%x.cpio", a.name, key.Sum(nil)[:8]))
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}

	var base archive
	for _, d := range []string{"proc", "sys", "dev", "tmp", "mnt", "root", "etc", "run"} {
		base.dir(d)
	}
	base.file("init", 0o755, init)
	base.link("etc/mtab", "/proc/mounts")
	applets, err := output(ctx, "", busybox, "--list")
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	base.file(busybox, 0o755, data)
	have := map[string]bool{path.Base(busybox): true}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		base.file(f, 0o755, data)
		have[path.Base(f)] = true
	}
	for _, applet := range strings.Fields(string(applets)) {
		if !have[applet] {
			base.link("bin/"+applet, busybox)
		}
	}
	if err := base.tree("lib/modules", filepath.Join(k.root, "lib", "modules")); err != nil {
		return "", err
	}
	old, _ := filepath.Glob(filepath.Join(cache, "base-"+a.name+"-*.cpio"))
	for _, f := range old {
		os.Remove(f)
	}
	tmp := name + ".tmp"
	if err := errors.Join(os.WriteFile(tmp, base.bytes(), 0o644), os.Rename(tmp, name)); err != nil {
		return "", err
	}
	return name, nil
}

var absolutePath = regexp.MustCompile(`/\S+`)

// toolFiles lists the tools and their libraries, with the names under which they are looked for.
func toolFiles(ctx context.Context) ([]string, error) {
	var files []string
	seen := make(map[string]bool)
	for _, tool := range tools {
		p, err := exec.LookPath(tool)
		if err != nil {
			p, err = exec.LookPath("/usr/sbin/" + tool)
		}
		if err != nil {
			return nil, fmt.Errorf("looking for %s, which guests need: %w; run test/vm/run, which installs it", tool, err)
		}
		libs, err := output(ctx, "", "ldd", p)
		if err != nil {
			return nil, err
		}
		for _, f := range append([]string{p}, absolutePath.FindAllString(string(libs), -1)...) {
			if !seen[f] {
				seen[f] = true
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// testArchive is the folder in which the tests run.
func testArchive(bin, testdata string) ([]byte, error) {
	data, err := os.ReadFile(bin)
	if err != nil {
		return nil, fmt.Errorf("reading the test binary: %w", err)
	}
	var a archive
	a.file("test/famfs.test", 0o755, data)
	if err := a.tree("test/testdata", testdata); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the test data: %w", err)
	}
	return a.bytes(), nil
}

// guestArchive holds what is only this guest's: its environment, and the script that prepares
// the device.
func guestArchive(env []string, prepare string) ([]byte, error) {
	var a archive
	var b strings.Builder
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		fmt.Fprintf(&b, "export %s='%s'\n", k, strings.ReplaceAll(v, "'", `'\''`))
	}
	a.file("vm/env", 0o644, []byte(b.String()))
	if prepare != "" {
		data, err := guestFiles.ReadFile("guest/" + prepare)
		if err != nil {
			return nil, err
		}
		a.file("vm/prepare", 0o644, data)
	}
	return a.bytes(), nil
}
