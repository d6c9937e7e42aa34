package main

// The safetensors format: eight bytes of length, a JSON header of that length, and the
// data of the tensors one after the other; all little endian. Nothing in a file may
// reach outside it, whatever its header says.

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"unsafe"
)

// Tensor is a tensor whose data are a part of the file.
type Tensor struct {
	Name  string
	Type  string // F32, BF16, I64 …
	Shape []int64
	Data  []byte
}

// elementSizes are the sizes of the types in bytes.
var elementSizes = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
	"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}

// headerEntry is a tensor as the header has it.
type headerEntry struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// maxHeader is the format's bound.
const maxHeader = 100_000_000

// parse returns the tensors of file in the order of their data, which are parts of
// file, not copies.
func parse(file []byte) ([]Tensor, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("%d bytes, too short for a safetensors file", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	if n > maxHeader || n > uint64(len(file)-8) {
		return nil, fmt.Errorf("header of %d bytes in a file of %d: no safetensors file", n, len(file))
	}
	data := file[8+n:]
	var header map[string]json.RawMessage
	if err := json.Unmarshal(file[8:8+n], &header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var tensors []Tensor
	for name, raw := range header {
		if name == "__metadata__" {
			continue
		}
		var h headerEntry
		if err := json.Unmarshal(raw, &h); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		from, to := h.Offsets[0], h.Offsets[1]
		if from < 0 || to < from || to > int64(len(data)) {
			return nil, fmt.Errorf("tensor %q: offsets %d to %d in %d bytes of data", name, from, to, len(data))
		}
		if err := h.check(to - from); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, Tensor{name, h.Type, h.Shape, data[from:to:to]})
	}
	slices.SortFunc(tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(offset(data, a), offset(data, b)), cmp.Compare(a.Name, b.Name))
	})
	return tensors, nil
}

// offset is where the data of t begin.
func offset(data []byte, t Tensor) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(t.Data))) - uintptr(unsafe.Pointer(unsafe.SliceData(data)))
}

// check compares type and shape with the number of bytes.
func (h *headerEntry) check(length int64) error {
	size, ok := elementSizes[h.Type]
	if !ok {
		return fmt.Errorf("type %q is not known", h.Type)
	}
	total := uint64(size)
	for _, n := range h.Shape {
		if n < 0 {
			return fmt.Errorf("shape %v", h.Shape)
		}
		over, product := bits.Mul64(total, uint64(n))
		if over != 0 {
			return fmt.Errorf("shape %v overflows", h.Shape)
		}
		total = product
	}
	if total != uint64(length) {
		return fmt.Errorf("shape %v of %s takes %d bytes, and there are %d", h.Shape, h.Type, total, length)
	}
	return nil
}

// element is what tensors can be used as. BF16 and F16 are uint16 here: Go has no such
// types.
type element interface {
	int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | float32 | float64
}

// As returns the data of a tensor as a slice of T, over the same memory. It must not
// be used once the file is unmapped.
func As[T element](t Tensor) ([]T, error) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	start := unsafe.SliceData(t.Data)
	switch {
	case int64(size) != elementSizes[t.Type]:
		return nil, fmt.Errorf("elements of %d bytes as %T, which has %d", elementSizes[t.Type], zero, size)
	case len(t.Data)%size != 0:
		return nil, fmt.Errorf("%d bytes are no whole number of %T", len(t.Data), zero)
	case uintptr(unsafe.Pointer(start))%uintptr(size) != 0:
		return nil, fmt.Errorf("data that are not aligned for %T, as the header was not padded", zero)
	case bigEndian():
		return nil, errors.New("the format is little endian, and this machine is not")
	}
	return unsafe.Slice((*T)(unsafe.Pointer(start)), len(t.Data)/size), nil
}

func bigEndian() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 0
}

// bytesOf is the reverse of As.
func bytesOf[T element](values []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(zero)))
}

// encode makes a file of tensors. Its header is padded, so that the data are aligned.
func encode(tensors []Tensor) ([]byte, error) {
	header := make(map[string]headerEntry)
	at := int64(0)
	for _, t := range tensors {
		header[t.Name] = headerEntry{t.Type, t.Shape, [2]int64{at, at + int64(len(t.Data))}}
		at += int64(len(t.Data))
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	for (8+len(text))%64 != 0 {
		text = append(text, ' ')
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	file = append(file, text...)
	for _, t := range tensors {
		file = append(file, t.Data...)
	}
	return file, nil
}
