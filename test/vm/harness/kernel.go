//go:build linux && amd64

// The kernel that guests boot: its package is downloaded, not installed, and taken apart into an
// image and the few modules that are needed.
//
// Not here: which package, from where, and which modules (machine.go), and what else a guest
// needs to start (initramfs.go).
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

type kernel struct {
	version string // as uname -r says it
	pkg     string // the package with its version, part of the key of all that is made from it
	image   string // path of what QEMU boots
	root    string // folder with lib/modules/VERSION
	busybox string // path of a busybox for the guest, from the same download, or "" if that of the host will do
}

// prepareKernel uses the cache if possible, so that a second run needs no network.
func prepareKernel(ctx context.Context, cache string, a *arch, pkg string) (kernel, error) {
	dir := filepath.Join(cache, "kernel-"+pkg)
	if k, ok := cachedKernel(dir, a); ok {
		return k, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("fetching the kernel took longer than 5 minutes"))
	defer cancel()

	tmp := dir + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.RemoveAll(dir)); err != nil {
		return kernel{}, err
	}
	defer os.RemoveAll(tmp)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return kernel{}, err
	}
	// Package lists that are missing or too old are the usual reason for a failure, and the only
	// one that can be fixed here.
	options, err := aptOptions, error(nil)
	if a.suite != "" {
		options, err = foreignOptions(ctx, filepath.Join(tmp, "apt"), a)
	}
	if err == nil {
		err = fetchKernel(ctx, tmp, a, options, pkg)
		if err != nil {
			if _, uerr := output(ctx, tmp, "apt-get", slices.Concat(options, []string{"update"})...); uerr != nil {
				return kernel{}, errors.Join(err, uerr)
			}
			err = fetchKernel(ctx, tmp, a, options, pkg)
		}
	}
	if err == nil {
		err = unpackKernel(ctx, tmp, a)
	}
	if err != nil {
		return kernel{}, fmt.Errorf("getting a guest kernel from package %s: %w", pkg, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return kernel{}, err
	}
	k, ok := cachedKernel(dir, a)
	if !ok {
		return kernel{}, fmt.Errorf("unpacking package %s: %s is incomplete afterwards", pkg, dir)
	}
	return k, nil
}

// cachedKernel reads the note that unpackKernel writes as its last step.
func cachedKernel(dir string, a *arch) (kernel, bool) {
	note, err := os.ReadFile(filepath.Join(dir, "note"))
	if err != nil {
		return kernel{}, false
	}
	f := strings.Split(string(note), "\n")
	if len(f) < 3 || f[2] != strings.Join(a.modules, " ") {
		return kernel{}, false // made for another list of modules
	}
	k := kernel{version: f[0], pkg: f[1], image: filepath.Join(dir, "vmlinux"), root: dir}
	if a.suite != "" {
		k.busybox = filepath.Join(dir, "busybox")
	}
	return k, true
}

