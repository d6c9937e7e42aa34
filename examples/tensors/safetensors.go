package main

// The safetensors format: eight bytes of length, a JSON header of that length, and the data of
// the tensors one after the other, all little endian. A file is accepted only if the format
// allows it. So nothing in it can point outside of the file, no tensor overlaps another, and
// every byte belongs to a tensor.

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// Tensor is a tensor. Its data are a part of the file.
type Tensor struct {
	Name   string
	Type   string // F32, BF16, I64 …
	Shape  []uint64
	Offset uint64 // of the data, in the file
	Data   []byte
}

// elementBits are the sizes of the known types.
var elementBits = map[string]uint64{
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
	"U64": 64, "I64": 64, "F64": 64, "C64": 64,
}

// Known reports whether the type is known. For other types only the size is known.
func (t Tensor) Known() bool { return elementBits[t.Type] != 0 }

// Aligned reports whether the data can be used in place, as elements of their type.
func (t Tensor) Aligned() bool {
	align := max(elementBits[t.Type]/8, 1)
	if t.Type == "C64" {
		align = 4 // two F32
	}
	return len(t.Data) == 0 || uint64(uintptr(unsafe.Pointer(unsafe.SliceData(t.Data))))%align == 0
}

// headerEntry is a tensor as described in the header.
type headerEntry struct {
	Type    string    `json:"dtype"`
	Shape   []uint64  `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"` // from the end of the header
}

const (
	// maxHeader is the limit of the format.
	maxHeader = 100_000_000
	// metadataKey is the only key that is not a tensor.
	metadataKey = "__metadata__"
)

// parse returns the tensors of file in the order of their data. They are parts of file, not copies.
func parse(file []byte) ([]Tensor, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("%d bytes, too short for a safetensors file", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	switch {
	case n > maxHeader:
		return nil, fmt.Errorf("header of %d bytes: the format allows %d, or this is no safetensors file", n, maxHeader)
	case n > uint64(len(file)-8):
		return nil, fmt.Errorf("header of %d bytes in a file of %d: it is cut short, or no safetensors file", n, len(file))
	}
	data := file[8+n:]
	// Copy it: others may write to the file while it is parsed.
	entries, err := parseHeader(bytes.Clone(file[8 : 8+n]))
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var tensors []Tensor
	for name, h := range entries {
		from, to := h.Offsets[0], h.Offsets[1]
		if to < from || to > uint64(len(data)) {
			return nil, fmt.Errorf("tensor %q: offsets %d to %d in %d bytes of data", name, from, to, len(data))
		}
		if err := h.check(to - from); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, Tensor{name, h.Type, h.Shape, 8 + n + from, data[from:to:to]})
	}
	slices.SortFunc(tensors, func(a, b Tensor) int { // a tensor without data comes before one that begins at the same place
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(len(a.Data), len(b.Data)), cmp.Compare(a.Name, b.Name))
	})
	end := 8 + n
	for _, t := range tensors {
		if t.Offset != end {
			return nil, fmt.Errorf("tensor %q begins at offset %d of the data, and the one before ends at %d", t.Name, t.Offset-8-n, end-8-n)
		}
		end += uint64(len(t.Data))
	}
	if end != uint64(len(file)) {
		return nil, fmt.Errorf("%d bytes of data, of which the last %d belong to no tensor", len(data), uint64(len(file))-end)
	}
	return tensors, nil
}

// parseHeader is stricter than encoding/json, which accepts duplicate keys, keys in any case,
// arrays of any length, null for anything, and bytes that are not text.
func parseHeader(text []byte) (map[string]headerEntry, error) {
	switch {
	case len(text) == 0 || text[0] != '{':
		return nil, errors.New("does not begin with {")
	case !utf8.Valid(text):
		return nil, errors.New("is not UTF-8")
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, err
	}
	if err := checkKeys(text); err != nil {
		return nil, err
	}
	entries := make(map[string]headerEntry)
	for name, raw := range header {
		if name == metadataKey {
			var values map[string]*string
			if err := json.Unmarshal(raw, &values); err != nil {
				return nil, fmt.Errorf("%s: %w", metadataKey, err)
			}
			if values == nil {
				return nil, fmt.Errorf("%s is null", metadataKey)
			}
			for key, value := range values {
				if value == nil {
					return nil, fmt.Errorf("%s: %q is null", metadataKey, key)
				}
			}
			continue
		}
		entry, err := parseEntry(raw)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		entries[name] = entry
	}
	return entries, nil
}

// parseEntry parses the header's description of one tensor. It ignores fields that the format
// does not have.
func parseEntry(raw json.RawMessage) (h headerEntry, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return h, err
	}
	var name *string
	if err := field(fields, "dtype", &name); err != nil {
		return h, err
	}
	if name == nil {
		return h, errors.New("dtype is null")
	}
	h.Type = *name
	if h.Shape, err = numbers(fields, "shape"); err != nil {
		return h, err
	}
	offsets, err := numbers(fields, "data_offsets")
	if err != nil {
		return h, err
	}
	if len(offsets) != 2 {
		return h, fmt.Errorf("data_offsets are %d numbers, want 2", len(offsets))
	}
	h.Offsets = [2]uint64(offsets)
	return h, nil
}

