package famfs

// Sealed files: how they come to be, what every host sees of them, and that nobody writes them any
// more. Hostile seals are in the tests of hostile entries, crashes in the simulations.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sumsOf returns the sums of data, by kind.
func sumsOf(data []byte) map[SumKind]Sum {
	return map[SumKind]Sum{CRC32C: crcSum(crc32c(data)), SHA256: {SHA256, sha256.Sum256(data)}}
}

// attrOf returns what Stat says of a file.
func attrOf(t testing.TB, fsys fs.FS, name string) *Attr {
	t.Helper()
	st, err := fs.Stat(fsys, name)
	require.NoError(t, err)
	return st.Sys().(*Attr)
}

// Every way of filling a file gives the same seal, which is that of its content, here, on a client,
// and for one who opens it later.
func TestSealFilled(t *testing.T) {
	t.Parallel()
	path := formatted(t, 1024*mib)
	m, client := openMaster(t, path), openTest(t, path)
	rng := rand.New(rand.NewPCG(3, 4))
	onDisk := filepath.Join(testDir(t), "source")
	fills := map[string]func(p *PendingFile, data []byte) error{
		"Write": func(p *PendingFile, data []byte) error { _, err := p.Write(data); return err },
		"Write in pieces": func(p *PendingFile, data []byte) error {
			for len(data) > 0 {
				n := 1 + rng.IntN(len(data))
				if _, err := p.Write(data[:n]); err != nil {
					return err
				}
				data = data[n:]
			}
			return nil
		},
		"WriteAt backwards": func(p *PendingFile, data []byte) error {
			for end := len(data); end > 0; {
				at := end - 1 - rng.IntN(end)
				if _, err := p.WriteAt(data[at:end], int64(at)); err != nil {
					return err
				}
				end = at
			}
			return nil
		},
		"WriteAt twice": func(p *PendingFile, data []byte) error {
			if _, err := p.WriteAt(bytes.Repeat([]byte{1}, len(data)), 0); err != nil {
				return err
			}
			at := rng.IntN(len(data))
			_, err := p.WriteAt(data[at:], int64(at))
			_, otherErr := p.WriteAt(data[:at], 0)
			return errors.Join(err, otherErr)
		},
		"Bytes": func(p *PendingFile, data []byte) error { copy(p.Bytes(), data); return nil },
		"Bytes after Write": func(p *PendingFile, data []byte) error {
			_, err := p.Write(bytes.Repeat([]byte{2}, len(data)))
			copy(p.Bytes(), data)
			return err
		},
		"Write after Bytes": func(p *PendingFile, data []byte) error {
			copy(p.Bytes(), data[:len(data)/2])
			_, err := p.WriteAt(data[len(data)/2:], int64(len(data)/2))
			return err
		},
		"ReadFrom in parallel": func(p *PendingFile, data []byte) error { _, err := p.ReadFrom(bytes.NewReader(data)); return err },
		"ReadFrom a stream": func(p *PendingFile, data []byte) error {
			_, err := p.ReadFrom(iotest.HalfReader(bytes.NewReader(data)))
			return err
		},
		"ReadFrom a file": func(p *PendingFile, data []byte) error {
			if err := os.WriteFile(onDisk, data, 0o600); err != nil {
				return err
			}
			file, err := os.Open(onDisk)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = p.ReadFrom(file)
			return err
		},
		"ReadFrom and Write": func(p *PendingFile, data []byte) error {
			n := len(data) / 3
			_, err := io.Copy(p, io.LimitReader(bytes.NewReader(data), int64(n)))
			_, otherErr := p.Write(data[n:])
			return errors.Join(err, otherErr)
		},
	}
	number := 0
	for _, size := range []int{1, 5000, int(smallFile) + 1, 2*workPiece + 5000} {
		for how, fill := range fills {
			for _, kind := range []SumKind{CRC32C, SHA256} {
				for _, opt := range []CreateOption{nil, Interleave(Interleaving{Strips: 3, Buckets: 3, Chunk: 2 * mib})} {
					number++
					if size < workPiece && opt != nil || kind == SHA256 && number%5 > 0 || slow() && size > workPiece && number%4 > 0 {
						continue
					}
					what := fmt.Sprintf("%s, %d bytes, %v, %v", how, size, kind, opt != nil)
					data := pattern(size, uint64(number))
					p, err := m.Create("f", int64(size), SealWith(kind), opt)
					require.NoError(t, err, what)
					require.NoError(t, fill(p, data), what)
					require.NoError(t, p.Commit(), what)
					for _, fsys := range []*FS{m, refreshed(t, client)} {
						attr := attrOf(t, fsys, "f")
						require.True(t, attr.Sealed, what)
						require.Equal(t, sumsOf(data)[kind], attr.Sum, what)
						require.Equal(t, 1, fsys.Usage().Sealed)
						require.Empty(t, fsys.Problems())
					}
					require.NoError(t, m.Remove("f"))
				}
			}
		}
	}
}

