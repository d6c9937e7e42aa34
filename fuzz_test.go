package famfs

// Any bytes at all as superblock, as log entry, and as a whole image: nothing may panic, loop,
// or reach memory outside of the requested file, and everything accepted must keep every
// promise. Each target has seeds here, besides those in testdata/fuzz.
//
//	go test -run '^$' -fuzz FuzzImage .

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzSuperblock(f *testing.F) {
	reference := testRecord(f, "superblock")
	f.Add(reference, int64(128*mib))
	f.Add(reference, int64(superblockArea+minLogSize-1))
	f.Add(reference, int64(math.MaxInt64))
	f.Add(reference[:100], int64(-1))
	f.Add([]byte{}, int64(0))
	for _, edit := range []func([]byte){
		put64(8, 47), put32(40, 3), put64(16, 0), put64(24, 4*mib), put64(24, 1<<62), put64(24, 1<<63), put64(32, smallUnit), put64(32, 0),
		put64(deviceSizeAt, math.MaxUint64), put32(104, 2), func(b []byte) { copy(b[deviceNameAt:], strings.Repeat("n", deviceNameSize)) },
		func(b []byte) { copy(b[deviceNameAt:], "a\x00b\xff") },
	} {
		b := bytes.Clone(reference)
		edit(b)
		fixCRC(b, superblockCRC)
		f.Add(b, int64(64*mib))
	}
	f.Fuzz(func(t *testing.T, record []byte, deviceSize int64) {
		var b [superblockSize]byte
		copy(b[:], record)
		fuzzSuperblock(t, b, deviceSize)
		// Bytes that were not made for a CRC rarely get past it: make it right.
		binary.LittleEndian.PutUint64(b[0:], superblockMagic)
		fixCRC(b[:], superblockCRC)
		fuzzSuperblock(t, b, deviceSize)
	})
}

func fuzzSuperblock(t *testing.T, b [superblockSize]byte, deviceSize int64) {
	sb, err := decodeSuperblock(&b, deviceSize)
	if err != nil {
		requireKnown(t, err)
		require.Zero(t, sb)
		return
	}
	require.Contains(t, []int64{smallUnit, defaultUnit}, sb.AllocUnit)
	require.GreaterOrEqual(t, sb.LogSize, int64(minLogSize))
	require.Zero(t, sb.LogSize&(sb.LogSize-1))
	require.Greater(t, sb.logEnd(), int64(0))
	require.LessOrEqual(t, sb.logEnd(), deviceSize)
	require.GreaterOrEqual(t, sb.DeviceSize, int64(0))
	again := sb.encode()
	sb2, err := decodeSuperblock(&again, deviceSize)
	require.NoError(t, err)
	require.Equal(t, sb, sb2)
	require.Equal(t, b[:104], again[:104], "what the CRC covers, and the CRC")
}

// requireKnown fails if err is of no kind that callers can distinguish.
func requireKnown(t testing.TB, err error) {
	t.Helper()
	for _, known := range []error{ErrNotFormatted, ErrReformatted, ErrVersion, ErrChecksum, ErrCorrupt, ErrDevice, fs.ErrExist} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("error of no known kind: %v", err)
}

// entrySeeds are records of entries, CRC and all.
func entrySeeds(t testing.TB) (all [][]byte) {
	for _, name := range []string{"entry-file-simple", "entry-file-16-extents", "entry-file-interleaved", "entry-mkdir", "entry-adddaxdev"} {
		all = append(all, testRecord(t, name))
	}
	for _, c := range badEntries() {
		b := c.entry.encode()
		if c.raw != nil {
			c.raw(b[:])
			fixCRC(b[:], entryCRC)
		}
		all = append(all, b[:])
	}
	return all
}

