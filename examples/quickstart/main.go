// Quickstart goes from a device to a []byte. It formats a stand-in device in a temporary folder, or
// the device that is given, creates a file of 64 MiB on it, opens the device a second time as a
// reader, maps the file and checks its content.
//
//	go run ./examples/quickstart             # a stand-in, removed at the end
//	go run ./examples/quickstart /dev/dax0.0 # a device that is not formatted yet
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"famfs"
)

const (
	deviceSize = 256 << 20
	fileSize   = 64 << 20
	fileName   = "quickstart/numbers"
)

func main() {
	force := flag.Bool("force", false, "format the device although it is formatted already; all that is on it is lost")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: quickstart [-force] [DEVICE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *force); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(device string, force bool) error {
	var host famfs.UUID // zero: the library finds out who this host is
	if device == "" {
		// Not every machine has an identity. For a stand-in any identity is enough, if writer and
		// reader use the same one.
		host = famfs.NewUUID()
		dir, err := os.MkdirTemp("", "famfs-quickstart-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		device = filepath.Join(dir, "device")
		if err := famfs.CreateBacking(device, deviceSize); err != nil {
			return err
		}
		fmt.Println("made    ", device, "as a stand-in for a DAX device")
	}

	opts := []famfs.FormatOption{famfs.WithSystemUUID(host)}
	if force {
		opts = append(opts, famfs.Force())
	}
	if err := famfs.Format(device, opts...); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w (quickstart -force does)", err)
	} else if err != nil {
		return err
	}
	fmt.Println("formatted; this host is the master")

	if err := create(device, host); err != nil {
		return err
	}
	return read(device, host)
}

// create does what a master does.
func create(device string, host famfs.UUID) (err error) {
	fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(host))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	if err := fsys.MkdirAll("quickstart", 0o755); err != nil {
		return err
	}
	file, err := fsys.Create(fileName, fileSize)
	if err != nil {
		return err
	}
	defer file.Close() // gives the space back unless Commit was reached
	data := file.Bytes()
	err = famfs.Guard(func() error { // if memory fails, that is an error, not a crash
		for i := 0; i < len(data); i += 8 {
			binary.LittleEndian.PutUint64(data[i:], uint64(i))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := file.Commit(); err != nil {
		return err
	}
	fmt.Printf("created  %s of %s\n", fileName, human(fileSize))
	return nil
}

// read does what any other process or host does.
func read(device string, host famfs.UUID) (err error) {
	fsys, err := famfs.Open(device, famfs.WithSystemUUID(host))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	file, err := fsys.Map(fileName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data := file.Bytes() // the shared memory itself, not a copy
	// If the memory fails, Guard returns an error that names the file. Without Guard the program
	// would crash.
	err = famfs.Guard(func() error {
		for i := 0; i < len(data); i += 8 {
			if got := binary.LittleEndian.Uint64(data[i:]); got != uint64(i) {
				return fmt.Errorf("%s holds %d at offset %d, want %d", fileName, got, i, i)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("mapped   %s read-only: all %s are as written\n\n", fileName, human(int64(len(data))))

	d, sb, u := fsys.Device(), fsys.Superblock(), fsys.Usage()
	fmt.Printf("device   %s: %v, %s, mapped in multiples of %s\n", d.Path, d.Kind, human(d.Size), human(d.Align))
	fmt.Printf("         file system %v, this host is its %v\n", sb.UUID, fsys.Role())
	st, err := fs.Stat(fsys, fileName)
	if err != nil {
		return err
	}
	fmt.Printf("layout   %s: %v, %s\n", fileName, st.Mode(), human(st.Size()))
	for _, x := range st.Sys().(*famfs.Attr).Layout.Extents {
		fmt.Printf("         extent at %s, %s long\n", human(x.Offset), human(x.Length))
	}
	fmt.Printf("usage    %s of %s allocated, %s free, the longest run %s\n", human(u.Allocated), human(u.Size), human(u.Free), human(u.LargestFree))
	fmt.Printf("         files %d (%s), directories %d, log entries %d of %d\n", u.Files, human(u.FileBytes), u.Dirs, u.LogUsed, u.LogCapacity)
	return nil
}

// human formats a number of bytes for people.
func human(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value := float64(n)
	for len(units) > 1 && value >= 1024 {
		value, units = value/1024, units[1:]
	}
	return fmt.Sprintf("%.4g %s", value, units[0])
}
