package famfs

// UUIDs as text, and new ones. host_test.go has the UUIDs of hosts.

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUUIDText(t *testing.T) {
	t.Parallel()
	const text = "01234567-89ab-4cde-8f01-23456789abcd"
	for _, s := range []string{text, strings.ToUpper(text)} {
		id, err := ParseUUID(s)
		require.NoError(t, err)
		assert.Equal(t, testHost, id)
		assert.Equal(t, text, id.String())
	}
	for range 100 {
		id := NewUUID()
		back, err := ParseUUID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, back)
		require.EqualValues(t, 4, id[6]>>4, "version")
		require.EqualValues(t, 2, id[8]>>6, "variant")
	}
	for _, s := range []string{
		"", text[:35], text + "0", " " + text, text + "\n", "{" + text + "}",
		"01234567089ab-4cde-8f01-23456789abcd",
		"01234567-89ab-4cde-8f01023456789abcd",
		"0123456-789ab-4cde-8f01-23456789abcd",
		"01234567-89ab-4cde-8f01-23456789abcg",
		"01234567-89ab-4cde-8f01-2345678 abcd",
		"0123456789ab4cde8f0123456789abcd",
		"--------8----3----8----3------------",
		strings.Repeat("é", 18),
		strings.Repeat("x", 10000),
	} {
		id, err := ParseUUID(s)
		assert.ErrorIs(t, err, fs.ErrInvalid, "%.50q", s)
		assert.Zero(t, id)
		if err != nil {
			assert.Less(t, len(err.Error()), 500)
		}
	}
}

func assertVersion4(t testing.TB, id UUID) {
	t.Helper()
	assert.Equal(t, byte(0x40), id[6]&0xf0, "version of %s", id)
	assert.Equal(t, byte(0x80), id[8]&0xc0, "variant of %s", id)
}

func TestNewUUID(t *testing.T) {
	t.Parallel()
	seen := map[UUID]bool{}
	var ones, zeros UUID // bits that were 1, and 0, in any
	for range 1000 {
		id := NewUUID()
		require.False(t, seen[id], "%s twice", id)
		seen[id] = true
		assertVersion4(t, id)
		for i, b := range id {
			ones[i] |= b
			zeros[i] |= ^b
		}
		parsed, err := ParseUUID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, parsed)
	}
	// All bits but version and variant vary.
	fixed := UUID{6: 0xf0, 8: 0xc0}
	for i := range fixed {
		assert.Equal(t, ^fixed[i], ones[i]&zeros[i], "byte %d", i)
	}
}

func TestUUIDMarshals(t *testing.T) {
	t.Parallel()
	const text = "01234567-89ab-4cde-8f01-23456789abcd"
	u, err := ParseUUID(text)
	require.NoError(t, err)
	found, err := json.Marshal(map[string]UUID{"id": u})
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"`+text+`"}`, string(found))
	var back map[string]UUID
	require.NoError(t, json.Unmarshal(found, &back))
	assert.Equal(t, u, back["id"])
	appended, err := u.AppendText([]byte("id "))
	require.NoError(t, err)
	assert.Equal(t, "id "+text, string(appended))
	kept := u
	assert.ErrorIs(t, kept.UnmarshalText([]byte("no UUID")), fs.ErrInvalid)
	assert.Equal(t, u, kept)
}