func FuzzLogEntry(f *testing.F) {
	for _, b := range entrySeeds(f) {
		f.Add(b, int64(0), false)
		f.Add(b, int64(512*mib), false)
		f.Add(b, int64(64*mib), true)
	}
	sums := newEntrySums()
	f.Fuzz(func(t *testing.T, record []byte, dataSize int64, smallUnits bool) {
		var b [entrySize]byte
		copy(b[:], record)
		require.Equal(t, checksum(b[:entryCRC]), sums.of(&b))
		// A device of this size: on a larger one, a layout of tiny chunks takes long to walk.
		g := geometry{unit: defaultUnit, dataStart: logOffset + minLogSize}
		if smallUnits {
			g.unit = smallUnit
		}
		g.size = g.dataStart + dataSize&(1<<30-1)
		_ = checkEntry(&b, 0)
		fuzzEntry(t, &b, g)
		b[8], b[9], b[10], b[11] = b[8]&3, b[9]&1, 0, 0
		fuzzEntry(t, &b, g)
		b[8], b[9] = 0, 1
		fuzzEntry(t, &b, g)
	})
}

func fuzzEntry(t *testing.T, b *[entrySize]byte, g geometry) {
	var e entry
	e.decode(b)
	for _, claim := range e.claims(g) {
		require.GreaterOrEqual(t, claim.start, int64(0))
		require.GreaterOrEqual(t, claim.n, int64(0))
		require.GreaterOrEqual(t, claim.end(), claim.start) // which may be behind the end of the device
	}
	if err := e.check(string(e.path), g); err != nil {
		requireKnown(t, err)
		return
	}

	// Encoding it again and decoding gives the same.
	again := e.encode()
	require.NoError(t, checkEntry(&again, e.seq))
	var e2 entry
	e2.decode(&again)
	require.Equal(t, sayings(&e), sayings(&e2))
	require.Equal(t, again, e2.encode())
	if e.kind == typeAddDev {
		return
	}
	require.True(t, fs.ValidPath(string(e.path)))
	require.NoError(t, checkName(string(e.path)))
	require.LessOrEqual(t, len(e.path), maxPath)

	s := newSlab()
	s.begin(0)
	path, at := s.path(e.path)
	s.fill(0, &e, path, at, 0)
	s.show(0, 1)
	n := node{&s.records[0], s}
	require.Equal(t, string(e.path), n.path())
	require.Equal(t, filepath.Base(string(e.path)), n.name())
	if e.kind != typeFile {
		return
	}
	place := n.place()
	for _, x := range place.Extents {
		require.GreaterOrEqual(t, x.Offset, int64(0))
		require.Positive(t, x.Length)
		require.Positive(t, x.Offset+x.Length)
		if x.Device != 0 {
			return // never mapped, and as large as it pleases
		}
	}
	require.Positive(t, n.size)
	length := roundUp(n.size, g.unit)
	segs, err := place.runs(length)
	require.NoError(t, err)
	var total int64
	for _, seg := range segs {
		require.GreaterOrEqual(t, seg.off, g.dataStart)
		require.LessOrEqual(t, seg.off+seg.len, g.size)
		require.Zero(t, seg.off%g.unit)
		require.Zero(t, seg.len%g.unit)
		total += seg.len
	}
	require.Equal(t, length, total)
	for _, x := range []int64{0, n.size / 2, n.size - 1} {
		_, off, run := place.locate(x)
		require.Equal(t, layoutByte(&place, x), off)
		require.Positive(t, run)
	}
	e2 = entry{}
	e2.setLayout(place)
	require.Equal(t, e.extents, e2.extents)
}

