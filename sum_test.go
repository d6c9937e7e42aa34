package famfs

// Sums: of memory, combined of parts in every order, and of what is copied while it is copied.

import (
	"crypto/sha256"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSumText(t *testing.T) {
	t.Parallel()
	check := []byte("123456789")
	assert.Equal(t, "none", Sum{}.String())
	assert.Equal(t, "crc32c:e3069283", crcSum(crc32c(check)).String(), "the check value of CRC-32C")
	assert.Equal(t, byte(0x83), crcSum(crc32c(check)).Bytes[0], "little endian")
	assert.Equal(t, "crc32c:00000001", crcSum(1).String())
	assert.Equal(t, "sha256:15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225", Sum{SHA256, sha256.Sum256(check)}.String())
	assert.Equal(t, "SumKind(7):"+strings.Repeat("00", sumSize), Sum{Kind: 7}.String())
	assert.Equal(t, "crc32c", CRC32C.String())
	assert.Equal(t, "sha256", SHA256.String())
	assert.Equal(t, "SumKind(0)", SumKind(0).String())
}

func TestCombineCRC(t *testing.T) {
	t.Parallel()
	data := pattern(3<<20, 1)
	for _, n := range []int{0, 1, 2, 7, 8, 63, 64, 4095, 4096, 1 << 20, 3<<20 - 1, 3 << 20} {
		assert.Equal(t, crc32c(data), combineCRC(crc32c(data[:n]), crc32c(data[n:]), int64(len(data)-n)), "cut at %d", n)
	}
	// More bytes than any memory has: the combination is associative.
	const far = int64(1)<<62 + 12345
	assert.Equal(t, combineCRC(combineCRC(7, 9, far), 11, 3), combineCRC(7, combineCRC(9, 11, 3), far+3))
	for n := range 3000 { // every length near those at which another loop is used
		at := n % 77
		require.Equal(t, crc32.Update(5, crc32.MakeTable(crc32.Castagnoli), data[at:at+n]), moreCRC(5, data[at:at+n]), "%d bytes", n)
	}
	assert.Equal(t, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)), crc32c(data))
}

// Parts in any order, and again over others, make the sum of the whole.
func TestCRCParts(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		data := pattern(1+rng.IntN(300), rng.Uint64())
		size := int64(len(data))
		var parts crcParts
		for range rng.IntN(20) {
			from := rng.Int64N(size + 1)
			to := from + rng.Int64N(size-from+1)
			switch rng.IntN(4) {
			case 0: // it is written again
				fillPattern(data[from:to], rng.Uint64())
				parts.drop(from, to)
			default:
				fillPattern(data[from:to], rng.Uint64())
				parts.add(crcPart{from, to, crc32c(data[from:to])})
			}
			for i, p := range parts.parts {
				require.Less(t, p.from, p.to)
				require.Equal(t, crc32c(data[p.from:p.to]), p.crc)
				require.True(t, i == 0 || parts.parts[i-1].to < p.from, "in order, and combined")
			}
		}
		for _, gap := range parts.gaps(size) {
			parts.add(crcPart{gap.from, gap.to, crc32c(data[gap.from:gap.to])})
		}
		require.Equal(t, []crcPart{{0, size, crc32c(data)}}, parts.parts)
		require.Empty(t, parts.gaps(size))
	}
}

// What is copied, and its sum, for all addresses and lengths, with and without an instruction that
// does both.
func TestCopySumming(t *testing.T) {
	t.Parallel()
	without := *thisMachine
	without.streamSumLines = nil
	for name, cache := range map[string]*cacheLines{"at once": thisMachine, "one after the other": &without} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range append(copyLengths(), sumPiece-1, sumPiece+1, 3*sumPiece+5) {
				memory, source := alignedBytes(n+200), pattern(n+64, 2)
				for _, head := range []int{0, 1, 31, 63} {
					for _, skew := range []int{0, 1, 33} {
						fillPattern(memory, 1)
						run := crcRun{crc: 99}
						src, dst := source[skew:][:n], memory[64+head:][:n]
						require.Equal(t, n, run.copyInto(cache, dst, src))
						require.Equal(t, src, dst)
						require.Equal(t, moreCRC(99, src), run.crc)
						untouched := pattern(len(memory), 1)
						require.Equal(t, untouched[:64+head], memory[:64+head], "before it")
						require.Equal(t, untouched[64+head+n:], memory[64+head+n:], "behind it")
					}
				}
			}
			// Slices that share memory are copied as copy does it.
			a, b := pattern(40000, 3), pattern(40000, 3)
			copy(b[1:], b)
			var run crcRun
			run.copyInto(cache, a[1:], a)
			assert.Equal(t, b, a)
			assert.Equal(t, crc32c(b[1:]), run.crc)
		})
	}
	var none *crcRun
	a := make([]byte, 10)
	assert.Equal(t, 10, none.copyInto(thisMachine, a, pattern(10, 1)))
	none.add(a)
	assert.Equal(t, pattern(10, 1), a)
}

func BenchmarkCopySumming(b *testing.B) {
	dst, src := make([]byte, 512<<20), pattern(512<<20, 1)
	clear(dst)
	b.SetBytes(int64(len(src)))
	for _, c := range []string{"copy", "sum"} {
		b.Run(c, func(b *testing.B) {
			for b.Loop() {
				inParallel(0, int64(len(src)), func(from, to int64) (int64, error) {
					var run *crcRun
					if c == "sum" {
						run = new(crcRun)
					}
					return int64(run.copyInto(thisMachine, dst[from:to], src[from:to])), nil
				})
			}
		})
	}
}

// A file that is filled in many pieces apart from each other takes no more room for that, and its sum is
// right: what was forgotten is a gap.
func TestCRCPartsAreFew(t *testing.T) {
	t.Parallel()
	const pieces, length = 1000, 3
	data := pattern(2*pieces*length, 7)
	parts := crcParts{most: 16}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(pieces) {
		from := int64(2 * i * length)
		parts.add(crcPart{from, from + length, crc32c(data[from : from+length])})
		require.LessOrEqual(t, len(parts.parts), parts.most)
	}
	require.NotEmpty(t, parts.parts)
	each := func(off, count int64, use func(*device, []byte) error) error {
		return use(&device{}, data[off:off+count])
	}
	sum, err := sumOver(int64(len(data)), CRC32C, parts.parts, each)
	require.NoError(t, err)
	assert.Equal(t, crcSum(crc32c(data)), sum)
}
