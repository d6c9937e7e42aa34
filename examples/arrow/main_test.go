package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/endian"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// newMaster returns a new file system, open for writing, and its device.
func newMaster(t *testing.T) (*famfs.FS, string) {
	t.Helper()
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, famfs.CreateBacking(device, 64<<20))
	host := famfs.WithSystemUUID(famfs.UUID{1})
	require.NoError(t, famfs.Format(device, host))
	fsys, err := famfs.Open(device, famfs.ReadWrite(), host)
	require.NoError(t, err)
	t.Cleanup(func() { fsys.Close() })
	return fsys, device
}

// mixed are record batches with columns of many kinds.
func mixed(t *testing.T) []arrow.RecordBatch {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "small", Type: arrow.PrimitiveTypes.Uint8, Nullable: true},
		{Name: "flag", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Float32)},
		{Name: "struct", Type: arrow.StructOf(arrow.Field{Name: "x", Type: arrow.BinaryTypes.LargeString})},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	rows := []string{
		`{"small": 1, "flag": true, "list": [1, 2], "struct": {"x": "a"}}`,
		`{"small": null, "flag": false, "list": [], "struct": {"x": "bc"}}`,
		`{"small": 3, "flag": true, "list": [3], "struct": {"x": ""}}`,
	}
	var all []arrow.RecordBatch
	for range 2 {
		for _, row := range rows {
			require.NoError(t, b.UnmarshalJSON([]byte(row)))
		}
		all = append(all, b.NewRecordBatch())
	}
	t.Cleanup(func() { release(all) })
	return all
}

// requireInPlace checks that all of an array lies in file.
func requireInPlace(t *testing.T, file []byte, data arrow.ArrayData) {
	t.Helper()
	start := uintptr(unsafe.Pointer(unsafe.SliceData(file)))
	for _, b := range data.Buffers() {
		if b == nil || b.Len() == 0 {
			continue
		}
		at := uintptr(unsafe.Pointer(unsafe.SliceData(b.Bytes())))
		require.Less(t, at-start, uintptr(len(file)), "a buffer outside of the file")
		require.LessOrEqual(t, at-start+uintptr(b.Len()), uintptr(len(file)))
		require.Zero(t, at%8, "aligned")
	}
	for _, child := range data.Children() {
		requireInPlace(t, file, child)
	}
}