// Any bytes as a queue: both ends open, or say that it is corrupt, and whatever they do then
// stays within the files.
func FuzzQueue(f *testing.F) {
	for name := range queueImages {
		i := readQueueImage(f, name)
		b := bytes.Clone(i.producer[:40])
		b = append(append(append(append(b, i.producer[1064:]...), i.consumer...), i.numbers...), i.buckets...)
		f.Add(b, uint32(len(i.buckets)), false)
		f.Add(b, uint32(len(i.buckets)), true)
		for _, at := range []int{8, 16, 32, 40, 48, 64, 72} {
			c := bytes.Clone(b)
			c[at]++
			f.Add(c, uint32(len(i.buckets)), false)
			c[at] = 0xff
			f.Add(c, uint32(len(i.buckets)), true)
		}
	}
	f.Add([]byte{}, uint32(0), true)
	image := &simImage{mem: make([]byte, 3*queueArrayOffset)}
	f.Fuzz(func(t *testing.T, b []byte, size uint32, consumerIsSound bool) {
		defer image.undo()
		producer := &simFile{m: image, base: queueArrayOffset, size: queueArrayOffset + int64(size%(1<<16))}
		consumer := &simFile{m: image, size: queueArrayOffset}
		lay := func(file *simFile, off int64, n int) {
			word := make([]byte, 8)
			for end := off + int64(n); off < end && len(b) > 0 && off <= file.size-8; off += 8 {
				b = b[copy(word, b):]
				file.store(off, word)
				clear(word)
			}
		}
		lay(producer, 0, 40)
		lay(producer, producerNumberAt, 16)
		lay(consumer, 0, 16)
		lay(consumer, consumerNumberAt, 16)
		lay(producer, queueArrayOffset, len(b)+7)
		if consumerIsSound {
			writeConsumerFile(consumer)
		}
		pause := func(time.Duration) {}
		p, err := openPutEnd(producer, consumer, producer.size, consumer.size, pause)
		if err != nil {
			requireKnown(t, err)
			require.Nil(t, p)
		}
		c, err := openGetEnd(consumer, producer, consumer.size, producer.size, pause)
		if err != nil {
			requireKnown(t, err)
			require.Nil(t, c)
		}
		for range 40 {
			if p != nil {
				ok, err := p.room(1)
				if err == nil && ok {
					err = p.put([][]byte{make([]byte, p.shape.bucketSize)})
				}
				if err != nil {
					requireKnown(t, err)
				}
			}
			if c != nil {
				message, ok, err := c.get()
				if err == nil && ok {
					require.Len(t, message, c.shape.payload())
					err = c.take(true)
				}
				if err != nil {
					requireKnown(t, err)
				}
			}
		}
	})
}

// fuzzDataSize is the amount of data behind the image's metadata: a few units of 2 MiB, many of
// 4 KiB.
const (
	fuzzDataSize  = 8 * mib
	fuzzDataStart = logOffset + minLogSize
	fuzzImageSize = fuzzDataStart + fuzzDataSize
	fuzzEntries   = 24 // at most, that bytes are laid over
)

// imageMode is the first byte of an image. It says how the bytes are laid over the device.
type imageMode byte

const (
	rawImage    imageMode = iota // as they are
	fixHeaders                   // CRC of superblock and log header made right
	fixAll                       // of the entries too, and their sequence numbers
	entriesOnly                  // as fixAll, but superblock and log header are good ones
	sketches                     // as entriesOnly, but the bytes only sketch the entries
	imageModes
	smallUnits imageMode = 0x80 // with the last two: the allocation unit is 4 KiB
)

// fuzzImage is the device of a fuzzing process, which is written again for each image.
type fuzzImage struct {
	path string
	file *os.File
	data []byte // what stands behind the metadata, never changed
	// used is the number of entries that may not be zero.
	used int
}

func newFuzzImage(f *testing.F) *fuzzImage {
	needsFile(f, "images are laid over a file of their own")
	dir := f.TempDir()
	if os.Getenv("FAMFS_TEST_DIR") != "" {
		dir = testDir(f)
	} else if shm, err := os.MkdirTemp("/dev/shm", "famfs-fuzz-"); err == nil {
		dir = shm // where it is there it is much faster
		f.Cleanup(func() { os.RemoveAll(shm) })
	}
	i := &fuzzImage{path: filepath.Join(dir, "device"), data: pattern(fuzzDataSize, 42)}
	require.NoError(f, CreateBacking(i.path, fuzzImageSize))
	require.NoError(f, Format(i.path, WithSystemUUID(testHost)))
	var err error
	i.file, err = os.OpenFile(i.path, os.O_RDWR, 0)
	require.NoError(f, err)
	f.Cleanup(func() { i.file.Close() })
	_, err = i.file.WriteAt(i.data, fuzzDataStart)
	require.NoError(f, err)
	return i
}

