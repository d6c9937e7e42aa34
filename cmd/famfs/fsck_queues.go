package main

// Half queues: fsck notes them. The log is sound with them, but nobody can open such a queue.

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"

	"famfs"
)

// noteJSON is something that is no problem of the file system, but that somebody should know.
type noteJSON struct {
	Path    string `json:"path"`
	Message string `json:"message"`
	Do      string `json:"do"`
}

// What the two files of a queue begin with, and their sizes (docs/format.md: queues).
const (
	queueSuffix     = ".consumer"
	queueHeader     = 2 << 20
	queueLeast      = 32 // bytes of the smallest bucket
	queueProducerIs = 0xBEEBEE3
	queueConsumerIs = 0xBEEBEE4
)

// halfQueues notes the files that are one half of a queue whose other half is missing.
func halfQueues(device string, opts ...famfs.Option) []noteJSON {
	notes := []noteJSON{}
	fsys, err := famfs.Open(device, append(opts, famfs.Tolerant())...)
	if err != nil {
		return notes // which is said elsewhere
	}
	defer fsys.Close()
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return nil
		}
		other, magic := name+queueSuffix, uint32(queueProducerIs)
		switch base, isConsumer := strings.CutSuffix(name, queueSuffix); {
		case isConsumer && st.Size() == queueHeader:
			other, magic = base, queueConsumerIs
		case st.Size() <= queueHeader || st.Size()%queueLeast != 0:
			return nil
		}
		if isMissing(fsys, other) && beginsWith(fsys, name, magic) {
			notes = append(notes, noteJSON{
				Path:    name,
				Message: "is half of a queue, whose other file, " + other + ", is missing: nobody can open it",
				Do:      "remove it (famfs rm " + device + ":/" + name + "), and make the queue anew (famfs queue create)",
			})
		}
		return nil
	})
	return notes
}

func isMissing(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return errors.Is(err, fs.ErrNotExist)
}

// beginsWith reports whether a file begins with this number.
func beginsWith(fsys fs.FS, name string, magic uint32) bool {
	f, err := fsys.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [4]byte
	_, err = io.ReadFull(f, b[:])
	return err == nil && binary.LittleEndian.Uint32(b[:]) == magic
}