// What is stored comes back, over the shared memory itself, and the file has the size that it needs.
func TestInPlace(t *testing.T) {
	t.Parallel()
	sample := trades(3, 1000)
	defer release(sample)
	for name, batches := range map[string][]arrow.RecordBatch{"trades": sample, "mixed": mixed(t)} {
		t.Run(name, func(t *testing.T) {
			master, device := newMaster(t)
			require.NoError(t, store(master, "t.arrow", batches[0].Schema(), batches))
			var plain bytes.Buffer
			require.NoError(t, write(&plain, batches[0].Schema(), batches))
			reader, err := famfs.Open(device)
			require.NoError(t, err)
			defer func() { assert.NoError(t, reader.Close(), "nothing stays mapped") }()
			require.NoError(t, use(reader, "t.arrow", func(table *table) error {
				assert.True(t, bytes.Equal(plain.Bytes(), table.memory))
				require.Len(t, table.batches, len(batches))
				for i, b := range table.batches {
					assert.True(t, array.RecordEqual(batches[i], b))
					for _, column := range b.Columns() {
						requireInPlace(t, table.memory, column.Data())
					}
				}
				return nil
			}))
		})
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	batches := trades(2, 100)
	defer release(batches)
	none, table := &table{}, &table{batches: batches}
	assert.EqualValues(t, 200, table.rows())
	sum, ok := table.sum(0)
	assert.True(t, ok)
	assert.EqualValues(t, 199*200/2, sum)
	sum, ok = table.sum(1)
	assert.True(t, ok)
	assert.EqualValues(t, (199*200/2-99-199)/4.0, sum, "without the two that are missing")
	_, ok = table.sum(2)
	assert.False(t, ok, "text has no sum")
	_, ok = none.sum(0)
	assert.False(t, ok)
}

// What cannot be used in place is refused.
func TestRefused(t *testing.T) {
	t.Parallel()
	file := func(schema *arrow.Schema, opts ...ipc.Option) []byte {
		var b bytes.Buffer
		w, err := ipc.NewFileWriter(&b, append(opts, ipc.WithSchema(schema))...)
		require.NoError(t, err)
		batches := trades(1, 1000)
		defer release(batches)
		require.NoError(t, w.Write(array.NewRecordBatch(schema, batches[0].Columns(), 1000)))
		require.NoError(t, w.Close())
		return b.Bytes()
	}
	batches := trades(1, 1)
	defer release(batches)
	schema := batches[0].Schema()
	_, err := open(file(schema))
	require.NoError(t, err)
	_, err = open(file(schema, ipc.WithLZ4()))
	assert.ErrorIs(t, err, errCopy)
	assert.ErrorContains(t, err, "compressed")
	other := endian.BigEndian
	if endian.IsBigEndian {
		other = endian.LittleEndian
	}
	_, err = open(file(schema.WithEndianness(other)))
	assert.ErrorIs(t, err, errCopy)
	assert.ErrorContains(t, err, "byte order")

	words := arrow.NewSchema([]arrow.Field{{Name: "word", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, words)
	defer b.Release()
	require.NoError(t, b.UnmarshalJSON([]byte(`{"word": "red"}`)))
	dictionary := b.NewRecordBatch()
	defer dictionary.Release()
	var out bytes.Buffer
	require.NoError(t, write(&out, words, []arrow.RecordBatch{dictionary}))
	_, err = open(out.Bytes())
	assert.ErrorContains(t, err, "dictionaries")
}

// Files that are cut off are refused. Damaged values are used as far as they make sense, or refused;
// none leads out of the file.
func TestDamaged(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	batches := mixed(t)
	require.NoError(t, write(&b, batches[0].Schema(), batches))
	whole := b.Bytes()
	look := func(file []byte) error {
		t, err := open(file)
		if err != nil {
			return err
		}
		defer release(t.batches)
		for _, b := range t.batches {
			for _, column := range b.Columns() {
				for row := range column.Len() {
					_ = column.ValueStr(row)
				}
			}
		}
		return nil
	}
	require.NoError(t, look(whole))
	for n := range len(whole) {
		assert.Error(t, look(whole[:n:n]), "the first %d bytes", n)
	}
	sound, err := open(whole)
	require.NoError(t, err)
	defer release(sound.batches)
	var places []int // of values
	start := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	var collect func(data arrow.ArrayData)
	collect = func(data arrow.ArrayData) {
		for _, b := range data.Buffers() {
			if b == nil {
				continue
			}
			at := int(uintptr(unsafe.Pointer(unsafe.SliceData(b.Bytes()))) - start)
			for i := range b.Len() {
				places = append(places, at+i)
			}
		}
		for _, child := range data.Children() {
			collect(child)
		}
	}
	for _, b := range sound.batches {
		for _, column := range b.Columns() {
			collect(column.Data())
		}
	}
	require.NotEmpty(t, places)
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		damaged := bytes.Clone(whole)
		at := places[r.IntN(len(places))]
		damaged[at] ^= 1 << r.IntN(8)
		assert.NotPanics(t, func() { look(damaged) }, "byte %d", at)
	}
}

// Memory that fails, and a store to the memory, which is read-only, are errors.
func TestMemoryFails(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file that is mapped cannot be cut there")
	}
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, makeSample(device, "d/t.arrow"))
	fsys, err := famfs.Open(device)
	require.NoError(t, err)
	defer func() { assert.NoError(t, fsys.Close()) }()
	err = use(fsys, "d/t.arrow", func(t *table) error {
		t.batches[0].Column(0).(*array.Int64).Int64Values()[7] = 1
		return nil
	})
	var fault *famfs.FaultError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, "d/t.arrow", fault.Name)
	err = use(fsys, "d/t.arrow", func(table *table) error {
		require.NoError(t, os.Truncate(device, 4096))
		table.sum(0)
		return nil
	})
	require.ErrorAs(t, err, &fault)
	assert.Error(t, use(fsys, "d/t.arrow", func(*table) error { return nil }))
}

// The program by itself makes a stand-in and uses its table.
func TestRun(t *testing.T) {
	t.Parallel()
	assert.NoError(t, run("", ""))
	device := filepath.Join(t.TempDir(), "device")
	require.NoError(t, makeSample(device, "t.arrow"))
	assert.NoError(t, run(device, "t.arrow"))
	assert.Error(t, run(device, "missing"))
	assert.Error(t, run(device+"x", "t.arrow"))
}
