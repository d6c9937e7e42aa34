package famfs

// Unsound entries: with a wrong checksum or sequence number, alone, together, and repaired later.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// damage makes a sound entry unsound. Its CRC is right until then.
type damage struct {
	name         string
	edit, damage func(b []byte)
	want         string
	checksum     bool
}

func damages() []damage {
	return []damage{
		{name: "CRC", damage: flip(entryCRC), want: "found CRC", checksum: true},
		{name: "upper half of the CRC", damage: flip(entryCRC + 7), want: "found CRC", checksum: true},
		{name: "payload", damage: flip(filePathAt), want: "found CRC", checksum: true},
		{name: "unused byte", damage: flip(entryCRC - 1), want: "found CRC", checksum: true},
		{name: "never arrived", damage: func(b []byte) { clear(b) }, want: "found CRC 0x0", checksum: true},
		{name: "all ones", damage: func(b []byte) { copy(b, bytes.Repeat([]byte{0xff}, len(b))) }, want: "found CRC 0xffffffffffffffff", checksum: true},
		{name: "sequence number of the entry before", edit: put64(0, 0), want: "found sequence number 0, want 1"},
		{name: "sequence number of the entry after", edit: put64(0, 2), want: "found sequence number 2, want 1"},
		{name: "sequence number huge", edit: put64(0, math.MaxUint64), want: "found sequence number 18446744073709551615, want 1"},
		{name: "sequence number right in 32 bits", edit: put64(0, 1<<32|1), want: "found sequence number 4294967297, want 1"},
	}
}

func (d *damage) assertError(t testing.TB, err error) {
	t.Helper()
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.Equal(t, d.checksum, errors.Is(err, ErrChecksum))
	assert.ErrorContains(t, err, "log entry 1: "+d.want)
}

func TestUnsoundEntries(t *testing.T) {
	t.Parallel()
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			early := openTest(t, f.path)
			earlyTolerant := openTest(t, f.path, Tolerant())
			earlyWriter := openTest(t, f.path, ReadWrite())
			require.EqualValues(t, 1, f.good("middle", badUnit))
			f.good("last", lastUnit)
			sound := f.read(entryAt(1), entrySize)
			f.entry(1, d.edit, d.damage)

			_, err := Open(f.path)
			d.assertError(t, err)
			_, err = Open(f.path, WithSystemUUID(testHost), ReadWrite())
			d.assertError(t, err)
			_, err = Open(f.path, WithSystemUUID(testHost), ReadWrite(), Tolerant())
			assert.ErrorIs(t, err, fs.ErrInvalid)

			// Tolerant: the entries before it, and nothing else.
			assertFirstOnly := func(fsys *FS) {
				t.Helper()
				assertGood(t, fsys, "first", firstUnit)
				assertAbsent(t, fsys, "middle")
				assertAbsent(t, fsys, "last")
				assert.Equal(t, 1, fsys.Usage().Files)
				assert.Equal(t, 1, fsys.Usage().LogUsed)
			}
			assertUnread := func(problems []Problem) {
				t.Helper()
				require.Len(t, problems, 2)
				assert.Equal(t, 1, problems[0].Index)
				d.assertError(t, problems[0])
				assert.Equal(t, 2, problems[1].Index)
				assert.Equal(t, "last", problems[1].Path)
				assert.ErrorContains(t, problems[1], "log entry 2: not served, because an entry before it is corrupt: entry 1")
				assert.ErrorIs(t, problems[1], ErrCorrupt)
			}
			tolerant := openTest(t, f.path, Tolerant())
			assertFirstOnly(tolerant)
			assertUnread(tolerant.Problems())

			// Check reads on.
			report, err := Check(f.path)
			require.NoError(t, err)
			require.Len(t, report.Problems, 1)
			assert.Equal(t, 1, report.Problems[0].Index)
			d.assertError(t, report.Problems[0])
			d.assertError(t, report.Err())
			assert.Equal(t, 2, report.Usage.Files)
			assert.Equal(t, 3, report.Usage.LogUsed)

			// Refresh changes nothing, however often it is called.
			for range 2 {
				n, err := early.Refresh()
				d.assertError(t, err)
				assert.Zero(t, n)
				assertFirstOnly(early)
				assert.Empty(t, early.Problems())
			}
			for range 20 {
				n, err := earlyTolerant.Refresh()
				require.NoError(t, err)
				assert.Zero(t, n)
				assertFirstOnly(earlyTolerant)
			}
			assert.Equal(t, "first", *earlyTolerant.replica.ns.slab(0).text.Load(), "nothing is kept of what is not served")
			assertUnread(earlyTolerant.Problems())
			_, err = earlyWriter.Create("new", 1)
			d.assertError(t, err)
			d.assertError(t, earlyWriter.Mkdir("new", 0o755))
			assertFirstOnly(earlyWriter)

			// After the repair everything is there.
			f.write(entryAt(1), sound)
			for _, fsys := range []*FS{early, earlyTolerant, tolerant, earlyWriter} {
				n, err := fsys.Refresh()
				require.NoError(t, err)
				assert.Equal(t, 2, n)
				assert.Empty(t, fsys.Problems())
				assertGood(t, fsys, "first", firstUnit)
				assertGood(t, fsys, "middle", badUnit)
				assertGood(t, fsys, "last", lastUnit)
				assert.Equal(t, 3, fsys.Usage().Files)
			}
			require.NoError(t, earlyWriter.WriteFile("new", []byte("x"), 0o644))
		})
	}
}

