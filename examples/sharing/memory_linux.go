package main

// The memory that a process has of a device, from /proc/self/smaps.

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// measureMemory sums up this process's mappings of device.
func measureMemory(device string) (memory, error) {
	full, err := filepath.EvalSymlinks(device)
	if err == nil {
		full, err = filepath.Abs(full)
	}
	if err != nil {
		return memory{}, err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return memory{}, err
	}
	defer f.Close()
	m := memory{Known: true}
	fields := map[string]*int64{
		"Rss": &m.Resident, "Pss": &m.Share, "Shared_Clean": &m.Shared, "Shared_Dirty": &m.Shared, "Private_Clean": &m.Private, "Private_Dirty": &m.Private,
	}
	ours := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), ":")
		if strings.Contains(name, " ") || !found { // begins a mapping: addresses, permissions, …, path
			ours = strings.HasSuffix(lines.Text(), " "+full)
			continue
		}
		if sum := fields[name]; ours && sum != nil {
			var kib int64
			if _, err := fmt.Sscanf(value, "%d kB", &kib); err != nil {
				return memory{}, fmt.Errorf("smaps: %q: %w", lines.Text(), err)
			}
			*sum += kib << 10
		}
	}
	return m, lines.Err()
}
