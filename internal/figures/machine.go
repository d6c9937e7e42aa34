package main

// The machine that was measured, so that figures can be judged. Nothing that names it
// or its users: no host name and no path but those of devices.

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/moby/sys/mountinfo"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

// fact is one thing to know about the machine.
type fact struct{ key, Words string }

// Label is the key as the page has it.
func (f fact) Label() string {
	words := strings.ReplaceAll(f.key, "-", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// known drops what is not known.
func known(facts ...fact) []fact {
	return slices.DeleteFunc(facts, func(f fact) bool { return f.Words == "" })
}

// describeMachine finds out what the system tells; errors only mean that it does not.
func describeMachine() []fact {
	var model, virtual, memory string
	if processors, err := cpu.Info(); err == nil && len(processors) > 0 {
		model = processors[0].ModelName
		virtual = "no sign of it"
		if slices.Contains(processors[0].Flags, "hypervisor") {
			virtual = "yes"
		}
	}
	if all, err := mem.VirtualMemory(); err == nil {
		memory = humanize.IBytes(all.Total)
	}
	platform, _, version, _ := host.PlatformInformation()
	kernel, _ := host.KernelVersion()
	kernel, _, _ = strings.Cut(kernel, "-") // what follows is a name that its builder gave
	where, pages := standIn()
	return known(
		fact{"processor", model},
		fact{"processors", fmt.Sprint(runtime.NumCPU())},
		fact{"memory", memory},
		fact{"system", strings.TrimSpace(platform+" "+version) + " on " + runtime.GOOS + "/" + runtime.GOARCH},
		fact{"kernel", kernel},
		fact{"go", runtime.Version()},
		fact{"devices", where},
		fact{"pages-of-the-tmpfs", pages},
		fact{"virtual-machine", virtual},
	)
}

// standIn tells where the benchmarks put their devices, and the pages of that tmpfs.
func standIn() (where, pages string) {
	path, how := os.Getenv("FAMFS_TEST_DEVICE"), "FAMFS_TEST_DEVICE"
	if path == "" {
		path, how = os.Getenv("FAMFS_TEST_DIR"), "FAMFS_TEST_DIR"
	}
	if path == "" {
		path, how = "/dev/shm", "/dev/shm"
	}
	st, err := os.Stat(path)
	if err != nil {
		path, how = os.TempDir(), "the folder for temporary files"
	} else if st.Mode()&os.ModeDevice != 0 {
		return path, ""
	}
	mount := mountOf(path)
	if mount == nil {
		return "stand-ins in files, " + how, ""
	}
	if mount.FSType == "tmpfs" {
		setting, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
		pages = pageSize(mount.VFSOptions, string(setting))
	}
	return fmt.Sprintf("stand-ins in files on %s (%s)", mount.FSType, how), pages
}

// mountOf returns the mount that holds path, or nil where the system has no such list.
func mountOf(path string) *mountinfo.Info {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	if err != nil || len(mounts) == 0 {
		return nil
	}
	// Of mounts on the same place the last counts.
	slices.Reverse(mounts)
	return slices.MaxFunc(mounts, func(a, b *mountinfo.Info) int { return cmp.Compare(len(a.Mountpoint), len(b.Mountpoint)) })
}

// pageSize says which pages a tmpfs takes, by its mount options and by the system's
// setting, the word in brackets, of which deny and force overrule the mount's.
func pageSize(options, setting string) string {
	huge := "never"
	if found := regexp.MustCompile(`(?:^|,)huge=(\w+)`).FindStringSubmatch(options); found != nil {
		huge = found[1]
	}
	words := "huge=" + huge
	if found := regexp.MustCompile(`\[(\w+)\]`).FindStringSubmatch(setting); found != nil {
		words += ", shmem_enabled " + found[1]
		switch found[1] {
		case "deny":
			huge = "never"
		case "force":
			huge = "always"
		}
	}
	if huge == "never" {
		return fmt.Sprintf("%d KiB (%s)", os.Getpagesize()>>10, words)
	}
	return fmt.Sprintf("huge pages where they fit (%s)", words)
}