// A half-read block behind a corrupt entry must not be visible after the repair, even if the
// repaired entries differ from those that were read before.
func TestRepairedDifferently(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	fsys := openTest(t, f.path)
	f.good("other", badUnit)
	f.good("damaged", badUnit+1)
	f.entry(2, nil, flip(100))
	_, err := fsys.Refresh()
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "log entry 2: ")

	f.setNext(1)
	f.append(forgedDir("dir"), nil)
	f.good("dir/last", lastUnit)
	n, err := fsys.Refresh()
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, map[string][]int64{"first": {firstUnit}, "dir": {}, "dir/last": {lastUnit}}, forgedTree(t, fsys))
	assertAbsent(t, fsys, "other")
	assertAbsent(t, fsys, "damaged")
	assertGood(t, fsys, "dir/last", lastUnit)
}

// A node that was read before does not stay if a later attempt finds none in its place.
func TestRepairedWithoutNode(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]*entry{
		"unacceptable": forgedFile("/bad", 1, badSpace),
		"device":       forgedDevice(1, 1),
		"unserved":     forgedFile(".meta/.alloc.cfg", 1, badSpace),
		"again":        forgedFile("first", 1, badSpace),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			fsys := openTest(t, f.path)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			watched := fsys.Watch(ctx, time.Millisecond)
			f.good("other", badUnit)
			f.good("damaged", badUnit+1)
			f.entry(2, nil, flip(100))
			_, err := fsys.Refresh()
			require.ErrorIs(t, err, ErrCorrupt)
			f.setNext(1)
			f.append(e, nil)
			f.good("last", lastUnit)
			var events []string
			for event, err := range watched {
				require.NoError(t, err)
				if events = append(events, event.Name); event.Info.Sys().(*Attr).Index == 2 {
					break
				}
			}
			assert.Equal(t, []string{"last"}, events)
			assert.Equal(t, map[string][]int64{"first": {firstUnit}, "last": {lastUnit}}, forgedTree(t, fsys))
		})
	}
}

// Several corrupt entries: Open names the first, Check lists all.
func TestUnsoundEntriesTogether(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	const n = 1200 // more than two blocks
	for i := range uint64(n) {
		e := forgedDir(fmt.Sprintf("dir-%d", i))
		e.seq = i
		b := e.encode()
		f.write(entryAt(i), b[:])
	}
	f.setNext(n)
	unsound := []uint64{0, 1, 511, 512, 700, n - 1}
	for _, index := range unsound {
		f.entry(index, nil, flip(30))
	}
	report, err := Check(f.path)
	require.NoError(t, err)
	var found []uint64
	for _, p := range report.Problems {
		found = append(found, uint64(p.Index))
	}
	assert.Equal(t, unsound, found)
	assert.Equal(t, n-len(unsound), report.Usage.Dirs)
	for _, index := range unsound {
		_, err := Open(f.path)
		require.ErrorIs(t, err, ErrCorrupt)
		assert.ErrorContains(t, err, fmt.Sprintf("log entry %d: ", index))
		tolerant := openTest(t, f.path, Tolerant())
		assert.EqualValues(t, index, tolerant.Usage().Dirs)
		assert.Len(t, tolerant.Problems(), int(n-index))
		assert.EqualValues(t, index, tolerant.Problems()[0].Index)
		f.entry(index, flip(30), nil) // as it was
	}
	fsys := openTest(t, f.path)
	assert.Equal(t, n, fsys.Usage().Dirs)
}
