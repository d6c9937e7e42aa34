package famfs

// The images that the reference implementation wrote, compared with the description of their
// content. They are not part of this module: without them these tests skip, and testdata holds
// enough of them to check the codecs.

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const goldenDir = "../shared/golden"

var goldenNames = []string{"empty", "simple", "multiext", "interleaved", "paths", "adddaxdev"}

type goldenExtent struct {
	DevIndex, Offset, Len int64
}

type goldenEntry struct {
	Index, SeqNum uint64
	Type          uint32
	Valid         bool
	CRC           string
	PathHex       string `json:"path_hex"`
	Mode          uint32
	UID, GID      uint32
	Size          int64
	Flags         uint32
	ExtType       uint32 `json:"ext_type"`
	Extents       []goldenExtent
	Interleave    []struct {
		Chunk  int64 `json:"chunk_size"`
		Strips []goldenExtent
	}
	SHA256   *string
	DevSize  uint64 `json:"dd_size"`
	DevUUID  string `json:"dd_uuid"`
	DevIndex uint32 `json:"dd_index"`
}

type golden struct {
	ImageSize  int64 `json:"image_size"`
	Superblock struct {
		Version    uint64
		LogOffset  int64  `json:"log_offset"`
		LogLen     int64  `json:"log_len"`
		AllocUnit  int64  `json:"alloc_unit"`
		OMFMajor   uint32 `json:"omf_major"`
		OMFMinor   uint32 `json:"omf_minor"`
		UUID       string
		DevUUID    string `json:"dev_uuid"`
		SystemUUID string `json:"system_uuid"`
		CRC        string
		DaxDev     struct {
			Size int64
			Name string
		}
	}
	LogHeader struct {
		Len        int64
		LastIndex  uint64 `json:"last_index"`
		NextSeqNum uint64 `json:"next_seqnum"`
		NextIndex  uint64 `json:"next_index"`
	} `json:"log_header"`
	Entries []goldenEntry
}

// openGolden returns an image as a device, and the description of its content.
func openGolden(t testing.TB, name string) (string, *golden) {
	t.Helper()
	needsFile(t, "the golden images are devices of their own")
	text, err := os.ReadFile(filepath.Join(goldenDir, name+".json"))
	if os.IsNotExist(err) {
		t.Skip("the reference's images are not beside this checkout")
	}
	require.NoError(t, err)
	g := new(golden)
	require.NoError(t, json.Unmarshal(text, g))
	packed, err := os.Open(filepath.Join(goldenDir, name+".img.gz"))
	require.NoError(t, err)
	defer packed.Close()
	unpack, err := gzip.NewReader(packed)
	require.NoError(t, err)
	path := filepath.Join(testDir(t), name+".img")
	require.NoError(t, CreateBacking(path, g.ImageSize))
	image, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer image.Close()
	size := copySparse(t, image, unpack)
	require.Equal(t, g.ImageSize, size)
	return path, g
}

// copySparse copies everything except zeros.
func copySparse(t testing.TB, to io.WriterAt, from io.Reader) (at int64) {
	t.Helper()
	buffer := make([]byte, 64<<10)
	zeros := make([]byte, len(buffer))
	for {
		n, err := io.ReadFull(from, buffer)
		if string(buffer[:n]) != string(zeros[:n]) {
			_, err := to.WriteAt(buffer[:n], at)
			require.NoError(t, err)
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return at
		}
		require.NoError(t, err)
	}
}

func (e *goldenEntry) path(t testing.TB) string {
	path, err := hex.DecodeString(e.PathHex)
	require.NoError(t, err)
	return string(path)
}

func (e *goldenEntry) layout() (l Layout) {
	extents := e.Extents
	if e.ExtType == mapInterleaved {
		l.Chunk, extents = e.Interleave[0].Chunk, e.Interleave[0].Strips
	}
	for _, x := range extents {
		l.Extents = append(l.Extents, Extent{int(x.DevIndex), x.Offset, x.Len})
	}
	return l
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range goldenNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, g := openGolden(t, name)
			t.Run("content", func(t *testing.T) { testGoldenContent(t, path, name, g) })
			t.Run("encoding", func(t *testing.T) { testGoldenEncoding(t, path, g) })
			t.Run("fstest", func(t *testing.T) { testGoldenFS(t, path, name, g) })
		})
	}
}

