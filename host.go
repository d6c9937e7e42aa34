package famfs

// Identity of this host: its system UUIDs, and the role that follows from them. Nothing here
// writes outside the device.

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

// Role says what a host may do to a file system (format: roles).
type Role uint8

const (
	// Client hosts read everything and write no metadata.
	Client Role = iota
	// Master is the host whose system UUID is in the superblock. Only the master writes
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

// The files with a host's identity: that of the reference implementation, and that of systemd.
const (
	systemUUIDFile = "/opt/famfs/system_uuid"
	machineIDFile  = "/etc/machine-id"
)

// machineIDApplication is hashed with the machine id, so that the id itself, which must stay on its
// host, never reaches a shared device. It must not change, because masters are recognised by the
// result.
var machineIDApplication = [16]byte{
	0xf4, 0x31, 0x6d, 0x5e, 0x0b, 0x7c, 0x4a, 0x19, 0x9d, 0x52, 0xc8, 0xa6, 0x1e, 0x93, 0x70, 0x2b,
}

// hostUUIDs returns the UUIDs of this host, best first: given (unless it is zero), the one in
// uuidFile, and the one derived from idFile. Missing files are passed over. Files that cannot be
// read or parsed are passed over too, but are named in the error. The error explains why a host may
// not be the master that it should be; it is no reason to refuse reading.
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

// parseSystemUUID parses the reference's file: leading white space, then 36 characters, then
// anything (format: roles). A host that is master for the reference is master here too.
func parseSystemUUID(text []byte) (UUID, error) {
	text = bytes.TrimLeft(text, " \t\r\n\v\f")
	return ParseUUID(string(text[:min(36, len(text))]))
}

// errNoMachineID says that the file is there but has no id (yet), as in images and in containers
// before their first boot.
var errNoMachineID = errors.New("no machine id")

// deriveSystemUUID derives a UUID from a machine id of 32 hexadecimal digits.
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

// roleOf returns the role of a host with these UUIDs in a file system with this master.
func roleOf(host []UUID, master UUID) Role {
	if slices.Contains(host, master) {
		return Master
	}
	return Client
}
