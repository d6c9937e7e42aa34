package main

// famfs chkread: checks that reading a file and mapping it give the same. verify.go does the
// checking.

import (
	"github.com/spf13/cobra"

	"famfs"
)

func (a *app) chkreadCommand() *cobra.Command {
	v := &verifier{app: a, byMap: true}
	cmd := &cobra.Command{
		Use:   "chkread DEVICE[:PATH]...",
		Short: "Check that reading a file and mapping it give the same",
		Long: `chkread reads files and maps them and compares the two, which reach the memory in
different ways: reads go through one window over the whole device, a mapping is made
of the file's extents. A directory stands for all files below it.
` + verdictHelp + `
Status: 0 the same, 1 something differs, ` + troubleHelp + `.`,
		Example: "  famfs chkread /dev/dax0.0:/table\n  famfs chkread /dev/dax0.0",
		Args:    a.arguments(1, -1, "DEVICE[:PATH]..."),
		RunE: func(_ *cobra.Command, args []string) error {
			return v.run(args, func(fsys *famfs.FS, t target) ([]check, func() error, error) {
				checks, err := v.eachFile(fsys, t, func(name string) func([]byte) error {
					return func(data []byte) error {
						f, err := fsys.Open(name)
						if err != nil {
							return err
						}
						defer f.Close()
						return v.compare(data, f, "read")
					}
				})
				return checks, nil, err
			})
		},
	}
	v.register(cmd)
	return cmd
}
