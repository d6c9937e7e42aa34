package main

// Records of running copies. If DEST is a directory when a copy begins, either it was there
// before, and the copy goes into it, or an interrupted run of the same copy made it, and it is
// the copy. Afterwards nobody can tell which. So the copy writes a record before it makes DEST,
// and the same command finds the record when it is run again. At the end the copy removes the
// record.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

// write writes the record. If it fails, the same command will not find it.
func (r *copyRecord) write(what string) error {
	if r.file == "" {
		return errors.New("neither XDG_STATE_HOME nor HOME is the absolute path of a directory")
	}
	err := os.MkdirAll(filepath.Dir(r.file), 0o700)
	if err == nil {
		err = os.WriteFile(r.file, []byte(what+"\n"), 0o600)
	}
	if r.exists() { // its content is for people only
		return nil
	}
	return err
}

// writeRecord writes the record of this copy, if it has one. If that fails, the same command may go
// to another place when it is run again after the copy was broken off. Who runs it must know that,
// also with -q: nobody can say it afterwards if the process is killed.
func (c *copyCommand) writeRecord() {
	if c.record == nil {
		return
	}
	if err := c.record.write(c.to.String()); err != nil && c.mistakable {
		fmt.Fprintf(c.err, "%s: cannot note that this copy makes %s: %s\n", c.command, printable(c.to.String()), printable(err.Error()))
		fmt.Fprintf(c.err, "    if it is broken off, run it again with -T: without, it would copy into %s\n", printable(c.to.String()))
		c.again = ", with -T,"
	}
}

// isDone reports whether nothing of this copy remains to be resumed, if no signal has ended it. Then
// its record would only lead another copy of the same name astray. fails are the errors of files.
func (c *copyCommand) isDone(fails int) bool {
	if c.copied+c.passed > 0 || !c.destExists() {
		return true // DEST shows what it is, or is not there
	}
	if fails > 0 {
		return false
	}
	for _, r := range c.refused {
		switch r.kind {
		case spaceRefusal, logRefusal, thereRefusal, wayRefusal, otherRefusal:
			return false // the same source may be copied later
		}
	}
	return true
}

func (r *copyRecord) remove() {
	if r != nil && r.file != "" {
		os.Remove(r.file)
	}
}