// A file that was not filled is sealed with what stands there.
func TestSealUnfilled(t *testing.T) {
	t.Parallel()
	m := openMaster(t, formatted(t, testSize))
	for _, kind := range []SumKind{CRC32C, SHA256} {
		p, err := m.Create(kind.String(), 3*mib, SealWith(kind))
		require.NoError(t, err)
		_, err = p.WriteAt(pattern(1000, 1), mib)
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		data, err := m.ReadFile(kind.String())
		require.NoError(t, err)
		assert.Equal(t, sumsOf(data)[kind], attrOf(t, m, kind.String()).Sum)
	}
}

// A file that is there is sealed as it is in memory. The entry is there at one moment.
func TestSealThere(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m, client := openMaster(t, path), openTest(t, path, WithClientWrites())
	require.NoError(t, m.Mkdir("d", 0o755))
	for i, kind := range []SumKind{CRC32C, SHA256} {
		name := fmt.Sprint("d/f", i)
		require.NoError(t, m.WriteFile(name, pattern(3*mib+7, 1), 0o644))
		assert.Equal(t, &Attr{UID: attrOf(t, m, name).UID, GID: attrOf(t, m, name).GID, Flags: 2, Index: attrOf(t, m, name).Index, Layout: attrOf(t, m, name).Layout}, attrOf(t, m, name), "not sealed")
		// It is written in place, by another process, and is finished then.
		refreshed(t, client)
		w, err := client.Map(name, Writable())
		require.NoError(t, err)
		data := pattern(3*mib+7, uint64(9+i))
		copy(w.Bytes(), data)
		require.NoError(t, w.Flush())
		require.NoError(t, w.Close())
		before := attrOf(t, m, name)
		st, err := m.Stat(name)
		require.NoError(t, err)
		used := m.Usage().LogUsed
		opts := []CreateOption{SealWith(kind)}
		if kind == CRC32C {
			opts = nil
		}
		require.NoError(t, m.Seal(name, opts...))
		assert.Equal(t, used+1, m.Usage().LogUsed)
		assert.Equal(t, sumsOf(data)[kind], attrOf(t, m, name).Sum)
		assert.True(t, st.Sys().(*Attr).Sealed, "whenever FileInfo was made")
		assert.False(t, attrOf(t, client, name).Sealed, "it does not know yet")
		refreshed(t, client)
		after := attrOf(t, client, name)
		assert.Equal(t, sumsOf(data)[kind], after.Sum)
		before.Sealed, before.Sum = true, after.Sum
		assert.Equal(t, before, after)
		err = m.Seal(name)
		assert.ErrorIs(t, err, fs.ErrExist)
		assert.ErrorContains(t, err, "it is sealed since log entry")
	}
	assert.Equal(t, 2, client.Usage().Sealed)
	report, err := Check(path, withDevices(path))
	require.NoError(t, err)
	assert.True(t, report.Clean(), "%v", report.Err())
	assert.Equal(t, 2, report.Usage.Sealed)
	assert.Equal(t, m.Usage(), report.Usage)
}

func TestSealRefused(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("f", pattern(10, 1), 0o644))
	used := m.Usage().LogUsed
	for _, c := range []struct {
		name string
		opts []CreateOption
		want error
	}{
		{"missing", nil, fs.ErrNotExist}, {"d", nil, fs.ErrInvalid}, {".", nil, fs.ErrInvalid}, {"", nil, fs.ErrInvalid}, {"/f", nil, fs.ErrInvalid},
		{"f", []CreateOption{SealWith(0)}, fs.ErrInvalid}, {"f", []CreateOption{SealWith(3)}, fs.ErrInvalid}, {strings.Repeat("n", 80), nil, fs.ErrInvalid},
	} {
		err := m.Seal(c.name, c.opts...)
		var pathErr *fs.PathError
		require.ErrorAs(t, err, &pathErr, c.name)
		assert.Equal(t, []string{"seal", c.name}, []string{pathErr.Op, pathErr.Path})
		assert.ErrorIs(t, err, c.want, c.name)
	}
	assert.ErrorIs(t, openTest(t, path).Seal("f"), ErrReadOnly)
	assert.ErrorIs(t, openTest(t, path, WithSystemUUID(NewUUID())).Seal("f"), ErrNotMaster)
	closed := openMaster(t, path)
	require.NoError(t, closed.Close())
	assert.ErrorIs(t, closed.Seal("f"), fs.ErrClosed)
	p, err := m.Create("pending", 10)
	require.NoError(t, err)
	assert.ErrorIs(t, openMaster(t, path, WithLockTimeout(0)).Seal("f"), ErrLocked)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = openMaster(t, path).Seal("f", WithContext(ctx))
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorIs(t, err, context.Canceled)
	require.NoError(t, p.Close())
	assert.Equal(t, used, m.Usage().LogUsed, "nothing was written")

	_, err = m.Create("g", 10, SealWith(9))
	assert.ErrorIs(t, err, fs.ErrInvalid)
	assert.ErrorIs(t, m.CreateQueue("q", 4, 64, Seal()), fs.ErrInvalid)
	require.NoError(t, m.MkdirWith("e", Seal()))
	assert.False(t, attrOf(t, m, "e").Sealed)
}

