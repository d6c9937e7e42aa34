package main

// What cp finds out and says before the first byte is copied: which files are passed over (-n),
// which may be replaced (-i), what it would do (--dry-run), and how much space that takes.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"famfs"
)

// spaceNeeded is how much space of a device the files of a copy take that are not there yet.
type spaceNeeded struct {
	files       int
	bytes, need int64
	free        int64 // before the copy
	removed     int64 // of that: memory of removed files, which the copy would give out again
}

func (s *spaceNeeded) add(size, need int64) {
	s.files++
	s.bytes += size
	s.need += need
}

// String says how much space is needed, against how much is free.
func (s *spaceNeeded) String() string {
	take := "take"
	if s.files == 1 {
		take = "takes"
	}
	line := fmt.Sprintf("%s of %s %s %s; %s free", count(s.files, "new file", "new files"), human(s.bytes), take, human(s.need), human(s.free))
	if s.removed > 0 {
		line += fmt.Sprintf(", %s of that of removed files that nobody holds any more", human(s.removed))
	}
	return line
}

// padded reports whether most of what files take is not theirs.
func (s *spaceNeeded) padded() bool { return s.files > 1 && s.need/2 > s.bytes }

// sayNeeded says, before a copy to a device starts, how much space it takes.
func (c *copyCommand) sayNeeded() {
	if c.quiet || c.asJSON || c.space.files+len(c.refused) < 2 || c.space.files == 0 {
		return
	}
	fmt.Fprintf(c.err, "%s: %s\n", c.command, &c.space)
	c.sayPacking()
}

// sayPacking says what to do about many small files.
func (c *copyCommand) sayPacking() {
	if c.space.padded() {
		fmt.Fprintf(c.err, "    each file takes whole units of %s: --pack makes one file of a tree\n", human(c.device.Superblock().AllocUnit))
	}
}

// replaces reports whether a file of the tree may replace one that is on the device.
func (c *copyCommand) replaces(name string) bool { return c.replace || c.approved[name] }

// fileNames returns the names of all files of the tree, in order.
func (c *copyCommand) fileNames() (names []string) {
	fs.WalkDir(c.tree, ".", func(name string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			names = append(names, name)
		}
		return nil
	})
	return names
}

// destStat describes what is at DEST for a file of the tree. It returns nil if nothing is.
func (c *copyCommand) destStat(name string) (st fs.FileInfo) {
	var err error
	if c.device != nil {
		st, err = c.device.Stat(name)
	} else {
		if st, err = os.Stat(c.local(name)); err != nil {
			st, err = os.Lstat(c.local(name)) // a link to nothing
		}
	}
	if err != nil {
		return nil // what is wrong the copy finds out
	}
	return st
}

// destName is the name of a file of the tree at DEST, for people.
func (c *copyCommand) destName(name string) string {
	if c.device != nil {
		return c.to.at(name)
	}
	return c.shown(name)
}

// sameAsDest reports whether the file that is at DEST has the content of a file of the tree.
func (c *copyCommand) sameAsDest(ctx context.Context, name string, there fs.FileInfo) (bool, error) {
	if !there.Mode().IsRegular() || there.Size() != c.tree.nodes[name].size {
		return false, nil
	}
	var to fs.File
	var err error
	if c.device != nil {
		to, err = c.device.Open(name)
	} else {
		to, err = os.Open(c.local(name))
	}
	if err != nil {
		return false, err
	}
	defer to.Close()
	n := c.tree.nodes[name]
	from, err := n.from.Open(n.at)
	if err != nil {
		return false, c.sourceFailed(n, err)
	}
	defer from.Close()
	return sameContent(ctx, from, to)
}

// sameContent reports whether two readers have the same content.
func sameContent(ctx context.Context, a, b io.Reader) (bool, error) {
	const piece = 1 << 20
	x, y := make([]byte, piece), make([]byte, piece)
	for ctx.Err() == nil {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, err
			}
		}
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		if errA != nil {
			return true, nil
		}
	}
	return false, context.Cause(ctx)
}

// passOverBefore takes files out of the tree that are not to be copied: with -n all that are there
// already, with -i those that the user does not want to be replaced.
func (c *copyCommand) passOverBefore(ctx context.Context) error {
	if !c.keep && !c.ask {
		return nil
	}
	answers := bufio.NewReader(c.in)
	interrupted := func() error { return &statusError{signalStatus(ctx), errors.New("interrupted: nothing was copied")} }
	for _, name := range c.fileNames() {
		there := c.destStat(name)
		if there == nil {
			continue
		}
		if c.ask {
			same, err := c.sameAsDest(ctx, name, there)
			switch {
			case ctx.Err() != nil:
				return interrupted()
			case err != nil, same, there.IsDir(): // if it cannot be read, or is a directory, the copy fails
				continue
			case c.confirm(ctx, answers, name):
				if c.approved == nil {
					c.approved = make(map[string]bool)
				}
				c.approved[name] = true
				continue
			case ctx.Err() != nil:
				return interrupted()
			}
		}
		if n := c.tree.nodes[name]; c.dryRun {
			c.planned = append(c.planned, plannedJSON{n.source.String(), c.destName(name), n.size, "pass over"})
		}
		c.tree.remove(name)
		c.left++
	}
	return nil
}

// confirm asks whether a file is to be replaced. The end of the input is a no, and so is a signal,
// which nobody has to follow up with an answer.
func (c *copyCommand) confirm(ctx context.Context, answers *bufio.Reader, name string) bool {
	fmt.Fprintf(c.err, "%s: %s has other content: replace it? [y/N] ", c.command, printable(c.destName(name)))
	answer := make(chan bool, 1)
	go func() { answer <- yes(answers) }()
	select {
	case is := <-answer:
		return is
	case <-ctx.Done():
		return false
	}
}

