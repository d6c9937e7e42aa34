//go:build !unix

package main

import "testing"

func unprivileged(*testing.T) bool { return false }
