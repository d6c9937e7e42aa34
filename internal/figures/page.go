package main

// The page that figures and hand-written text share: only what stands between two
// lines of it is ours.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
)

const (
	beginMarker = "<!-- figures: begin -->"
	endMarker   = "<!-- figures: end -->"
)

// replaceSection returns the page at path with its section replaced; a page that does
// not exist yet is a title and the section.
func replaceSection(path, section string) (string, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = []byte("# Figures\n\n" + beginMarker + "\n" + endMarker + "\n")
	case err != nil:
		return "", fmt.Errorf("reading the page: %w", err)
	}
	// Lines of their own, so that the text may speak of the markers.
	between := regexp.MustCompile(`(?ms)^` + beginMarker + `\r?$.*?^` + endMarker + `\r?$`).FindIndex(text)
	if between == nil {
		return "", fmt.Errorf("%s lacks the line %q, or after it the line %q: the figures would stand between them", path, beginMarker, endMarker)
	}
	return string(text[:between[0]]) + beginMarker + "\n" + section + endMarker + string(text[between[1]:]), nil
}
