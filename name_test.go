package famfs

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "a/b", "größe/ß", ".hidden", "a/.b", "...", "a b", ".metadata", "a/.meta", "\x01", strings.Repeat("x", maxPath)} {
		assert.NoError(t, checkName(good), "%q", good)
	}
	for bad, want := range map[string]string{
		"": "empty", "/": "absolute", "/a": "absolute", "a/": "element", "a//b": "element", ".": "element", "..": "element", "a/./b": "element",
		"a/..": "element", "a\xff": "UTF-8", "a\x00b": "NUL", ".meta": "reserved", ".meta/x": "reserved",
	} {
		assert.ErrorContains(t, checkName(bad), want, "%q", bad)
	}
}

// scanPath finds what functions of the standard library find, and does not call a path plain
// that checkName refuses.
func TestScanPath(t *testing.T) {
	t.Parallel()
	check := func(b *[pathSize]byte) {
		t.Helper()
		wantEnd := pathSize
		if nul := bytes.IndexByte(b[:], 0); nul >= 0 {
			wantEnd = nul
		}
		path := string(b[:wantEnd])
		wantPlain := wantEnd < pathSize
		for _, element := range strings.Split(path, "/") {
			wantPlain = wantPlain && element != "" && element[0] != '.'
		}
		for _, c := range []byte(path) {
			wantPlain = wantPlain && c < 0x80
		}
		end, nameAt, plain := scanPath(b)
		require.Equal(t, wantEnd, end, "%q", b[:])
		require.Equal(t, strings.LastIndexByte(path, '/')+1, nameAt, "%q", b[:])
		require.Equal(t, wantPlain, plain, "%q", b[:])
		if plain {
			require.NoError(t, checkName(path))
		}
	}
	for _, path := range []string{
		"", "a", ".", "/", "a/", "a/b", "a//b", "a/.b", "a.b/c.", ".meta", "1234567/", "1234567/.", "1234567/a", "1234567//", "12345678/a/b", "é", "a\x7f/\x01",
		strings.Repeat("x", pathSize-1), strings.Repeat("x", pathSize), strings.Repeat("x/", pathSize/2), strings.Repeat("x", pathSize-2) + "/",
	} {
		for _, behind := range []byte{0, 'y', '/', '.', 0xff} {
			var b [pathSize]byte
			for i := range b {
				b[i] = behind
			}
			if n := copy(b[:], path); n < pathSize {
				b[n] = 0
			}
			check(&b)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, alphabet := range []string{"ab/", "a/.", "/.\x2d\x30\xae\xaf", "a\x00/", "\x01\x7f\x80\xff/"} {
		for range 20_000 {
			var b [pathSize]byte
			for i := range r.IntN(pathSize + 1) {
				b[i] = alphabet[r.IntN(len(alphabet))]
			}
			check(&b)
		}
	}
}
