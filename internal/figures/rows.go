package main

// What is measured and what is wanted of it: the table of the design, a row each, and
// the benchmarks that the other tables take. Whoever renames a benchmark changes it
// here, and nowhere else. Names are as in parse.go, without "Benchmark".

// The units that benchmarks report, as the benchmark format's reader gives them.
const (
	perOperation = "sec/op"
	bandwidth    = "B/s"
	fileRate     = "files/s"
	bytesPerFile = "B/file"

	bytesPerClient = "B/client"
)

// What the names of benchmarks outside of the design's table begin with.
const (
	growthPrefix  = "Growth/"  // then what, then files=N
	insteadPrefix = "Instead/" // then what for, then by what
	filesPrefix   = "files="
	ours          = "famfs" // begins the name of everything that is ours
)

// row is a row of the design's table.
type row struct {
	Work     string
	Against  string   // the baseline, in words
	figures  []string // of several, the worst counts
	baseline string   // "" where there is none
	Unit     string
	Goal     goal
}

func designRows() []row {
	return []row{
		{"Scan a mapped 1 GiB file", "the same over a plain mmap",
			[]string{"Scan/famfs"}, "Scan/baseline", bandwidth, share(0.98)},
		{"Map + Close, cold", "mmap and munmap of that range",
			[]string{"Map/cold"}, "Map/baseline", perOperation, longer(1.2)},
		{"Map + Close of a mapped file", "the same",
			[]string{"Map/mapped"}, "Map/baseline", perOperation, faster(20)},
		{"`fs.FS`: open, read 4 KiB, close", "`os.Open`, `Read`, `Close` on tmpfs",
			[]string{"Read4K/famfs"}, "Read4K/baseline", perOperation, faster(10)},
		{"Open with a full 256 MiB log (493,447 entries)", "one pass of CRC32 over those entries",
			bothWays("Open/famfs"), "Open/baseline", perOperation, longer(1.6)},
		{"Open with a full log of 4 GiB (7,895,158 entries)", "the same with 256 MiB",
			[]string{"OpenLarge/famfs"}, "OpenLarge/baseline", perOperation, longer(20)},
		{"Refresh when nothing is new, whatever the log holds", "–",
			bothWays("Refresh/new=0/entries=1000", "Refresh/new=0/entries=490000"), "", perOperation, under(1e-6, "1 µs")},
		{"Create + Commit of 2 MiB without data, one at a time, whatever log and file count", "–",
			[]string{"Create/entries=1", "Create/entries=10000", "Create/entries=490000"}, "", fileRate, atLeast(300_000, fileRate)},
		{"The same, and cache lines are really invalidated", "–",
			[]string{"Create/entries=1/shared", "Create/entries=10000/shared", "Create/entries=490000/shared"}, "", fileRate, atLeast(200_000, fileRate)},
		{"Allocation on 16 TiB with 1% free in scattered units", "–",
			[]string{"Allocate/16TiB"}, "", perOperation, under(1e-6, "1 µs")},
		{"Copy 1 GiB in from a file in tmpfs", "copy between two mappings",
			[]string{"CopyIn/famfs"}, "CopyIn/baseline", bandwidth, share(0.9)},
		{"The same", "reading and writing by system calls alone",
			[]string{"CopyIn/famfs"}, "CopyIn/calls-only", bandwidth, share(0.95)},
		{"Flush", "a C loop of the same instruction",
			[]string{"Flush/famfs"}, "Flush/baseline", bandwidth, roundedShare(1)},
		{"Invalidate", "a C loop of the same instruction",
			[]string{"Invalidate/famfs"}, "Invalidate/baseline", bandwidth, roundedShare(1)},
		{"`View`: find one of 16 names and read its 4 KiB in place, again and again", "bbolt, in place too",
			[]string{"Instead/lookup=4KiB-again/famfs-view"}, "Instead/lookup=4KiB-again/bbolt", perOperation, faster(5)},
		{"`View`: find one of 10,000 names and read its 64 KiB in place", "the same",
			[]string{"Instead/lookup=64KiB/famfs-view"}, "Instead/lookup=64KiB/bbolt", perOperation, longer(1)},
		{"CopyFS of 2,000 files of 16 KiB", "`cp -r` on tmpfs",
			[]string{"Instead/copytree=2000x16KiB/famfs"}, "Instead/copytree=2000x16KiB/cp", perOperation, longer(1)},
		{"The same again, when all is there", "copying it",
			[]string{"Instead/copytree=2000x16KiB/famfs-again"}, "Instead/copytree=2000x16KiB/famfs", perOperation, faster(3)},
		{"Map + Close of 1,024 chunks", "1,024 calls of mmap side by side, and one of munmap",
			[]string{"MapLayout/chunks=1024"}, "MapLayout/baseline-chunks=1024", perOperation, longer(1.1)},
		{"`famfs cp -r` of the sources of Go into a device", "`cp -r`",
			[]string{"Tree/in/famfs"}, "Tree/in/cp", perOperation, longer(1)},
		{"The same out of it", "`cp -r`",
			[]string{"Tree/out/famfs"}, "Tree/out/cp", perOperation, longer(1)},
		{"`famfs verify --against` of that tree", "`diff -r`",
			[]string{"Tree/verify/famfs"}, "Tree/verify/diff", perOperation, longer(1)},
		{"Scan a mapped file of 1 GiB that is interleaved over two devices", "the same on one device",
			[]string{"DevicesScan/famfs"}, "DevicesScan/baseline", bandwidth, share(0.98)},
		{"Open of a file system on 16 devices", "the same on one device",
			[]string{"DevicesOpen/famfs"}, "DevicesOpen/baseline", perOperation, later(2e-3, "2 ms")},
		{"Create + Commit of 2 MiB without data, on 16 devices", "the same on one device",
			[]string{"DevicesCreate/famfs"}, "DevicesCreate/baseline", perOperation, longer(1.2)},
		{"The same on 16 devices, and cache lines are really invalidated", "the same on one device",
			[]string{"DevicesCreate/shared/famfs"}, "DevicesCreate/shared/baseline", perOperation, longer(1.2)},
		{"Remove, one file at a time", "–",
			bothWays("Remove/files=1"), "", fileRate, atLeast(100_000, fileRate)},
		{"RemoveAll of 64 at once", "–",
			bothWays("Remove/files=64"), "", fileRate, atLeast(1_000_000, fileRate)},
		{"Create + Commit of 64 files at once", "–",
			bothWays("CreateTogether/files=64"), "", fileRate, atLeast(500_000, fileRate)},
		{"Refresh of nothing, with reuse", "–",
			bothWays("Reuse/refresh"), "", perOperation, under(1e-6, "1 µs")},
		{"`fs.FS`: open, read 4 KiB, close, with reuse", "–",
			[]string{"Reuse/read=4KiB"}, "", perOperation, under(250e-9, "250 ns")},
		{"The same, and cache lines are really invalidated", "–",
			[]string{"Reuse/read=4KiB/shared"}, "", perOperation, under(1e-6, "1 µs")},
		{"The master's look at 64 hosts with 16 readers each", "–",
			bothWays("LookAtSlots/hosts=64"), "", perOperation, under(100e-6, "100 µs")},
		{"Memory of a client that followed 10 million creations and removals", "1 million",
			[]string{"Follow/entries=10000000"}, "Follow/entries=1000000", bytesPerClient, asMuch(1.1)},
		{"Copy 1 GiB in and seal it", "copying it in",
			[]string{"Seal/famfs"}, "Seal/baseline", perOperation, longer(1.05)},
		{"Verify of 1 GiB", "CRC-32C over mapped memory, on all processors",
			[]string{"Verify/verify/famfs"}, "Verify/verify/baseline", bandwidth, share(0.9)},
		{"Scrub of the same", "the same",
			[]string{"Verify/scrub/famfs"}, "Verify/scrub/baseline", bandwidth, share(0.9)},
		{"Messages through a queue to another process, 64 published at once, 64-byte buckets", "a pipe",
			[]string{"Queue/rate/bucket=64/processes/famfs-batch"}, "Queue/rate/bucket=64/processes/pipe", perOperation, faster(10)},
		{"The same, 4-KiB buckets", "a pipe",
			[]string{"Queue/rate/bucket=4096/processes/famfs-batch"}, "Queue/rate/bucket=4096/processes/pipe", perOperation, faster(10)},
		{"A message there and one back, 64-byte buckets", "a pair of Unix sockets",
			[]string{"Queue/roundtrip/bucket=64/processes/famfs"}, "Queue/roundtrip/bucket=64/processes/socket", perOperation, faster(3)},
		{"Namespace, names included", "–",
			[]string{"Namespace"}, "", bytesPerFile, atMost(200, bytesPerFile)},
	}
}

// bothWays names the benchmarks of a row that depends on invalidating cache lines: on
// stand-ins as they are, where it is left out, and on stand-ins that are treated as memory
// that other hosts share.
func bothWays(names ...string) (all []string) {
	for _, name := range names {
		all = append(all, name, name+"/shared")
	}
	return all
}

// growthSeries are the lines of the plot: the part of the name, and what it is called.
func growthSeries() [][2]string {
	return [][2]string{
		{"Open", "Open"},
		{"Refresh", "Refresh of nothing"},
		{"Create", "Create + Commit"},
		{"Allocate", "Allocation"},
	}
}