var aptOptions = []string{"-q", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30", "-o", "APT::Sandbox::User=root"}

// foreignOptions make apt work for another architecture and another release than the host's,
// with package lists in dir and nothing installed, so that the host's own apt is not affected.
// Packages come from the host's mirror of Debian.
func foreignOptions(ctx context.Context, dir string, a *arch) ([]string, error) {
	mirror, err := debianMirror(ctx)
	if err == nil && mirror == "" {
		// Before its first update, apt does not know the owner of its sources.
		if _, err = output(ctx, "", "apt-get", slices.Concat(aptOptions, []string{"update"})...); err == nil {
			mirror, err = debianMirror(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if mirror == "" {
		return nil, fmt.Errorf("apt has no mirror of Debian among its sources, from which packages for %s could come", a.name)
	}
	source := fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", mirror, a.suite)
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	sources, status := filepath.Join(dir, "sources.list"), filepath.Join(dir, "status")
	if err := errors.Join(os.WriteFile(sources, []byte(source), 0o644), os.WriteFile(status, nil, 0o644)); err != nil {
		return nil, err
	}
	options := slices.Clone(aptOptions)
	for _, o := range []string{
		"APT::Architecture=" + a.name, "APT::Architectures=" + a.name, "Acquire::Languages=none",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"Dir::Etc::sourcelist=" + sources, "Dir::Etc::sourceparts=-", "Dir::State::status=" + status,
		"Dir::State::lists=" + filepath.Join(dir, "lists"), "Dir::Cache=" + filepath.Join(dir, "cache"),
	} {
		options = append(options, "-o", o)
	}
	return options, nil
}

// debianMirror returns the first of the host's sources that is Debian itself, or "" if there is
// none.
func debianMirror(ctx context.Context) (string, error) {
	out, err := output(ctx, "", "apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if uri, ok := strings.CutPrefix(strings.TrimSpace(line), "Debian "); ok {
			return uri, nil
		}
	}
	return "", nil
}

// fetchKernel downloads the package into dir. If the package only stands for the newest of a
// kind, it downloads the one that it depends on. For another architecture it also downloads a
// busybox.
func fetchKernel(ctx context.Context, dir string, a *arch, options []string, pkg string) error {
	imagePackage := regexp.MustCompile(`^linux-image-[0-9]\S*-` + a.name + `$`)
	out, err := output(ctx, dir, "apt-cache", slices.Concat(options, []string{"depends", pkg})...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		if dep, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && imagePackage.MatchString(dep) {
			pkg = dep
		}
	}
	if !imagePackage.MatchString(pkg) {
		return fmt.Errorf("%s is, and depends on, no package named like linux-image-6.1.0-1-%s; name one with -kernel", pkg, a.name)
	}
	download := []string{"download", pkg}
	if a.suite != "" {
		download = append(download, "busybox-static")
	}
	_, err = output(ctx, dir, "apt-get", slices.Concat(options, download)...)
	return err
}

// unpackKernel turns the package in dir into vmlinux, lib/modules and a note, and a second one
// into busybox.
func unpackKernel(ctx context.Context, dir string, a *arch) error {
	debs, _ := filepath.Glob(filepath.Join(dir, "linux-image-*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("downloaded %d packages of a kernel, expected 1", len(debs))
	}
	if a.suite != "" {
		if err := unpackBusybox(ctx, dir); err != nil {
			return err
		}
	}
	all := filepath.Join(dir, "all")
	if _, err := output(ctx, dir, "dpkg", "-x", debs[0], all); err != nil {
		return err
	}
	images, _ := filepath.Glob(filepath.Join(all, "boot", "vmlinuz-*"))
	if len(images) != 1 {
		return fmt.Errorf("the package has %d files boot/vmlinuz-*, expected 1", len(images))
	}
	version := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	image, err := os.ReadFile(images[0])
	if err != nil {
		return err
	}
	image, err = a.unpackImage(ctx, image)
	if err != nil {
		return fmt.Errorf("taking the image to boot out of %s: %w", filepath.Base(images[0]), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "vmlinux"), image, 0o644); err != nil {
		return err
	}
	// From Debian 13 on modules are in /usr/lib.
	libs, _ := filepath.Glob(filepath.Join(all, "*", "modules", version))
	if usr, _ := filepath.Glob(filepath.Join(all, "usr", "lib", "modules", version)); len(usr) == 1 {
		libs = usr
	}
	if len(libs) != 1 {
		return fmt.Errorf("the package has no folder lib/modules/%s", version)
	}
	if err := copyModules(ctx, libs[0], filepath.Join(dir, "lib", "modules", version), version, a.modules); err != nil {
		return err
	}
	if _, err := output(ctx, dir, "depmod", "-b", dir, version); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(all), os.RemoveAll(filepath.Join(dir, "apt")), os.Remove(debs[0])); err != nil {
		return err
	}
	note := version + "\n" + filepath.Base(debs[0]) + "\n" + strings.Join(a.modules, " ") + "\n"
	return os.WriteFile(filepath.Join(dir, "note"), []byte(note), 0o644)
}

func unpackBusybox(ctx context.Context, dir string) error {
	debs, _ := filepath.Glob(filepath.Join(dir, "busybox-static_*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("downloaded %d packages of a busybox, expected 1", len(debs))
	}
	all := filepath.Join(dir, "all-busybox")
	if _, err := output(ctx, dir, "dpkg", "-x", debs[0], all); err != nil {
		return err
	}
	// From Debian 13 on it is in /usr/bin.
	found, _ := filepath.Glob(filepath.Join(all, "usr", "bin", "busybox"))
	if len(found) != 1 {
		found = []string{filepath.Join(all, "bin", "busybox")}
	}
	return errors.Join(os.Rename(found[0], filepath.Join(dir, "busybox")), os.RemoveAll(all), os.Remove(debs[0]))
}

// copyModules copies modules and everything that they depend on. It uncompresses them, because
// the loader in guests cannot.
func copyModules(ctx context.Context, from, to, version string, modules []string) error {
	// The package does not come with modules.dep.
	base, _, ok := strings.Cut(from, "/lib/modules/")
	if !ok {
		return fmt.Errorf("%s is not in a folder lib/modules", from)
	}
	if _, err := output(ctx, from, "depmod", "-b", base, version); err != nil {
		return err
	}
	deps, err := os.ReadFile(filepath.Join(from, "modules.dep"))
	if err != nil {
		return err
	}
	builtin, err := os.ReadFile(filepath.Join(from, "modules.builtin"))
	if err != nil {
		return err
	}
	name := func(path string) string {
		n, _, _ := strings.Cut(filepath.Base(path), ".ko")
		return strings.ReplaceAll(n, "-", "_")
	}
	need := make(map[string]bool)
	missing := slices.Clone(modules)
	found := func(n string) {
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == n })
	}
	for line := range strings.Lines(string(deps)) {
		path, rest, _ := strings.Cut(line, ":")
		if slices.Contains(modules, name(path)) {
			found(name(path))
			need[path] = true
			for _, dep := range strings.Fields(rest) {
				need[dep] = true
			}
		}
	}
	for line := range strings.Lines(string(builtin)) {
		found(name(strings.TrimSpace(line)))
	}
	if len(missing) > 0 {
		return fmt.Errorf("kernel %s has no module %s; choose another package with -kernel (a cloud kernel will not do)", version, strings.Join(missing, ", "))
	}
	for path := range need {
		data, err := os.ReadFile(filepath.Join(from, path))
		if err != nil {
			return err
		}
		plain := path
		switch filepath.Ext(path) {
		case ".xz":
			plain = strings.TrimSuffix(path, ".xz")
			data, err = filter(ctx, data, "xz", "-dc")
		case ".zst":
			plain = strings.TrimSuffix(path, ".zst")
			data, err = filter(ctx, data, "zstd", "-dcq")
		}
		if err != nil {
			return fmt.Errorf("decompressing %s: %w", path, err)
		}
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(path)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, plain), data, 0o644); err != nil {
			return err
		}
	}
	for _, f := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		data, err := os.ReadFile(filepath.Join(from, f))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, f), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// extractVmlinux takes the payload out of a bzImage, so that a guest need not decompress it,
