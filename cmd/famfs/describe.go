package main

// Files, directories and file systems as JSON, with the same fields in every command.

import (
	"fmt"
	"io/fs"

	"famfs"
)

// fileSystemJSON describes a device and its file system.
type fileSystemJSON struct {
	Device      string `json:"device"`
	Kind        string `json:"kind"`
	Size        int64  `json:"size"`
	Align       int64  `json:"align"`
	NUMANode    int    `json:"numa_node"`
	TargetNode  int    `json:"target_node"`
	Driver      string `json:"driver,omitempty"`
	Synchronous bool   `json:"synchronous"`
	Role        string `json:"role,omitempty"`

	Superblock superblockJSON `json:"superblock"`
	Usage      usageJSON      `json:"usage"`
}

type superblockJSON struct {
	Version    uint64 `json:"version"`
	OMF        string `json:"omf"`
	UUID       string `json:"uuid"`
	DeviceUUID string `json:"device_uuid"`
	SystemUUID string `json:"system_uuid"`
	LogOffset  int64  `json:"log_offset"`
	LogSize    int64  `json:"log_size"`
	AllocUnit  int64  `json:"alloc_unit"`
	DeviceSize int64  `json:"device_size"`
	DeviceName string `json:"device_name"`
}

type usageJSON struct {
	Size        int64 `json:"size"`
	Allocated   int64 `json:"allocated"`
	Free        int64 `json:"free"`
	LargestFree int64 `json:"largest_free"`
	Removed     int64 `json:"removed"`
	FileBytes   int64 `json:"file_bytes"`
	Files       int   `json:"files"`
	Sealed      int   `json:"sealed"`
	Dirs        int   `json:"directories"`
	LogUsed     int   `json:"log_used"`
	LogCapacity int   `json:"log_capacity"`
}

func describeFileSystem(fsys *famfs.FS) fileSystemJSON {
	d := describeDevice(fsys.Device(), fsys.Superblock(), fsys.Usage())
	d.Role = fsys.Role().String()
	return d
}

func describeDevice(d famfs.DeviceInfo, sb famfs.Superblock, u famfs.Usage) fileSystemJSON {
	return fileSystemJSON{
		Device: d.Path, Kind: d.Kind.String(), Size: d.Size, Align: d.Align, NUMANode: d.NUMANode, TargetNode: d.TargetNode,
		Driver: d.Driver, Synchronous: d.Synchronous,
		Superblock: superblockJSON{
			Version: sb.Version, OMF: fmt.Sprintf("%d.%d", sb.OMFMajor, sb.OMFMinor),
			UUID: sb.UUID.String(), DeviceUUID: sb.DeviceUUID.String(), SystemUUID: sb.SystemUUID.String(),
			LogOffset: sb.LogOffset, LogSize: sb.LogSize, AllocUnit: sb.AllocUnit,
			DeviceSize: sb.DeviceSize, DeviceName: sb.DeviceName,
		},
		Usage: describeUsage(u),
	}
}

func describeUsage(u famfs.Usage) usageJSON {
	return usageJSON{
		Size: u.Size, Allocated: u.Allocated, Free: u.Free, LargestFree: u.LargestFree, Removed: u.Removed, FileBytes: u.FileBytes,
		Files: u.Files, Sealed: u.Sealed, Dirs: u.Dirs, LogUsed: u.LogUsed, LogCapacity: u.LogCapacity,
	}
}

// nodeJSON describes a file or directory.
type nodeJSON struct {
	Device string `json:"device,omitempty"`
	Path   string `json:"path"`
	Type   string `json:"type"`
	Size   int64  `json:"size"`
	Mode   string `json:"mode"`
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Flags  uint32 `json:"flags,omitempty"`
	// Index is the index of the log entry, or -1 for the root directory and in zip files.
	Index int         `json:"index"`
	Map   *layoutJSON `json:"map,omitempty"`
	// Seal is the sum in a file's seal, as KIND:SUM.
	Seal string `json:"seal,omitempty"`
}

// layoutJSON says where a file lies. Chunk is 0 unless the file is interleaved. Then the extents
// are its strips.
type layoutJSON struct {
	Chunk   int64        `json:"chunk"`
	Extents []extentJSON `json:"extents"`
}

type extentJSON struct {
	Device int   `json:"device"`
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

func describeNode(device, name string, st fs.FileInfo) nodeJSON {
	attr := attrOf(st)
	n := nodeJSON{
		Device: device, Path: name, Type: "file", Size: st.Size(), Mode: fmt.Sprintf("%04o", octal(st.Mode())),
		UID: attr.UID, GID: attr.GID, Flags: attr.Flags, Index: attr.Index,
	}
	if st.IsDir() {
		n.Type = "directory"
		return n
	}
	if attr.Sealed {
		n.Seal = attr.Sum.String()
	}
	if _, ok := st.Sys().(*famfs.Attr); !ok { // it is in a zip file
		return n
	}
	n.Map = describeMap(attr.Layout)
	return n
}

func describeMap(l famfs.Layout) *layoutJSON {
	m := &layoutJSON{Chunk: l.Chunk, Extents: []extentJSON{}} // an unsound log entry may have no extents
	for _, x := range l.Extents {
		m.Extents = append(m.Extents, extentJSON{x.Device, x.Offset, x.Length})
	}
	return m
}
