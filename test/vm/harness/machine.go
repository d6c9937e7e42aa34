//go:build linux && amd64

// The two kinds of emulated machines: which kernel and modules they boot, and QEMU's arguments
// for them.
//
// Not here: what all guests have in common (guest.go), and how packages are fetched and unpacked
// (kernel.go).
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// arch holds the differences between guests of different processors.
type arch struct {
	name    string // the name in Go and Debian
	suite   string // Debian's release that kernel and busybox come from, or "" for the host's own
	modules []string
	// unpackImage converts the package's boot/vmlinuz-* to what QEMU boots.
	unpackImage func(context.Context, []byte) ([]byte, error)
	qemu        string
	machine     func(*stage, guestSpec) (qemuMachine, error)
	terminal    string // the serial line of tests and markers, as the guest calls it
}

// qemuMachine describes one guest's machine to QEMU.
type qemuMachine struct {
	args    []string
	cmdline string
	dtb     []byte // the device tree, or nil; QEMU finds it at deviceTreeFD
}

const deviceTreeFD = 7

// The modules are what scenarios may load. What they depend on comes along; one that the kernel
// has built in is fine too. crc32c_generic is a dependency of ext4 that no symbol shows.
var (
	amd64 = &arch{
		name: "amd64", modules: []string{"device_dax", "dax_hmem", "kmem", "nd_e820", "nd_pmem", "crc32c_generic", "ext4", "fuse"},
		unpackImage: extractVmlinux, qemu: "qemu-system-x86_64", machine: amd64Machine, terminal: "/dev/ttyS1",
	}
	// Debian's kernels for arm64 have memory that can be mapped as DAX (CONFIG_ZONE_DEVICE) from
	// 13 on.
	arm64 = &arch{
		name: "arm64", suite: "trixie", modules: []string{"device_dax", "dax_pmem", "of_pmem", "nd_pmem", "crc32c_generic", "ext4"},
		unpackImage: checkImage, qemu: "qemu-system-aarch64", machine: arm64Machine, terminal: "/dev/ttyS0",
	}
)

// outfit is what all guests of one architecture boot.
type outfit struct {
	accel  accel
	kernel kernel
	base   []byte // the archive that all guests of all runs have in common
	tests  []byte // a second archive, with the test binary and its data
	// command is tests with the binary of the command's tests; nil if no scenario needs it
	command []byte
}

// devices are the two forms of the shared memory and, on arm64, the form from which the guest
// makes the other. memmap is a kernel argument, for the size in MiB: type 0xefffffff is memory
// that firmware has reserved for a special purpose, and ! makes it persistent memory. arm64 has
// it in the device tree instead.
var devices = map[string]struct{ memmap, modules, node string }{
	"devdax":      {"memmap=%dM%%0x100000000-1+0xefffffff", "device_dax dax_hmem", "/dev/dax0.0"},
	"pmem":        {"memmap=%dM!4G", "nd_e820 nd_pmem", "/dev/pmem0"},
	"pmem-region": {"", "of_pmem nd_pmem", "/dev/pmem0"},
}

// memoryArgs give a guest its own memory and the shared memory, each as a NUMA node. The shared
// memory is at descriptor 3.
func memoryArgs(own int, shared int64) []string {
	return []string{
		"-m", fmt.Sprintf("%dM", int64(own)+shared),
		"-object", fmt.Sprintf("memory-backend-ram,id=own,size=%dM", own),
		"-object", fmt.Sprintf("memory-backend-file,id=shared,size=%dM,share=on,mem-path=/proc/self/fd/3", shared),
		"-numa", "node,nodeid=0,memdev=own", "-numa", "node,nodeid=1,memdev=shared",
	}
}

