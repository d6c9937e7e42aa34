//go:build !(linux && amd64)

// The harness on systems where it cannot run. It exists so that every package of the repository
// builds everywhere.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "harness: needs Linux on x86_64, this is %s on %s\n", runtime.GOOS, runtime.GOARCH)
	os.Exit(1)
}
