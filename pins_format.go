package famfs

// The pins unit of a file system that gives space out again: its bytes, and reading and checking
// them. It is the first 2 MiB behind the log. In it, hosts say up to which removal nobody can
// reach removed files through them any more. Every line has one writing host.
//
// In which order hosts store and load them is the concern of pins.go.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
)

// The pins unit (format: pins unit).
const (
	pinsSize = 2 << 20

	pinsMagicAt    = 0
	pinsVersionAt  = 8
	pinsUUIDAt     = 16
	pinsCRC        = 32 // covers all before
	pinsHeaderSize = 40

	pinsHostsAt  = 64   // UUIDs
	pinsStatesAt = 4096 // a word for each host
	pinsSlotsAt  = 8192
	pinsOfHost   = 8192 // from one host's slots to those of the next
	firstSlotAt  = 64
	slotSize     = 64

	maxHosts  = 250
	hostSlots = 127
)

const (
	pinsMagic   = 0x66616d667370696e
	pinsVersion = 1
)

// Fields of a slot.
const (
	slotWordAt     = 0 // 0: free; otherwise 1 plus the pin
	slotFlagsAt    = 8
	slotPIDAt      = 16
	slotSinceAt    = 20 // seconds since 1970
	slotBootAt     = 24
	slotDeviceAt   = 32
	slotInodeAt    = 40
	slotProgramAt  = 48
	slotProgramLen = 16
)

// Flags of a slot.
const (
	// slotWrites: something was mapped for writing. The host's caches may have lines that are
	// not written back.
	slotWrites = 1
	// slotCreates: files are being created, which only one process at a time does.
	slotCreates = 2
)

// States of a host.
const (
	hostUnknown  = 0
	hostAdmitted = 1
	hostEvicted  = 2
)

func hostUUIDAt(place int) int64  { return pinsHostsAt + int64(place)*int64(len(UUID{})) }
func hostStateAt(place int) int64 { return pinsStatesAt + int64(place)*8 }
func slotAt(place, slot int) int64 {
	return pinsSlotsAt + int64(place)*pinsOfHost + firstSlotAt + int64(slot)*slotSize
}

func encodePinsHeader(uuid UUID) (b [pinsHeaderSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[pinsMagicAt:], pinsMagic)
	le.PutUint64(b[pinsVersionAt:], pinsVersion)
	copy(b[pinsUUIDAt:], uuid[:])
	le.PutUint64(b[pinsCRC:], checksum(b[:pinsCRC]))
	return b
}

// decodePinsHeader returns the UUID of the file system that b, a copy, is of.
func decodePinsHeader(b *[pinsHeaderSize]byte) (UUID, error) {
	le := binary.LittleEndian
	switch magic, version := le.Uint64(b[pinsMagicAt:]), le.Uint64(b[pinsVersionAt:]); {
	case magic != pinsMagic:
		return UUID{}, fmt.Errorf("pins unit: found magic %#x, want %#x: %w", magic, uint64(pinsMagic), ErrCorrupt)
	case !hasSum(b[:], pinsCRC):
		return UUID{}, fmt.Errorf("pins unit: found CRC %#x, want %#x: %w: %w", le.Uint64(b[pinsCRC:]), checksum(b[:pinsCRC]), ErrChecksum, ErrCorrupt)
	case version != pinsVersion:
		return UUID{}, fmt.Errorf("pins unit: found version %d, want %d: %w", version, pinsVersion, ErrVersion)
	}
	return UUID(b[pinsUUIDAt:pinsCRC]), nil
}

// checkPins returns an error if the pins unit at at is not that of file system uuid.
func checkPins(m sharedMemory, at int64, uuid UUID) error {
	var b [pinsHeaderSize]byte
	read(m, b[:], at)
	found, err := decodePinsHeader(&b)
	if err == nil && found != uuid {
		err = fmt.Errorf("pins unit: found that of file system %s, want %s: %w", found, uuid, ErrCorrupt)
	}
	return err
}

// writePinsHeader makes the pins unit at at that of file system uuid.
func writePinsHeader(m sharedMemory, at int64, uuid UUID) error {
	b := encodePinsHeader(uuid)
	m.store(at, b[:])
	return flushAndFence(m, at, pinsHeaderSize)
}

// pinHosts are the hosts that a pins unit knows, by their places.
type pinHosts struct {
	uuids  [maxHosts]UUID
	states [maxHosts]uint64
}