// lay writes the bytes of image to the device. It returns the superblock's bytes and the next
// index of the log.
func (i *fuzzImage) lay(t testing.TB, image []byte) (superblock [superblockSize]byte, next uint64) {
	var mode imageMode
	if len(image) > 0 {
		mode, image = imageMode(image[0]), image[1:]
	}
	good := Superblock{
		Version: formatVersion, LogOffset: logOffset, LogSize: minLogSize, AllocUnit: defaultUnit, OMFMajor: omfMajor, OMFMinor: omfMinor,
		UUID: UUID{1}, DeviceUUID: UUID{2}, SystemUUID: testHost, DeviceSize: fuzzImageSize, DeviceName: "fuzz",
	}
	if mode&smallUnits != 0 {
		good.AllocUnit = smallUnit
	}
	mode = (mode &^ smallUnits) % imageModes
	superblock = good.encode()
	header := encodeLogHeader(minLogSize)
	switch mode {
	case entriesOnly:
	case sketches:
		image = drawSketches(image, uint64(good.AllocUnit))
	default:
		image = image[copy(superblock[:], image):]
		image = image[copy(header[:], image):]
	}
	image = image[:min(len(image), fuzzEntries*entrySize)]
	count := (len(image) + entrySize - 1) / entrySize
	entries := make([]byte, max(count, i.used)*entrySize) // zeros over what was there before
	i.used = count
	copy(entries, image)
	if mode != rawImage {
		fixCRC(superblock[:], superblockCRC)
		fixCRC(header[:], logHeaderCRC)
	}
	if mode != rawImage && mode != fixHeaders {
		for n := range count {
			b := entries[n*entrySize : (n+1)*entrySize]
			binary.LittleEndian.PutUint64(b, uint64(n))
			fixCRC(b, entryCRC)
		}
	}
	if mode == entriesOnly || mode == sketches {
		put64(nextSeqAt, uint64(count))(header[:])
		put64(nextIndexAt, uint64(count))(header[:])
	}
	i.write(t, 0, superblock[:])
	i.write(t, copyAt, make([]byte, copySize))
	i.write(t, logOffset, header[:])
	i.write(t, entryAt(0), entries)
	return superblock, binary.LittleEndian.Uint64(header[nextIndexAt:])
}

// sketchPaths are few, so that entries conflict.
var sketchPaths = []string{"a", "b", "a/x", "a/y", "a/x/z", "b/x", "c", "a/b"}

// sketchSize is the number of bytes that sketch an entry.
const sketchSize = 6

// drawSketches makes entries from a few bytes each. They are almost right, so that fuzzing finds
// out what they mean together.
func drawSketches(b []byte, unit uint64) (entries []byte) {
	for ; len(b) >= sketchSize && len(entries) < fuzzEntries*entrySize; b = b[sketchSize:] {
		path := sketchPaths[int(b[1])%len(sketchPaths)]
		// Half a unit at a time; the first units are the last of the log.
		size := uint64(b[2]) * unit / 2
		extent := func(start, n byte) rawExtent {
			return rawExtent{uint64(b[1] >> 6 & b[1] >> 5 & 1), fuzzDataStart - unit + uint64(start)*unit, uint64(n) * unit}
		}
		var e *entry
		switch b[0] % 8 {
		case 0, 1:
			e = forgedFile(path, size, extent(b[3], b[4]))
		case 2, 3:
			e = forgedFile(path, size, extent(b[3], b[4]), extent(b[5], b[4]))
		case 4, 5:
			strips := make([]rawExtent, 1+b[0]>>4)
			for i := range strips {
				strips[i] = extent(b[3]+byte(i)*b[5], b[4])
			}
			e = forgedStrips(path, size, unit<<(b[0]>>3&1), strips...)
		case 6:
			e = forgedDir(path)
		case 7:
			e = forgedDevice(uint32(b[3]), b[4])
			switch b[5] & 3 {
			case 1:
				e = forgedRemoval(uint64(b[3]), path)
			case 3:
				e = forgedSeal(uint64(b[3]), path)
			}
		}
		record := e.encode()
		entries = append(entries, record[:]...)
	}
	return entries
}

func (i *fuzzImage) write(t testing.TB, off int64, b []byte) {
	_, err := i.file.WriteAt(b, off)
	require.NoError(t, err)
}

func (i *fuzzImage) setNext(t testing.TB, next uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], next)
	i.write(t, logOffset+nextIndexAt, b[:])
}

