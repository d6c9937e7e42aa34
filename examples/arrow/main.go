// Arrow uses a table in Apache Arrow's IPC format that lies on a famfs device: its columns are arrays
// over the shared memory itself. Nothing is read and nothing is copied, and all processes on all hosts
// that do this use the same bytes. Without a device it makes a stand-in with a small table.
//
//	go run ./examples/arrow
//	go run ./examples/arrow /dev/dax0.0 tables/trades.arrow
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"famfs"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: arrow [DEVICE FILE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 0 && flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "arrow:", err)
		os.Exit(1)
	}
}

func run(device, name string) (err error) {
	if device == "" {
		dir, err := os.MkdirTemp("", "famfs-arrow-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		device, name = filepath.Join(dir, "device"), "tables/trades.arrow"
		if err := makeSample(device, name); err != nil {
			return err
		}
		fmt.Println("made", device, "as a stand-in, with a table")
	}
	fsys, err := famfs.Open(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	return use(fsys, name, func(t *table) error {
		fmt.Printf("%q: %d rows in %d record batches over %d bytes of shared memory\n", name, t.rows(), len(t.batches), len(t.memory))
		for i, field := range t.schema.Fields() {
			fmt.Printf("  %-10q %-10v", field.Name, field.Type)
			if sum, ok := t.sum(i); ok {
				fmt.Printf("  sum %.2f", sum)
			}
			fmt.Println()
		}
		return nil
	})
}

// makeSample makes a stand-in with a table of trades.
func makeSample(device, name string) error {
	host := famfs.WithSystemUUID(famfs.NewUUID())
	if err := famfs.CreateBacking(device, 64<<20); err != nil {
		return err
	}
	if err := famfs.Format(device, host); err != nil {
		return err
	}
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	if err != nil {
		return err
	}
	defer fsys.Close()
	if err := fsys.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	batches := trades(4, 100_000)
	defer release(batches)
	return store(fsys, name, batches[0].Schema(), batches)
}

// trades makes record batches of rows trades each.
func trades(batches, rows int) (all []arrow.RecordBatch) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "price", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "symbol", Type: arrow.BinaryTypes.String},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for batch := range batches {
		for row := range rows {
			id := batch*rows + row
			b.Field(0).(*array.Int64Builder).Append(int64(id))
			if price := b.Field(1).(*array.Float64Builder); id%100 == 99 {
				price.AppendNull()
			} else {
				price.Append(float64(id%1000) / 4)
			}
			b.Field(2).(*array.StringBuilder).Append([]string{"CXL", "DAX", "FAM"}[id%3])
		}
		all = append(all, b.NewRecordBatch())
	}
	return all
}

func release(batches []arrow.RecordBatch) {
	for _, b := range batches {
		b.Release()
	}
}
