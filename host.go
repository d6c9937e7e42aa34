package famfs

// Who this host is: the system UUIDs by which it is known, and the role that
// follows from them. Nothing here writes outside the device.

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Role is what a host may do to a file system (format: roles).
type Role uint8

const (
	// Client hosts read everything and write no metadata.
	Client Role = iota
	// Master is the host whose system UUID the superblock holds: it alone writes
	// superblock and log.
	Master
)

// String returns "client" or "master".
func (r Role) String() string {
	if r == Master {
		return "master"
	}
	return "client"
}

// Where a host's identity is kept: in the file of the reference implementation, and
// that of systemd.
const (
	systemUUIDFile = "/opt/famfs/system_uuid"
	machineIDFile  = "/etc/machine-id"
)

// machineIDApplication is what machine ids are hashed with, so that the id itself,
// which is meant to stay on its host, never reaches a shared device. It must not
// change: masters are recognised by the result.
var machineIDApplication = [16]byte{
	0xf4, 0x31, 0x6d, 0x5e, 0x0b, 0x7c, 0x4a, 0x19, 0x9d, 0x52, 0xc8, 0xa6, 0x1e, 0x93, 0x70, 0x2b,
}

// hostUUIDs returns the UUIDs of this host, best first: the given one
// (unless zero), that in uuidFile, the one derived from idFile. Files that are not
// there are passed over; those that cannot be read or parsed too, but the error
// tells of them: it explains why a host may not be the master that it should be,
// and is no reason to refuse reading.
func hostUUIDs(given UUID, uuidFile, idFile string) ([]UUID, error) {
	var ids []UUID
	var passedOver []error
	if given != (UUID{}) {
		ids = append(ids, given)
	}
	for _, source := range []struct {
		path  string
		parse func([]byte) (UUID, error)
	}{{uuidFile, parseSystemUUID}, {idFile, deriveSystemUUID}} {
		text, err := os.ReadFile(source.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var id UUID
		if err == nil {
			id, err = source.parse(text)
		}
		if err == nil && id == (UUID{}) {
			err = fmt.Errorf("found the zero UUID, which means none: %w", fs.ErrInvalid)
		}
		switch {
		case errors.Is(err, errNoMachineID):
		case err != nil:
			passedOver = append(passedOver, fmt.Errorf("find this host's system UUID in %s: %w; mend the file or give WithSystemUUID", source.path, err))
		default:
			ids = append(ids, id)
		}
	}
	return ids, errors.Join(passedOver...)
}

// parseSystemUUID reads the reference's file: leading white space, then 36 characters,
// whatever follows (format: roles). A host is master here if it is there.
func parseSystemUUID(text []byte) (UUID, error) {
	text = bytes.TrimLeft(text, " \t\r\n\v\f")
	return ParseUUID(string(text[:min(36, len(text))]))
}

// errNoMachineID: the file is there but says that the host has no id (yet), as in
// images and containers before their first boot.
var errNoMachineID = errors.New("no machine id")

// deriveSystemUUID makes a UUID of a machine id of 32 hexadecimal digits.
func deriveSystemUUID(text []byte) (UUID, error) {
	id := make([]byte, 16)
	text = bytes.TrimSpace(text)
	if len(text) == 0 || string(text) == "uninitialized" {
		return UUID{}, errNoMachineID
	}
	if n, err := hex.Decode(id, text[:min(32, len(text))]); err != nil || n != 16 || len(text) != 32 {
		return UUID{}, fmt.Errorf("found %.64q, want 32 hexadecimal digits: %w", text, fs.ErrInvalid)
	}
	mac := hmac.New(sha256.New, id)
	mac.Write(machineIDApplication[:])
	return UUID(mac.Sum(nil)[:16]).version4(), nil
}

// roleOf says what a host with these UUIDs is to the file system of the host master.
func roleOf(host []UUID, master UUID) Role {
	if slices.Contains(host, master) {
		return Master
	}
	return Client
}
