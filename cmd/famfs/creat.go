package main

// famfs creat: makes files of a given size, with zeros or with content from a seed.

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"famfs"
)

// creatJob describes a file to make.
type creatJob struct {
	size int64
	seed *uint64 // nil for zeros
	keep bool    // not even write zeros
}

// createdJSON is the output of creat for programs.
type createdJSON struct {
	nodeJSON
	Seed *uint64 `json:"seed,omitempty"`
}

func (a *app) creatCommand() *cobra.Command {
	var (
		size                    sizeValue
		seed                    uint64
		randomize, keep, asJSON bool
		multi                   []string
		create                  createOptions
	)
	cmd := &cobra.Command{
		Use:   "creat --size SIZE DEVICE:PATH...",
		Short: "Create files of a given size",
		Long: `creat makes files of a given size, which they keep forever. Their content is zeros,
or with --seed the content that famfs verify --seed checks, or with --keep whatever
stood in the memory before, which takes no time. It needs the master. With --multi
each file has a size and seed of its own.`,
		Example: `  famfs creat --size 64M /dev/dax0.0:/table
  famfs creat -s 2GiB --seed 42 --interleave 4,8,2M /dev/dax0.0:/wide
  famfs creat -s 1M -r /dev/dax0.0:/a /dev/dax0.0:/b    # a seed is chosen and printed
  famfs creat --multi /dev/dax0.0:/a,256M,42 --multi /dev/dax0.0:/b,1G`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := create.options()
			if err != nil {
				return err
			}
			if create.mode.set {
				opts = append(opts, famfs.Mode(create.mode.mode))
			}
			job := creatJob{size: int64(size), keep: keep}
			if cmd.Flags().Changed("seed") {
				job.seed = &seed
			} else if randomize {
				var b [8]byte
				rand.Read(b[:])
				seed = binary.LittleEndian.Uint64(b[:]) >> 1 // so that any program can hold it
				job.seed = &seed
			}
			if err := create.kindApart(a.args, args); err != nil {
				return err
			}
			var jobs []creatJob // one per argument, because arguments may be equal
			switch {
			case len(multi) > 0 && (len(args) > 0 || size > 0 || job.seed != nil):
				return usageError(errors.New("--multi says all: leave out --size, --seed, --randomize and other files"))
			case len(multi) == 0 && len(args) == 0:
				return usageError(errors.New("say which files, as DEVICE:PATH"))
			case len(multi) == 0 && size <= 0:
				return usageError(errors.New("say how large with --size, at least 1 byte: famfs has no empty files"))
			case keep && job.seed != nil:
				return usageError(errors.New("--keep and content from a seed exclude each other"))
			}
			for range args {
				jobs = append(jobs, job)
			}
			for _, m := range multi {
				arg, job, err := parseMulti(m, keep)
				if err != nil {
					return usageError(err)
				}
				args, jobs = append(args, arg), append(jobs, job)
			}
			workers := atATime(create.workers)
			made := []createdJSON{}
			err = a.eachOn(args, a.openToWrite, func(fsys *famfs.FS, t target) error {
				job := jobs[t.place]
				if t.slash {
					return because(fs.ErrInvalid, "names a directory, and creat makes files")
				}
				a.sayNarrow(fsys, t.device, &create)
				if err := creat(fsys, t.name, job, workers, opts); err != nil {
					return err
				}
				st, err := fsys.Stat(t.name)
				if err != nil {
					return err
				}
				made = append(made, createdJSON{describeNode(t.device, t.name, st), job.seed})
				if asJSON {
					return nil
				}
				content := ""
				if job.seed != nil {
					content = fmt.Sprintf(", content from seed %d", *job.seed)
				}
				_, err = fmt.Fprintf(a.out, "created %s: %s, %s%s\n", a.displayName(t.String()), human(st.Size()), describeLayout(st.Sys().(*famfs.Attr).Layout), content)
				return err
			}, nil)
			if err != nil || !asJSON {
				return err
			}
			return printJSONList(a, made)
		},
	}
	cmd.Flags().VarP(&size, "size", "s", "size of each file")
	cmd.Flags().Uint64VarP(&seed, "seed", "S", 0, "fill with the content that follows from this `number`")
	cmd.Flags().BoolVarP(&randomize, "randomize", "r", false, "fill with content from --seed, or from a seed that is chosen and printed")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave in the files whatever stood in the memory before")
	cmd.Flags().StringArrayVarP(&multi, "multi", "M", nil, "create this file: `DEVICE:PATH,SIZE[,SEED]`; may be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the files that were made as a JSON array")
	create.register(cmd.Flags(), "0644", "files")
	return cmd
}

// parseMulti parses DEVICE:PATH,SIZE[,SEED]. The path may contain commas.
func parseMulti(s string, keep bool) (arg string, job creatJob, err error) {
	bad := fmt.Errorf("--multi %q, want DEVICE:PATH,SIZE[,SEED]", s)
	parts := strings.Split(s, ",")
	job.keep = keep
	if len(parts) > 2 {
		if size, sizeErr := parseSize(parts[len(parts)-2]); sizeErr == nil {
			seed, err := strconv.ParseUint(parts[len(parts)-1], 0, 64)
			if err != nil {
				return "", job, fmt.Errorf("%w: %w", bad, err)
			}
			if keep {
				return "", job, fmt.Errorf("%w: --keep and a seed exclude each other", bad)
			}
			job.size, job.seed = size, &seed
			return strings.Join(parts[:len(parts)-2], ","), job, nil
		}
	}
	if len(parts) < 2 {
		return "", job, bad
	}
	if job.size, err = parseSize(parts[len(parts)-1]); err != nil {
		return "", job, fmt.Errorf("%w: %w", bad, err)
	}
	return strings.Join(parts[:len(parts)-1], ","), job, nil
}

// creat makes one file.
func creat(fsys *famfs.FS, name string, job creatJob, workers int, opts []famfs.CreateOption) (err error) {
	p, err := fsys.Create(name, job.size, opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if !job.keep {
		if err := fill(p.Bytes(), job.seed, workers); err != nil {
			return err
		}
	}
	return p.Commit()
}

// fill writes zeros, or the content of seed.
func fill(data []byte, seed *uint64, workers int) error {
	var failed firstError
	inPieces(data, workers, func(piece []byte, off int64) {
		failed.keep(famfs.Guard(func() error {
			if seed == nil {
				clear(piece)
			} else {
				fillPattern(piece, *seed, off)
			}
			return nil
		}))
	})
	return failed.err
}
