package main

// File systems on several devices: finding the devices, their space, and what is done on one of them.

var severalMutants = []mutant{
	{
		name: "several-primary", why: "the device with the log is looked at as one of the others", file: "devices_search.go",
		old: "\ts.note(f.dev)\n", new: "", tests: "TestPrimaryIsNoSecondary",
	},
	{
		name: "several-paths", why: "two paths of one device are two devices", file: "devices_search.go",
		old: "\ts.nodes = append(s.nodes, node)\n", new: "\tif len(s.nodes) == 0 {\n\t\ts.nodes = append(s.nodes, node)\n\t}\n", tests: "TestDevicePaths",
	},
	{
		name: "several-attached", why: "a device that is in use is found a second time", file: "devices_search.go",
		old: "\t\t\ts.note(m.dev)\n", new: "", tests: "TestTwinFoundLater",
	},
	{
		name: "several-another", why: "a device that was formatted for another file system is used", file: "devices_search.go",
		old: "case c.sb.UUID != f.sb.UUID && f.sb.UUID != UUID{}:", new: "case false:", tests: "TestHostileDevices",
	},
	{
		name: "several-lost", why: "with the superblock lost no device is used", file: "devices_search.go",
		old: "case c.sb.UUID != f.sb.UUID && f.sb.UUID != UUID{}:", new: "case c.sb.UUID != f.sb.UUID:", tests: "TestSalvageDevices",
	},
	{
		name: "several-unit", why: "a device of another allocation unit is used", file: "devices_search.go",
		old: "case c.sb.AllocUnit != f.sb.AllocUnit:", new: "case false:", tests: "TestHostileDevices",
	},
	{
		name: "several-small", why: "a device that is smaller than the log says is used", file: "devices_search.go",
		old: "case c.bad == nil && int64(len(c.window.mem)) < m.size:", new: "case c.bad == nil && int64(len(c.window.mem)) < m.size/2:", tests: "TestHostileDevices",
	},
	{
		name: "several-twins", why: "of two devices with one UUID one is taken", file: "devices_search.go",
		old: "case found != nil:", new: "case found != nil && false:", tests: "TestHostileDevices",
	},
	{
		name: "several-twin-later", why: "a copy of a device in use is passed over in silence", file: "devices_search.go",
		old: "c.bad == nil && c.sb.DeviceUUID == m.uuid {", new: "c.bad == nil && c.sb.DeviceUUID != m.uuid {", tests: "TestTwinFoundLater",
	},
	{
		name: "several-check-twins", why: "Check reads nothing if a device is there twice", file: "check.go",
		old: "if errors.Is(err, errCopy) {", new: "if errors.Is(err, errCopy) && false {", tests: "TestHostileDevices",
	},
	{
		name: "several-faults", why: "a device that vanishes when its superblock is read ends the program", file: "devices_search.go",
		old: "err := Guard(func() error { return c.read(f) }); err != nil {", new: "err := c.read(f); err != nil {", tests: "TestDeviceVanishes", survives: "the replay is guarded as a whole: then nothing is opened",
	},
	{
		name: "several-unused", why: "what is not used stays open", file: "devices_search.go",
		old: "if err := c.release(); err != nil {", new: "if err := error(nil); err != nil {", tests: "TestPrimaryIsNoSecondary",
	},
	{
		name: "several-search-ends", why: "what was looked at stays open if memory fails in the middle", file: "famfs.go",
		old: "errs = append(errs, s.release())", new: "_ = s", tests: "TestSearchEnds",
	},
	{
		name: "several-add-at-once", why: "two that add one device format it one over the other", file: "devices_add.go",
		old: "\tf.devices.adding.Lock()\n\tdefer f.devices.adding.Unlock()\n", new: "", tests: "TestAddDeviceAtOnce",
	},
	{
		name: "several-add-gone", why: "a device that is gone again is logged", file: "devices_add.go",
		old: "if err := f.devices.search.has(n.added); err != nil {", new: "if err := f.devices.search.has(n.added); err != nil && false {", tests: "TestAddDeviceVanishes",
	},
	{
		name: "several-add-path", why: "a path that was not added is looked at from then on", file: "devices_add.go",
		old: "if err != nil && !tried {", new: "if err != nil && b.index > 0 {", tests: "TestAddDeviceVanishes",
	},
	{
		name: "several-add-known", why: "a device of the file system is added once more with force", file: "devices_add.go",
		old: "case mine && before.UUID == n.primary.UUID && known:", new: "case mine && before.UUID == n.primary.UUID && known && !c.force:", tests: "TestAddDevice", survives: "the same device is recognized before, by its file",
	},
	{
		name: "several-add-used", why: "a device of which files are mapped is taken", file: "devices_add.go",
		old: "if err := checkUnused(dev, m, []UUID{n.primary.SystemUUID}); err != nil {", new: "if err := error(nil); err != nil {", tests: "TestAddDeviceInUse",
	},
	{
		name: "several-add-dry", why: "a device that is only looked at cannot be mapped from then on", file: "devices_add.go",
		old: "\t\t\treturn stillUsed(dev, m)\n", new: "\t\t\treturn nil\n", tests: "TestFormatDevicesRefusedLater",
	},
	{
		name: "several-arrive-owned", why: "what files own of a device that comes later is given out", file: "space.go",
		old: "\t\t\ta.own([]unitRun{r})\n\t\t}\n\t}\n\tfor _, h", new: "\t\t\t_ = r\n\t\t}\n\t}\n\tfor _, h", tests: "TestSpaceArrives",
	},
	{
		name: "several-arrive-claims", why: "what entries claim of a device that comes later is given out", file: "space.go",
		old: "for _, r := range d.claims {\n\t\ta.claim(r)\n\t}", new: "", tests: "TestSpaceArrives TestDeviceIsFoundLater",
	},
	{
		name: "several-arrive-held", why: "what is held of a device that comes later is given out at once", file: "space.go",
		old: "\t\ta.holdAlso(h.unitRun, h.by)\n", new: "\t\t_ = h\n", tests: "TestSpaceArrives TestReuseDeviceComesLater",
	},
	{
		name: "several-arrive-given", why: "what was removed on a device that was not here never comes back", file: "devices_search.go",
		old: "f.replica.giveFrom = 0 //", new: "//", tests: "TestReuseDeviceComesLaterUnused",
	},
	{
		name: "several-arrive-total", why: "the total of removed space leaves out a device that came later", file: "devices_search.go",
		old: "f.replica.removedUnits.Store(f.replica.space.held())", new: "_ = 0", tests: "TestReuseDeviceComesLater",
	},
	{
		name: "several-most", why: "files go to the device with the least free space", file: "space.go",
		old: "return cmp.Compare(free[y], free[x])", new: "return cmp.Compare(free[x], free[y])", tests: "TestSpaceAllocate TestDevicesFillEvenly",
	},
	{
		name: "several-roomiest", why: "files go to the first device that has room", file: "space.go",
		old: "longest >= units && free > most {", new: "longest >= units && device < 0 && free > most {", tests: "TestSpaceAllocate TestDevicesFillEvenly",
	},
	{
		name: "several-longest", why: "runs are taken from the first device that has any", file: "space.go",
		old: "; n > longest {", new: "; n > 0 && longest == 0 {", tests: "TestSpaceAllocate",
	},
	{
		name: "several-gather-kept", why: "gathering that fails keeps what it had taken", file: "space.go",
		old: "\tif units > 0 {\n\t\ts.release(runs)\n", new: "\tif units > 0 {\n", tests: "TestSpaceAllocate",
	},
	{
		name: "several-spread-kept", why: "strips that find no room keep what they had taken", file: "space.go",
		old: "\tif len(runs) < strips {\n\t\ts.release(runs)\n", new: "\tif len(runs) < strips {\n", tests: "TestSpaceSpreadOverDevices",
	},
	{
		name: "several-spread-full", why: "a device without room for a strip is asked for the next", file: "space.go",
		old: "if devices = round; len(devices) == 0 {", new: "if len(round) == 0 {", survives: "a device that has no room for a strip has none for another",
	},
	{
		name: "several-turn", why: "each interleaved file begins on the same device", file: "space.go",
		old: "\t\ts.turn++\n", new: "", tests: "TestInterleaveOverDevices",
	},
	{
		name: "several-on", why: "a file that is to be on one device is interleaved over all", file: "space.go",
		old: "\tif on < 0 {\n\t\tall := *s.all.Load()\n\t\tdevices = ", new: "\tif true {\n\t\tall := *s.all.Load()\n\t\tdevices = ", tests: "TestSpaceSpreadOverDevices TestInterleaveOverDevices",
	},
	{
		name: "several-own-another", why: "a file over several devices may have another's space", file: "space.go",
		old: "if s.of(x.Device).ownsAny(s.unitsOf(x)) {", new: "if s.of(x.Device).ownsAny(s.unitsOf(x)) && i == 0 {", tests: "TestSpaceOwn",
	},
	{
		name: "several-own-twice", why: "extents of a file over several devices may overlap", file: "space.go",
		old: "earlier.Device == x.Device && x.Offset < earlier.Offset+earlier.Length", new: "earlier.Device == x.Device && x.Offset <= earlier.Offset && x.Offset < earlier.Offset+earlier.Length", tests: "TestSpaceOwn",
	},
	{
		name: "several-claim-end", why: "a claim may pass the end of a device", file: "space.go",
		old: "\tr.n = min(r.n, d.units-r.start)\n", new: "", tests: "TestSpaceArrives TestHostileDeviceExtents",
	},
	{
		name: "several-claim-early", why: "what is claimed on a device before it is added is given out", file: "space.go",
		old: "\tfor _, r := range s.early[s.devices()] {\n\t\td.claim(r)\n\t}\n", new: "", tests: "TestClaimBeforeDevice",
	},
	{
		name: "several-unbound", why: "to map a device that was unbound is an error that nobody can tell", file: "dax_region_unix.go",
		old: "the device was unbound, or is gone: %w: %w\", err, ErrDevice)", new: "the device was unbound, or is gone: %w\", err)", tests: "TestDeviceVanishes",
	},
	{
		name: "several-room", why: "room is reserved behind the extents of a file", file: "create_small.go",
		old: "p.home.parts(min(roundUp(p.size, p.home.align()), roundUp(p.size, p.fs.sb.AllocUnit)))", new: "p.home.parts(roundUp(p.size, p.home.align()))", tests: "TestSmallUnitsInExtents",
	},
	{
		name: "several-area", why: "files lie over the superblock of a device", file: "space.go",
		old: "d.claim(unitRun{0, superblockArea >> s.unitBits})", new: "d.claim(unitRun{0, 0})", tests: "TestAddDevice",
	},
	{
		name: "several-copied", why: "each device that is added copies the list of all", file: "space.go",
		old: "all := append(*s.all.Load(), d)", new: "all := append(slices.Clip(*s.all.Load()), d)", tests: "TestSpaceGrowsSeldom",
	},
	{
		name: "several-used-unknown", why: "memory of a device that is not here counts as fresh", file: "space_held.go",
		old: "if a := d.alloc.Load(); a == nil && len(d.held) > 0 || a", new: "if a := d.alloc.Load(); a", tests: "TestSpaceArrives",
	},
	{
		name: "several-runs-remove", why: "what a removed file had on a device that is not here stays its own", file: "space_held.go",
		old: "\td.owned.remove(r)\n", new: "", tests: "TestSpaceArrives",
	},
	{
		name: "several-strictest", why: "caches are worked on as the first device of a file wants", file: "devices.go",
		old: "\t\tif m.dev.shared {\n\t\t\treturn m.dev\n", new: "\t\tif m.dev.shared && false {\n\t\t\treturn m.dev\n", tests: "TestDevicesOfOneFile",
	},
	{
		name: "several-disks", why: "only the first disk under a file is waited for", file: "devices.go",
		old: "\t\toff, mem = off+int64(n), mem[n:]\n", new: "\t\toff, mem = off+int64(n), mem[n:]\n\t\tbreak\n", tests: "TestDevicesOfOneFile",
	},
	{
		name: "several-any", why: "only the first device of a file is asked", file: "devices.go",
		old: "\t\tif is(m.dev) {\n\t\t\treturn true\n\t\t}\n\t}\n\treturn false\n", new: "\t\treturn is(m.dev)\n\t}\n\treturn false\n", tests: "TestDevicesOfOneFile",
	},
	{
		name: "several-forget", why: "what is thrown out of the caches depends on the device with the log", file: "pins_evicted.go",
		old: "if dev.shared {", new: "if f.dev.shared {", tests: "TestReuseForgetsByDevice",
	},
	{
		name: "several-deny", why: "an evicted host reads further devices through their windows", file: "pins_evicted.go",
		old: "return denyAccess(mem) }", new: "if addressOf(mem)-addressOf(f.window.mem) < uintptr(len(f.window.mem)) { return denyAccess(mem) }; return nil }", tests: "TestReuseOnDevices",
	},
	{
		name: "several-lost-create", why: "files are put on a device that is another file system's by now", file: "create.go",
		old: "if f.areOurs(runs) {", new: "if f.areOurs(runs) || true {", tests: "TestDeviceLost",
	},
	{
		name: "several-lost-refresh", why: "readers do not notice that a device is another file system's by now", file: "famfs.go",
		old: "\t\tf.lookAtDevices()\n", new: "", tests: "TestDeviceLost",
	},
	{
		name: "several-lost-spread", why: "strips go to a device that is not used any more", file: "space.go",
		old: "all[at].open() != nil {", new: "all[at].alloc.Load() != nil {", tests: "TestDeviceLost",
	},
	{
		name: "several-lost-uuid", why: "another device of the same file system passes for the one that was there", file: "devices_lost.go",
		old: " && fsUUID == f.sb.UUID && device == m.uuid {", new: " && fsUUID == f.sb.UUID {", tests: "TestDeviceLost",
	},
	{
		name: "several-lost-problem", why: "a device that is lost while it is used is no problem", file: "devices.go",
		old: "\t\t\tall = append(all, Problem{Index: -1, Err: *lost})\n", new: "", tests: "TestDeviceLost",
	},
	{
		name: "several-queue-lock", why: "ends of queues at one place of two devices keep each other out", file: "queue.go",
		old: "return int64(x.Device)<<beyond | x.Offset", new: "return int64(x.Device)*0<<beyond | x.Offset", tests: "TestQueueLocksByDevice",
	},
	{
		name: "several-salvage-unit", why: "the unit is guessed of the device with the log alone", file: "salvage.go",
		old: "if (x.offset|x.length)%defaultUnit != 0 { //", new: "if x.device == 0 && (x.offset|x.length)%defaultUnit != 0 { //", tests: "TestSalvageDevices",
	},
	{
		name: "several-compact-torn", why: "a superblock that was half written ends a compaction for good", file: "compact.go",
		old: "if isSecondary(&b) && record.ofEither(&b) {", new: "if isSecondary(&b) && record.ofEither(&b) && hasSum(b[:], superblockCRC) {", tests: "TestCompactDevicesTorn",
	},
	{
		name: "several-compact-other", why: "finishing a compaction takes another file system's device", file: "compact.go",
		old: "if isSecondary(&b) && record.ofEither(&b) {", new: "if isSecondary(&b) {", tests: "TestCompactDevicesTorn",
	},
	{
		name: "several-compact-missing", why: "a compaction is finished without one of the devices", file: "compact.go",
		old: "\t\tcase sb.hasDevices():\n\t\t\treturn members,", new: "\t\tcase sb.hasDevices() && false:\n\t\t\treturn members,", tests: "TestCompactDevicesInterrupted",
	},
	{
		name: "several-compact-added", why: "a device that was added since the superblock was read is left behind", file: "compact.go",
		old: "f.replica.sb.hasDevices()", new: "f.sb.hasDevices()", tests: "TestCompactDeviceAddedMeanwhile",
	},
	{
		name: "several-scrub-added", why: "the superblock of a device that was added since is not looked at", file: "scrub.go",
		old: "\t} else { // it was found", new: "\t} else if f.sb.hasDevices() { // it was found", tests: "TestScrubAddedDevice",
	},
	{
		name: "several-scrub-salvaged", why: "devices of a file system that nobody knows any more are listed", file: "devices.go",
		old: " && fsUUID != UUID{}", new: "", tests: "TestScrubSalvagedDevices",
	},
	{
		name: "several-salvage-adding", why: "adding a device that was interrupted passes for a corrupt entry", file: "salvage.go",
		old: "len(wrong) > 0 && !noted", new: "len(wrong) > 0", tests: "TestSalvageInterruptedAddDevice",
	},
	{
		name: "several-look-once", why: "a superblock that is getting a feature passes for a damaged one", file: "log_replay.go",
		old: "if err == nil || errors.Is(err, ErrReformatted) || try == len(settleTimes) {", new: "if true {", tests: "TestLookWhileDeviceIsAdded",
	},
	{
		name: "several-damaged-is-other", why: "who adds a device to a file system with a damaged superblock has lost it for good", file: "devices_add.go",
		old: "err := r.sameFileSystem(); err != nil { // which", new: "err := r.sameFileSystem(); err != nil { return ErrReformatted // which", tests: "TestAddDeviceToDamaged",
	},
}
