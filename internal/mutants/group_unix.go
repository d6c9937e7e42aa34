//go:build unix

package main

// Ending what tests leave running: some start processes of their own, and a fault may
// keep them from ending these.

import (
	"os/exec"
	"syscall"
)

// endTogether makes cmd the first of a group of processes, so that a time limit ends all.
func endTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// endRest ends those of the group that are left.
func endRest(cmd *exec.Cmd) {
	if cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
