package main

// Records of running copies. If DEST is a directory when a copy begins, either it was there
// before, and the copy goes into it, or an interrupted run of the same copy made it, and it is
// the copy. Afterwards nobody can tell which. So the copy writes a record before it makes DEST,
// and the same command finds the record when it is run again. At the end the copy removes the
// record.

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// copyRecord is the record of a copy from one SOURCE to DEST. It may not exist.
type copyRecord struct{ file string }

// recordOf returns the record of the copy that parts identify: what DEST lies in, the name of
// DEST in that, and SOURCE.
func recordOf(parts ...string) *copyRecord {
	dir := stateDir()
	if dir == "" {
		return &copyRecord{}
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return &copyRecord{filepath.Join(dir, "copy-"+hex.EncodeToString(sum[:16]))}
}

// stateDir returns the directory of the records. It returns "" if this user has no place for them.
func stateDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "famfs")
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "famfs")
	}
	return ""
}

// exists reports whether such a copy is running or was interrupted.
func (r *copyRecord) exists() bool { return r.file != "" && exists(r.file) }

// write writes the record. It reports whether the same command will find it.
func (r *copyRecord) write(what string) bool {
	if r.file == "" || os.MkdirAll(filepath.Dir(r.file), 0o700) != nil {
		return false
	}
	return os.WriteFile(r.file, []byte(what+"\n"), 0o600) == nil
}

func (r *copyRecord) remove() {
	if r != nil && r.file != "" {
		os.Remove(r.file)
	}
}
