package main

// An image that the reference implementation wrote: listed, dumped, checked, mapped. The images
// are not part of this module; without them the tests skip.

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const goldenDir = "../../../shared/golden"

// goldenImage is the description of an image.
type goldenImage struct {
	Superblock struct{ UUID string }
	Entries    []struct {
		Index    int
		Type     string `json:"type_name"`
		PathHex  string `json:"path_hex"`
		Size     int64
		Mode     string `json:"mode_octal"`
		UID, GID uint32
		SHA256   *string
		Seq      uint64 `json:"seqnum"`
		CRC      string
		DevSize  uint64 `json:"dd_size"`
		DevUUID  string `json:"dd_uuid"`
		DevIndex uint32 `json:"dd_index"`
	}
}

// goldenTypes are the names of entry types here.
var goldenTypes = map[string]string{"FILE": "file", "MKDIR": "mkdir", "ADD_DAXDEV": "add-daxdev"}

// openGolden unpacks an image and reads its description.
func openGolden(t *testing.T, name string) (device string, g goldenImage) {
	t.Helper()
	description, err := os.ReadFile(filepath.Join(goldenDir, name+".json"))
	if os.IsNotExist(err) {
		t.Skip("needs the images of the reference implementation in ", goldenDir)
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(description, &g))
	packed, err := os.Open(filepath.Join(goldenDir, name+".img.gz"))
	require.NoError(t, err)
	defer packed.Close()
	from, err := gzip.NewReader(packed)
	require.NoError(t, err)
	device = filepath.Join(testDir(t), name)
	to, err := os.Create(device)
	require.NoError(t, err)
	defer to.Close()
	buffer, zeros := make([]byte, mib), make([]byte, mib)
	var size int64
	for {
		n, err := io.ReadFull(from, buffer)
		if string(buffer[:n]) != string(zeros[:n]) { // stays sparse
			_, err := to.WriteAt(buffer[:n], size)
			require.NoError(t, err)
		}
		size += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		require.NoError(t, err)
	}
	require.NoError(t, to.Truncate(size))
	return device, g
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"empty", "simple", "multiext", "interleaved", "paths", "adddaxdev"} {
		t.Run(name, func(t *testing.T) {
			device, g := openGolden(t, name)
			stat := parse[fileSystemJSON](t, famfsRun(t, "--system-uuid", host, "stat", "--json", device))
			assert.Equal(t, g.Superblock.UUID, stat.Superblock.UUID)
			assert.Equal(t, "master", stat.Role)

			dumped := parse[dumpedLog](t, famfsRun(t, "logdump", "--json", device))
			require.Len(t, dumped.Entries, len(g.Entries))
			list := make(map[string]nodeJSON)
			for _, n := range parse[[]nodeJSON](t, famfsRun(t, "ls", "-R", "--json", device)) {
				list[n.Path] = n
			}
			named, files, unserved := 0, 0, 0
			for i, want := range g.Entries {
				got := dumped.Entries[i]
				assert.Equal(t, []any{i, want.Seq, want.CRC, goldenTypes[want.Type]}, []any{got.Index, got.Seq, got.CRC, got.Type})
				if got.Problem != nil { // a file on a device that is not this one, or such a device again
					assert.Nil(t, want.SHA256)
					unserved++
				}
				if want.Type == "ADD_DAXDEV" {
					assert.Equal(t, addedDeviceJSON{int(want.DevIndex), int64(want.DevSize), want.DevUUID}, *got.AddedDevice)
					continue
				}
				assert.Nil(t, got.AddedDevice)
				path, err := hex.DecodeString(want.PathHex)
				require.NoError(t, err)
				assert.Equal(t, string(path), got.Path)
				assert.Equal(t, []any{fmt.Sprintf("%04s", want.Mode), want.UID, want.GID, want.Size}, []any{got.Mode, got.UID, got.GID, got.Size})
				if got.Problem != nil {
					continue
				}
				listed := list[string(path)]
				assert.Equal(t, got.nodeJSON.Mode, listed.Mode)
				assert.Equal(t, i, listed.Index)
				named++
				if want.Type == "FILE" {
					files++
				}
				if want.SHA256 != nil && named < 8 { // a process for each
					r := famfsRun(t, "cat", device+":/"+string(path))
					sum := sha256.Sum256([]byte(r.out))
					assert.Equal(t, *want.SHA256, hex.EncodeToString(sum[:]), "%q", path)
				}
			}
			// Every command says what is not served.
			failed, uncertain := 0, 0
			if unserved > 0 {
				failed, uncertain = 1, 2
				assert.Contains(t, list, "", "an error")
				delete(list, "")
			}
			assert.Len(t, list, named)
			r := famfsRun(t, "fsck", "--json", device)
			assert.Equal(t, failed, r.status)
			assert.Len(t, parse[[]reportJSON](t, r)[0].Problems, unserved)
			assert.Equal(t, failed, famfsRun(t, "fsck", device).status)
			assert.Equal(t, uncertain, famfsRun(t, "chkread", "-q", device).status)
			assert.Equal(t, failed, famfsRun(t, "layout", device).status)
			out := filepath.Join(testDir(t), "out")
			assert.Equal(t, failed, famfsRun(t, "cp", "-q", "-r", device+":/", out).status)
			r = famfsRun(t, "verify", "--json", "--against", out, device)
			assert.Equal(t, uncertain, r.status)
			same := 0
			for _, v := range parse[[]verdict](t, r) {
				if v.OK {
					same++
				}
			}
			assert.Equal(t, files, same)
		})
	}
}
