//go:build linux && (mips || mipsle || mips64 || mips64le)

package famfs

// syncFlags is 0: here the bit that asks for such mappings elsewhere asks for huge pages.
const syncFlags = 0
