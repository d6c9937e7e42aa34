//go:build !unix

package main

import "os"

func endings() []os.Signal { return []os.Signal{os.Interrupt} }