func amd64Machine(s *stage, spec guestSpec) (qemuMachine, error) {
	size := s.sc.size / mib
	args := []string{
		// The guest's own memory is below 4 GiB, the shared memory directly above, so that its
		// place is the same in all guests.
		"-machine", fmt.Sprintf("q35,max-ram-below-4g=%dM,hpet=off,smm=off,sata=off,smbus=off,usb=off,i8042=off", spec.ram),
		"-serial", "chardev:con", "-serial", "chardev:out",
	}
	return qemuMachine{args: append(args, memoryArgs(spec.ram, size)...), cmdline: strings.Join([]string{
		"console=ttyS0 reboot=t random.trust_cpu=on",
		// For a quick start.
		"no5lvl no_timer_check swiotlb=noforce",
		// The usual clock, the cycle counter, is measured during boot. On a busy host that goes
		// wrong, and the guest's time then runs several times too fast.
		"tsc=reliable clocksource=acpi_pm",
		fmt.Sprintf(devices[spec.device].memmap, size),
	}, " ")}, nil
}

// arm64Machine places the shared memory directly above the guest's own. The kernel is told not
// to use it (mem=), and the device tree says that it is persistent memory. An NVDIMM would need
// ACPI, and so firmware, which takes longer than the kernel.
func arm64Machine(s *stage, spec guestSpec) (qemuMachine, error) {
	size := s.sc.size / mib
	dtb, err := arm64DeviceTree(s, int64(spec.ram), size)
	if err != nil {
		return qemuMachine{}, fmt.Errorf("making its device tree: %w", err)
	}
	args := []string{
		"-machine", arm64Board, "-dtb", fmt.Sprintf("/proc/self/fd/%d", deviceTreeFD),
		// The board has one serial line; the other is a card.
		"-serial", "chardev:con", "-device", "pci-serial,chardev=out",
	}
	return qemuMachine{
		args: append(args, memoryArgs(spec.ram, size)...), dtb: dtb,
		cmdline: fmt.Sprintf("console=ttyAMA0 mem=%dM", spec.ram),
	}, nil
}

const (
	arm64Board  = "virt,gic-version=3"
	arm64Memory = 1 << 30 // where the board's memory begins
)

// arm64Acceleration: the processor is one of servers, and knows DC CVAP.
var arm64Acceleration = accel{"tcg", []string{"-accel", "tcg,thread=multi,tb-size=256", "-cpu", "neoverse-n1", "-smp", "1"}}

// arm64DeviceTree returns the board's device tree, as QEMU makes it, with the shared memory added.
func arm64DeviceTree(s *stage, own, shared int64) ([]byte, error) {
	dir, err := os.MkdirTemp(s.h.logs, "devicetree-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	board := filepath.Join(dir, "board.dtb")
	args := append([]string{"-nodefaults", "-display", "none", "-m", fmt.Sprintf("%dM", own+shared), "-machine", arm64Board + ",dumpdtb=" + board}, arm64Acceleration.args...)
	if _, err := output(s.ctx, dir, "qemu-system-aarch64", args...); err != nil {
		return nil, err
	}
	source, err := output(s.ctx, dir, "dtc", "-q", "-I", "dtb", "-O", "dts", board)
	if err != nil {
		return nil, err
	}
	at, size := arm64Memory+own*mib, shared*mib
	region := fmt.Sprintf("/ { pmem@%x { compatible = \"pmem-region\"; reg = <%#x %#x %#x %#x>; }; };\n",
		at, at>>32, at&0xffffffff, size>>32, size&0xffffffff)
	return filter(s.ctx, append(source, region...), "dtc", "-q", "-I", "dts", "-O", "dtb")
}

// checkImage checks that QEMU can boot this arm64 kernel directly: one that unpacks itself needs
// firmware.
func checkImage(_ context.Context, image []byte) ([]byte, error) {
	// The header of Documentation/arch/arm64/booting.rst.
	if len(image) < 64 || !bytes.Equal(image[56:60], []byte("ARM\x64")) {
		return nil, errors.New("it is not an uncompressed image for arm64")
	}
	return image, nil
}
