package famfs

// The identity of a host: the files that define it, in all forms in which they occur, and the
// role that follows. No test uses the files of the host that it runs on.

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	testHostText = "01234567-89ab-4cde-8f01-23456789abcd" // of testHost
	machineID    = "0123456789abcdef0123456789abcdef"

	// derivedID follows from machineID; another implementation of HMAC-SHA256 computed it. If it
	// changes, masters are no longer recognised.
	derivedID = "a0df5f5f-5381-4b42-a38c-5c1b2da4532d"
)

func TestParseSystemUUID(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		ok   bool
	}{
		"bare":                {testHostText, true},
		"newline":             {testHostText + "\n", true},
		"NUL":                 {testHostText + "\x00", true},
		"NUL and more":        {testHostText + "\x00garbage", true},
		"newline and more":    {testHostText + "\ngarbage\n", true},
		"upper case":          {strings.ToUpper(testHostText), true},
		"mixed case":          {"01234567-89Ab-4cDe-8F01-23456789aBCd\n", true},
		"leading space":       {" \t\r\n\v\f" + testHostText, true},
		"space and upper":     {"  " + strings.ToUpper(testHostText) + "\n", true},
		"trailing space":      {testHostText + " ", true},
		"trailing digit":      {testHostText + "0", true},
		"carriage return":     {testHostText + "\r\n", true},
		"comment":             {testHostText + " # rack 7\n", true},
		"another UUID":        {testHostText + "\n" + otherHost.String(), true},
		"empty":               {"", false},
		"only space":          {" \n\n", false},
		"NUL first":           {"\x00" + testHostText, false},
		"too short":           {testHostText[:35], false},
		"too short, newline":  {testHostText[:35] + "\n", false},
		"no hyphens":          {strings.ReplaceAll(testHostText, "-", ""), false},
		"hyphens elsewhere":   {"0123456-789ab-4cde-8f01-23456789abcd", false},
		"hyphen for a digit":  {"01234567-89ab-4cde-8f01-23456789abc-", false},
		"no digit":            {"g1234567-89ab-4cde-8f01-23456789abcd", false},
		"braces":              {"{" + testHostText + "}", false},
		"a large binary file": {strings.Repeat("\xff", 1<<20), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := parseSystemUUID([]byte(test.text))
			if test.ok {
				require.NoError(t, err)
				assert.Equal(t, testHost, id)
				return
			}
			require.ErrorIs(t, err, fs.ErrInvalid)
			assert.Zero(t, id)
			assert.Less(t, len(err.Error()), 1000, "a message is for people")
		})
	}
}

func TestDeriveSystemUUID(t *testing.T) {
	t.Parallel()
	id, err := deriveSystemUUID([]byte(machineID + "\n"))
	require.NoError(t, err)
	assert.Equal(t, derivedID, id.String())

	for _, text := range []string{machineID, " " + machineID + " \n\n", strings.ToUpper(machineID)} {
		same, err := deriveSystemUUID([]byte(text))
		require.NoError(t, err)
		assert.Equal(t, id, same, "%q", text)
	}

	seen := map[UUID]bool{id: true}
	for i := range machineID {
		other := []byte(machineID)
		other[i] = "123456789abcdef0"[strings.IndexByte("0123456789abcdef", other[i])]
		id, err := deriveSystemUUID(other)
		require.NoError(t, err)
		assert.False(t, seen[id], "%s gives the same as another", other)
		seen[id] = true
		assertVersion4(t, id)
		assert.NotContains(t, strings.ReplaceAll(id.String(), "-", ""), string(other[:8]), "the machine id stays on its host")
	}
}

func TestDeriveSystemUUIDRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want error
	}{
		"empty":              {"", errNoMachineID},
		"only space":         {" \n", errNoMachineID},
		"uninitialized":      {"uninitialized\n", errNoMachineID},
		"too short":          {machineID[:31], fs.ErrInvalid},
		"half":               {machineID[:30], fs.ErrInvalid},
		"too long":           {machineID + "0", fs.ErrInvalid},
		"two digits more":    {machineID + "00", fs.ErrInvalid},
		"no digit":           {"g" + machineID[1:], fs.ErrInvalid},
		"last no digit":      {machineID[:31] + "g", fs.ErrInvalid},
		"hyphens":            {testHostText, fs.ErrInvalid},
		"two lines":          {machineID + "\n" + machineID, fs.ErrInvalid},
		"uninitialised":      {"uninitialised", fs.ErrInvalid},
		"a large other file": {strings.Repeat("a", 1<<20), fs.ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := deriveSystemUUID([]byte(test.text))
			require.ErrorIs(t, err, test.want)
			assert.Zero(t, id)
			assert.Less(t, len(err.Error()), 1000)
		})
	}
}

func TestHostUUIDs(t *testing.T) {
	t.Parallel()
	derived := parseUUID(t, derivedID)
	const missing = "\x00missing"
	tests := map[string]struct {
		given          UUID
		uuidText, text string
		want           []UUID
		complains      []string // of which files
	}{
		"all":                         {otherHost, testHostText, machineID, []UUID{otherHost, testHost, derived}, nil},
		"files":                       {UUID{}, testHostText + "\n", machineID + "\n", []UUID{testHost, derived}, nil},
		"machine id only":             {UUID{}, missing, machineID, []UUID{derived}, nil},
		"system UUID only":            {UUID{}, testHostText, missing, []UUID{testHost}, nil},
		"given only":                  {otherHost, missing, missing, []UUID{otherHost}, nil},
		"nothing":                     {UUID{}, missing, missing, nil, nil},
		"no machine id yet":           {UUID{}, testHostText, "uninitialized\n", []UUID{testHost}, nil},
		"empty machine id":            {UUID{}, missing, "", nil, nil},
		"bad system UUID":             {UUID{}, "nonsense", machineID, []UUID{derived}, []string{"system_uuid"}},
		"zero system UUID":            {UUID{}, "00000000-0000-0000-0000-000000000000\n", machineID, []UUID{derived}, []string{"system_uuid"}},
		"empty system UUID":           {UUID{}, "", machineID, []UUID{derived}, []string{"system_uuid"}},
		"bad machine id":              {UUID{}, testHostText, "nonsense", []UUID{testHost}, []string{"machine-id"}},
		"both bad":                    {UUID{}, "nonsense", "nonsense", nil, []string{"system_uuid", "machine-id"}},
		"both bad, but one was given": {otherHost, "nonsense", "nonsense", []UUID{otherHost}, []string{"system_uuid", "machine-id"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := func(name, text string) string {
				path := filepath.Join(dir, name)
				if text != missing {
					require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
				}
				return path
			}
			ids, err := hostUUIDs(test.given, file("system_uuid", test.uuidText), file("machine-id", test.text))
			assert.Equal(t, test.want, ids)
			if test.complains == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, fs.ErrInvalid)
			for _, name := range test.complains {
				assert.ErrorContains(t, err, filepath.Join(dir, name))
			}
			assert.ErrorContains(t, err, "WithSystemUUID")
		})
	}
}

// A file that cannot be read is reported, and does not prevent opening.
func TestHostUUIDsUnreadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // reading a directory fails for everybody
	ids, err := hostUUIDs(testHost, dir, filepath.Join(dir, "missing"))
	assert.Equal(t, []UUID{testHost}, ids)
	require.Error(t, err)
	assert.NotErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, dir)
}

func TestRoleOf(t *testing.T) {
	t.Parallel()
	sb := Superblock{SystemUUID: testHost}
	tests := map[string]struct {
		host []UUID
		want Role
	}{
		"master":             {[]UUID{testHost}, Master},
		"by its second UUID": {[]UUID{otherHost, testHost}, Master},
		"another host":       {[]UUID{otherHost}, Client},
		"nobody":             {nil, Client},
		"zero":               {[]UUID{{}}, Client},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, roleOf(test.host, sb.SystemUUID))
		})
	}
	assert.Equal(t, Client, roleOf(nil, UUID{}), "a host without UUIDs is no master of a superblock without one")
	assert.Equal(t, []string{"client", "master"}, []string{Client.String(), Master.String()})
}