// Nobody maps a sealed file for writing, and a file that is mapped for writing is not sealed.
func TestSealedIsReadOnly(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m, client := openMaster(t, path), openTest(t, path, WithClientWrites())
	require.NoError(t, m.WriteFile("f", pattern(5000, 1), 0o644))
	refreshed(t, client)

	w, err := m.Map("f", Writable())
	require.NoError(t, err)
	err = m.Seal("f")
	assert.ErrorIs(t, err, ErrBusy)
	assert.ErrorContains(t, err, "mapped for writing; close the mapping first")
	require.NoError(t, w.Close())

	// One that another process has stays as it is: that cannot be known.
	theirs, err := client.Map("f", Writable())
	require.NoError(t, err)
	require.NoError(t, m.Seal("f"))
	theirs.Bytes()[0]++
	require.NoError(t, theirs.Close())

	for _, fsys := range []*FS{m, client, openTest(t, path, WithClientWrites())} {
		_, err := fsys.Map("f", Writable()) // the client has not refreshed
		assert.ErrorIs(t, err, fs.ErrPermission)
		assert.ErrorContains(t, err, "the file is sealed")
		r, err := fsys.Map("f")
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}

	p, err := m.Create("g", 100, Seal())
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	_, err = client.Map("g", Writable())
	assert.ErrorIs(t, err, fs.ErrPermission, "it did not even know the file")
}

// While a file is sealed, it is neither mapped for writing nor sealed by another; once it is
// sealed, no mapping for writing is left, whoever comes when.
func TestSealAgainstMap(t *testing.T) {
	t.Parallel()
	m := openMaster(t, formatted(t, testSize))
	const rounds = 20
	for i := range rounds {
		name := fmt.Sprint(i)
		require.NoError(t, m.WriteFile(name, pattern(100_000, 1), 0o644))
		var all sync.WaitGroup
		sealed := make(chan struct{})
		var wrong error
		for range 2 {
			all.Go(func() {
				for {
					w, err := m.Map(name, Writable())
					switch {
					case errors.Is(err, fs.ErrPermission):
						return
					case errors.Is(err, ErrBusy):
						continue
					case err != nil:
						wrong = err
						return
					}
					select {
					case <-sealed:
						wrong = errors.New("mapped for writing after it was sealed")
						return
					default:
					}
					if attrOf(t, m, name).Sealed {
						wrong = errors.New("is mapped for writing and sealed")
					}
					w.Close()
				}
			})
		}
		all.Go(func() {
			for {
				switch err := m.Seal(name); {
				case err == nil || errors.Is(err, fs.ErrExist):
					close(sealed)
					return
				case !errors.Is(err, ErrBusy):
					wrong = err
					return
				}
			}
		})
		all.Wait()
		require.NoError(t, wrong)
	}
	require.NoError(t, m.Close(), "nothing is left mapped")
}

func TestSealBusyWhileSealing(t *testing.T) {
	t.Parallel()
	m := openMaster(t, formatted(t, testSize))
	require.NoError(t, m.WriteFile("f", pattern(10, 1), 0o644))
	index := int64(attrOf(t, m, "f").Index)
	require.NoError(t, m.regions.beginSealing(index))
	assert.ErrorIs(t, m.Seal("f"), ErrBusy)
	_, err := m.Map("f", Writable())
	assert.ErrorIs(t, err, ErrBusy)
	assert.ErrorContains(t, err, "it is being sealed")
	r, err := m.Map("f")
	require.NoError(t, err)
	require.NoError(t, r.Close())
	m.regions.endSealing(index)
	require.NoError(t, m.Seal("f"))
}