// passedOver are the entries that this library passes over, with the reasons.
var passedOver = map[string]map[int]string{"adddaxdev": {
	4: "added with index 0, want 3",
	5: "device 11111111-2222-4333-8444-555555555555 is added a second time, it is device 1 already",
	6: "added with index 4294967295, want 3",
	7: "on device 1 (UUID 11111111-2222-4333-8444-555555555555, 4294967296 bytes), which is not here; give the path that this device has on this host to WithDevices",
}}

func testGoldenContent(t *testing.T, path, name string, g *golden) {
	fsys := openTest(t, path)

	sb := fsys.Superblock()
	assert.Equal(t, Superblock{
		Version: g.Superblock.Version, LogOffset: g.Superblock.LogOffset, LogSize: g.Superblock.LogLen, AllocUnit: g.Superblock.AllocUnit,
		OMFMajor: g.Superblock.OMFMajor, OMFMinor: g.Superblock.OMFMinor,
		UUID: parseUUID(t, g.Superblock.UUID), DeviceUUID: parseUUID(t, g.Superblock.DevUUID), SystemUUID: parseUUID(t, g.Superblock.SystemUUID),
		DeviceSize: g.Superblock.DaxDev.Size, DeviceName: g.Superblock.DaxDev.Name,
	}, sb)
	assert.Equal(t, Master, fsys.Role())
	assert.Equal(t, int(g.LogHeader.NextIndex), fsys.Usage().LogUsed)
	assert.Equal(t, int(g.LogHeader.LastIndex+1), fsys.Usage().LogCapacity)

	reasons := map[int]string{}
	for _, p := range fsys.Problems() {
		reasons[p.Index] = p.Err.Error()
	}
	require.Len(t, reasons, len(passedOver[name]))
	for index, reason := range passedOver[name] {
		assert.Contains(t, reasons[index], reason)
	}

	names := map[uint32]string{typeFile: "file", typeMkdir: "mkdir", typeAddDev: "add-daxdev"}
	seen := 0
	for e, err := range fsys.Log() {
		want := g.Entries[seen]
		assert.Equal(t, int(want.Index), e.Index)
		assert.Equal(t, want.SeqNum, e.Seq)
		assert.Equal(t, want.CRC, fmt.Sprintf("%#x", e.CRC))
		assert.Equal(t, names[want.Type], e.Type)
		assert.Equal(t, passedOver[name][e.Index] != "", err != nil, "entry %d: %v", e.Index, err)
		if want.Type == typeAddDev {
			assert.Equal(t, AddedDevice{int(min(uint64(want.DevIndex), math.MaxInt)), int64(want.DevSize), parseUUID(t, want.DevUUID)}, e.Device)
		} else {
			assert.Equal(t, want.path(t), e.Path)
			assert.Equal(t, want.Mode, encodeMode(e.Mode))
			assert.Equal(t, want.Size, e.Size)
			assert.Equal(t, want.layout(), e.Layout)
		}
		seen++
	}
	assert.Len(t, g.Entries, seen)

	for _, e := range g.Entries {
		if e.Type == typeAddDev || passedOver[name][int(e.Index)] != "" {
			continue
		}
		p := e.path(t)
		st, err := fs.Stat(fsys, p)
		require.NoError(t, err)
		attr := st.Sys().(*Attr)
		assert.Equal(t, int(e.Index), attr.Index)
		assert.Equal(t, e.UID, attr.UID)
		assert.Equal(t, e.GID, attr.GID)
		assert.Equal(t, e.Mode, encodeMode(st.Mode()))
		assert.Equal(t, e.Type == typeMkdir, st.IsDir())
		if st.IsDir() {
			continue
		}
		assert.Equal(t, e.Size, st.Size())
		assert.Equal(t, e.Flags, attr.Flags)
		assert.Equal(t, e.layout(), attr.Layout)

		data, err := fs.ReadFile(fsys, p)
		require.NoError(t, err)
		assert.Equal(t, *e.SHA256, hexSum(data), "ReadFile %q", p)
		m, err := fsys.Map(p)
		require.NoError(t, err)
		require.Len(t, m.Bytes(), int(e.Size))
		assert.Equal(t, len(m.Bytes()), cap(m.Bytes()))
		assert.Zero(t, addressOf(m.Bytes())%regionAlign)
		assert.Equal(t, *e.SHA256, hexSum(m.Bytes()), "Map %q", p)
		require.NoError(t, m.Close())
	}
}

