package famfs

// The content of a device without a famfs: the signatures of file systems, volume managers,
// partition tables, archives and images, and whether everything is zero. Nothing here writes.
// famfs's own records are salvage.go's concern.

import (
	"bytes"
	"fmt"
)

// signature identifies a format by its first bytes.
type signature struct {
	what  string // with its article
	magic string
	at    []int64
}

// signatures are the formats whose loss would hurt most, each with the magic number and offset
// that its documentation gives. If several match, the first one here is named.
var signatures = []signature{
	// File systems.
	{"an XFS file system", "XFSB", []int64{0}},
	{"a btrfs file system", "_BHRfS_M", []int64{0x10040}},
	{"an F2FS file system", "\x10\x20\xf5\xf2", []int64{0x400}},
	{"an EROFS file system", "\xe2\xe1\xf5\xe0", []int64{0x400}},
	{"a SquashFS file system", "hsqs", []int64{0}},
	{"a bcachefs file system", "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", []int64{0x1018}},
	{"a JFS file system", "JFS1", []int64{0x8000}},
	{"a ReiserFS file system", "ReIsEr", []int64{0x2034, 0x10034}},
	{"a ZFS pool", "\x0c\xb1\xba\x00\x00\x00\x00\x00", every(1<<10, 128<<10, 256<<10)},
	{"a GFS2 file system", "\x01\x16\x19\x70\x00\x00\x00\x01", []int64{0x10000}},
	{"an APFS container", "NXSB", []int64{0x20}},
	{"an NTFS file system", "NTFS    ", []int64{3}},
	{"an exFAT file system", "EXFAT   ", []int64{3}},
	{"a FAT file system", "FAT32   ", []int64{0x52}},
	{"a FAT file system", "FAT1", []int64{0x36}},
	{"an ISO 9660 image", "CD001", []int64{0x8001}},
	{"a UDF file system", "BEA01", []int64{0x8001}},
	{"swap space", "SWAPSPACE2", []int64{4096 - 10, 65536 - 10}},
	// Volumes, encryption, memory.
	{"an LVM physical volume", "LABELONE", []int64{0, 512, 1024, 1536}},
	{"a LUKS encrypted volume", "LUKS\xba\xbe", []int64{0}},
	{"a member of an MD RAID array", "\xfc\x4e\x2b\xa9", []int64{0, 4096}},
	{"a bcache device", "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", []int64{0x1018}},
	{"a Ceph BlueStore device", "bluestore block device\n", []int64{0}},
	{"a PMDK pool", "PMEMOBJ\x00", []int64{0}},
	{"a PMDK pool", "PMEMBLK\x00", []int64{0}},
	{"a PMDK pool", "PMEMLOG\x00", []int64{0}},
	{"an NVDIMM namespace's info block", "NVDIMM_PFN_INFO\x00", []int64{4096}},
	{"an NVDIMM namespace's info block", "NVDIMM_DAX_INFO\x00", []int64{4096}},
	{"an NVDIMM namespace with a block translation table", "BTT_ARENA_INFO\x00\x00", []int64{0, 4096}},
	{"a GUID partition table", "EFI PART", []int64{512, 4096}},
	// Archives, images and data.
	{"a tar archive", "ustar", []int64{257}},
	{"a ZIP archive", "PK\x03\x04", []int64{0}},
	{"a gzip file", "\x1f\x8b\x08", []int64{0}},
	{"a Zstandard file", "\x28\xb5\x2f\xfd", []int64{0}},
	{"an xz file", "\xfd7zXZ\x00", []int64{0}},
	{"a bzip2 file", "BZh", []int64{0}},
	{"a 7z archive", "7z\xbc\xaf\x27\x1c", []int64{0}},
	{"a QCOW2 disk image", "QFI\xfb", []int64{0}},
	{"a VMDK disk image", "KDMV", []int64{0}},
	{"a VHDX disk image", "vhdxfile", []int64{0}},
	{"an SQLite database", "SQLite format 3\x00", []int64{0}},
	{"an HDF5 file", "\x89HDF\r\n\x1a\n", []int64{0}},
	{"a GGUF model", "GGUF", []int64{0}},
	{"a Parquet file", "PAR1", []int64{0}},
	{"a program", "\x7fELF", []int64{0}},
	// The shortest magic numbers come last: these are only two bytes.
	{"an ext2, ext3 or ext4 file system", "\x53\xef", []int64{0x438}},
	{"a NILFS2 file system", "\x34\x34", []int64{0x406}},
}

// every returns the multiples of step in [from, to).
func every(step, from, to int64) (all []int64) {
	for at := from; at < to; at += step {
		all = append(all, at)
	}
	return all
}

// signatureSpan is how many bytes of a device must be read to find a signature.
const signatureSpan = 256 << 10

// findSignature names the format that begins with these bytes. It returns "" if it knows none.
func findSignature(b []byte) string {
	for _, s := range signatures {
		for _, at := range s.at {
			if end := at + int64(len(s.magic)); end <= int64(len(b)) && string(b[at:end]) == s.magic {
				return fmt.Sprintf("%s (its signature is at offset %d)", s.what, at)
			}
		}
	}
	if isPartitionTable(b) {
		return "a DOS partition table (its signature is at offset 510)"
	}
	return ""
}

// isPartitionTable reports whether b begins with a DOS partition table. It checks the partitions
// too, because the signature is only two bytes.
func isPartitionTable(b []byte) bool {
	if len(b) < 512 || b[510] != 0x55 || b[511] != 0xaa {
		return false
	}
	used := false
	for at := 446; at < 510; at += 16 {
		if b[at] != 0 && b[at] != 0x80 {
			return false
		}
		used = used || b[at+4] != 0
	}
	return used
}

// findContent names what is in the first n bytes of a device: a known signature or, if zeros is
// set, any byte other than zero. It returns "" if the bytes may be overwritten. What an
// interrupted Format leaves counts as zeros.
func findContent(m sharedMemory, n int64, zeros bool) string {
	buffer := make([]byte, min(n, signatureSpan))
	read(m, buffer, 0)
	if found := findSignature(buffer); found != "" || !zeros {
		return found
	}
	none := make([]byte, len(buffer))
	for at := int64(0); at < n; at += int64(len(buffer)) {
		b := buffer[:min(int64(len(buffer)), n-at)]
		read(m, b, at)
		clearInterrupted(b, at)
		if !bytes.Equal(b, none[:len(b)]) {
			first := at + int64(len(b)-len(bytes.TrimLeft(b, "\x00")))
			return fmt.Sprintf("data, the first of it at offset %d", first)
		}
	}
	return ""
}
