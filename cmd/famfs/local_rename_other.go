//go:build !linux

package main

import "errors"

func renameNoReplace(string, string) error { return errors.ErrUnsupported }