// yes reads an answer. The end of the input is a no.
func yes(answers *bufio.Reader) bool {
	answer, _ := answers.ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// localOrTargetFailed returns err as an error about a file at DEST.
func localOrTargetFailed(dest target, name string, err error) error {
	if dest.device == "" {
		return localFailed(name, err)
	}
	return failed(failure{about: aboutName, what: name, device: dest.device, err: err})
}

// plannedJSON says what would be done with a file: copy, replace or pass over. What cannot be copied is
// among the errors.
type plannedJSON struct {
	Source string `json:"source"`
	Dest   string `json:"dest"`
	Size   int64  `json:"size"`
	Do     string `json:"do"`
}

// dryRunJSON is the output of --dry-run for programs.
type dryRunJSON struct {
	Files []plannedJSON `json:"files"`
	Taken int64         `json:"taken"`
	Free  int64         `json:"free"`
	// Removed is how much of Free is memory of removed files that nobody holds any more.
	Removed int64         `json:"removed,omitempty"`
	Errors  []failureJSON `json:"errors"`
}

// countReplaced counts the space of a file that replaces one of the same size, which is known only
// when they were compared. It reports whether there is as much.
func (c *copyCommand) countReplaced(n *treeNode) bool {
	need := units(n.size, c.device.Superblock().AllocUnit)
	if need > c.space.free-c.space.need {
		return false
	}
	c.space.add(n.size, need)
	return true
}

// leftAsItIs is the error of --atomic if something cannot be copied.
func (c *copyCommand) leftAsItIs() error {
	return targetFailed(c.to, because(fs.ErrInvalid, "is left as it is: not all can be copied there, and --atomic copies all or nothing"))
}

// refuseUnreadable removes from the tree the files that cannot be opened. The copy itself finds that out
// when it comes to them: opening all of them before would cost it more than it tells.
func (c *copyCommand) refuseUnreadable(ctx context.Context) {
	for _, name := range c.fileNames() {
		if ctx.Err() != nil {
			return
		}
		n := c.tree.nodes[name]
		f, err := n.from.Open(n.at)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			c.refuseNode(name, otherRefusal, err)
		}
	}
}

// sayWhatWouldBe is --dry-run: it prints what would be done with each file. Content is compared as
// the copy would compare it.
func (c *copyCommand) sayWhatWouldBe(ctx context.Context) error {
	all := append([]plannedJSON{}, c.planned...)
	counts := make(map[string]int)
	for _, name := range c.fileNames() {
		n, do := c.tree.nodes[name], "copy"
		refuse := func(kind refusalKind, why error) {
			c.refused = append(c.refused, refusal{kind, localOrTargetFailed(c.to, c.destName(name), why)})
		}
		there := c.destStat(name)
		same, err := false, error(nil)
		if there != nil {
			same, err = c.sameAsDest(ctx, name, there)
		}
		switch {
		case ctx.Err() != nil:
			return &statusError{signalStatus(ctx), errors.New("interrupted: nothing was to be copied")}
		case there == nil:
		case err != nil:
			c.refused = append(c.refused, refusal{otherRefusal, localOrTargetFailed(c.to, c.destName(name), err)})
			continue
		case same:
			do = "pass over"
		case there.IsDir():
			refuse(thereRefusal, refused("is a directory"))
			continue
		case !(c.device != nil && c.replace || c.device == nil && c.force):
			refuse(thereRefusal, refused("is there already, and has other content"))
			continue
		case c.device != nil && there.Size() == n.size && !c.countReplaced(n):
			refuse(spaceRefusal, because(famfs.ErrNoSpace, "does not fit: it takes %s, and %s would be free", human(units(n.size, c.device.Superblock().AllocUnit)), human(c.space.free-c.space.need)))
			continue
		default:
			do = "replace"
			c.replaced(name)
		}
		counts[do]++
		all = append(all, plannedJSON{n.source.String(), c.destName(name), n.size, do})
	}
	notCopied := len(c.refused)
	if c.atomic && notCopied > 0 {
		notCopied += counts["copy"] + counts["replace"]
		all, counts = []plannedJSON{}, map[string]int{"pass over": counts["pass over"]}
		c.space = spaceNeeded{free: c.space.free, removed: c.space.removed}
		c.unsealed = nil
		c.reportFailure(c.leftAsItIs())
	}
	for _, r := range c.refused {
		c.reportRefusal(r)
	}
	c.sayMore()
	c.sayUnsealed()
	if c.asJSON {
		return c.printJSON(dryRunJSON{all, c.space.need, c.space.free, c.space.removed, c.listFailures()})
	}
	for _, p := range all {
		if _, err := fmt.Fprintf(c.out, "%-9s %s -> %s\n", p.Do, c.displayName(p.Source), c.displayName(p.Dest)); err != nil {
			return err
		}
	}
	if c.quiet {
		return nil
	}
	what := fmt.Sprintf("would copy %s, replace %s, pass over %s that are there already", count(counts["copy"], "file", "files"), grouped(counts["replace"]), grouped(counts["pass over"]+c.left))
	if notCopied > 0 {
		what += "; " + grouped(notCopied) + " not copied"
	}
	fmt.Fprintln(c.err, what)
	if c.device != nil {
		fmt.Fprintln(c.err, &c.space)
		c.sayPacking()
	}
	return nil
}
