//go:build unix

package main

// What a service that looks data up by name would use instead: bbolt, in the same
// folder, with the same names and values. Every way reads all bytes of what it finds,
// so that finding without reading is no advantage. Ways that copy (famfs, famfs-open,
// bbolt-copy) compare with one another, and so do those that do not (famfs-view, famfs-map,
// bbolt).
// What belongs to the library alone is measured in its own package.

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"famfs"
)

// lookups is how many names there are. Files take 2 MiB each of the device, which is
// sparse: only what is written of them takes memory, at most 640 MiB, and one of the
// two stores exists at a time.
const lookups = 10_000

// again is how many of the names are looked up again and again: few enough that what they name stays
// in the caches of the processor.
const again = 16

// way reads the value of a name and returns the sum of it.
type way func(name string) (uint64, error)

func BenchmarkInstead(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("lookup=%dKiB", size>>10), func(b *testing.B) {
			names := make([]string, lookups)
			for i := range names {
				names[i] = fmt.Sprintf("value-%06d", i)
			}
			famfsLookups(b, names, size)
			boltLookups(b, names, size)
		})
	}
	b.Run("lookup=4KiB-again", func(b *testing.B) {
		names := make([]string, again)
		for i := range names {
			names[i] = fmt.Sprintf("value-%06d", i)
		}
		famfsLookups(b, names, 4<<10)
		boltLookups(b, names, 4<<10)
	})
}

func famfsLookups(b *testing.B, names []string, size int) {
	dir := lookupDir(b)
	defer os.RemoveAll(dir)
	fsys := famfsStore(b, filepath.Join(dir, "device"), names, size)
	defer fsys.Close()
	buffer := make([]byte, size)
	runLookups(b, "famfs", names, size, func(name string) (uint64, error) {
		data, err := fsys.ReadFile(name)
		return sum(data), err
	})
	runLookups(b, "famfs-open", names, size, func(name string) (uint64, error) {
		f, err := fsys.Open(name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		_, err = io.ReadFull(f, buffer)
		return sum(buffer), err
	})
	runLookups(b, "famfs-view", names, size, func(name string) (total uint64, err error) {
		err = fsys.View(name, func(data []byte) error {
			total = sum(data)
			return nil
		})
		return total, err
	})
	runLookups(b, "famfs-map", names, size, func(name string) (uint64, error) {
		m, err := fsys.Map(name)
		if err != nil {
			return 0, err
		}
		total := sum(m.Bytes())
		return total, m.Close()
	})
}

func boltLookups(b *testing.B, names []string, size int) {
	dir := lookupDir(b)
	defer os.RemoveAll(dir)
	db := boltStore(b, filepath.Join(dir, "bolt"), names, size)
	defer db.Close()
	buffer := make([]byte, size)
	runLookups(b, "bbolt", names, size, func(name string) (total uint64, err error) {
		err = db.View(func(tx *bbolt.Tx) error {
			total = sum(tx.Bucket(bucket()).Get([]byte(name)))
			return nil
		})
		return total, err
	})
	runLookups(b, "bbolt-copy", names, size, func(name string) (uint64, error) {
		err := db.View(func(tx *bbolt.Tx) error {
			copy(buffer, tx.Bucket(bucket()).Get([]byte(name)))
			return nil
		})
		return sum(buffer), err
	})
}

// runLookups looks names up in random order. Before that it looks all of them up once:
// that shows that the right bytes are read, and takes the first page faults.
func runLookups(b *testing.B, by string, names []string, size int, lookup way) {
	b.Run(by, func(b *testing.B) {
		for i, name := range names {
			total, err := lookup(name)
			require.NoError(b, err)
			require.Equal(b, sum(content(i, size)), total, name)
		}
		order := rand.New(rand.NewPCG(1, 2)).Perm(len(names))
		i := 0
		for b.Loop() {
			if _, err := lookup(names[order[i%len(order)]]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

// famfsStore makes a device with a file for each name, and returns a reader of it.
func famfsStore(b *testing.B, path string, names []string, size int) *famfs.FS {
	host := famfs.WithSystemUUID(famfs.UUID{1, 2, 3, 4, 5, 6, 0x40, 8, 0x80, 10, 11, 12, 13, 14, 15, 16})
	require.NoError(b, famfs.CreateBacking(path, 2<<20*(lookups+64)))
	require.NoError(b, famfs.Format(path, host))
	writer, err := famfs.Open(path, famfs.ReadWrite(), host)
	require.NoError(b, err)
	for i, name := range names {
		require.NoError(b, writer.WriteFile(name, content(i, size), 0o644))
	}
	require.NoError(b, writer.Close())
	reader, err := famfs.Open(path)
	require.NoError(b, err)
	return reader
}

// boltStore makes a database of the same content, and opens it for reading only.
func boltStore(b *testing.B, path string, names []string, size int) *bbolt.DB {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	require.NoError(b, err)
	require.NoError(b, db.Update(func(tx *bbolt.Tx) error {
		values, err := tx.CreateBucket(bucket())
		for i, name := range names {
			if err != nil {
				return err
			}
			err = values.Put([]byte(name), content(i, size))
		}
		return err
	}))
	require.NoError(b, db.Close())
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	require.NoError(b, err)
	return db
}

func bucket() []byte { return []byte("values") }

// content is the value of the i-th name.
func content(i, size int) []byte {
	value := make([]byte, size)
	for at := 0; at < size; at += 8 {
		binary.LittleEndian.PutUint64(value[at:], uint64(i*size+at)*0x9E3779B97F4A7C15)
	}
	return value
}

// sum reads all of p, a cache line at a time, so that adding up hides little else.
func sum(p []byte) (total uint64) {
	for ; len(p) >= 64; p = p[64:] {
		total += binary.LittleEndian.Uint64(p) + binary.LittleEndian.Uint64(p[8:]) +
			binary.LittleEndian.Uint64(p[16:]) + binary.LittleEndian.Uint64(p[24:]) +
			binary.LittleEndian.Uint64(p[32:]) + binary.LittleEndian.Uint64(p[40:]) +
			binary.LittleEndian.Uint64(p[48:]) + binary.LittleEndian.Uint64(p[56:])
	}
	return total
}

// lookupDir makes a folder in FAMFS_TEST_DIR, or on tmpfs if there is one.
func lookupDir(b *testing.B) string {
	parent := os.Getenv("FAMFS_TEST_DIR")
	if st, err := os.Stat("/dev/shm"); parent == "" && err == nil && st.IsDir() {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "figures-")
	require.NoError(b, err)
	return dir
}
