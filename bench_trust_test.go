//go:build linux && (amd64 || arm64)

package famfs

// Figures of seals: what one costs while a file is filled, and how fast content is compared with it.

import (
	"hash/crc32"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Row: copying 1 GiB in and computing its sum meanwhile, against copying it alone.
func BenchmarkSeal(b *testing.B) {
	const n = 1 << 30
	source := tmpfsFile(b, n)
	m, _ := benchMaster(b, n+64*mib)
	f, err := os.Open(source)
	require.NoError(b, err)
	defer f.Close()
	copyIn := func(b *testing.B, opts ...CreateOption) {
		p, err := m.Create("f", n, opts...)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close() // not committed, so that the space can be used again
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		if got, err := p.ReadFrom(f); err != nil || got != n {
			b.Fatal(got, err)
		}
		if len(opts) == 0 {
			return
		}
		if err := p.sumUp(); err != nil { // as Commit does
			b.Fatal(err)
		}
	}
	way := func(opts ...CreateOption) func(b *testing.B) {
		return func(b *testing.B) {
			copyIn(b, opts...) // so that the stand-in has its pages, as a device has
			b.SetBytes(n)
			for b.Loop() {
				copyIn(b, opts...)
			}
		}
	}
	inTurns(b, way(), way(Seal()))
}

// Rows: Verify and Scrub of 1 GiB, against CRC-32C over the mapped memory on all processors.
func BenchmarkVerify(b *testing.B) {
	const n = 1 << 30
	m, path := benchMaster(b, n+64*mib)
	p, err := m.Create("f", n, Seal())
	require.NoError(b, err)
	part := pattern(mib, 1)
	for range n / mib {
		_, err := p.Write(part)
		require.NoError(b, err)
	}
	require.NoError(b, p.Commit())
	mem := mapPlain(b, m, "f", false)
	table := crc32.MakeTable(crc32.Castagnoli)
	pass := func(b *testing.B) {
		b.SetBytes(n)
		for b.Loop() {
			_, err := inParallel(0, n, func(from, to int64) (int64, error) {
				sink += uint64(crc32.Checksum(mem[from:to], table)) & 1 >> 1 // 0: it is used
				return to - from, nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	c := openTest(b, path)
	for _, way := range []struct {
		name string
		read func() error
	}{
		{"verify", func() error { return c.Verify("f") }},
		{"scrub", func() error {
			report, err := c.Scrub(b.Context())
			require.Empty(b, report.Bad)
			return err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			inTurns(b, pass, func(b *testing.B) {
				b.SetBytes(n)
				for b.Loop() {
					if err := way.read(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