// imageSeeds are images in all modes.
func imageSeeds(t testing.TB) (all [][]byte) {
	superblock, header := testRecord(t, "superblock"), testRecord(t, "log-header")
	build := func(mode imageMode, next uint64, entries ...*entry) []byte {
		b := []byte{byte(mode)}
		if mode&^smallUnits != entriesOnly {
			put64(nextIndexAt, next)(header)
			b = append(append(b, superblock...), header...)
		}
		for i, e := range entries {
			e.seq = uint64(i)
			record := e.encode()
			b = append(b, record[:]...)
		}
		return b
	}
	file := func(path string, unit, n int64) *entry {
		return forgedFile(path, uint64(n)*defaultUnit-1, inUnits(unit, n))
	}
	page := func(i, n uint64) rawExtent { return rawExtent{0, fuzzDataStart + i*smallUnit, n * smallUnit} }
	all = [][]byte{
		{}, {byte(fixAll)}, make([]byte, 1000),
		build(rawImage, 3, forgedDir("d"), file("d/f", 5, 1), file("g", 6, 2)),
		build(rawImage, 2, forgedDir("d")),                 // one entry never arrived
		build(rawImage, 1<<40, forgedDir("d")),             // next index far beyond
		build(fixHeaders, 15420, file("f", 5, 1)),          // a full log
		build(fixAll, 2, file("f", 5, 1), file("f", 6, 1)), // twice
		build(entriesOnly, 0, file("f", 5, 2), file("g", 6, 2), forgedDir("f"), file("f/x", 8, 1), file("none/x", 8, 1), file("h", 8, 1)),
		build(entriesOnly, 0, forgedDevice(1, 1), forgedFile("f", 1, rawExtent{1, 0, 2 * mib}), forgedDevice(3, 2), forgedDevice(2, 1)),
		build(entriesOnly, 0, file("f", 5, 1), forgedSeal(0, "f"), forgedSeal(0, "f"), forgedRemoval(0, "f"), file("f", 6, 1)),
		build(entriesOnly, 0, forgedStrips("s", 5*mib, 2*mib, inUnits(5, 2), inUnits(7, 2))),
		build(entriesOnly|smallUnits, 0, forgedStrips("s", 100*smallUnit-7, smallUnit, page(0, 34), page(100, 34), page(50, 34)), forgedFile("t", 2*smallUnit, page(200, 1), page(202, 1))),
		build(entriesOnly|smallUnits, 0, forgedStrips("s", 16*smallUnit, 8*smallUnit, page(0, 8), page(8, 8)), forgedFile("t", 1, page(7, 1))),
	}
	sketch := func(mode imageMode, b ...byte) { all = append(all, append([]byte{byte(sketches | mode)}, b...)) }
	sketch(0, 6, 0, 0, 0, 0, 0 /**/, 0, 2, 1, 1, 1, 0 /**/, 0, 3, 4, 2, 2, 0)
	sketch(0, 0, 0, 2, 1, 1, 0 /**/, 0, 1, 2, 1, 1, 0 /**/, 6, 0, 0, 0, 0, 0)
	sketch(0, 2, 0, 4, 1, 1, 3 /**/, 2, 1, 4, 3, 1, 3 /**/, 7, 0, 0, 1, 1, 0)
	sketch(smallUnits, 0x24, 0, 30, 1, 5, 5 /**/, 0x2c, 1, 23, 50, 4, 4 /**/, 0x14, 6, 1, 80, 1, 9)
	sketch(0, 6, 0, 0, 0, 0, 0 /**/, 0, 2, 1, 1, 1, 0 /**/, 7, 2, 0, 1, 0, 1 /**/, 0, 2, 4, 3, 2, 0 /**/, 7, 2, 0, 3, 0, 1 /**/, 7, 0, 0, 0, 0, 1)
	for _, e := range entrySeeds(t) {
		all = append(all, append([]byte{byte(entriesOnly)}, e...))
	}
	return all
}

// atOnce removes all waiting: in these images nothing arrives late.
var atOnce = openOption(func(c *openConfig) { c.pause = func(time.Duration) {} })

