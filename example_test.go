package famfs_test

// Runnable examples of every main type. They work on a stand-in device.

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing/fstest"
	"time"

	"famfs"
)

// standIn makes and formats a stand-in device. It returns the device's path and a function that
// removes it.
func standIn() (device string, remove func()) {
	dir, err := os.MkdirTemp("", "famfs-example-")
	if err != nil {
		log.Fatal(err)
	}
	device = filepath.Join(dir, "device")
	if err := famfs.CreateBacking(device, 64<<20); err != nil {
		log.Fatal(err)
	}
	if err := famfs.Format(device, host); err != nil {
		log.Fatal(err)
	}
	return device, func() { os.RemoveAll(dir) }
}

// host says who this host is, so that the examples run even if the host has no identity.
// Programs usually leave it out.
var host = famfs.WithSystemUUID(famfs.UUID{1, 2, 3, 4, 5, 6, 0x40, 8, 0x80, 10, 11, 12, 13, 14, 15, 16})

func Example() {
	device, remove := standIn()
	defer remove()

	// The master creates a file.
	master, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer master.Close()
	if err := master.WriteFile("greeting", []byte("hello, hosts"), 0o644); err != nil {
		log.Fatal(err)
	}

	// Any process of any host maps it.
	client, err := famfs.Open(device)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	m, err := client.Map("greeting")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Printf("%s\n", m.Bytes())
	// Output: hello, hosts
}

func ExampleFormat() {
	dir, err := os.MkdirTemp("", "famfs-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	device := filepath.Join(dir, "device")
	if err := famfs.CreateBacking(device, 64<<20); err != nil {
		log.Fatal(err)
	}
	fmt.Println(famfs.Format(device, famfs.LogSize(16<<20), host))
	err = famfs.Format(device, host)
	fmt.Println("again:", errors.Is(err, fs.ErrExist))
	// Output:
	// <nil>
	// again: true
}

func ExampleFS_Create() {
	device, remove := standIn()
	defer remove()
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer fsys.Close()

	p, err := fsys.Create("table", 5<<20, famfs.Mode(0o600))
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	for i := range p.Bytes() {
		p.Bytes()[i] = byte(i)
	}
	_, err = fsys.Stat("table")
	fmt.Println("before Commit:", errors.Is(err, fs.ErrNotExist))
	if err := p.Commit(); err != nil {
		log.Fatal(err)
	}
	st, err := fsys.Stat("table")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("after:", st.Size(), st.Mode(), st.Sys().(*famfs.Attr).Layout.Extents)
	// Output:
	// before Commit: true
	// after: 5242880 -rw------- [{0 10485760 6291456}]
}

func ExampleInterleave() {
	device, remove := standIn()
	defer remove()
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer fsys.Close()
	spread := famfs.Interleave(famfs.Interleaving{Strips: 3, Buckets: 4, Chunk: 2 << 20})
	p, err := fsys.Create("table", 7<<20, spread)
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	fmt.Println(len(p.Bytes()), "bytes in one slice")
	if err := p.Commit(); err != nil {
		log.Fatal(err)
	}
	st, err := fsys.Stat("table")
	if err != nil {
		log.Fatal(err)
	}
	layout := st.Sys().(*famfs.Attr).Layout
	fmt.Println("chunks of", layout.Chunk, "on", len(layout.Extents), "strips")
	// Output:
	// 7340032 bytes in one slice
	// chunks of 2097152 on 3 strips
}

// One host writes a file in place while the others do not use it. Then they read it.
func ExampleMapping_Flush() {
	device, remove := standIn()
	defer remove()
	master, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer master.Close()
	if err := master.WriteFile("board", []byte("............"), 0o644); err != nil {
		log.Fatal(err)
	}

	client, err := famfs.Open(device, famfs.WithClientWrites())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	w, err := client.Map("board", famfs.Writable())
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	copy(w.Bytes(), "it was me")
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}

	r, err := master.Map("board")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if err := r.Invalidate(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", r.Bytes())
	// Output: it was me...
}

// CopyInto copies into a mapping so that other hosts see it: no Flush is needed after it.
func ExampleCopyInto() {
	device, remove := standIn()
	defer remove()
	master, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer master.Close()
	if err := master.WriteFile("slots", make([]byte, 1<<20), 0o644); err != nil {
		log.Fatal(err)
	}
	m, err := master.Map("slots", famfs.Writable())
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	const slot = 4096
	n := famfs.CopyInto(m.Bytes()[3*slot:4*slot], []byte("slot 3 is mine"))

	fmt.Printf("%d bytes: %q\n", n, m.Bytes()[3*slot:3*slot+n])
	// Output: 14 bytes: "slot 3 is mine"
}

func ExampleFS_Watch() {
	device, remove := standIn()
	defer remove()
	master, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer master.Close()
	client, err := famfs.Open(device)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events := client.Watch(ctx, time.Millisecond)
	if err := master.MkdirAll("models/small", 0o755); err != nil {
		log.Fatal(err)
	}
	if err := master.WriteFile("models/small/weights", make([]byte, 4096), 0o644); err != nil {
		log.Fatal(err)
	}
	for event, err := range events {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Name, event.Info.Size())
		if event.Name == "models/small/weights" {
			break
		}
	}
	// Output:
	// models 0
	// models/small 0
	// models/small/weights 4096
}

