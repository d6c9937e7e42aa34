package famfs

// The bytes of a queue (format: queues): two files, their fields and every check that
// needs nothing but a record. How its two ends keep to the order of stores is
// queue_ends.go's concern.

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
)

const (
	queueMagic         = 0xBEEBEE3
	queueConsumerMagic = 0xBEEBEE4

	// queueArrayOffset is where the buckets begin, and the size of the consumer's file.
	queueArrayOffset = 2 << 20

	// consumerSuffix is what the name of the consumer's file has after the queue's name.
	consumerSuffix = ".consumer"
)

// Offsets in the producer's file, which only the producer writes.
const (
	queueMagicAt      = 0
	queueBucketsAt    = 8
	queueBucketSizeAt = 16
	queueArrayAt      = 24
	producerIndexAt   = 32
	producerNumberAt  = 1064
	producerSizeAt    = 1072
	producerFieldsEnd = 1080
)

// Offsets in the consumer's file, which only the consumer writes.
const (
	consumerMagicAt  = 0 // 4 bytes; the reference leaves the next 4 as they were
	consumerIndexAt  = 8
	consumerNumberAt = 1_048_592
	consumerSizeAt   = 1_048_600
)

// A bucket ends with the message's number and a checksum of all that is before that.
const (
	bucketNumberEnd = 16 // from the end of the bucket
	bucketSumEnd    = 8
)

// Bounds of a queue.
const (
	minBuckets    = 2             // one is never used
	minBucketSize = 32            // a power of two with room for a message
	maxBucketSize = 1 << 30       // a bucket is copied before it is looked at
	maxNumber     = math.MaxInt64 // of a message; nobody gets there
	maxBuckets    = math.MaxInt32 // fits in an int everywhere
)

// queueShape is what does not change in a queue.
type queueShape struct {
	buckets    uint64
	bucketSize int64
}

// check says why no queue has this shape.
func (s queueShape) check() error {
	switch {
	case s.buckets < minBuckets || s.buckets > maxBuckets:
		return fmt.Errorf("%d buckets, want %d to %d, of which one is never used", s.buckets, minBuckets, maxBuckets)
	case s.bucketSize < minBucketSize || s.bucketSize > maxBucketSize || s.bucketSize&(s.bucketSize-1) != 0:
		return fmt.Errorf("buckets of %d bytes, want a power of two from %d to %d", s.bucketSize, minBucketSize, maxBucketSize)
	}
	return nil
}

// newQueueShape checks what a caller wants.
func newQueueShape(buckets int, bucketSize int64) (queueShape, error) {
	s := queueShape{uint64(max(buckets, 0)), bucketSize}
	if err := s.check(); err != nil {
		return queueShape{}, fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	return s, nil
}

// size is that of the producer's file. It does not overflow if check is content.
func (s queueShape) size() int64 { return queueArrayOffset + int64(s.buckets)*s.bucketSize }

// payload is the size of a message.
func (s queueShape) payload() int { return int(s.bucketSize) - bucketNumberEnd }

// offset is where a bucket lies in the producer's file.
func (s queueShape) offset(index uint64) int64 { return queueArrayOffset + int64(index)*s.bucketSize }

// after returns the index n buckets behind index; n is at most the number of buckets.
func (s queueShape) after(index, n uint64) uint64 {
	if index += n; index >= s.buckets {
		index -= s.buckets
	}
	return index
}

// between returns how many buckets there are from one index up to another.
func (s queueShape) between(from, to uint64) uint64 {
	if to < from {
		to += s.buckets
	}
	return to - from
}

// writeProducerFile writes the producer's file of an empty queue over zeros.
func (s queueShape) writeProducerFile(m sharedMemory) {
	m.store64(queueMagicAt, queueMagic)
	m.store64(queueBucketsAt, s.buckets)
	m.store64(queueBucketSizeAt, uint64(s.bucketSize))
	m.store64(queueArrayAt, queueArrayOffset)
	m.store64(producerSizeAt, uint64(s.size()))
}

// writeConsumerFile writes the consumer's over zeros.
func writeConsumerFile(m sharedMemory) {
	m.store64(consumerMagicAt, queueConsumerMagic)
	m.store64(consumerSizeAt, queueArrayOffset)
}

// readQueueShape reads and checks what does not change in the producer's file, of size
// bytes. It must have been invalidated.
func readQueueShape(m sharedMemory, size int64) (queueShape, error) {
	corrupt := func(format string, args ...any) (queueShape, error) {
		return queueShape{}, fmt.Errorf("queue: "+format+": %w", append(args, ErrCorrupt)...)
	}
	if size < producerFieldsEnd {
		return corrupt("the producer's file has %d bytes, want at least %d", size, queueArrayOffset)
	}
	if magic := m.load64(queueMagicAt); magic != queueMagic {
		return corrupt("found magic %#x, want %#x", magic, queueMagic)
	}
	s := queueShape{m.load64(queueBucketsAt), int64(m.load64(queueBucketSizeAt))}
	if err := s.check(); err != nil {
		return corrupt("%w", err)
	}
	if at := m.load64(queueArrayAt); at != queueArrayOffset {
		return corrupt("the buckets begin at %d, want %d", at, queueArrayOffset)
	}
	if told := m.load64(producerSizeAt); s.size() != size || told != uint64(size) {
		return corrupt("%d buckets of %d bytes take %d, the file says that it has %d, and has %d", s.buckets, s.bucketSize, s.size(), told, size)
	}
	return s, nil
}

// checkConsumerFile checks what does not change in the consumer's file, of size bytes.
func checkConsumerFile(m sharedMemory, size int64) error {
	if size != queueArrayOffset {
		return fmt.Errorf("queue: the consumer's file has %d bytes, want %d: %w", size, queueArrayOffset, ErrCorrupt)
	}
	if magic := uint32(m.load64(consumerMagicAt)); magic != queueConsumerMagic {
		return fmt.Errorf("queue: found magic %#x in the consumer's file, want %#x: %w", magic, queueConsumerMagic, ErrCorrupt)
	}
	if told := m.load64(consumerSizeAt); told != queueArrayOffset {
		return fmt.Errorf("queue: the consumer's file says that it has %d bytes, want %d: %w", told, queueArrayOffset, ErrCorrupt)
	}
	return nil
}

// sealBucket completes a bucket whose message is there.
func sealBucket(b []byte, number uint64) {
	sum := len(b) - bucketSumEnd
	binary.LittleEndian.PutUint64(b[len(b)-bucketNumberEnd:], number)
	binary.LittleEndian.PutUint64(b[sum:], checksum(b[:sum]))
}

// openBucket returns the number of the message in a bucket, if that is sound.
func openBucket(b []byte) (number uint64, ok bool) {
	sum := len(b) - bucketSumEnd
	return binary.LittleEndian.Uint64(b[len(b)-bucketNumberEnd:]), binary.LittleEndian.Uint64(b[sum:]) == checksum(b[:sum])
}
