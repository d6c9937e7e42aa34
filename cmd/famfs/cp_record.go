package main

// Records of copies under way. A directory that DEST names may have been there before a
// copy began, which then goes into it; or the copy made it, and is DEST itself. Once it
// is there nobody can tell, so the copy writes it down before it makes DEST, where the
// same command finds it if it is run again. At the end the record is taken away.

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// copyRecord is the record of one SOURCE and DEST, whether it is there or not.
type copyRecord struct{ file string }

// recordOf names the record of a copy by what identifies it: what DEST lies in, its
// name there, and SOURCE.
func recordOf(parts ...string) *copyRecord {
	dir := stateDir()
	if dir == "" {
		return &copyRecord{}
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return &copyRecord{filepath.Join(dir, "copy-"+hex.EncodeToString(sum[:16]))}
}

// stateDir is where records lie, "" if this user has no place for them.
func stateDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "famfs")
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "famfs")
	}
	return ""
}

// exists says that such a copy is under way, or was broken off.
func (r *copyRecord) exists() bool { return r.file != "" && exists(r.file) }

// write says whether the same command will find what was begun.
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