// which takes seconds if instructions are emulated.
func extractVmlinux(ctx context.Context, image []byte) ([]byte, error) {
	// The header of the Linux boot protocol, version 2.08 and later.
	if len(image) < 0x250 || string(image[0x202:0x206]) != "HdrS" {
		return nil, errors.New("it is not a bzImage")
	}
	start := (int64(image[0x1f1]) + 1) * 512
	start += int64(binary.LittleEndian.Uint32(image[0x248:]))
	length := int64(binary.LittleEndian.Uint32(image[0x24c:]))
	if start+length > int64(len(image)) || length < 16 {
		return nil, fmt.Errorf("its payload is said to be at %d with length %d, the file has %d bytes", start, length, len(image))
	}
	payload := image[start : start+length]
	// xz and zstd are followed by the size, which is not part of their streams.
	var elf []byte
	var err error
	switch {
	case bytes.HasPrefix(payload, []byte("\xfd7zXZ\x00")):
		elf, err = filter(ctx, payload[:length-4], "xz", "-dc")
	case bytes.HasPrefix(payload, []byte("\x28\xb5\x2f\xfd")):
		elf, err = filter(ctx, payload[:length-4], "zstd", "-dcq")
	case bytes.HasPrefix(payload, []byte("\x1f\x8b")):
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(payload)); err == nil {
			r.Multistream(false)
			elf, err = io.ReadAll(r)
		}
	default:
		return nil, fmt.Errorf("its payload begins with % x, which is neither xz nor zstd nor gzip", payload[:6])
	}
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(elf, []byte("\x7fELF")) {
		return nil, errors.New("what it holds is not an ELF file")
	}
	return elf, nil
}

// output runs a command in dir. Its error contains the command's output.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := command(ctx, name, args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: %w\n%s%s", strings.Join(append([]string{name}, args...), " "), err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes(), nil
}

func filter(ctx context.Context, data []byte, name string, args ...string) ([]byte, error) {
	cmd := command(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(data)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}
