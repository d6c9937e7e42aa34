package main

import (
	_ "embed" // the tests run without their folder too
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:embed README.md
var readme string

// referenceOptions are the options of the C tools, from their sources, without -v and -h.
var referenceOptions = map[string]string{
	"mkfs":    "-f --force -k --kill -l --loglen -D --nodax",
	"famfs":   "-n --dryrun",
	"mount":   "-r --read -m --mmap -d --debug -f --fuse -F --nofuse -t --timeout -u --nouseraccess -p --nodefaultperm -S --shadow -D --dummy -M --set-daxmode -L --load-module -R --remount -c --cache",
	"fsck":    "-h --human -f --force -B --nbuckets -M --set-daxmode -L --load-module -F --nofuse --fuse -m --mmap -r --read -D --nodax",
	"logplay": "-n --dryrun -M --set-daxmode -m --mmap -r --read -c --client -s --shadowtest -S --shadow -d --daxdev",
	"creat":   "-s -S -r -m -u -g -M -t -C -N -B",
	"cp":      "-m -u -g -r -t -c --compare -C -N -B",
	"mkdir":   "-p -m -u -g",
	"verify":  "-S -f -m -t -q",
	"getmap":  "-q --quiet -c",
	"chkread": "-s -l",
	"check":   "",
	"mkmeta":  "",
	"clone":   "",
	"flush":   "",
	"pcq":     "-b --bsize -n --nbuckets -S --seed -N --nmessages -f --statusfile -t --time -s --status -P --setperm -u --uid -g --gid -C --create -p --producer -c --consumer -i --info -d --drain -D --dontflush",
}

// README.md has a row for each command.
func TestCommandsInReadme(t *testing.T) {
	t.Parallel()
	_, table, ok := strings.Cut(readme, "\n| command | what it does |\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]bool{}
	for _, line := range lines(table) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Split(line, "|")[1], -1) {
			rows[m[1]] = true
		}
	}
	for _, c := range (&app{}).rootCommand().Commands() {
		if c.Name() != "help" && !c.Hidden {
			assert.True(t, rows[c.Name()], c.Name())
		}
	}
}

// README.md says for each command and option of the C tools what is here in its place, or why
// nothing is; and what it says is here is here.
func TestComingFromC(t *testing.T) {
	t.Parallel()
	_, section, ok := strings.Cut(readme, "\n## Coming from the C tools\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]string{} // what the left side says, by command
	var here []string           // what the right sides name
	table := ""
	quoted := regexp.MustCompile("`([^`]+)`")
	for _, line := range lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		if strings.TrimSpace(cells[2]) == "here" {
			table = strings.Trim(strings.TrimSpace(cells[1]), "`")
		}
		for command := range referenceOptions {
			if regexp.MustCompile(`\b`+command+`\b`).MatchString(cells[1]) || table == command {
				rows[command] += " " + strings.ReplaceAll(cells[1], "`", " ")
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			here = append(here, m[1])
		}
	}
	for command, options := range referenceOptions {
		assert.NotEmpty(t, rows[command], command)
		said := map[string]bool{}
		for _, word := range strings.FieldsFunc(rows[command], func(r rune) bool { return r == ' ' || r == ',' }) {
			said[word] = true
		}
		for _, option := range strings.Fields(options) {
			assert.True(t, said[option], "%s %s", command, option)
		}
	}
	root := (&app{}).rootCommand()
	found := 0
	for _, words := range here {
		var c *cobra.Command
		for _, word := range strings.Fields(words) {
			if c == nil {
				var err error
				if c, _, err = root.Find([]string{word}); err != nil || c == root {
					break // another program, or an option by itself
				}
				found++
				continue
			}
			if name, long := strings.CutPrefix(word, "--"); long {
				name, _, _ = strings.Cut(name, "=")
				assert.True(t, c.Flags().Lookup(name) != nil, "%q: %s", words, word)
				found++
			} else if sub, _, err := c.Find([]string{word}); err == nil && sub != c {
				c = sub
			} else if c.HasSubCommands() {
				assert.True(t, strings.HasPrefix(word, "-"), "%q: there is no %s", words, word)
			}
		}
	}
	assert.Greater(t, found, 20)
}
