package famfs

// Sums of a file's content: their kinds, and the CRC-32C of parts of a file, which become that of
// the whole. Which files have one, and what follows from it, is the concern of seal.go and
// verify.go; the arithmetic is that of crc32c.go.

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"
	"sync"
)

// SumKind is the kind of a sum over the content of a sealed file.
type SumKind uint32

const (
	// CRC32C is CRC-32C (Castagnoli). It finds damage, is computed at the speed of memory, by
	// several processors, and mostly while a file is filled.
	CRC32C SumKind = 1
	// SHA256 is SHA-256. It also finds what somebody changed on purpose. One processor computes
	// it, in a second pass over the file.
	SHA256 SumKind = 2
)

// String returns "crc32c" or "sha256".
func (k SumKind) String() string {
	switch k {
	case CRC32C:
		return "crc32c"
	case SHA256:
		return "sha256"
	}
	return fmt.Sprintf("SumKind(%d)", uint32(k))
}

// sumSize is the room for a sum.
const sumSize = sha256.Size

// Sum is a sum over the content of a file. The zero Sum is none.
type Sum struct {
	Kind SumKind
	// Bytes holds a CRC-32C in the first 4 bytes, little endian, or a SHA-256. The others are
	// zero.
	Bytes [sumSize]byte
}

// String returns the kind, a colon, and the sum in hexadecimal digits, as usual for its kind:
// "crc32c:e3069283". It returns "none" for the zero Sum.
func (s Sum) String() string {
	switch s.Kind {
	case 0:
		return "none"
	case CRC32C:
		return fmt.Sprintf("%v:%08x", s.Kind, s.crc())
	}
	return fmt.Sprintf("%v:%s", s.Kind, hex.EncodeToString(s.Bytes[:]))
}

// trimmed returns s without bytes that its kind does not use.
func (s Sum) trimmed() Sum {
	if s.Kind == CRC32C {
		clear(s.Bytes[crc32.Size:])
	}
	return s
}

func crcSum(crc uint32) (s Sum) {
	s.Kind = CRC32C
	binary.LittleEndian.PutUint32(s.Bytes[:], crc)
	return s
}

func (s Sum) crc() uint32 { return binary.LittleEndian.Uint32(s.Bytes[:]) }

// crcPart is the CRC-32C of the bytes of a file from from up to to.
type crcPart struct {
	from, to int64
	crc      uint32
}

// maxParts is how many parts of a pending file are kept. If it is filled in more pieces that do not follow
// each other, some are forgotten, and read again in the end: finding the place of each would take longer.
const maxParts = 4096

// crcParts are the CRCs of parts of a file, in ascending order. Parts that follow each other are
// combined. Several goroutines may add to it.
type crcParts struct {
	mu    sync.Mutex
	parts []crcPart
	most  int // how many are kept; 0 is no limit
}

// add adds a part. What it overlaps is forgotten: those bytes were overwritten.
func (p *crcParts) add(part crcPart) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if part.from >= part.to {
		return
	}
	if p.most > 0 && len(p.parts) >= p.most {
		p.parts = p.parts[:p.most/2]
	}
	kept := p.forget(part.from, part.to)
	at := sort.Search(len(kept), func(i int) bool { return kept[i].from > part.from })
	follows := at > 0 && kept[at-1].to == part.from
	precedes := at < len(kept) && part.to == kept[at].from
	if follows {
		before := kept[at-1]
		part = crcPart{before.from, part.to, combineCRC(before.crc, part.crc, part.to-part.from)}
	}
	if precedes {
		behind := kept[at]
		part = crcPart{part.from, behind.to, combineCRC(part.crc, behind.crc, behind.to-behind.from)}
	}
	switch {
	case follows && precedes:
		kept[at-1] = part
		kept = slices.Delete(kept, at, at+1)
	case follows:
		kept[at-1] = part
	case precedes:
		kept[at] = part
	default:
		kept = slices.Insert(kept, at, part)
	}
	p.parts = kept
}

// drop forgets the parts that have bytes from from up to to.
func (p *crcParts) drop(from, to int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = p.forget(from, to)
}

// forget returns the parts that have no bytes from from up to to. p.mu must be held.
func (p *crcParts) forget(from, to int64) []crcPart {
	first := sort.Search(len(p.parts), func(i int) bool { return p.parts[i].to > from })
	end := first
	for end < len(p.parts) && p.parts[end].from < to {
		end++
	}
	return slices.Delete(p.parts, first, end)
}

// gaps returns the ranges of a file of this size that no part covers.
func (p *crcParts) gaps(size int64) (gaps []crcPart) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := int64(0)
	for _, part := range p.parts {
		if at < part.from {
			gaps = append(gaps, crcPart{from: at, to: part.from})
		}
		at = part.to
	}
	if at < size {
		gaps = append(gaps, crcPart{from: at, to: size})
	}
	return gaps
}
