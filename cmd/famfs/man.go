package main

// famfs man: the manual pages, made from the commands themselves, so that they are always current.

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

func (a *app) manCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Print manual pages, or install them",
		Long: `man prints the manual page of a command, or that of famfs itself, for man to show. With
--dir it writes the pages of all commands into a directory, and says how many.`,
		Example: `  famfs man cp | man -l -
  famfs man queue put | man -l -
  famfs man --dir ~/.local/share/man/man1     # then: man famfs-cp`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			about, rest, err := root.Find(args)
			switch {
			case err != nil || len(rest) > 0:
				return usageError(fmt.Errorf("there is no command %q", strings.Join(args, " ")))
			case dir == "":
				prepareManual(root)
				return doc.GenMan(about, manHeader(), a.out)
			case len(args) > 0:
				return usageError(fmt.Errorf("--dir writes the pages of all commands, leave out %q", strings.Join(args, " ")))
			}
			prepareManual(root)
			n, err := writeManual(root, dir)
			if err != nil {
				return localFailed(dir, err)
			}
			_, err = fmt.Fprintf(a.out, "wrote %d manual pages to %s\n", n, a.displayName(dir))
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write the pages of all commands into this `directory`, which is made if it is missing")
	return cmd
}

// completeCommand completes the names of commands.
func completeCommand(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	within, _, err := cmd.Root().Find(args)
	if err == nil {
		for _, c := range within.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name()+"\t"+c.Short)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// writeManual writes the pages of cmd and of all commands below it.
func writeManual(cmd *cobra.Command, dir string) (n int, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			below, err := writeManual(c, dir)
			if err != nil {
				return 0, err
			}
			n += below
		}
	}
	name := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
	err = writeLocal(name, func(w io.Writer) error { return doc.GenMan(cmd, manHeader(), w) })
	return n + 1, localFailed(name, err)
}

// manHeader is the header of every page. The date is that of the commit, so that the same build
// makes the same pages.
func manHeader() *doc.GenManHeader {
	v := describeBuild()
	date, err := time.Parse(time.RFC3339, v.Time)
	if err != nil {
		date = time.Unix(0, 0).UTC()
	}
	return &doc.GenManHeader{Section: "1", Source: "famfs " + v.Version, Manual: "famfs", Date: &date}
}

// prepareManual makes the texts of a command and of all below it, which are plain, fit for cobra,
// which takes them for Markdown. It is to be called once.
func prepareManual(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	cmd.InitDefaultHelpFlag()
	cmd.Long, cmd.Short = markdown(cmd.Long), markdown(cmd.Short)
	plain := func(f *pflag.Flag) {
		f.Usage = markdown(strings.ReplaceAll(f.Usage, "`", ""))
		if f.Value.Type() == "int" && f.DefValue != f.Value.String() { // 0 in its place keeps it out of help
			f.DefValue = f.Value.String()
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(plain)
	cmd.PersistentFlags().VisitAll(plain)
	for _, c := range cmd.Commands() {
		prepareManual(c)
	}
}

// markdown quotes what has a meaning in Markdown.
var markdown = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`, "`", "\\`", "~", `\~`).Replace