// A sealed file is removed and replaced as any other, several are committed at once, and Watch
// yields what it would without seals. Log shows them.
func TestSealBesideOthers(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	watched := m.Watch(t.Context(), 0)
	create := func(name string, seed uint64, opts ...CreateOption) *PendingFile {
		p, err := m.Create(name, 5000, opts...)
		require.NoError(t, err)
		_, err = p.Write(pattern(5000, seed))
		require.NoError(t, err)
		return p
	}
	sealed := func(name string, seed uint64, opts ...CreateOption) *PendingFile {
		return create(name, seed, append([]CreateOption{Seal()}, opts...)...)
	}
	require.NoError(t, m.Commit(sealed("a", 1), sealed("b", 2, SealWith(SHA256)), create("c", 3)))
	require.NoError(t, m.Seal("c"))
	assert.Equal(t, 6, m.Usage().LogUsed)
	assert.Equal(t, 3, m.Usage().Sealed)
	require.NoError(t, sealed("a", 4, Replace()).Commit())
	assert.Equal(t, 9, m.Usage().LogUsed)
	require.NoError(t, m.Remove("b"))
	require.NoError(t, create("b", 5).Commit())
	assert.False(t, attrOf(t, m, "b").Sealed, "the file before it was")
	require.NoError(t, create("c", 6, Replace()).Commit())
	for _, fsys := range []*FS{m, openTest(t, path)} {
		assert.Equal(t, 1, fsys.Usage().Sealed)
		assert.Equal(t, sumsOf(pattern(5000, 4))[CRC32C], attrOf(t, fsys, "a").Sum)
		assert.Empty(t, fsys.Problems())
	}
	var got []string
	for e, err := range watched {
		require.NoError(t, err)
		how := map[bool]string{e.Removed: "-", e.Replaced: "="}[true]
		if got = append(got, e.Name+how); len(got) == 6 {
			break
		}
	}
	assert.Equal(t, []string{"a", "b", "c", "a=", "b=", "c="}, got)
	var seals []string
	for e, err := range m.Log() {
		require.NoError(t, err)
		if e.Type == "seal" {
			seals = append(seals, fmt.Sprint(e.Index, " ", e.Seals, " ", e.Path, " ", e.Sum))
		}
	}
	assert.Equal(t, []string{
		"1 0 a " + sumsOf(pattern(5000, 1))[CRC32C].String(), "3 2 b " + sumsOf(pattern(5000, 2))[SHA256].String(),
		"5 4 c " + sumsOf(pattern(5000, 3))[CRC32C].String(), "8 7 a " + sumsOf(pattern(5000, 4))[CRC32C].String(),
	}, seals)
}

// Compact keeps the seals of what is there, under new numbers.
func TestCompactKeepsSeals(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	require.NoError(t, m.MkdirAll("d/e", 0o755))
	sums := map[string]Sum{}
	for i, name := range []string{"gone", "a", "d/b", "c", "d/e/d", "replaced"} {
		kind := CRC32C
		if i%2 == 1 {
			kind = SHA256
		}
		p, err := m.Create(name, 3000, SealWith(kind))
		require.NoError(t, err)
		_, err = p.Write(pattern(3000, uint64(i)))
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		sums[name] = sumsOf(pattern(3000, uint64(i)))[kind]
	}
	require.NoError(t, m.WriteFile("plain", pattern(10, 1), 0o644))
	require.NoError(t, m.Remove("gone"))
	delete(sums, "gone")
	p, err := m.Create("replaced", 1, Replace())
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	delete(sums, "replaced")
	require.NoError(t, m.Close())
	for range 2 { // the second has nothing to do
		require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost)))
		m = openMaster(t, path)
		assert.Empty(t, m.Problems())
		assert.Equal(t, 4, m.Usage().Sealed)
		assert.Equal(t, 2+6+4, m.Usage().LogUsed)
		for name, sum := range sums {
			assert.Equal(t, sum, attrOf(t, m, name).Sum, name)
			_, err := m.Map(name, Writable())
			assert.ErrorIs(t, err, fs.ErrPermission)
		}
		for _, name := range []string{"plain", "replaced"} {
			assert.False(t, attrOf(t, m, name).Sealed)
		}
		require.NoError(t, m.Seal("plain"))
		require.NoError(t, m.Remove("plain"))
		require.NoError(t, m.WriteFile("plain", pattern(10, 1), 0o644))
		require.NoError(t, m.Close())
	}
}

