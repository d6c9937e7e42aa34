package main

// Storing a table as an Arrow IPC file, and using one in place.

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"famfs"
)

// store makes the file name with these record batches. The size of a famfs file must be known when
// it is created, so the batches are written twice: first only to count the bytes, then into the
// file's memory.
func store(fsys *famfs.FS, name string, schema *arrow.Schema, batches []arrow.RecordBatch) error {
	var size counter
	if err := write(&size, schema, batches); err != nil {
		return err
	}
	p, err := fsys.Create(name, int64(size))
	if err != nil {
		return err
	}
	defer p.Close()
	if err := write(p, schema, batches); err != nil {
		return err
	}
	return p.Commit()
}

// write writes an Arrow IPC file without compression, because compressed buffers cannot be used in
// place.
func write(to io.Writer, schema *arrow.Schema, batches []arrow.RecordBatch) error {
	w, err := ipc.NewFileWriter(to, ipc.WithSchema(schema))
	if err != nil {
		return err
	}
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}

// counter counts what is written.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// table is an Arrow IPC file that is used in place.
type table struct {
	memory  []byte // the file
	schema  *arrow.Schema
	batches []arrow.RecordBatch
}

// errCopy says that a file cannot be used in place.
var errCopy = errors.New("it cannot be used in place")

// use calls do with the table in the file name. The table, and all that is made of it without a
// copy, is valid until do returns. If the memory fails, that is an error, not a crash; goroutines
// that do starts have to call famfs.Guard themselves.
func use(fsys *famfs.FS, name string, do func(*table) error) (err error) {
	m, err := fsys.Map(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	// The file is closed outside of Guard, so that it is still mapped when Guard looks for it.
	err = famfs.Guard(func() error {
		t, err := open(m.Bytes())
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		defer release(t.batches)
		return do(t)
	})
	return err
}

// open finds the record batches of a file in memory, and checks their values: none leads out of the
// file. The Arrow library believes what a file says of its schema, and may use any amount of memory
// for a schema that is damaged, so use files only of writers whom you trust.
func open(file []byte) (t *table, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }:
			panic(r) // memory failed: Guard says where
		default:
			// The library panics at some damaged files, and, as of v18.8.0, at dictionaries when a file
			// is read in place.
			t, err = nil, fmt.Errorf("the Arrow library cannot read it; it is damaged, or has dictionaries: %v: %w", r, errCopy)
		}
	}()
	var copied copies
	// The byte order stays as it is: the library would turn it around in the shared memory.
	r, err := ipc.NewMappedFileReader(file, ipc.WithAllocator(&copied), ipc.WithEnsureNativeEndian(false))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if !r.Schema().IsNativeEndian() {
		return nil, fmt.Errorf("it has the byte order of another kind of processor: %w", errCopy)
	}
	t = &table{memory: file, schema: r.Schema()}
	for i := range r.NumRecords() {
		b, err := r.RecordBatchAt(i)
		if err == nil {
			t.batches = append(t.batches, b)
			err = array.ValidateRecordFull(b)
		}
		if err == nil && copied > 0 {
			err = fmt.Errorf("it is compressed: %w", errCopy)
		}
		if err != nil {
			release(t.batches)
			return nil, fmt.Errorf("record batch %d: %w", i, err)
		}
	}
	return t, nil
}

// copies is an allocator that counts what is allocated for arrays, which is for copies of what the
// file has.
type copies int64

func (c *copies) Allocate(size int) []byte {
	*c += copies(size)
	return memory.DefaultAllocator.Allocate(size)
}

func (c *copies) Reallocate(size int, b []byte) []byte {
	*c += copies(size)
	return memory.DefaultAllocator.Reallocate(size, b)
}

func (c *copies) Free(b []byte) { memory.DefaultAllocator.Free(b) }

func (t *table) rows() (n int64) {
	for _, b := range t.batches {
		n += b.NumRows()
	}
	return n
}

// sum adds up a column of numbers. It reads the shared memory itself.
func (t *table) sum(column int) (sum float64, ok bool) {
	for _, b := range t.batches {
		switch c := b.Column(column).(type) {
		case *array.Int64:
			for i, v := range c.Int64Values() {
				if c.IsValid(i) {
					sum += float64(v)
				}
			}
		case *array.Float64:
			for i, v := range c.Float64Values() {
				if c.IsValid(i) {
					sum += v
				}
			}
		default:
			return 0, false
		}
	}
	return sum, len(t.batches) > 0
}