func FuzzImage(f *testing.F) {
	image := newFuzzImage(f)
	for _, seed := range imageSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		superblock, next := image.lay(t, b)
		host := UUID(superblock[systemUUIDAt:])

		report, err := Check(image.path, atOnce)
		if err != nil {
			requireKnown(t, err)
		}
		strict, strictErr := Open(image.path, atOnce)
		if strictErr != nil {
			requireKnown(t, strictErr)
		} else {
			defer strict.Close()
			image.assertWhole(t, strict, next)
			image.assertContent(t, strict)
			require.NoError(t, err)
			require.Equal(t, strict.Usage(), report.Usage)
			n, err := strict.Refresh()
			require.NoError(t, err)
			require.Zero(t, n)
			require.Subset(t, problemTexts(report.Problems), problemTexts(strict.Problems()))
		}

		tolerant, err := Open(image.path, atOnce, Tolerant())
		if err != nil {
			require.Error(t, strictErr)
			requireKnown(t, err)
		} else {
			defer tolerant.Close()
			image.assertWhole(t, tolerant, next)
			if strictErr != nil {
				image.assertContent(t, tolerant)
			} else {
				requireSame(t, strict, tolerant)
			}
			require.LessOrEqual(t, tolerant.Usage().Files, report.Usage.Files)
			_, err := tolerant.Refresh()
			require.NoError(t, err)
		}
		if strictErr == nil {
			image.assertFollows(t, strict, next)
			image.assertWritable(t, host, strict, next)
		}
	})
}

// assertWhole fails unless fsys is consistent: every file lies within the data, and no two share
// a byte.
func (i *fuzzImage) assertWhole(t testing.TB, fsys *FS, next uint64) {
	owner := make([]string, fuzzImageSize/smallUnit)
	sb := fsys.Superblock()
	files, dirs, fileBytes := 0, 0, int64(0)
	require.NoError(t, fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		require.True(t, fs.ValidPath(path))
		st, err := d.Info()
		require.NoError(t, err)
		attr := st.Sys().(*Attr)
		require.Less(t, attr.Index, int(next))
		if d.IsDir() {
			dirs++
			return nil
		}
		files++
		fileBytes += st.Size()
		var space int64
		for _, x := range attr.Layout.Extents {
			require.Zero(t, x.Device)
			require.GreaterOrEqual(t, x.Offset, sb.logEnd())
			require.Positive(t, x.Length)
			require.LessOrEqual(t, x.Length, fuzzImageSize-x.Offset)
			for at := x.Offset; at < x.Offset+x.Length; at += smallUnit {
				require.Empty(t, owner[at/smallUnit], "%s shares %d", path, at)
				owner[at/smallUnit] = path
			}
			space += x.Length
		}
		require.LessOrEqual(t, st.Size(), space)
		return nil
	}))
	u := fsys.Usage()
	require.Equal(t, files, u.Files)
	require.Equal(t, dirs-1, u.Dirs)
	require.Equal(t, fileBytes, u.FileBytes)
	require.EqualValues(t, fuzzImageSize, u.Size)
	require.Equal(t, u.Size, u.Allocated+u.Free)
	require.GreaterOrEqual(t, u.Allocated, sb.logEnd()+fileBytes)
	require.LessOrEqual(t, u.LargestFree, u.Free)
	last := -1
	for _, p := range fsys.Problems() {
		require.Greater(t, p.Index, last)
		last = p.Index
		require.ErrorContains(t, p, "log entr")
		requireKnown(t, p)
	}
	require.Less(t, last, int(next))
}

// assertContent reads every file in all ways and compares it with the device.
func (i *fuzzImage) assertContent(t testing.TB, fsys *FS) {
	require.NoError(t, fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			_, err := fsys.ReadFile(path)
			require.ErrorIs(t, err, fs.ErrInvalid)
			return nil
		}
		st, err := fsys.Stat(path)
		require.NoError(t, err)
		layout := st.Sys().(*Attr).Layout
		data, err := fsys.ReadFile(path)
		require.NoError(t, err)
		m, err := fsys.Map(path)
		require.NoError(t, err)
		require.Len(t, m.Bytes(), int(st.Size()))
		require.Equal(t, len(m.Bytes()), cap(m.Bytes()))
		require.True(t, bytes.Equal(data, m.Bytes()), "%s read and mapped differ", path)
		require.NoError(t, m.Close())
		require.Len(t, data, int(st.Size()))
		for at := int64(0); at < st.Size(); at += 512 {
			from := layoutByte(&layout, at) - fuzzDataStart
			n := min(512, st.Size()-at)
			require.True(t, bytes.Equal(i.data[from:from+n], data[at:at+n]), "%s at %d", path, at)
		}
		return nil
	}))
}

