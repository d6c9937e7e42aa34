package famfs

// Removing files and directories: names go at once and on all hosts, memory does not. What a
// removal means to those who replay the log is replica.go's concern.

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Remove removes a file or an empty directory. Its name can be used again at once. Files
// that are open, and mappings, stay what they are: they show the bytes that the file had.
//
// The memory of a file that was removed is not given out again, as hosts that do not know of
// the removal yet may be reading it: Usage.Removed says how much that is. A removal needs an
// entry of the log, too.
//
// Errors are *fs.PathError: fs.ErrNotExist; fs.ErrInvalid for the root, a directory that is
// not empty and a name that is no valid path; ErrBusy for a directory in which this FS has
// a pending file; ErrNotMaster, ErrReadOnly, ErrLogFull, ErrLocked, ErrReformatted,
// fs.ErrClosed as for Create. If the removal "may be lost if the host fails", as the disk
// under a plain file failed, the file is gone, and Remove again makes that certain before it
// says fs.ErrNotExist.
func (f *FS) Remove(name string) error {
	defer f.journal.tell()
	if err := f.remove(name, false); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// RemoveAll removes a file, or a directory with all that is in it: all of it at one moment,
// on all hosts, or nothing. That there is no such name is no error. It needs an entry of the
// log for each file and directory: ErrLogFull if there are not enough. For the rest see
// Remove.
func (f *FS) RemoveAll(name string) error {
	defer f.journal.tell()
	if err := f.remove(name, true); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

func (f *FS) remove(name string, all bool) error {
	if !f.gate.hold() { // also while it waits for the writers' lock
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if err := f.beginWrite(name, newCreateConfig(nil)); err != nil {
		return err
	}
	f.mu.Lock()
	var b batch
	err := f.append(&b, func() error { return f.addRemoval(&b, name, all) })
	f.mu.Unlock()
	return errors.Join(err, f.lock.release())
}

// addRemoval adds to b what removes name and, if all is set, what is below it.
func (f *FS) addRemoval(b *batch, name string, all bool) error {
	ns := f.replica.ns
	index, ok := ns.lookupLatest(name)
	if !ok {
		// An earlier call, which failed for it, may have removed it.
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

// addTree adds what removes a file or directory, after all that is in it.
func (b *batch) addTree(ns *namespace, index int64) {
	n := ns.node(index)
	if n.isDir() {
		for _, child := range slices.Backward(ns.children(n)) { // in the order of the log
			b.addTree(ns, child)
		}
	}
	b.items = append(b.items, batchItem{kind: typeRemoval, path: n.path(), removes: index})
}
