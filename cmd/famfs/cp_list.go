package main

// Listing the directories of a tree, some of them ahead of being added: most of the time before a copy is
// spent in that. cp_tree.go adds them, in order.

import (
	"errors"
	"io/fs"
	"runtime"
)

// listed is what is in a directory, in order.
type listed struct {
	files []listedFile
	err   error // the list may be incomplete
}

// listedFile is a file or directory that is in another one. Links are not followed.
type listedFile struct {
	name string
	st   fs.FileInfo
	err  error // it cannot be described
}

// list lists a directory.
func list(from fs.FS, at string) (l listed) {
	entries, err := fs.ReadDir(from, at)
	l = listed{make([]listedFile, len(entries)), err}
	for i, e := range entries {
		st, err := e.Info()
		l.files[i] = listedFile{e.Name(), st, err}
	}
	return l
}

// listAhead lists a directory that will be added soon, beside what is added now. It returns nil if
// enough are being listed.
func (b *treeBuilder) listAhead(from fs.FS, at string) <-chan listed {
	if int(b.ahead.Add(1)) > runtime.GOMAXPROCS(0) {
		b.ahead.Add(-1)
		return nil
	}
	c := make(chan listed, 1)
	b.listing.Go(func() {
		l := listed{err: errNotListed}
		defer func() {
			_ = recover() // it will panic again in turn, in the caller's goroutine
			c <- l
			b.ahead.Add(-1)
		}()
		l = list(from, at)
	})
	return c
}

// errNotListed says that listing a directory ahead has ended its goroutine.
var errNotListed = errors.New("not listed")

// inTurn returns what is in a directory, from a list that was begun ahead if there is one. If that is not
// complete, it lists the directory when nobody else lists any: there may have been too few descriptors.
func (b *treeBuilder) inTurn(from fs.FS, at string, ahead <-chan listed) (in listed) {
	if ahead != nil {
		in = <-ahead
	} else {
		in = list(from, at)
	}
	if in.err != nil {
		b.listing.Wait()
		in = list(from, at)
	}
	return in
}
