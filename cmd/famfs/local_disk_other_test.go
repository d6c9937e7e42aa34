//go:build !unix

package main

func onDisk(string) (int64, bool) { return 0, false }
