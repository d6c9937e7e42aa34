//go:build unix

package famfs

// The arm64 instructions: whether they do anything here, and that the loops consist of the
// instructions in their names.

import (
	"encoding/binary"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/cpu"
)

// userEmulated reports that no processor runs this: user-mode emulators ignore these
// instructions, and show the processor list of another architecture.
func userEmulated() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && !strings.Contains(string(info), "CPU implementer")
}

// emulated reports whether DC CVAC and DC CIVAC may do nothing here. In guests of test/vm/run
// they do not even use page tables. DC CVAP works there, as on real processors.
func emulated() bool { return userEmulated() || os.Getenv("FAMFS_TEST_SCENARIO") != "" }

func lineOps() []lineOp {
	of := func(f func(p unsafe.Pointer, lines, size uintptr)) func(p unsafe.Pointer, lines uintptr) {
		return func(p unsafe.Pointer, lines uintptr) { f(p, lines, lineSize) }
	}
	return []lineOp{{"CVAC", of(cvacLines), false}, {"CVAP", of(cvapLines), !cpu.ARM64.HasDCPOP || userEmulated()}, {"CIVAC", of(civacLines), false}}
}

// chosenInstructions names what the library writes back and invalidates lines with, as
// testdata/cachelines.c does.
func chosenInstructions() (writeBack, invalidate string) { return "cvac", "civac" }

// Durable means: to the point of persistence, if the processor has an instruction for that.
func TestDurableLines(t *testing.T) {
	t.Parallel()
	assert.Equal(t, cpu.ARM64.HasDCPOP, thisMachineDurable != thisMachine)
}

// A guest has such an instruction and uses it for a device of persistent memory. The emulator
// really does it: a line that is not mapped is a fault.
func TestVMDurable(t *testing.T) {
	if scenario := os.Getenv("FAMFS_TEST_SCENARIO"); scenario != "devdax" && scenario != "fsdax" {
		t.Skip("runs in guests of test/vm/run, scenarios arm64-devdax, arm64-fsdax")
	}
	require.True(t, cpu.ARM64.HasDCPOP)
	m, _ := master(t, testSize)
	assert.Same(t, thisMachineDurable, m.dev.cache)
	memory := guardedPages(t, 1)
	end := addressOf(memory) + uintptr(len(memory))
	assert.Equal(t, end, faultOf(t, func() {
		thisMachineDurable.flush(unsafe.Slice((*byte)(pointerTo(memory, 0)), len(memory)+1))
	}))
	assert.Zero(t, faultOf(t, func() { thisMachineDurable.flush(memory) }))
}

// The line size is read from the processor; all that exist have one of these.
func TestLineSize(t *testing.T) {
	t.Parallel()
	assert.Contains(t, []uintptr{16, 32, 64, 128, 256}, lineSize)
}

// machineCode returns the first instructions of an assembly function. A function value
// leads to a wrapper that the compiler made, which calls it.
func machineCode(f any) []uint32 {
	code := func(at uintptr) []uint32 {
		p := *(*unsafe.Pointer)(unsafe.Pointer(&at))
		b := make([]byte, 128)
		for i := range b { // copy and append make the compiler believe that code is data
			b[i] = *(*byte)(unsafe.Add(p, i))
		}
		words := make([]uint32, len(b)/4)
		for i := range words {
			words[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		return words
	}
	start := reflect.ValueOf(f).Pointer()
	name := runtime.FuncForPC(start).Name()
	wrapper := code(start)
	for i, word := range wrapper {
		if word>>26 != 0b100101 && word>>26 != 0b000101 { // BL, B
			continue
		}
		target := start + uintptr(4*i) + uintptr(int64(int32(word<<6)>>6)*4)
		if to := runtime.FuncForPC(target); to != nil && to.Entry() == target && to.Name() == name {
			return code(target)
		}
	}
	return wrapper // no wrapper
}

func TestMachineCode(t *testing.T) {
	t.Parallel()
	const (
		nextLine = 0x8b020000 // ADD  R2, R0
		count    = 0xf1000421 // SUBS $1, R1
		again    = 0x54ffffa1 // BNE  three instructions back
		wait     = 0xd5033f9f // DSB SY
		before   = 0xd5033fbf // DMB SY
		ret      = 0xd65f03c0
	)
	tests := []struct {
		name string
		f    any
		want []uint32
	}{
		{"DC CVAC", cvacLines, []uint32{0xd50b7a20, nextLine, count, again, wait, ret}},
		{"DC CVAP", cvapLines, []uint32{0xd50b7c20, nextLine, count, again, wait, ret}},
		{"DC CIVAC", civacLines, []uint32{before, 0xd50b7e20, nextLine, count, again, wait, ret}},
		{"DMB ST", storeFence, []uint32{0xd5033ebf, ret}},
		{"DMB LD", loadFence, []uint32{0xd5033dbf, ret}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// Before it there are at most the loads of three arguments from the stack.
			code := machineCode(test.f)
			at := 0
			for at < 3 && code[at] != test.want[0] {
				at++
			}
			require.Equal(t, test.want, code[at:at+len(test.want)], "%08x", code)
		})
	}
}
