package main

// Faults in giving memory out again: who may still reach what, and what is held back.

var reuseMutants = []mutant{
	{
		name: "reuse-look-after", why: "a read without a slot does not look at the log", file: "iofs.go",
		old: "return f.stillThere(index, n) })); gone != nil {\n\t\t\tclear", new: "return nil })); gone != nil {\n\t\t\tclear", tests: "TestReuseRemovedWhileOpen",
	},
	{
		name: "reuse-clear", why: "another file's bytes stay in the buffer of a read that failed", file: "iofs.go",
		old: "\t\t\tclear(p[:done]) // it may be another file's\n", new: "", tests: "TestReuseRemovedWhileOpen",
	},
	{
		name: "reuse-lowest", why: "a pin rises above what is mapped", file: "pins_reach.go",
		old: "pin := min(p.target, f.lowestMapped())", new: "pin := p.target", tests: "TestReuseWaits",
	},
	{
		name: "reuse-drained", why: "a pin rises while a View of before goes on", file: "pins_reach.go",
		old: "if p.draining && !p.viewers.drained() {", new: "if p.draining && !p.viewers.drained() && false {", tests: "TestReuseView",
	},
	{
		name: "reuse-close", why: "closing an FS leaves its slot", file: "famfs.go",
		old: "errs := []error{f.endPinning(), f.lock.end()}", new: "errs := []error{f.closeSlots(), f.lock.end()}", tests: "TestReuseClose",
	},
	{
		name: "reuse-revoke", why: "an evicted host goes on reading what it has mapped", file: "pins_evicted.go",
		old: "err := f.regions.revoke()\n", new: "err := error(nil)\n", tests: "TestReuseEvicted",
	},
	{
		name: "reuse-busy", why: "a host is admitted again while processes of before have slots", file: "pins.go",
		old: "len(used) > 0 {\n\t\treturn -1", new: "len(used) > 1000 {\n\t\treturn -1", tests: "TestReuseEvicted",
	},
	{
		name: "reuse-beyond", why: "a pin that nobody can have made counts", file: "pins_format.go",
		old: "case s.word-1 > next:\n\t\treturn 0", new: "case s.word-1 > next:\n\t\treturn s.word - 1", tests: "TestReuseHostileSlots",
	},
	{
		name: "reuse-compact", why: "the log is compacted while files are mapped", file: "compact.go",
		old: "\tif f.pins.on {\n\t\tif err := f.closePins(); err != nil {", new: "\tif f.pins.on && false {\n\t\tif err := f.closePins(); err != nil {", tests: "TestReuseInUse",
	},
	{
		name: "reuse-void", why: "a compaction that was refused keeps everybody from mapping", file: "pins_closing.go",
		old: "return errors.Join(err, voidClosing(m, f.size(), f.sb.UUID))\n\t}\n\treturn nil\n}\n\n// voidAbandoned", new: "return err\n\t}\n\treturn nil\n}\n\n// voidAbandoned", tests: "TestReuseInUse",
	},
	{
		name: "reuse-format", why: "a device is formatted while its files are mapped", file: "mkfs.go",
		old: "if err := checkUnused(dev, m, host); err != nil {", new: "if err := checkUnused(dev, m, host); err != nil && false {", tests: "TestReuseInUse",
	},
	{
		name: "reuse-dead", why: "slots of dead processes are never freed", file: "pins.go",
		old: "\t\tif !isDead(&s) {\n\t\t\tcontinue\n", new: "\t\tif isDead(&s) {\n\t\t\tcontinue\n", tests: "TestReuseProcessDies",
	},
	{
		name: "reuse-used", why: "memory that a removed file had passes for new", file: "alloc_held.go",
		old: "b.owned, b.used = nil, &a.all", new: "b.owned = nil", tests: "TestAllocatorAgainstModel TestAllocatorStates",
	},
	{
		name: "reuse-holder", why: "what one removal holds, another frees", file: "alloc_held.go",
		old: "b.held.heldBy(w*64+at) != holder {", new: "b.held.heldBy(w*64+at) == 0 {", tests: "TestAllocatorAgainstModel TestAllocatorStates",
	},
	{
		name: "reuse-place", why: "a place that was begun for one host is given to another", file: "pins_format.go",
		old: "h.uuids[place] == (UUID{}) && h.states[place] == hostUnknown", new: "h.states[place] == hostUnknown", tests: "TestCrashAdmit TestReuseNotAdmitted",
	},
	{
		name: "reuse-corrupt", why: "data is served behind a corrupt entry", file: "pins_slot.go",
		old: "if bad := f.replica.bad; bad != nil {", new: "if bad := f.replica.bad; bad != nil && false {", tests: "TestReuseCorrupt",
	},
	{
		name: "reuse-sweep-behind", why: "devices that were added since are not thrown out of the caches", file: "pins_slot.go",
		old: "\t\tif catchUp != nil {\n", new: "\t\tif false {\n", tests: "TestReuseDeadSlotOnNewDevice",
	},
	{
		name: "reuse-sweep-again", why: "each Create throws all data out of the caches", file: "pins_slot.go",
		old: "kept.pinSlot == *s && kept.here == here", new: "false", tests: "TestReuseDeadSlotForgetsOnce",
	},
}
