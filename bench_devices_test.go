//go:build linux && (amd64 || arm64)

package famfs

// Figures of file systems on several devices, each beside the same with one: what further devices
// cost. What they bring, the bandwidth of all together, no stand-in shows: see docs/figures.md.

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchDevices returns the paths of n devices on tmpfs with a new file system.
func benchDevices(b *testing.B, n int, size int64, opts ...FormatOption) []string {
	b.Helper()
	benchDir(b)
	return formatDevices(b, n, size, opts...)
}

// Row: scan of a mapped file of 1 GiB that is interleaved over two devices, against one on one device
// in the same chunks.
func BenchmarkDevicesScan(b *testing.B) {
	const n = 1 << 30
	scan := func(devices, strips, buckets int) func(b *testing.B) {
		paths := benchDevices(b, devices, n/int64(devices)+64*mib)
		m := openMaster(b, paths[0], WithDevices(paths[1:]...))
		p, err := m.Create("f", n, Interleave(Interleaving{Strips: strips, Buckets: buckets, Chunk: 2 * mib}))
		require.NoError(b, err)
		part := pattern(mib, 1)
		for range n / mib {
			_, err := p.Write(part)
			require.NoError(b, err)
		}
		require.NoError(b, p.Commit())
		x, err := openTest(b, paths[0], WithDevices(paths[1:]...)).Map("f")
		require.NoError(b, err)
		b.Cleanup(func() { x.Close() })
		return func(b *testing.B) {
			b.SetBytes(n)
			sink += sum(x.Bytes()) // the page faults
			for b.Loop() {
				sink += sum(x.Bytes())
			}
		}
	}
	inTurns(b, scan(1, 2, 2), scan(2, 2, 0))
}

// Row: Open of a file system on 16 devices, against one on one device.
func BenchmarkDevicesOpen(b *testing.B) {
	open := func(devices int) func(b *testing.B) {
		paths := benchDevices(b, devices, 64*mib)
		return func(b *testing.B) {
			openAndClose(b, paths[0], devices-1, func() {}, WithDevices(paths[1:]...))
		}
	}
	inTurns(b, open(1), open(16))
}

// Row: Create + Commit of 2 MiB without data on 16 devices, against one device.
func BenchmarkDevicesCreate(b *testing.B) {
	create := func(devices int, opts ...Option) func(b *testing.B) {
		const logSize = 256 * mib
		size := 2*logSize + int64(lastIndex(logSize))*defaultUnit/int64(devices)
		paths := benchDevices(b, devices, size, LogSize(logSize))
		opts = append(opts, WithDevices(paths[1:]...))
		whole := b // a file system that is opened in one turn is used in the next one too
		m := openMaster(whole, paths[0], opts...)
		made := 0
		return func(b *testing.B) {
			for b.Loop() {
				p, err := m.Create(fmt.Sprint(made), defaultUnit)
				if err != nil {
					// It is full: a new one.
					b.StopTimer()
					if !errors.Is(err, ErrNoSpace) {
						require.ErrorIs(b, err, ErrLogFull)
					}
					require.NoError(b, m.Close())
					require.NoError(b, Format(paths[0], WithSystemUUID(testHost), Force(), LogSize(logSize), Secondaries(paths[1:]...)))
					m, made = openMaster(whole, paths[0], opts...), 0
					p, err = m.Create(fmt.Sprint(made), defaultUnit)
					require.NoError(b, err)
					b.StartTimer()
				}
				if err := p.Commit(); err != nil {
					b.Fatal(err)
				}
				made++
			}
		}
	}
	inTurns(b, create(1), create(16))
	b.Run("shared", func(b *testing.B) { inTurns(b, create(1, asShared), create(16, asShared)) })
}
