package famfs

// Removing files and directories: their names go at once on all hosts, their memory stays. What a
// removal does when the log is replayed is replica.go's concern.

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Remove removes a file or an empty directory. Its name can be used again at once. Files that
// are open, and mappings, stay as they are: they show the bytes that the file had.
//
// The memory of a removed file is not given out again, because hosts that do not know of the
// removal yet may be reading it, unless the file system was made for that (see Reuse); then
// open files cannot be read any more, but mappings stay. Usage.Removed says how much memory is
// kept. A removal also needs a log entry.
//
// The error is a *fs.PathError. It wraps fs.ErrNotExist; fs.ErrInvalid if name is the root, a
// directory that is not empty, or no valid path; ErrBusy if name is a directory in which this FS
// has a pending file; or ErrNotMaster, ErrReadOnly, ErrLogFull, ErrLocked, ErrReformatted or
// fs.ErrClosed as for Create. If the removal "may be lost if the host fails", because the disk
// under a plain file failed, the file is gone; another Remove makes the removal certain and then
// returns fs.ErrNotExist.
func (f *FS) Remove(name string) error {
	defer f.journal.tell()
	if err := f.remove(name, false); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// RemoveAll removes a file, or a directory and everything in it: all of it at one moment, on all
// hosts, or nothing. If there is no such name, that is no error. RemoveAll needs one log entry
// for each file and directory; if there are not enough, the error is ErrLogFull. Everything else
// is as for Remove.
func (f *FS) RemoveAll(name string) error {
	defer f.journal.tell()
	if err := f.remove(name, true); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

func (f *FS) remove(name string, all bool) error {
	return f.removeAtOnce(name, func(b *batch) error { return f.addRemoval(b, name, all) })
}

// removeAtOnce appends the removals that add puts into a batch. name is what it is called in messages.
func (f *FS) removeAtOnce(name string, add func(b *batch) error) error {
	if !f.gate.hold() { // also while it waits for the writers' lock
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if err := f.beginWrite(name, f.newCreateConfig(nil)); err != nil {
		return err
	}
	f.mu.Lock()
	var b batch
	err := f.append(&b, func() error { return add(&b) })
	f.mu.Unlock()
	return errors.Join(err, f.unlockWriters())
}

// addRemoval adds the entry that removes name to b and, if all is set, those for everything in it.
func (f *FS) addRemoval(b *batch, name string, all bool) error {
	ns := f.replica.ns
	index, ok := ns.lookupLatest(name)
	if !ok {
		// An earlier call that failed may have removed it.
		if err := f.replica.makeCertain(); err != nil || all {
			return err
		}
		return fs.ErrNotExist
	}
	if n := ns.node(index); n.isDir() {
		for pending := range f.pending {
			if strings.HasPrefix(pending, name+"/") {
				return fmt.Errorf("%s is being created in it: %w", pending, ErrBusy)
			}
		}
		if !all && *n.live() > 0 {
			return fmt.Errorf("directory is not empty: %d files and directories are in it: %w", *n.live(), fs.ErrInvalid)
		}
	}
	b.addTree(ns, index)
	return f.checkRoom(len(b.items))
}

// addTree adds the entry that removes a file or directory, after those for everything in it.
func (b *batch) addTree(ns *namespace, index int64) {
	n := ns.node(index)
	if n.isDir() {
		for _, child := range slices.Backward(ns.children(n)) { // so that they are in the order of the log
			b.addTree(ns, child)
		}
	}
	b.items = append(b.items, batchItem{kind: typeRemoval, path: n.path(), removes: index})
}
