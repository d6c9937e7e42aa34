package main

// famfs version: which build this is, and which formats it knows.

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Of the format that this command reads and writes (docs/format.md).
const (
	superblockVersion = 48
	mediaFormat       = "2.2"
)

// versionJSON describes the build.
type versionJSON struct {
	Version string `json:"version"`
	// Commit is the commit that it was built from, and Time that commit's; empty if not known.
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	System   string `json:"system"`
	// Superblock and Format are the versions of the format on the medium.
	Superblock int    `json:"superblock"`
	Format     string `json:"format"`
}

// describeBuild says what the compiler wrote down of this build.
func describeBuild() versionJSON {
	v := versionJSON{Version: "(devel)", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Superblock: superblockVersion, Format: mediaFormat}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v versionJSON) String() string {
	s := "famfs " + v.Version
	if v.Commit != "" {
		s += ", commit " + v.Commit
		if v.Modified {
			s += ", changed"
		}
		if v.Time != "" {
			s += ", of " + v.Time
		}
	}
	return s + fmt.Sprintf("\n%s, %s; superblock version %d, on-media format %s", v.Go, v.System, v.Superblock, v.Format)
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show which build this is",
		Long: `version shows the version and commit of this command, the Go that built it, and the
versions of the format that it reads and writes.`,
		Example: `  famfs version
  famfs version --json | jq -r .commit`,
		Args: a.arguments(0, 0, "none"),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.printJSON(describeBuild())
			}
			_, err := fmt.Fprintln(a.out, describeBuild())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
