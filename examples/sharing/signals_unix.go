//go:build unix

package main

// Signals that end the program: a request to end, and the loss of the reader of its output.

import (
	"os"
	"syscall"
)

func endings() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE} }
