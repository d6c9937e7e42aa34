//go:build unix

package main

// What ends the program: somebody wants it to, or nobody takes what it prints.

import (
	"os"
	"syscall"
)

func endings() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE} }
