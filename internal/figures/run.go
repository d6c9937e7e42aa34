package main

// Running the benchmarks: every package's test binary is built once, and all of them
// run once a round. What they print is passed on as it is; parse.go reads it.

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// measure runs the benchmarks of packages, given as folders, and writes their output
// to out, with the number of the round before each. It stops at the first that fails.
func measure(ctx context.Context, packages []string, o options, out, progress io.Writer) error {
	temp, err := os.MkdirTemp("", "figures-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	binaries := make([]string, len(packages))
	for i, dir := range packages {
		fmt.Fprintf(progress, "building the benchmarks of %s\n", dir)
		binaries[i] = filepath.Join(temp, strconv.Itoa(i)+".test.exe") // Windows wants the ending, others do not mind
		if err := build(ctx, dir, binaries[i], progress); err != nil {
			return err
		}
	}
	for round := 1; round <= o.rounds; round++ {
		if _, err := fmt.Fprintf(out, "round: %d\n", round); err != nil {
			return err
		}
		for i, dir := range packages {
			fmt.Fprintf(progress, "round %d of %d: %s\n", round, o.rounds, dir)
			if err := runOnce(ctx, dir, binaries[i], o, out, progress); err != nil {
				return fmt.Errorf("round %d of the benchmarks of %s: %w", round, dir, err)
			}
		}
	}
	return nil
}

func build(ctx context.Context, dir, binary string, progress io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the benchmarks of %s: %w", dir, err)
	}
	return nil
}

// runOnce runs one test binary in its package's folder, as go test does, with the
// environment as it is: that is how FAMFS_TEST_DIR gets through.
func runOnce(ctx context.Context, dir, binary string, o options, out, progress io.Writer) error {
	args := []string{"-test.run", "^$", "-test.bench", o.bench}
	if o.benchtime != "" {
		args = append(args, "-test.benchtime", o.benchtime)
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	both := io.MultiWriter(out, progress)
	cmd.Stdout, cmd.Stderr = both, both // one writer: lines do not mix
	return cmd.Run()
}
