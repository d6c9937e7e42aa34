package main

// Files that a copy replaces and that were sealed. What replaces them is what the options of cp say,
// as with modes and owners: it is not sealed without --seal, since a seal is for good, and one that
// is missing can be made later. But that must not happen unnoticed.

import (
	"fmt"
	"slices"
	"strings"

	"famfs"
)

// noteSealed notes which files of the device a copy without --seal may replace are sealed.
func (c *copyCommand) noteSealed(fsys *famfs.FS, names ...string) {
	if c.create.seal != "" {
		return
	}
	for _, name := range names {
		if st, err := fsys.Stat(name); err == nil && attrOf(st).Sealed {
			if c.sealed == nil {
				c.sealed = make(map[string]famfs.SumKind)
			}
			c.sealed[name] = attrOf(st).Sum.Kind
		}
	}
}

// replaced notes that the copy has replaced what had this name, or would.
func (c *copyCommand) replaced(name string) {
	if _, was := c.sealed[name]; was {
		c.unsealed = append(c.unsealed, name)
	}
}

// sayUnsealed says which files that were sealed were replaced by ones that are not.
func (c *copyCommand) sayUnsealed() {
	if len(c.unsealed) == 0 {
		return
	}
	slices.Sort(c.unsealed)
	words := "is not sealed, and what it replaced was"
	if c.dryRun {
		words = "would not be sealed, and what it would replace is"
	}
	kinds := make(map[famfs.SumKind]bool)
	for i, name := range c.unsealed {
		kinds[c.sealed[name]] = true
		if i < mostNamed || c.verbose > 0 {
			fmt.Fprintf(c.err, "%s: %s: %s (%v)\n", c.command, printable(c.to.at(name)), words, c.sealed[name])
		}
	}
	if more := len(c.unsealed) - mostNamed; more > 0 && c.verbose == 0 {
		fmt.Fprintf(c.err, "%s: and %s more; -v names all\n", c.command, grouped(more))
	}
	var with, later []string
	for _, kind := range []famfs.SumKind{famfs.CRC32C, famfs.SHA256} {
		if kinds[kind] {
			with, later = append(with, fmt.Sprintf("--seal=%v", kind)), append(later, fmt.Sprintf("famfs seal --sum %v", kind))
		}
	}
	advice := "    seal it with: " + strings.Join(later, " or ") + "; cp does with " + strings.Join(with, " or ")
	if c.dryRun {
		advice = "    cp seals what it copies with " + strings.Join(with, " or ")
	}
	fmt.Fprintln(c.err, advice)
}
