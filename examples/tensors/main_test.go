package main

import (
	"bytes"
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
	weight, copied, err := As[float32](model[0])
	require.NoError(t, err)
	assert.False(t, copied)
	require.Len(t, weight, 64*256)
	assert.Equal(t, float32(3)/7, weight[10])
	ids, _, err := As[int64](model[2])
	require.NoError(t, err)
	assert.EqualValues(t, 225, ids[15])
	from := uintptr(unsafe.Pointer(unsafe.SliceData(file.Bytes())))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(weight)))
	assert.True(t, at > from && at < from+uintptr(len(file.Bytes())), "not a copy")
	_, _, err = As[float64](model[0])
	assert.Error(t, err)
}

// file is a file with this header, which is padded, and that many bytes of data.
func file(header string, data int) []byte {
	for (8+len(header))%8 != 0 {
		header += " "
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

// tensor is a tensor of a header.
func tensor(name, dtype, shape, offsets string) string {
	return fmt.Sprintf(`"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}`, name, dtype, shape, offsets)
}

// What the format allows is taken, and each tensor is where it is said to be.
func TestTaken(t *testing.T) {
	t.Parallel()
	type place struct {
		name         string
		offset, size int // from the end of the header
	}
	for name, c := range map[string]struct {
		header string
		data   int
		want   []place
	}{
		"nothing":                        {`{}`, 0, nil},
		"metadata":                       {`{"__metadata__":{"a":"b","dtype":"c"}}`, 0, nil},
		"one":                            {`{` + tensor("t", "F32", "[2,2]", "[0,16]") + `}`, 16, []place{{"t", 0, 16}}},
		"a scalar":                       {`{` + tensor("t", "F64", "[]", "[0,8]") + `}`, 8, []place{{"t", 0, 8}}},
		"in any order":                   {`{` + tensor("b", "U8", "[3]", "[4,7]") + `,` + tensor("a", "I32", "[1]", "[0,4]") + `}`, 7, []place{{"a", 0, 4}, {"b", 4, 3}}},
		"empty, at the end":              {`{` + tensor("b", "F32", "[2]", "[0,8]") + `,` + tensor("t", "F32", "[0,5]", "[8,8]") + `}`, 8, []place{{"b", 0, 8}, {"t", 8, 0}}},
		"empty, before another":          {`{` + tensor("z", "F32", "[0]", "[0,0]") + `,` + tensor("a", "F32", "[2]", "[0,8]") + `}`, 8, []place{{"z", 0, 0}, {"a", 0, 8}}},
		"large and empty":                {`{` + tensor("t", "U8", "[18446744073709551615,0]", "[0,0]") + `}`, 0, []place{{"t", 0, 0}}},
		"complex":                        {`{` + tensor("t", "C64", "[2]", "[0,16]") + `}`, 16, []place{{"t", 0, 16}}},
		"half bytes":                     {`{` + tensor("t", "F4", "[2,3]", "[0,3]") + `}`, 3, []place{{"t", 0, 3}}},
		"three quarters":                 {`{` + tensor("t", "F6_E2M3", "[4]", "[0,3]") + `}`, 3, []place{{"t", 0, 3}}},
		"a type that is not known":       {`{` + tensor("t", "Q5", "[7]", "[0,5]") + `}`, 5, []place{{"t", 0, 5}}},
		"more fields, in other cases":    {`{"t":{"dtype":"U8","Shape":[9],"more":[{"x":null}],"shape":[1],"data_offsets":[0,1]}}`, 1, []place{{"t", 0, 1}}},
		"a key in objects of their own":  {`{` + tensor("shape", "U8", "[1]", "[0,1]") + `}`, 1, []place{{"shape", 0, 1}}},
		"a key in two cases is two keys": {`{` + tensor("T", "U8", "[1]", "[0,1]") + `,` + tensor("t", "U8", "[1]", "[1,2]") + `}`, 2, []place{{"T", 0, 1}, {"t", 1, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := file(c.header, c.data)
			model, err := parse(b)
			require.NoError(t, err)
			require.Len(t, model, len(c.want))
			for i, want := range c.want {
				got, data := model[i], len(b)-c.data
				assert.Equal(t, want, place{got.Name, int(got.Offset) - data, len(got.Data)})
				assert.Equal(t, want.size, cap(got.Data))
				if want.size > 0 {
					assert.Same(t, &b[data+want.offset], &got.Data[0], "the file itself")
				}
			}
		})
	}
}

// What the format does not allow is refused, and it is said why.
func TestRefused(t *testing.T) {
	t.Parallel()
	one := func(dtype, shape, offsets string) []byte { return file(`{`+tensor("t", dtype, shape, offsets)+`}`, 16) }
	two := func(a, b string) []byte {
		return file(`{`+tensor("a", "F32", "[2]", a)+`,`+tensor("b", "F32", "[2]", b)+`}`, 16)
	}
	fields := func(fields string) []byte { return file(`{"t":{`+fields+`}}`, 16) }
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":                 {nil, "too short"},
		"seven bytes":           {make([]byte, 7), "too short"},
		"header cut":            {binary.LittleEndian.AppendUint64(nil, 1), "cut short"},
		"header too long":       {binary.LittleEndian.AppendUint64(nil, maxHeader+1), "the format allows 100000000"},
		"length overflows":      {binary.LittleEndian.AppendUint64(nil, 1<<64-1), "the format allows"},
		"no header":             {make([]byte, 8), "does not begin with {"},
		"broken off":            {file("{", 0), "unexpected end"},
		"a list":                {file("[]", 0), "does not begin with {"},
		"null":                  {file("null", 0), "does not begin with {"},
		"space first":           {file(" {}", 0), "does not begin with {"},
		"something behind":      {file("{}x", 0), "after top-level value"},
		"not UTF-8":             {file(`{`+tensor("a\xff", "F32", "[2]", "[0,8]")+`,`+tensor("a\xfe", "F32", "[2]", "[8,16]")+`}`, 16), "not UTF-8"},
		"half a pair":           {file(`{`+tensor(`a\ud800`, "F32", "[2]", "[0,8]")+`}`, 8), "a character that is none"},
		"a tensor twice":        {file(`{`+tensor("t", "F32", "[4]", "[0,16]")+`,`+tensor("t", "F32", "[4]", "[0,16]")+`}`, 16), `key "t" twice`},
		"written differently":   {file(`{`+tensor("t", "F32", "[4]", "[0,16]")+`,`+tensor(`\u0074`, "F32", "[4]", "[0,16]")+`}`, 16), `key "t" twice`},
		"a field twice":         {fields(`"dtype":"F32","shape":[4],"shape":[4],"data_offsets":[0,16]`), `key "shape" twice`},
		"a metadatum twice":     {file(`{"__metadata__":{"a":"b","a":"b"}}`, 0), `key "a" twice`},
		"a key twice, deep":     {fields(`"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":[[{"y":1,"y":2}]]`), `key "y" twice`},
		"metadata: number":      {file(`{"__metadata__":{"a":1}}`, 0), "__metadata__"},
		"metadata: null in it":  {file(`{"__metadata__":{"a":null}}`, 0), `"a" is null`},
		"metadata: null":        {file(`{"__metadata__":null}`, 0), "is null"},
		"metadata: a list":      {file(`{"__metadata__":["a"]}`, 0), "__metadata__"},
		"a number":              {file(`{"t":1}`, 0), `tensor "t"`},
		"tensor: null":          {file(`{"t":null}`, 0), "dtype is missing"},
		"no dtype":              {fields(`"shape":[4],"data_offsets":[0,16]`), "dtype is missing"},
		"no shape":              {fields(`"dtype":"F32","data_offsets":[0,16]`), "shape is missing"},
		"no offsets":            {fields(`"dtype":"F32","shape":[0]`), "data_offsets is missing"},
		"in another case":       {fields(`"dtype":"F32","Shape":[4],"data_offsets":[0,16]`), "shape is missing"},
		"dtype: null":           {fields(`"dtype":null,"shape":[4],"data_offsets":[0,16]`), "dtype is null"},
		"dtype: number":         {fields(`"dtype":4,"shape":[4],"data_offsets":[0,16]`), "dtype"},
		"shape: null":           {one("F32", "null", "[0,16]"), "shape is null"},
		"shape: null in it":     {one("F32", "[4,null]", "[0,16]"), "shape: number 1 is null"},
		"shape: negative":       {one("F32", "[-2,-2]", "[0,16]"), "shape"},
		"shape: minus zero":     {one("F32", "[-0]", "[0,16]"), "shape"},
		"shape: fraction":       {one("F32", "[4.0]", "[0,16]"), "shape"},
		"shape: other size":     {one("F32", "[2,3]", "[0,16]"), "takes 24 bytes, and there are 16"},
		"shape overflows":       {one("U8", "[4294967296,4294967296,16]", "[0,16]"), "overflows"},
		"size overflows":        {one("U64", "[4611686018427387904]", "[0,16]"), "overflows"},
		"overflow, not known":   {one("Q5", "[4294967296,4294967296,16]", "[0,16]"), "overflows"},
		"half a byte":           {one("F4", "[31]", "[0,16]"), "no whole number of bytes"},
		"one offset":            {one("F32", "[4]", "[16]"), "want 2"},
		"three offsets":         {one("F32", "[4]", "[0,16,99]"), "want 2"},
		"offsets: too far":      {one("F32", "[2,2]", "[0,17]"), "offsets 0 to 17 in 16 bytes"},
		"offsets: negative":     {one("F32", "[2,2]", "[-1,15]"), "data_offsets"},
		"offsets: backwards":    {one("F32", "[2,2]", "[16,0]"), "offsets 16 to 0"},
		"offsets: huge":         {one("F32", "[2,2]", "[0,18446744073709551615]"), "offsets 0 to"},
		"a hole first":          {one("F32", "[2]", "[8,16]"), "begins at offset 8 of the data, and the one before ends at 0"},
		"bytes behind":          {one("F32", "[2]", "[0,8]"), "the last 8 belong to no tensor"},
		"bytes, and no tensor":  {file("{}", 16), "the last 16 belong to no tensor"},
		"two in one place":      {two("[0,8]", "[0,8]"), "begins at offset 0 of the data, and the one before ends at 8"},
		"overlapping":           {two("[0,8]", "[4,12]"), "begins at offset 4 of the data, and the one before ends at 8"},
		"a hole between":        {file(`{`+tensor("a", "U8", "[4]", "[0,4]")+`,`+tensor("b", "U8", "[4]", "[8,12]")+`}`, 12), "begins at offset 8 of the data, and the one before ends at 4"},
		"an empty one too far":  {file(`{`+tensor("a", "U8", "[4]", "[0,4]")+`,`+tensor("b", "U8", "[0]", "[2,2]")+`}`, 4), "begins at offset 2"},
		"not known, in a hole":  {file(`{`+tensor("a", "Q5", "[4]", "[1,4]")+`}`, 4), "begins at offset 1"},
		"a name that steers":    {file(`{"\u001b[2J":1}`, 0), `"\x1b[2J"`},
		"one that steers twice": {file(`{"\u009b":1,"\u009b":1}`, 0), `"\u009b"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(c.file)
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.want)
		})
	}
}

// Data that are not aligned for their type are copied; all else is the memory itself.
func TestAs(t *testing.T) {
	t.Parallel()
	memory := bytesOf([]float64{1, 2, 3})
	f32 := func(from, to int) Tensor { return Tensor{Name: "t", Type: "F32", Data: memory[from:to:to]} }
	values, copied, err := As[float32](f32(8, 16))
	require.NoError(t, err)
	assert.False(t, copied)
	assert.Equal(t, unsafe.Pointer(&memory[8]), unsafe.Pointer(&values[0]))

	copy(memory[1:], bytesOf([]float32{5, 6}))
	values, copied, err = As[float32](f32(1, 9))
	require.NoError(t, err)
	assert.True(t, copied)
	assert.Equal(t, []float32{5, 6}, values)
	for at := range 4 {
		empty := Tensor{Name: "t", Type: "F32", Data: memory[at:8][:0]} // at an odd address
		values, copied, err = As[float32](empty)
		require.NoError(t, err)
		assert.False(t, copied)
		assert.Empty(t, values)
		assert.True(t, empty.Aligned())
	}
	pairs, copied, err := As[complex64](Tensor{Type: "C64", Data: memory[4:20]})
	require.NoError(t, err)
	assert.False(t, copied, "two of four bytes")
	assert.Len(t, pairs, 2)

	_, _, err = As[float64](f32(0, 8))
	assert.Error(t, err, "another size")
	_, _, err = As[float32](f32(0, 6))
	assert.Error(t, err, "half of one")
	_, _, err = As[uint8](Tensor{Type: "Q5", Data: memory})
	assert.Error(t, err, "not known")
}

// All that is in a file is listed, and what steers terminals is quoted.
func TestShow(t *testing.T) {
	t.Parallel()
	b := file(`{`+tensor("odd", "U8", "[1]", "[0,1]")+`,`+tensor(`f\u001b[2J`, "F32", "[2]", "[1,9]")+`,`+
		tensor("i", "I64", "[1]", "[9,17]")+`,`+tensor("q", `Q\u00075`, "[3]", "[17,20]")+`,`+tensor("c", "C64", "[1]", "[20,28]")+`}`, 28)
	copy(b[len(b)-27:], bytesOf([]float32{2, 4}))
	var out bytes.Buffer
	require.NoError(t, show("a\nb", b, &out))
	text := out.String()
	data := len(b) - 28
	for _, want := range []string{
		`"a\nb": `, "5 tensors",
		fmt.Sprintf("%-24s U8    [1]        at +%d\n", "odd", data),
		fmt.Sprintf("%-24s F32   [2]        at +%d  not aligned, copied  mean 3\n", `"f\x1b[2J"`, data+1),
		fmt.Sprintf("%-24s I64   [1]        at +%d  not aligned\n", "i", data+9),
		fmt.Sprintf("%-24s %-5s [3]        at +%d  3 bytes of a type that is not known\n", "q", `"Q\a5"`, data+17),
		fmt.Sprintf("%-24s C64   [1]        at +%d\n", "c", data+20),
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "\x1b")
	err := show("a\nb", nil, &out)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "\n")
}