// A file that is sealed needs room for another entry, and none is promised twice.
func TestSealNeedsAnEntry(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m := openMaster(t, formatted(t, testSize))
	capacity := m.Usage().LogCapacity
	_, err := m.replica.append(func() (int, error) { return capacity - 2, nil }, func(i int, e *entry) {
		e.kind, e.path = typeMkdir, []byte(itoa(i))
	})
	require.NoError(t, err)
	require.NoError(t, m.WriteFile("f", []byte("x"), 0o644)) // one is left
	_, err = m.Create("g", 1, Seal())
	assert.ErrorIs(t, err, ErrLogFull)
	_, err = m.Create("f", 1, Replace(), Seal())
	assert.ErrorIs(t, err, ErrLogFull)
	p, err := m.Create("g", 1)
	require.NoError(t, err)
	assert.ErrorIs(t, m.Seal("f"), ErrLogFull, "it is promised")
	require.NoError(t, p.Close())
	require.NoError(t, m.Seal("f"))
	assert.Equal(t, capacity, m.Usage().LogUsed)
}

// A tree is copied and sealed in one go; what is there already stays as it is.
func TestCopySealed(t *testing.T) {
	t.Parallel()
	m := openMaster(t, formatted(t, testSize))
	src := fstest.MapFS{"d/a": {Data: pattern(5000, 1)}, "b": {Data: pattern(3*mib, 2)}, "d": {Mode: fs.ModeDir | 0o755}}
	for i, opts := range [][]CopyOption{nil, {Atomically()}} {
		dir := fmt.Sprint(i)
		require.NoError(t, m.CopyFS(t.Context(), dir, src, append(opts, CreateWith(Seal()))...))
		for name, f := range src {
			if attr := attrOf(t, m, dir+"/"+name); f.Mode.IsDir() {
				assert.False(t, attr.Sealed)
			} else {
				assert.Equal(t, sumsOf(f.Data)[CRC32C], attr.Sum)
			}
		}
		require.NoError(t, m.CopyFS(t.Context(), dir, src, append(opts, CreateWith(SealWith(SHA256)))...))
		assert.Equal(t, CRC32C, attrOf(t, m, dir+"/b").Sum.Kind)
	}
}

// If the log cannot be read to its end, it is not known what is sealed: nothing is mapped for writing.
func TestMapWritableNeedsTheLog(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("f", firstUnit)
	client := openTest(t, f.path, WithClientWrites(), WithSystemUUID(otherHost))
	tolerant := openTest(t, f.path, Tolerant(), WithClientWrites(), WithSystemUUID(otherHost))
	f.entry(f.append(forgedSeal(0, "f"), nil), nil, flip(100))
	_, err := client.Map("f", Writable())
	require.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "find out whether it is sealed")
	m, err := client.Map("f")
	require.NoError(t, err)
	require.NoError(t, m.Close())
	m, err = tolerant.Map("f", Writable())
	require.NoError(t, err, "what comes before the corrupt entry counts")
	require.NoError(t, m.Close())
}

// What is stored to Bytes after a Commit that failed is sealed with its own sum.
func TestSealAfterFailedCommit(t *testing.T) {
	t.Parallel()
	m := openMaster(t, formatted(t, testSize))
	for _, kind := range []SumKind{CRC32C, SHA256} {
		name := kind.String()
		closed, err := m.Create("closed "+name, 10)
		require.NoError(t, err)
		require.NoError(t, closed.Close())
		p, err := m.Create(name, 5000, SealWith(kind))
		require.NoError(t, err)
		_, err = p.Write(pattern(5000, 1))
		require.NoError(t, err)
		require.ErrorIs(t, m.Commit(p, closed), fs.ErrClosed, "p has its sum by now, and stays pending")
		data := pattern(5000, 2)
		copy(p.Bytes(), data)
		require.NoError(t, p.Commit())
		assert.Equal(t, sumsOf(data)[kind], attrOf(t, m, name).Sum)
		require.NoError(t, m.Verify(name))
	}
}

// A file that is filled byte by byte, each other one first, has its sum, and keeps a bounded number of parts.
func TestSealFilledInStrides(t *testing.T) {
	t.Parallel()
	m, _ := master(t, 64*mib)
	content := pattern(2*(maxParts+300), 9)
	p, err := m.Create("f", int64(len(content)), Seal())
	require.NoError(t, err)
	defer p.Close()
	for _, first := range []int{1, 0} {
		for at := first; at < len(content); at += 2 {
			_, err := p.WriteAt(content[at:at+1], int64(at))
			require.NoError(t, err)
			require.LessOrEqual(t, len(p.sums.parts), maxParts)
		}
	}
	require.NoError(t, p.Commit())
	assert.Equal(t, crcSum(crc32c(content)), attrOf(t, m, "f").Sum)
	require.NoError(t, m.Verify("f"))
}
