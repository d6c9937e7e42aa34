package main

// Queues. Flushes, fences and invalidations are taken out by TestSimQueueTeeth already.

var queueMutants = []mutant{
	{
		name: "queue-full", why: "a queue takes one message too many", file: "queue_ends.go",
		old: "return e.shape.buckets - 1 - e.shape.between(e.peerIndex, e.index)", new: "return e.shape.buckets - e.shape.between(e.peerIndex, e.index)", tests: "TestQueue TestSimQueue",
	},
	{
		name: "queue-passed", why: "a consumer's index that has passed the producer's is believed", file: "queue_ends.go",
		old: "if found >= e.shape.buckets || e.shape.between(found, e.index) > e.shape.between(e.peerIndex, e.index) {", new: "if found >= e.shape.buckets {", tests: "TestQueueHostile",
	},
	{
		name: "queue-number", why: "a message of another lap is delivered", file: "queue_ends.go",
		old: "if sound && (found == e.number || first) {", new: "if sound || first {", tests: "TestQueueHostile",
	},
	{
		name: "queue-norepair", why: "the number in the file stays wrong", file: "queue_ends.go",
		old: "\tif told == e.number {\n", new: "\tif true {\n", tests: "TestQueueNumbers TestSimQueue",
	},
	{
		name: "queue-fresh", why: "what stood in the memory of a new queue counts", file: "queue_ends.go",
		old: "begins := e.index == 0 && told < n && !used", new: "begins := false", tests: "TestQueueOverQueue TestQueueNumbers",
	},
	{
		name: "queue-lap", why: "a consumer whose host lost power takes a lap that is over for one that has not begun", file: "queue_ends.go",
		old: "if begins && !doubt {", new: "if begins {", tests: "TestSimQueueReference TestQueueLap",
	},
	{
		name: "queue-unsure", why: "a bucket of the first lap that is still there is taken for the next message", file: "queue_ends.go",
		old: "first := e.unsure && found == 0 && try == len(settleTimes)", new: "first := e.unsure && found == 0", tests: "TestQueueLap",
	},
	{
		name: "queue-number-late", why: "the number is stored behind the index", file: "queue_ends.go",
		old: "if err := flushAndFence(e.own, e.numberAt, 8); err != nil {\n\t\treturn err\n\t}\n\te.own.store64(e.indexAt, at)", new: "e.own.store64(e.indexAt, at)", tests: "TestSimQueue",
	},
	{
		name: "queue-second", why: "another producer goes unnoticed", file: "queue_ends.go",
		old: "if found := e.own.load64(e.indexAt); found != e.index {", new: "if found := e.own.load64(e.indexAt); false {", tests: "TestQueueSecond",
	},
	{
		name: "queue-padding", why: "a message keeps the end of a longer one before it", file: "queue_producer.go",
		old: "clear(b[copy(b, message):])", new: "copy(b, message)", tests: "TestQueue",
	},
	{
		name: "queue-hand", why: "two may take the message that a loop has in hand", file: "queue_consumer.go",
		old: "\tcase handLoop:\n\t\treturn fmt.Errorf(\"a loop over All is under way: %w\", ErrBusy)\n", new: "", tests: "TestQueueAll",
	},
	{
		name: "queue-panic", why: "a loop whose body panics keeps the consumer for ever", file: "queue_consumer.go",
		old: "\t\tdefer c.endLoop()\n", new: "", tests: "TestQueueAll",
	},
	{
		name: "queue-release", why: "an end that is closed is never free again", file: "queue.go",
		old: "errors.Join(err, h.release(), h.files.unmap())", new: "errors.Join(err, h.files.unmap())", tests: "TestQueueOneAtATime",
	},
	{
		name: "queue-gone", why: "an end is opened of a queue that was removed meanwhile", file: "queue.go",
		old: "held = f.has(name, q.producer) && f.has(name+consumerSuffix, q.consumer)", new: "held = true", tests: "TestQueueRemovedWhileOpening",
	},
	{
		name: "queue-byte", why: "the lock of an end is of no byte of its own", file: "queue.go",
		old: "at := lockByte(place.Extents[0])\n", new: "at := lockByte(place.Extents[0]) % 2\n", tests: "TestQueueRefused TestQueueOneAtATime",
	},
}
