package famfs

// Files have no times: what net/http, archive/zip and archive/tar do then, as the documentation
// of Stat says.

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNoTimes(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(5000, 1)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	st, err := m.Stat("f")
	require.NoError(t, err)
	require.True(t, st.ModTime().IsZero())

	t.Run("http", func(t *testing.T) {
		get := func(header, value string) *http.Response {
			r := httptest.NewRequest("GET", "/f", nil)
			r.Header.Set(header, value)
			w := httptest.NewRecorder()
			http.FileServerFS(m).ServeHTTP(w, r)
			return w.Result()
		}
		resp := get("If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		assert.Equal(t, http.StatusOK, resp.StatusCode, "never: not modified")
		assert.Empty(t, resp.Header.Values("Last-Modified"))
		assert.Empty(t, resp.Header.Values("ETag"))
		resp = get("Range", "bytes=100-199")
		assert.Equal(t, http.StatusPartialContent, resp.StatusCode)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, content[100:200], body)
	})
	t.Run("zip", func(t *testing.T) {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		require.NoError(t, w.AddFS(m))
		// To get another date, write the header.
		h, err := zip.FileInfoHeader(st)
		require.NoError(t, err)
		h.Name, h.Modified = "dated", time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)
		entry, err := w.CreateHeader(h)
		require.NoError(t, err)
		_, err = entry.Write(content)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		require.NoError(t, err)
		require.Len(t, r.File, 2)
		assert.Equal(t, 2049, r.File[0].Modified.Year())
		assert.True(t, h.Modified.Equal(r.File[1].Modified))
		data, err := fs.ReadFile(r, "f")
		require.NoError(t, err)
		assert.Equal(t, content, data)
	})
	t.Run("tar", func(t *testing.T) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		require.NoError(t, w.AddFS(m))
		require.NoError(t, w.Close())
		h, err := tar.NewReader(&b).Next()
		require.NoError(t, err)
		assert.Equal(t, time.Unix(0, 0).UTC(), h.ModTime.UTC())
	})
}