// defined clears the bytes of a superblock that the reference leaves undefined.
func defined(b [superblockSize]byte) [superblockSize]byte {
	clear(b[104:112]) // flags and padding
	clear(b[120:136]) // UUID of the primary device entry
	return b
}

// This library encodes exactly what the reference wrote, byte for byte.
func testGoldenEncoding(t *testing.T, path string, g *golden) {
	image, err := os.Open(path)
	require.NoError(t, err)
	defer image.Close()

	var sbBytes [superblockSize]byte
	readAt(t, image, sbBytes[:], 0)
	sb, err := decodeSuperblock(&sbBytes, g.ImageSize)
	require.NoError(t, err)
	assert.Equal(t, defined(sbBytes), defined(sb.encode()))

	var header, want [logHeaderSize]byte
	readAt(t, image, header[:], logOffset)
	want = encodeLogHeader(g.LogHeader.Len)
	assert.Equal(t, want[:nextSeqAt], header[:nextSeqAt])

	for _, ge := range g.Entries {
		var b [entrySize]byte
		readAt(t, image, b[:], entryAt(ge.Index))
		require.NoError(t, checkEntry(&b, ge.Index))
		var e entry
		e.decode(&b)
		assert.Equal(t, b, e.encode(), "entry %d", ge.Index)
		assert.Equal(t, ge.Type, e.kind)
		if ge.Type == typeAddDev {
			assert.Equal(t, ge.DevSize, e.deviceSize)
			assert.Equal(t, ge.DevUUID, e.deviceUUID.String())
			assert.Equal(t, ge.DevIndex, e.deviceIndex)
		}
	}
}

func testGoldenFS(t *testing.T, path, name string, g *golden) {
	switch {
	case name == "paths":
		t.Skip("fstest.TestFS refuses the backslash in one of its names")
	case g.ImageSize > 16*mib && slow(), g.ImageSize > 128*mib:
		t.Skip("fstest.TestFS reads every file byte by byte, which takes minutes for this image")
	}
	fsys := openTest(t, path)
	var files []string
	for _, e := range g.Entries {
		if e.Type != typeAddDev && passedOver[name][int(e.Index)] == "" {
			files = append(files, e.path(t))
		}
	}
	require.NoError(t, fstest.TestFS(fsys, files...))
}

// Creating on an image of the reference changes nothing that was there.
func TestGoldenContinue(t *testing.T) {
	t.Parallel()
	path, g := openGolden(t, "multiext")
	fsys := openTest(t, path, ReadWrite())
	content := pattern(3*mib, 77)
	require.NoError(t, fsys.WriteFile("me/new", content, 0o600))
	reader := openTest(t, path)
	data, err := reader.ReadFile("me/new")
	require.NoError(t, err)
	assert.Equal(t, content, data)
	for _, e := range g.Entries {
		if e.Type == typeFile {
			data, err := reader.ReadFile(e.path(t))
			require.NoError(t, err)
			assert.Equal(t, *e.SHA256, hexSum(data))
		}
	}
	report, err := Check(path)
	require.NoError(t, err)
	assert.Empty(t, report.Problems)
}

func parseUUID(t testing.TB, s string) UUID {
	id, err := ParseUUID(strings.TrimSpace(s))
	require.NoError(t, err)
	return id
}

func readAt(t testing.TB, r io.ReaderAt, b []byte, off int64) {
	t.Helper()
	_, err := r.ReadAt(b, off)
	require.NoError(t, err)
}
