//go:build unix

package famfs

// The amd64 instructions: which of them the processor has, and that each loop consists of the
// instruction in its name, which no effect on memory could show.

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// emulated reports whether this is a guest of test/vm/run, whose processor may be emulated.
func emulated() bool { return os.Getenv("FAMFS_TEST_SCENARIO") != "" }

func lineOps() []lineOp {
	features := uint32(0)
	if leaves, _, _, _ := cpuid(0, 0); leaves >= 7 {
		_, features, _, _ = cpuid(7, 0)
	}
	return []lineOp{
		{"CLWB", clwbLines, features&(1<<24) == 0},
		{"CLFLUSHOPT", clflushoptLines, features&(1<<23) == 0},
		{"CLFLUSH", clflushLines, false},
	}
}

// chosenInstructions names what the library writes back and invalidates lines with, as
// testdata/cachelines.c does.
func chosenInstructions() (writeBack, invalidate string) {
	for _, op := range lineOps() {
		if codeAddress(op.do) == codeAddress(thisMachine.writeBackLines) {
			writeBack = strings.ToLower(op.name)
		}
		if codeAddress(op.do) == codeAddress(thisMachine.invalidateLines) {
			invalidate = strings.ToLower(op.name)
		}
	}
	return writeBack, invalidate
}

// codeAddress returns the address that identifies a function value.
func codeAddress(f any) uintptr { return reflect.ValueOf(f).Pointer() }

// The best available instruction is used: CLWB keeps lines in the cache, and CLFLUSHOPT does not
// wait for the one before.
func TestLineOpChoice(t *testing.T) {
	t.Parallel()
	ops := lineOps()
	invalidate := ops[1]
	if invalidate.missing {
		invalidate = ops[2]
	}
	writeBack := ops[0]
	if writeBack.missing {
		writeBack = invalidate
	}
	assert.Equal(t, codeAddress(writeBack.do), codeAddress(thisMachine.writeBackLines), "want %s for writing back", writeBack.name)
	assert.Equal(t, codeAddress(invalidate.do), codeAddress(thisMachine.invalidateLines), "want %s for invalidating", invalidate.name)
}

// machineCode returns the first bytes of an assembly function. A function value leads
// to a wrapper that the compiler made, which calls it.
func machineCode(t *testing.T, f any) []byte {
	t.Helper()
	code := func(at uintptr) []byte {
		p := *(*unsafe.Pointer)(unsafe.Pointer(&at))
		b := make([]byte, 64)
		for i := range b { // copy and append make the compiler believe that code is data
			b[i] = *(*byte)(unsafe.Add(p, i))
		}
		return b
	}
	start := codeAddress(f)
	name := runtime.FuncForPC(start).Name()
	wrapper := code(start)
	for i := 0; i+5 <= len(wrapper); i++ {
		if wrapper[i] != 0xe8 && wrapper[i] != 0xe9 { // CALL or JMP, relative
			continue
		}
		target := start + uintptr(i) + 5 + uintptr(int32(binary.LittleEndian.Uint32(wrapper[i+1:])))
		if to := runtime.FuncForPC(target); to != nil && to.Entry() == target && to.Name() == name {
			return code(target)
		}
	}
	return wrapper // no wrapper
}

func TestMachineCode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		f    any
		want []byte
	}{
		{"CLWB (AX)", clwbLines, []byte{0x66, 0x0f, 0xae, 0x30}},
		{"CLFLUSHOPT (AX)", clflushoptLines, []byte{0x66, 0x0f, 0xae, 0x38}},
		{"CLFLUSH (AX)", clflushLines, []byte{0x0f, 0xae, 0x38}},
		{"SFENCE", storeFence, []byte{0x0f, 0xae, 0xf8}},
		{"MFENCE", loadFence, []byte{0x0f, 0xae, 0xf0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code := machineCode(t, test.f)
			// Before it there are at most two loads of arguments from the stack.
			at := bytes.Index(code, []byte{0x0f, 0xae})
			require.GreaterOrEqual(t, at, 0, "% x", code)
			if at > 0 && code[at-1] == 0x66 {
				at--
			}
			require.Less(t, at, 16, "% x", code)
			assert.Equal(t, test.want, code[at:at+len(test.want)], "% x", code)
		})
	}
}

// Copying past the caches stores with MOVNTDQ and with nothing else.
func TestMachineCodeOfStreaming(t *testing.T) {
	t.Parallel()
	code := machineCode(t, movntdqLines)
	assert.Equal(t, 4, bytes.Count(code, []byte{0x66, 0x0f, 0xe7}), "MOVNTDQ, in % x", code)
	assert.Equal(t, 4, bytes.Count(code, []byte{0xf3, 0x0f, 0x6f}), "MOVDQU from memory, in % x", code)
	assert.Zero(t, bytes.Count(code, []byte{0xf3, 0x0f, 0x7f}), "MOVDQU to memory, in % x", code)
}