func field(fields map[string]json.RawMessage, key string, to any) error {
	raw, ok := fields[key]
	if !ok {
		return fmt.Errorf("%s is missing", key)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// numbers parses a list of numbers that are not negative.
func numbers(fields map[string]json.RawMessage, key string) ([]uint64, error) {
	var list []*uint64
	if err := field(fields, key, &list); err != nil {
		return nil, err
	}
	if list == nil {
		return nil, fmt.Errorf("%s is null", key)
	}
	values := make([]uint64, len(list))
	for i, n := range list {
		if n == nil {
			return nil, fmt.Errorf("%s: number %d is null", key, i)
		}
		values[i] = *n
	}
	return values, nil
}

// checkKeys refuses an object with a duplicate key, or with a key that has half of a surrogate
// pair, which encoding/json would turn into U+FFFD. text must be valid.
func checkKeys(text []byte) error {
	type level struct {
		keys    map[string]bool // nil for an array
		isValue bool            // the next token of an object is a value
	}
	var levels []level
	tokens := json.NewDecoder(bytes.NewReader(text))
	tokens.UseNumber()
	for first := true; first || len(levels) > 0; first = false {
		token, err := tokens.Token()
		if err != nil {
			return err
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if len(levels) > 0 && levels[len(levels)-1].keys != nil {
			l := &levels[len(levels)-1]
			if !l.isValue {
				key := token.(string)
				if l.keys[key] {
					return fmt.Errorf("key %q twice", key)
				}
				if bytes.ContainsRune([]byte(key), utf8.RuneError) {
					return fmt.Errorf("key %q has a character that is none", key)
				}
				l.keys[key] = true
			}
			l.isValue = !l.isValue
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{keys: make(map[string]bool)})
		case json.Delim('['):
			levels = append(levels, level{})
		}
	}
	return nil
}

// check compares type and shape with the number of bytes. If the type is not known, it checks
// the shape only for overflow.
func (h *headerEntry) check(length uint64) error {
	elements := uint64(1)
	for _, n := range h.Shape {
		over, product := bits.Mul64(elements, n)
		if over != 0 {
			return fmt.Errorf("shape %v overflows", h.Shape)
		}
		elements = product
	}
	size, ok := elementBits[h.Type]
	if !ok {
		return nil
	}
	over, total := bits.Mul64(elements, size)
	switch {
	case over != 0:
		return fmt.Errorf("shape %v of %s overflows", h.Shape, h.Type)
	case total%8 != 0:
		return fmt.Errorf("shape %v of %s is no whole number of bytes", h.Shape, h.Type)
	case total/8 != length:
		return fmt.Errorf("shape %v of %s takes %d bytes, and there are %d", h.Shape, h.Type, total/8, length)
	}
	return nil
}

// element lists the types that tensors can be used as. BF16 and F16 are uint16 here, because Go
// has no such types.
type element interface {
	int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | float32 | float64 | complex64
}

// As returns the data of a tensor as a slice of T. The slice is over the same memory, so it must
// not be used after the file is unmapped. If the data are not aligned for T, it is a copy.
func As[T element](t Tensor) (values []T, copied bool, err error) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	start := unsafe.SliceData(t.Data)
	switch {
	case uint64(size)*8 != elementBits[t.Type]:
		return nil, false, fmt.Errorf("elements of type %s as %T, which has %d bytes", printable(t.Type), zero, size)
	case len(t.Data)%size != 0:
		return nil, false, fmt.Errorf("%d bytes are no whole number of %T", len(t.Data), zero)
	case bigEndian():
		return nil, false, errors.New("the format is little endian, and this machine is not")
	case len(t.Data) == 0: // its address may be behind the mapping, and not aligned
		return nil, false, nil
	case uintptr(unsafe.Pointer(start))%unsafe.Alignof(zero) != 0:
		values = make([]T, len(t.Data)/size)
		copy(bytesOf(values), t.Data)
		return values, true, nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(start)), len(t.Data)/size), false, nil
}

// printable returns text unchanged, or quoted if it has characters that do not print.
func printable(text string) string {
	if quoted := strconv.Quote(text); quoted != `"`+text+`"` || text == "" {
		return quoted
	}
	return text
}

func bigEndian() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 0
}

// bytesOf does the reverse of As.
func bytesOf[T element](values []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(zero)))
}

// encode makes a file of tensors. It pads the header, so that the data are aligned.
func encode(tensors []Tensor) ([]byte, error) {
	header := make(map[string]headerEntry)
	at := uint64(0)
	for _, t := range tensors {
		header[t.Name] = headerEntry{t.Type, t.Shape, [2]uint64{at, at + uint64(len(t.Data))}}
		at += uint64(len(t.Data))
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
