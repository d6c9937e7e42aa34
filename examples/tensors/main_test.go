package main

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// The tensors of the small model are as they were made, and are the mapping itself.
func TestTensors(t *testing.T) {
	t.Parallel()
	device, name := filepath.Join(t.TempDir(), "device"), "models/small.safetensors"
	require.NoError(t, makeSmall(device, name))
	require.NoError(t, run(device, name))
	require.NoError(t, run("", ""))
	fsys, err := famfs.Open(device)
	require.NoError(t, err)
	defer fsys.Close()
	file, err := fsys.Map(name)
	require.NoError(t, err)
	defer file.Close()
	model, err := parse(file.Bytes())
	require.NoError(t, err)
	require.Len(t, model, 3)
	assert.Equal(t, "layer.weight", model[0].Name)
	weight, err := As[float32](model[0])
	require.NoError(t, err)
	require.Len(t, weight, 64*256)
	assert.Equal(t, float32(3)/7, weight[10])
	ids, err := As[int64](model[2])
	require.NoError(t, err)
	assert.EqualValues(t, 225, ids[15])
	from := uintptr(unsafe.Pointer(unsafe.SliceData(file.Bytes())))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(weight)))
	assert.True(t, at > from && at < from+uintptr(len(file.Bytes())), "not a copy")
	_, err = As[float64](model[0])
	assert.Error(t, err)
}

// Nothing that a header says reaches outside the file.
func TestHostile(t *testing.T) {
	t.Parallel()
	file := func(header string, data int) []byte {
		b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
		return append(append(b, header...), make([]byte, data)...)
	}
	tensor := func(dtype, shape, offsets string) []byte {
		return file(fmt.Sprintf(`{"t":{"dtype":%q,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets), 16)
	}
	model, err := parse(tensor("F32", "[2,2]", "[0,16]"))
	require.NoError(t, err)
	assert.Len(t, model[0].Data, 16)
	assert.Equal(t, 16, cap(model[0].Data))
	model, err = parse(file(`{"__metadata__":{"a":"b"}}`, 0))
	require.NoError(t, err)
	assert.Empty(t, model)
	for i, b := range [][]byte{
		nil, make([]byte, 7), binary.LittleEndian.AppendUint64(nil, 1), binary.LittleEndian.AppendUint64(nil, 1<<63), file("{", 0), file("[]", 0), file(`{"t":1}`, 0),
		tensor("F32", "[2,2]", "[0,17]"), tensor("F32", "[2,2]", "[-1,15]"), tensor("F32", "[2,2]", "[16,0]"), tensor("F32", "[2,3]", "[0,16]"),
		tensor("F33", "[2,2]", "[0,16]"), tensor("F32", "[-2,-2]", "[0,16]"), tensor("U8", "[4294967296,4294967296,16]", "[0,16]"), tensor("F32", "[2,2]", "[0,9223372036854775807]"),
	} {
		_, err := parse(b)
		assert.Error(t, err, i)
	}
	aligned := bytesOf(make([]float32, 2))
	_, err = As[float32](Tensor{"t", "F32", []int64{1}, aligned[:4]})
	assert.NoError(t, err)
	_, err = As[float32](Tensor{"t", "F32", []int64{1}, aligned[1:5]})
	assert.Error(t, err)
}