func ExampleFS_CopyFS() {
	device, remove := standIn()
	defer remove()
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer fsys.Close()
	source := fstest.MapFS{ // or os.DirFS("models")
		"a/one": {Data: []byte("1")},
		"a/two": {Data: []byte("22")},
	}
	if err := fsys.CopyFS(context.Background(), "copied", source); err != nil {
		log.Fatal(err)
	}
	names, err := fs.Glob(fsys, "copied/*/*")
	fmt.Println(names, err)
	// Output: [copied/a/one copied/a/two] <nil>
}

func ExampleCheck() {
	device, remove := standIn()
	defer remove()
	report, err := famfs.Check(device)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("clean:", report.Clean())
	for _, p := range report.Problems {
		fmt.Println(p.Index, p.Path, p.Err)
	}
	// Output: clean: true
}

// View reads one of many files in place.
func ExampleFS_View() {
	device, remove := standIn()
	defer remove()
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer fsys.Close()
	if err := fsys.WriteFile("numbers", []byte{1, 2, 3, 4}, 0o644); err != nil {
		log.Fatal(err)
	}
	sum := 0
	err = fsys.View("numbers", func(data []byte) error {
		for _, b := range data {
			sum += int(b)
		}
		return nil
	})
	fmt.Println(sum, err)
	// Output: 10 <nil>
}

// Many small files in one: a zip file whose entries are not compressed, as famfs cp --pack makes
// it, is an fs.FS over the mapping, and each entry a slice of it.
func ExampleMapping_Section() {
	device, remove := standIn()
	defer remove()
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer fsys.Close()
	if err := fsys.WriteFile("set.zip", packed(map[string]string{"train/0": "zero", "train/1": "one"}), 0o644); err != nil {
		log.Fatal(err)
	}

	m, err := fsys.Map("set.zip")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	set, err := zip.NewReader(m.Section(), m.Section().Size()) // an fs.FS; reads copy, and check the CRC
	if err != nil {
		log.Fatal(err)
	}
	all, err := fs.Glob(set, "train/*")
	fmt.Println(all, err)
	for _, f := range set.File { // without a copy, and without the check
		at, err := f.DataOffset()
		if err != nil || f.Method != zip.Store || at+int64(f.UncompressedSize64) > int64(len(m.Bytes())) {
			log.Fatal("not an entry to be used in place")
		}
		fmt.Printf("%s is %s\n", f.Name, m.Bytes()[at:at+int64(f.UncompressedSize64)])
	}
	// Output:
	// [train/0 train/1] <nil>
	// train/0 is zero
	// train/1 is one
}

// packed makes a zip file.
func packed(files map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = io.WriteString(w, files[name])
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}
	return b.Bytes()
}

// Guard reads a file whose memory may fail, without a crash.
func ExampleGuard() {
	device, remove := standIn()
	defer remove()
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		log.Fatal(err)
	}
	defer fsys.Close()
	if err := fsys.WriteFile("numbers", []byte{1, 2, 3, 4}, 0o644); err != nil {
		log.Fatal(err)
	}
	m, err := fsys.Map("numbers")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	sum := 0
	err = famfs.Guard(func() error {
		for _, b := range m.Bytes() {
			sum += int(b)
		}
		return nil
	})
	fmt.Println(sum, err)
	// Output: 10 <nil>
}