// readHosts reads the hosts of the pins unit at at.
func readHosts(m sharedMemory, at int64) *pinHosts {
	h := new(pinHosts)
	var b [pinsStatesAt - pinsHostsAt]byte
	m.invalidate(at+pinsHostsAt, int64(len(b)))
	m.invalidate(at+pinsStatesAt, maxHosts*8)
	m.fenceLoads()
	m.load(b[:], at+pinsHostsAt)
	for i := range h.uuids {
		h.uuids[i] = UUID(b[i*len(UUID{}):])
		h.states[i] = m.load64(at + hostStateAt(i))
	}
	return h
}

// find returns the place of a host, or -1 if it has none.
func (h *pinHosts) find(host UUID) int {
	if host != (UUID{}) {
		for i := range h.uuids {
			if h.uuids[i] == host {
				return i
			}
		}
	}
	return -1
}

// allOf returns all places of a host, that of find first. Where the unit is damaged, a host may have
// several, and the zero UUID may have some: the operator must be able to evict whoever is waited for.
func (h *pinHosts) allOf(host UUID) (places []int) {
	for i := range h.uuids {
		if h.uuids[i] == host && (host != (UUID{}) || h.states[i] != hostUnknown) {
			places = append(places, i)
		}
	}
	return places
}

// vacant returns the place for a new host, or -1 if there is none. Where it is first looked for
// depends on the host: then a host mostly has the same place in every file system, and a store
// that comes late, after the device was formatted anew, is not in the lines of another host.
func (h *pinHosts) vacant(host UUID) int {
	sum := fnv.New32a()
	sum.Write(host[:])
	first := int(sum.Sum32() % maxHosts)
	for i := range maxHosts {
		if place := (first + i) % maxHosts; h.uuids[place] == (UUID{}) && h.states[place] == hostUnknown {
			return place
		}
	}
	return -1
}

// slotOwner is who has a slot.
type slotOwner struct {
	pid     uint32
	since   uint32 // seconds since 1970
	boot    uint64 // which start of which host's kernel this is
	device  uint64 // what is locked: device and inode
	inode   uint64
	program string
}

// here reports whether o is on the running kernel and locks the same file as other: then the
// lock of its slot says whether it lives.
func (o *slotOwner) here(other *slotOwner) bool {
	return o.boot == other.boot && o.device == other.device && o.inode == other.inode
}

// pinSlot is a slot as it was read.
type pinSlot struct {
	place, slot int
	word, flags uint64
	owner       slotOwner
}

// encode returns the slot's bytes.
func (s *pinSlot) encode() (b [slotSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[slotWordAt:], s.word)
	le.PutUint64(b[slotFlagsAt:], s.flags)
	le.PutUint32(b[slotPIDAt:], s.owner.pid)
	le.PutUint32(b[slotSinceAt:], s.owner.since)
	le.PutUint64(b[slotBootAt:], s.owner.boot)
	le.PutUint64(b[slotDeviceAt:], s.owner.device)
	le.PutUint64(b[slotInodeAt:], s.owner.inode)
	copy(b[slotProgramAt:][:slotProgramLen], s.owner.program)
	return b
}

// decode sets s from b, a copy, whatever is in it.
func (s *pinSlot) decode(b []byte) {
	le := binary.LittleEndian
	s.word, s.flags = le.Uint64(b[slotWordAt:]), le.Uint64(b[slotFlagsAt:])
	program := b[slotProgramAt:][:slotProgramLen]
	if end := bytes.IndexByte(program, 0); end >= 0 {
		program = program[:end]
	}
	s.owner = slotOwner{
		pid: le.Uint32(b[slotPIDAt:]), since: le.Uint32(b[slotSinceAt:]), boot: le.Uint64(b[slotBootAt:]),
		device: le.Uint64(b[slotDeviceAt:]), inode: le.Uint64(b[slotInodeAt:]), program: string(bytes.ToValidUTF8(program, []byte("?"))),
	}
}

// pin returns what the slot promises, in a log of next entries. A promise that no host can have
// made is none.
func (s *pinSlot) pin(next uint64) uint64 {
	switch {
	case s.word == 0:
		return math.MaxUint64
	case s.word-1 > next:
		return 0
	}
	return s.word - 1
}

// readSlots returns the slots of a place that stand in use.
func readSlots(m sharedMemory, at int64, place int) (used []pinSlot) {
	m.invalidate(at+slotAt(place, 0), hostSlots*slotSize)
	m.fenceLoads()
	for slot := range hostSlots {
		if m.load64(at+slotAt(place, slot)+slotWordAt) != 0 {
			var b [slotSize]byte
			m.load(b[:], at+slotAt(place, slot))
			s := pinSlot{place: place, slot: slot}
			if s.decode(b[:]); s.word != 0 {
				used = append(used, s)
			}
		}
	}
	return used
}
