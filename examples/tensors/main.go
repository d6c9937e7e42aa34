// Tensors opens a safetensors file on a famfs device and uses its tensors as typed slices over the
// shared memory itself. It reads nothing and copies nothing, and all processes on all hosts that do
// this use the same bytes. Without a device it makes a stand-in with a small model.
//
//	go run ./examples/tensors
//	go run ./examples/tensors /dev/dax0.0 models/llama/model.safetensors
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"famfs"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: tensors [DEVICE FILE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 0 && flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "tensors:", err)
		os.Exit(1)
	}
}

func run(device, name string) (err error) {
	if device == "" {
		dir, err := os.MkdirTemp("", "famfs-tensors-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		device, name = filepath.Join(dir, "device"), "models/small.safetensors"
		if err := makeSmall(device, name); err != nil {
			return err
		}
		fmt.Println("made", device, "as a stand-in, with a small model")
	}
	fsys, err := famfs.Open(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fsys.Close()) }()
	file, err := fsys.Map(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// If the memory fails, that is an error, not a crash. The file is closed outside of Guard, so
	// that it is still mapped when Guard looks for it.
	return famfs.Guard(func() error { return show(name, file.Bytes(), os.Stdout) })
}

// show prints the tensors of a file and uses some of them.
func show(name string, file []byte, out io.Writer) error {
	model, err := parse(file)
	if err != nil {
		return fmt.Errorf("%s: %w", printable(name), err)
	}
	fmt.Fprintf(out, "%s: %d bytes mapped at %p, %d tensors\n\n", printable(name), len(file), unsafe.SliceData(file), len(model))
	for _, t := range model {
		fmt.Fprintf(out, "%-24s %-5s %-10s at +%d", printable(t.Name), printable(t.Type), fmt.Sprint(t.Shape), t.Offset)
		values, copied, err := As[float32](t)
		switch {
		case !t.Known():
			fmt.Fprintf(out, "  %d bytes of a type that is not known", len(t.Data))
		case t.Type == "F32" && err != nil:
			fmt.Fprintf(out, "  %v", err)
		case t.Type == "F32":
			if copied {
				fmt.Fprint(out, "  not aligned, copied")
			}
			if len(values) > 0 {
				fmt.Fprintf(out, "  mean %.4g", mean(values))
			}
		case !t.Aligned():
			fmt.Fprint(out, "  not aligned")
		}
		fmt.Fprintln(out)
	}
	return multiply(model, out)
}

// multiply shows a use: it multiplies the first two-dimensional F32 tensor by a vector of ones,
// which gives the sum of each row.
func multiply(model []Tensor, out io.Writer) error {
	at := slices.IndexFunc(model, func(t Tensor) bool { return t.Type == "F32" && len(t.Shape) == 2 && len(t.Data) > 0 })
	if at < 0 {
		return nil
	}
	t := model[at]
	weights, _, err := As[float32](t)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	columns := int(t.Shape[1])
	var sums []float32
	for row := 0; row < int(t.Shape[0]) && row < 4; row++ {
		var sum float32
		for _, w := range weights[row*columns : (row+1)*columns] {
			sum += w
		}
		sums = append(sums, sum)
	}
	fmt.Fprintf(out, "\n%s × 1 = %v …\n", printable(t.Name), sums)
	return nil
}

func mean(values []float32) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return sum / float64(len(values))
}

// makeSmall makes a stand-in device with a small model on it.
func makeSmall(device, name string) error {
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
	if err := fsys.MkdirAll(filepath.ToSlash(filepath.Dir(name)), 0o755); err != nil {
		return err
	}
	weight, bias, ids := make([]float32, 64*256), make([]float32, 64), make([]int64, 16)
	for i := range weight {
		weight[i] = float32(i%7) / 7
	}
	for i := range bias {
		bias[i] = float32(i)
	}
	for i := range ids {
		ids[i] = int64(i * i)
	}
	data, err := encode([]Tensor{
		{Name: "layer.weight", Type: "F32", Shape: []uint64{64, 256}, Data: bytesOf(weight)},
		{Name: "layer.bias", Type: "F32", Shape: []uint64{64}, Data: bytesOf(bias)},
		{Name: "ids", Type: "I64", Shape: []uint64{16}, Data: bytesOf(ids)},
	})
	if err != nil {
		return err
	}
	return fsys.WriteFile(name, data, 0o644)
}