// requireSame fails unless both file systems hold the same.
func requireSame(t testing.TB, want, got *FS) {
	t.Helper()
	require.Equal(t, want.Usage(), got.Usage())
	require.Equal(t, listing(t, want), listing(t, got))
	require.Equal(t, problemTexts(want.Problems()), problemTexts(got.Problems()))
}

func listing(t testing.TB, fsys *FS) (lines []string) {
	require.NoError(t, fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		st, err := d.Info()
		require.NoError(t, err)
		lines = append(lines, fmt.Sprintf("%q %v %d %+v", path, st.Mode(), st.Size(), *st.Sys().(*Attr)))
		return nil
	}))
	return lines
}

func problemTexts(problems []Problem) (texts []string) {
	for _, p := range problems {
		texts = append(texts, fmt.Sprintf("%d %q %v", p.Index, p.Path, p.Err))
	}
	return texts
}

// assertFollows replays the log in two parts and compares the result with whole, which replayed
// it at once.
func (i *fuzzImage) assertFollows(t testing.TB, whole *FS, next uint64) {
	i.setNext(t, next/2)
	fsys, err := Open(i.path, atOnce)
	require.NoError(t, err)
	defer fsys.Close()
	i.setNext(t, next)
	n, err := fsys.Refresh()
	require.NoError(t, err)
	require.EqualValues(t, next-next/2, n)
	requireSame(t, whole, fsys)
}

// assertWritable creates a file, and fails if that damages anything in whole, which replayed the
// same log.
func (i *fuzzImage) assertWritable(t testing.TB, host UUID, whole *FS, next uint64) {
	fsys, err := Open(i.path, atOnce, ReadWrite(), WithSystemUUID(host))
	if host == (UUID{}) {
		require.ErrorIs(t, err, ErrNotMaster)
		return
	}
	require.NoError(t, err)
	defer fsys.Close()
	requireSame(t, whole, fsys)
	before := fsys.Usage()
	const name = "\x01 a name that no image has"
	p, err := fsys.Create(name, 1)
	if err != nil {
		require.Zero(t, before.Free)
		require.ErrorIs(t, err, ErrNoSpace)
		return
	}
	require.NoError(t, p.Commit())
	i.used = max(i.used, int(next)+1)
	i.assertWhole(t, fsys, next+1)
	after := fsys.Usage()
	require.Equal(t, before.Files+1, after.Files)
	require.Equal(t, before.Free-fsys.Superblock().AllocUnit, after.Free)
	n, err := whole.Refresh()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	requireSame(t, fsys, whole)
}

// Whatever superblock and second copy hold: a copy that is believed is complete, and is what comes
// back.
func FuzzSuperblockCopy(f *testing.F) {
	sb := crashSuperblock(1, minLogSize)
	good := sb.encode()
	f.Add(good[:], good[:], true)
	f.Add(make([]byte, superblockSize), good[:], true)
	f.Add(good[:100], good[:100], false)
	device := &simImage{mem: make([]byte, logOffset+minLogSize)}
	f.Fuzz(func(t *testing.T, superblock, copied []byte, fix bool) {
		clear(device.mem[:copyAt+copySize])
		device.saved = device.saved[:0]
		copy(device.mem[:copyAt], superblock)
		b := [superblockSize]byte{}
		copy(b[:], copied)
		if fix {
			fixCRC(b[:], superblockCRC)
		}
		c := encodeCopy(&b)
		if !fix && len(copied) > superblockSize {
			copy(c[:], copied)
		}
		copy(device.mem[copyAt:], c[:])
		found, sb, err := secondCopy(device, int64(len(device.mem)), int64(len(device.mem)))
		if err != nil {
			return
		}
		require.Equal(t, [superblockSize]byte(c[:]), found)
		require.NoError(t, putSuperblock(device, &found))
		standing := loadSuperblock(device)
		if sb.secondary() {
			_, err = decodeSecondary(&standing)
		} else {
			_, err = readSuperblock(device, int64(len(device.mem)))
		}
		require.NoError(t, err)
		require.Equal(t, found, standing)
	})
}
