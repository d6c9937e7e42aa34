package famfs

// UUIDs: their text form, and making new ones. host.go knows the UUIDs of this host.

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
)

// UUID is a universally unique identifier. Its 16 bytes are in the order of the text form (format:
// superblock). The zero UUID means none.
type UUID [16]byte

// NewUUID returns a random UUID (RFC 9562, version 4).
func NewUUID() UUID {
	var u UUID
	rand.Read(u[:]) // never fails: crypto/rand ends the process first
	return u.version4()
}

// ParseUUID parses the text form: 36 characters such as "01234567-89ab-4cde-8f01-23456789abcd",
// in upper or lower case. The error wraps fs.ErrInvalid.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	bad := fmt.Errorf("parse UUID %.64q: want 8-4-4-4-12 hexadecimal digits: %w", s, fs.ErrInvalid)
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, bad
	}
	digits := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, bad
	}
	return u, nil
}

// String returns the text form in lower case.
func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// AppendText appends the text form, as encoding.TextAppender says. It never fails.
func (u UUID) AppendText(b []byte) ([]byte, error) { return append(b, u.String()...), nil }

// MarshalText returns the text form, as encoding.TextMarshaler says. encoding/json and log/slog
// use it. It never fails.
func (u UUID) MarshalText() ([]byte, error) { return u.AppendText(nil) }

// UnmarshalText parses the text form, as encoding.TextUnmarshaler says. If it fails, u does not
// change; see ParseUUID.
func (u *UUID) UnmarshalText(text []byte) error {
	parsed, err := ParseUUID(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

// version4 sets the version and variant bits of a random UUID.
func (u UUID) version4() UUID {
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}
