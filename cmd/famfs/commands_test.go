package main

// Each command as a process on a stand-in device: what it prints, and its status.

import (
	"bufio"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMkfs(t *testing.T) {
	t.Parallel()
	device := filepath.Join(testDir(t), "device")
	r := asMaster(t, "mkfs", "--create", "64MiB", "--loglen", "16M", device)
	assert.Contains(t, r.out, "formatted (64 MiB, file)")
	assert.Contains(t, r.out, "this host is the master")
	st, err := os.Stat(device)
	require.NoError(t, err)
	assert.EqualValues(t, 64*mib, st.Size())

	r = famfsRun(t, "--system-uuid", host, "mkfs", "--create", "64M", device)
	assert.Equal(t, 1, r.status, "--create never overwrites")
	assert.Contains(t, r.err, "exists")
	first := parse[fileSystemJSON](t, famfsRun(t, "stat", "--json", device))
	assert.EqualValues(t, 16*mib, first.Superblock.LogSize)
	assert.Equal(t, host, first.Superblock.SystemUUID)
	second := parse[fileSystemJSON](t, asMaster(t, "mkfs", "--force", "--json", device))
	assert.EqualValues(t, 8*mib, second.Superblock.LogSize)
	assert.NotEqual(t, first.Superblock.UUID, second.Superblock.UUID)
	assert.Equal(t, "master", second.Role)
	assert.EqualValues(t, 54*mib, second.Usage.Free)
}

// Small units: files take less, and the C tools must not write.
func TestMkfsUnit(t *testing.T) {
	t.Parallel()
	device, src := filepath.Join(testDir(t), "device"), t.TempDir()
	r := asMaster(t, "mkfs", "--create", "64MiB", "--unit", "4KiB", device)
	assert.Contains(t, r.err, "WARNING: "+device+" has units of 4 KiB: the C tools read it, but MUST NOT WRITE it")
	writeTree(t, src, map[string][]byte{"t/a": pattern(3*mib+1, 1), "t/b": []byte("b")})
	r = asMaster(t, "cp", "-r", filepath.Join(src, "t"), device+":/")
	assert.Contains(t, r.err, "2 new files of 3 MiB take 3.01 MiB; 54 MiB free")
	assert.Equal(t, "3080 "+device+":/t\n", famfsRun(t, "du", device+":/t").out)
	assert.Equal(t, 0, famfsRun(t, "verify", "-q", "--against", filepath.Join(src, "t"), device+":/t").status)
	assert.Equal(t, 0, famfsRun(t, "fsck", device).status)
	assert.Contains(t, famfsRun(t, "stat", device).out, "in units of 4 KiB")
	r = famfsRun(t, "--system-uuid", host, "mkfs", "--force", "--unit", "64K", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "allocation unit 65536, want 2097152 or 4096")
	assert.NotContains(t, asMaster(t, "mkfs", "--force", device).err, "WARNING")
}

func TestMkfsKill(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", "--seed", "1", device+":/f")
	r := famfsRun(t, "mkfs", "--kill", device)
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "--force")
	for _, args := range [][]string{{"--create", "64M"}, {"--loglen", "16M"}} {
		r = famfsRun(t, append([]string{"mkfs", "--kill", "--force", device}, args...)...)
		assert.Equal(t, 2, r.status)
		assert.Contains(t, r.err, "none of the others can be")
	}
	assert.Equal(t, 0, famfsRun(t, "verify", "-q", "--seed", "1", device).status, "all is as it was")

	r = famfsRun(t, "mkfs", "--kill", "--force", device) // any host, as with --force
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, device+": not formatted any more")
	assert.Contains(t, famfsRun(t, "ls", device).err, "not formatted")
	r = famfsRun(t, "mkfs", "-kf", device)
	assert.Equal(t, 1, r.status)
	assert.Empty(t, r.out)
	assert.Contains(t, r.err, device)
	assert.Contains(t, r.err, "not formatted")
	assert.Contains(t, r.err, "nothing to do")
	asMaster(t, "mkfs", device)
	assert.Equal(t, killedJSON{device, true}, parse[killedJSON](t, famfsRun(t, "mkfs", "-kf", "--json", device)))
	assert.Equal(t, 1, famfsRun(t, "mkfs", "-kf", device+"-missing").status)
}

func TestCreatAndVerify(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "256M")
	r := asMaster(t, "creat", "--size", "5M", "--seed", "42", "-m", "0600", "-u", "7", "-g", "8", device+":/a", device+":/b")
	assert.Contains(t, r.out, "created "+device+":/a: 5 MiB, 1 extent, content from seed 42")
	fsys := readBack(t, device)
	data, err := fsys.ReadFile("b")
	require.NoError(t, err)
	assert.Equal(t, pattern(5*mib, 42), data)
	b := parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/b"))
	assert.Equal(t, nodeJSON{Device: device, Path: "b", Type: "file", Size: 5 * mib, Mode: "0600", UID: 7, GID: 8, Flags: 2, Index: 1,
		Map: &layoutJSON{0, []extentJSON{{0, 16 * mib, 6 * mib}}}}, b)

	r = famfsRun(t, "verify", "--seed", "42", device)
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.out, "ok       "+device+":/a")
	assert.Contains(t, r.err, "checked 2 files, 10 MiB")
	r = famfsRun(t, "verify", "-q", "-S", "42", "-f", device+":/a")
	assert.Equal(t, result{}, r)
	r = famfsRun(t, "verify", "--seed", "43", device+":/a")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, "DIFFERS  "+device+":/a: byte 0 is")
	r = famfsRun(t, "verify", "--seed", "42", device+":/missing")
	assert.Equal(t, 2, r.status)

	// With several seeds, interleaved, as JSON.
	made := parse[[]createdJSON](t, asMaster(t, "creat", "--json", "--interleave", "4,8,2M", "--multi", device+":/wide,17M,5", "--multi", device+":/wi,de,1M"))
	require.Len(t, made, 2)
	assert.EqualValues(t, 2*mib, made[0].Map.Chunk)
	assert.Len(t, made[0].Map.Extents, 4)
	require.NotNil(t, made[0].Seed)
	assert.EqualValues(t, 5, *made[0].Seed)
	assert.Equal(t, "wi,de", made[1].Path)
	assert.Zero(t, made[1].Map.Chunk, "smaller than a chunk")
	verdicts := parse[[]verdict](t, famfsRun(t, "verify", "--json", "-m", device+":/wide,5", "-m", device+":/a,42"))
	require.Len(t, verdicts, 2)
	assert.True(t, verdicts[0].OK && verdicts[1].OK)

	// Each argument has its own element, even if several name the same file.
	for _, seeds := range [][2]string{{"42", "43"}, {"43", "42"}} {
		r = famfsRun(t, "verify", "-m", device+":/a,"+seeds[0], "-m", device+":/a,"+seeds[1])
		assert.Equal(t, 1, r.status)
		assert.Equal(t, 1, strings.Count(r.out, "ok  "))
		assert.Equal(t, 1, strings.Count(r.out, "DIFFERS  "))
	}
	r = famfsRun(t, "--system-uuid", host, "creat", "-M", device+":/twice,1M,42", "-M", device+":/twice,2M,43")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, "twice: 1 MiB, 1 extent, content from seed 42")

	// A chosen seed is printed, and it is the right one.
	chosen := parse[[]createdJSON](t, asMaster(t, "creat", "--json", "-r", "-s", "3M", device+":/r"))
	assert.Equal(t, 0, famfsRun(t, "verify", "--seed", fmt.Sprint(*chosen[0].Seed), device+":/r").status)

	// Zeros, in place of the old content.
	asMaster(t, "mkfs", "--force", device)
	asMaster(t, "creat", "-s", "8M", device+":/zeros")
	asMaster(t, "creat", "-s", "6M", "--keep", device+":/kept")
	fsys = readBack(t, device)
	data, err = fsys.ReadFile("zeros")
	require.NoError(t, err)
	assert.Equal(t, make([]byte, 8*mib), data)

	r = famfsRun(t, "--system-uuid", host, "creat", "-s", "1M", device+":/zeros")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "exist")
	assert.Contains(t, r.err, "famfs rm")
}

func TestVerifyAgainst(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "128M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"one": pattern(3*mib, 1), "d/two": []byte("two"), "d/three": pattern(10*mib+1, 3)})
	asMaster(t, "cp", "-r", src, device+":/copy")
	r := famfsRun(t, "verify", "--against", src, device+":/copy")
	assert.Equal(t, 0, r.status, r.out+r.err)
	assert.Equal(t, 0, famfsRun(t, "verify", "--against", src+"/one", device+":/copy/one").status)
	assert.Equal(t, 0, famfsRun(t, "verify", "--against", device+":/copy", device+":/copy").status)

	changed := pattern(10*mib+1, 3)
	changed[9*mib+5] ^= 0x10
	writeTree(t, src, map[string][]byte{"d/three": changed, "d/new": []byte("n"), "d/two": []byte("two and more")})
	require.NoError(t, os.Remove(filepath.Join(src, "one")))
	r = famfsRun(t, "verify", "--json", "--against", src, device+":/copy")
	assert.Equal(t, 1, r.status)
	found := make(map[string]verdict)
	for _, v := range parse[[]verdict](t, r) {
		found[strings.TrimPrefix(v.File, device+":/copy/")] = v
	}
	assert.Len(t, found, 4)
	assert.EqualValues(t, 9*mib+5, found["d/three"].Offset)
	assert.Contains(t, found["d/two"].Found, "has more")
	assert.Contains(t, found["d/new"].Found, "does not exist on the device")
	assert.Contains(t, found["one"].Found, "does not exist")

	r = famfsRun(t, "verify", "--against", src, device+":/copy/one")
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "one is a directory")
}

func TestLs(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "128M")
	asMaster(t, "mkdir", "-m", "0700", device+":/dir")
	asMaster(t, "creat", "-s", "1M", "-u", "12345", "-g", "54321", device+":/dir/f")
	asMaster(t, "creat", "-s", "9M", "-N", "2", device+":/wide")
	assert.Equal(t, "dir\nwide\n", famfsRun(t, "ls", device).out)
	assert.Equal(t, "dir\nwide\n", famfsRun(t, "ls", device+":/").out)
	assert.Equal(t, "f\n", famfsRun(t, "ls", device+":/dir").out)
	assert.Equal(t, device+":/dir\n", famfsRun(t, "ls", "-d", device+":/dir/").out)
	assert.Equal(t, device+":/:\ndir\nwide\n\n"+device+":/dir:\nf\n", famfsRun(t, "ls", "-R", device).out)
	assert.Equal(t, "wide\ndir\n", famfsRun(t, "ls", "-S", device).out)
	long := lines(famfsRun(t, "ls", "-n", device+":/dir/f", device+":/wide").out)
	assert.Equal(t, "-rw-r--r-- 12345 54321 1048576 "+device+":/dir/f", long[0])
	assert.Contains(t, long[1], "  (2 strips, chunks of 2 MiB)")
	assert.Contains(t, famfsRun(t, "ls", "-lh", device).out, " 9 MiB wide")
	found := parse[[]nodeJSON](t, famfsRun(t, "ls", "-R", "--json", device))
	require.Len(t, found, 3)
	assert.Equal(t, []string{"dir", "wide", "dir/f"}, []string{found[0].Path, found[1].Path, found[2].Path})
	assert.Equal(t, "0700", found[0].Mode)
	r := famfsRun(t, "ls", device+":/wide/")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "not a directory")
	asMaster(t, "mkdir", device+":/empty")
	assert.Equal(t, "[]\n", famfsRun(t, "ls", "--json", device+":/empty").out)
}

func TestLsSort(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "128M")
	for _, name := range []string{"b.bin", "a.txt", "c.bin"} {
		asMaster(t, "creat", "-s", map[string]string{"b.bin": "1M", "a.txt": "3M", "c.bin": "2M"}[name], device+":/"+name)
	}
	asMaster(t, "mkdir", "-m", "0700", device+":/d")
	asMaster(t, "creat", "-s", "1", "-m", "0755", "-u", "7", device+":/run")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "a.txt b.bin c.bin d run"},
		{[]string{"-a"}, "a.txt b.bin c.bin d run"},
		{[]string{"-r"}, "run d c.bin b.bin a.txt"},
		{[]string{"--sort", "name"}, "a.txt b.bin c.bin d run"},
		{[]string{"--sort=size"}, "a.txt c.bin b.bin run d"},
		{[]string{"-S", "-r"}, "d run b.bin c.bin a.txt"},
		{[]string{"-t"}, "run d c.bin a.txt b.bin"},
		{[]string{"--sort", "time", "-r"}, "b.bin a.txt c.bin d run"},
		{[]string{"--sort", "none"}, "b.bin a.txt c.bin d run"},
		{[]string{"--sort", "extension"}, "d run b.bin c.bin a.txt"},
		{[]string{"-F"}, "a.txt b.bin c.bin d/ run*"},
	} {
		r := famfsRun(t, append(append([]string{"ls"}, c.args...), device)...)
		assert.Equal(t, c.want, strings.Join(strings.Fields(r.out), " "), c.args)
	}
	r := famfsRun(t, "ls", "--sort", "colour", device)
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, `--sort "colour", want name, size, time, extension or none`)

	// Files that are named stand before directories, in one table.
	r = famfsRun(t, "ls", "-n", device+":/d", device+":/run", device+":/missing", device+":/a.txt")
	assert.Equal(t, 1, r.status)
	assert.Equal(t, "-rw-r--r-- "+fmt.Sprintf("%d %d 3145728 %s:/a.txt\n", max(os.Getuid(), 0), max(os.Getgid(), 0), device)+
		"-rwxr-xr-x 7 "+fmt.Sprintf("%d       1 %s:/run\n", max(os.Getgid(), 0), device)+"\n"+device+":/d:\n", strings.ReplaceAll(r.out, fmt.Sprintf("7%s", strings.Repeat(" ", len(fmt.Sprint(max(os.Getuid(), 0))))), "7 "))
}

// Names of owners may be wide, and those of files may be in any script: columns stay straight.
func TestLsAligned(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	a := &app{out: &output{to: &b}}
	require.NoError(t, columns(a.out, [][]string{{"-rw", "systemd-network", "1", "x"}, {"-rw", "日本", "10", "y"}, {"-rw", "e\u0301", "100", "z"}}, 2))
	assert.Equal(t, "-rw systemd-network   1 x\n-rw 日本             10 y\n-rw e\u0301               100 z\n", b.String())
	// Lines that come one by one, as watch prints them, stay as wide as they were.
	device := newDevice(t, "64M")
	for _, uid := range []string{"7", "4000000000", "7"} {
		asMaster(t, "mkdir", "-u", uid, "-g", "9", fmt.Sprintf("%s:/%d", device, len(b.String())))
		b.WriteByte('.')
	}
	var at []int
	for _, line := range lines(famfsRun(t, "watch", "--all", "--count", "3", device).out) {
		at = append(at, strings.Index(line, device))
	}
	assert.Greater(t, at[1], at[0])
	assert.Equal(t, at[1], at[2])
}

func TestDu(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "128M")
	asMaster(t, "mkdir", "-p", device+":/m/x", device+":/none")
	asMaster(t, "creat", "-s", "3M", device+":/m/a")
	asMaster(t, "creat", "-s", "10", device+":/m/x/b")
	asMaster(t, "creat", "-s", "9M", "-N", "2", device+":/wide")
	du := func(args ...string) string {
		r := famfsRun(t, append([]string{"du"}, args...)...)
		assert.Equal(t, 0, r.status, r.err)
		return r.out
	}
	d := device + ":/"
	assert.Equal(t, " 2048 "+d+"m/x\n 6144 "+d+"m\n    0 "+d+"none\n18432 "+d+"\n", du(device))
	assert.Equal(t, "4 MiB "+d+"m/a\n2 MiB "+d+"m/x/b\n2 MiB "+d+"m/x\n6 MiB "+d+"m\n", du("-ah", d+"m"))
	assert.Equal(t, "18432 "+d+"\n", du("-s", device))
	assert.Equal(t, "6144 "+d+"m\n2048 "+d+"m/x/b\n8192 total\n", du("-s", "-c", d+"m", d+"m/x/b"))
	assert.Equal(t, "3145738 "+d+"m\n", du("-sb", d+"m"))
	assert.Equal(t, " 6144 "+d+"m\n    0 "+d+"none\n18432 "+d+"\n", du("-d", "1", device))
	found := parse[[]duJSON](t, famfsRun(t, "du", "-s", "--json", d, d+"missing"))
	require.Len(t, found, 2, "and one for what is missing")
	assert.Equal(t, duJSON{device, ".", "directory", 18 * mib, 12*mib + 10, 3}, found[0])
	before := parse[[]dfJSON](t, famfsRun(t, "df", "--json", device))[0]
	assert.Equal(t, before.Allocated, found[0].Taken+10*mib, "as df says")
	assert.Equal(t, 2, famfsRun(t, "du", "-d", "-1", device).status)
	assert.Equal(t, 1, famfsRun(t, "du", d+"m/a/").status)
}

func TestFind(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "128M")
	asMaster(t, "mkdir", "-p", device+":/m/x", device+":/Deep/a/b")
	asMaster(t, "creat", "-s", "3M", device+":/m/a.bin", device+":/Deep/a/b/c.BIN")
	asMaster(t, "creat", "-s", "10", device+":/m/x/b.json")
	find := func(args ...string) string {
		r := famfsRun(t, append([]string{"find"}, args...)...)
		assert.Equal(t, 0, r.status, "%v: %s", args, r.err)
		return strings.ReplaceAll(strings.Join(strings.Fields(r.out), " "), device+":/", "/")
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "/ /Deep /Deep/a /Deep/a/b /Deep/a/b/c.BIN /m /m/a.bin /m/x /m/x/b.json"},
		{[]string{"-name", "*.bin"}, "/m/a.bin"},
		{[]string{"--name", "*.bin", "--name", "*.json"}, "/m/a.bin /m/x/b.json"},
		{[]string{"-iname", "*.Bin"}, "/Deep/a/b/c.BIN /m/a.bin"},
		{[]string{"-path", "m/**/*.{bin,json}"}, "/m/a.bin /m/x/b.json"},
		{[]string{"--path", "/m/*"}, "/m/a.bin /m/x"},
		{[]string{"-type", "d", "-mindepth", "1", "-maxdepth", "1"}, "/Deep /m"},
		{[]string{"-type", "f", "-size", "-1M"}, "/m/x/b.json"},
		{[]string{"-size", "+10", "-size", "-4M"}, "/Deep/a/b/c.BIN /m/a.bin"},
		{[]string{"-size", "10"}, "/m/x/b.json"},
		{[]string{"-size", "+3M"}, ""},
	} {
		assert.Equal(t, c.want, find(append(c.args, device)...), c.args)
	}
	assert.Equal(t, "/m /m/a.bin /m/x /m/x/b.json", find(device+":/m"))
	assert.Equal(t, "/Deep/a /Deep/a/b", find("-maxdepth", "1", device+":/Deep/a"))
	assert.Equal(t, device+":/m/a.bin\x00", famfsRun(t, "find", device+":/m", "-name", "a*", "-print0").out)
	assert.Equal(t, famfsRun(t, "ls", "-ld", device+":/m/x").out, famfsRun(t, "find", device, "-name", "x", "-ls").out)
	found := parse[[]nodeJSON](t, famfsRun(t, "find", device, "-name", "*.json", "--json"))
	require.Len(t, found, 1)
	assert.Equal(t, "m/x/b.json", found[0].Path)
	for _, args := range [][]string{{"-name", "["}, {"-path", "{a"}, {"-size", "x"}, {"-size", ""}, {"-type", "l"}} {
		r := famfsRun(t, append(append([]string{"find"}, args...), device)...)
		assert.Equal(t, 2, r.status, args)
		assert.Empty(t, r.out)
	}
	r := famfsRun(t, "find", device+":/missing", device+":/m/a.bin/", device+":/m/a.bin")
	assert.Equal(t, 1, r.status)
	assert.Equal(t, device+":/m/a.bin\n", r.out)
	assert.Equal(t, 2, famfsRun(t, "ls", "-name", "x").status, "elsewhere one dash is one dash")
}

func TestCatPart(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "3M", "--seed", "4", "-N", "1", device+":/f")
	data := string(pattern(3*mib, 4))
	for _, c := range []struct {
		args     []string
		from, to int
	}{
		{nil, 0, 3 * mib}, {[]string{"--offset", "1M"}, mib, 3 * mib}, {[]string{"-o", "5", "-n", "1000"}, 5, 1005}, {[]string{"--length", "0"}, 0, 0},
		{[]string{"-n", "9M"}, 0, 3 * mib}, {[]string{"-o", "3M"}, 3 * mib, 3 * mib}, {[]string{"-o", "3145727", "-n", "2"}, 3*mib - 1, 3 * mib},
	} {
		r := famfsRun(t, append(append([]string{"cat"}, c.args...), device+":/f")...)
		assert.Equal(t, 0, r.status, r.err)
		assert.True(t, r.out == data[c.from:c.to], c.args)
	}
	r := famfsRun(t, "cat", "-o", "4M", device+":/f")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, device+":/f: has 3145728 bytes, and --offset is 4194304")
	assert.Equal(t, 2, famfsRun(t, "cat", "-n", "-1", device+":/f").status)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := famfsRun(t, "version")
	assert.Equal(t, 0, r.status)
	assert.Regexp(t, `^famfs .+\ngo1[.0-9a-z]+, \w+/\w+; superblock version 48, on-media format 2\.2\n$`, r.out)
	assert.Equal(t, r, famfsRun(t, "--version"))
	v := parse[versionJSON](t, famfsRun(t, "version", "--json"))
	st := parse[fileSystemJSON](t, famfsRun(t, "stat", "--json", newDevice(t, "64M")))
	assert.EqualValues(t, st.Superblock.Version, v.Superblock, "what it writes")
	assert.Equal(t, st.Superblock.OMF, v.Format)
	assert.Equal(t, 2, famfsRun(t, "version", "x").status)
	changed := versionJSON{Version: "v1", Commit: "c", Time: "t", Modified: true, Go: "go", System: "s", Superblock: 1, Format: "2"}
	assert.Equal(t, "famfs v1, commit c, changed, of t\ngo, s; superblock version 1, on-media format 2", changed.String())
}

func TestStat(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "3M", device+":/f")
	r := famfsRun(t, "stat", device, device+":/f")
	assert.Equal(t, 0, r.status)
	for _, want := range []string{"Kind         file", host + "; this host is client", "1 of 15,420 entries used", "Log entry 0", "3145728 bytes (3 MiB)", "device 0, 4194304 bytes at 10485760", "1 file of 3 MiB, 0 directories"} {
		assert.Contains(t, r.out, want)
	}
}

func TestMkdir(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "mkdir", device+":/a", device+":/b")
	assert.Equal(t, 1, famfsRun(t, "--system-uuid", host, "mkdir", device+":/a").status)
	assert.Equal(t, 1, famfsRun(t, "--system-uuid", host, "mkdir", device+":/x/y").status)
	asMaster(t, "mkdir", "-p", device+":/a", device+":/x/y/z", device+":/")
	assert.Equal(t, "y\n", famfsRun(t, "ls", device+":/x").out)

	// Mode and owner, also for the directories above that are made; existing ones stay as they are.
	asMaster(t, "mkdir", "-u", "7", "-g", "8", device+":/own")
	asMaster(t, "mkdir", "-p", "-u", "9", "-g", "10", "-m", "0750", device+":/own/p/q", device+":/own/p/q/r")
	asMaster(t, "mkdir", "-u", "11", device+":/half")
	found := make(map[string][]any)
	for _, n := range parse[[]nodeJSON](t, famfsRun(t, "ls", "-R", "--json", device)) {
		found[n.Path] = []any{n.Mode, n.UID, n.GID}
	}
	assert.Equal(t, []any{"0755", uint32(7), uint32(8)}, found["own"])
	for _, name := range []string{"own/p", "own/p/q", "own/p/q/r"} {
		assert.Equal(t, []any{"0750", uint32(9), uint32(10)}, found[name], name)
	}
	assert.Equal(t, []any{"0755", uint32(11), uint32(max(os.Getgid(), 0))}, found["half"])
	assert.Equal(t, 2, famfsRun(t, "--system-uuid", host, "mkdir", "-u", "4294967296", device+":/no").status)
	asMaster(t, "creat", "-s", "1", device+":/file")
	r := famfsRun(t, "--system-uuid", host, "mkdir", "-p", device+":/file/d", device+":/after")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "exist")
	assert.Contains(t, famfsRun(t, "ls", device).out, "after\n")
}

func TestGetmap(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "256M")
	asMaster(t, "creat", "-s", "5M", device+":/simple")
	asMaster(t, "creat", "-s", "9M", "--interleave", "2,2,2M", device+":/wide")
	r := famfsRun(t, "getmap", device+":/simple")
	assert.Equal(t, device+":/simple: 5242880 bytes (5 MiB), 1 extent\nextent device   offset  length file offset\n     0      0 10485760 6291456           0\n", r.out)
	m := parse[[]fileMapJSON](t, famfsRun(t, "getmap", "--json", "--chunks", device+":/wide"))[0]
	assert.True(t, m.Interleaved)
	require.Len(t, m.Extents, 2)
	require.Len(t, m.Runs, 5)
	assert.EqualValues(t, 1*mib, m.Runs[4].Length, "the last chunk is not full")
	// The bytes really are where the map says.
	asMaster(t, "creat", "-s", "9M", "--seed", "9", "--interleave", "2,2,2M", device+":/seeded")
	m = parse[[]fileMapJSON](t, famfsRun(t, "getmap", "--json", "--chunks", device+":/seeded"))[0]
	f, err := os.Open(device)
	require.NoError(t, err)
	defer f.Close()
	var content []byte
	for _, run := range m.Runs {
		b := make([]byte, run.Length)
		_, err := f.ReadAt(b, run.Offset)
		require.NoError(t, err)
		assert.EqualValues(t, len(content), run.FileOffset)
		content = append(content, b...)
	}
	assert.Equal(t, pattern(9*mib, 9), content)
	assert.Equal(t, result{}, famfsRun(t, "getmap", "-q", device+":/wide"))
	assert.Equal(t, 1, famfsRun(t, "getmap", "-q", device+":/no").status)
}

func TestFlushAndChkread(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "5M", "-r", "-N", "2", device+":/f")
	assert.Equal(t, result{}, famfsRun(t, "flush", device))
	r := famfsRun(t, "flush", "-i", "-v", device+":/f")
	assert.Equal(t, "flushed and invalidated "+device+":/f: 5 MiB\n", r.out)
	assert.Equal(t, 1, famfsRun(t, "flush", device+":/g").status)
	r = famfsRun(t, "chkread", device)
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.out, "ok       "+device+":/f")
	assert.Equal(t, 2, famfsRun(t, "chkread", device+":/g").status)
}

func TestDf(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "5M", device+":/f")
	out := lines(famfsRun(t, "df", device).out)
	assert.Equal(t, []string{"Device", "1K-blocks", "Used", "Available", "Use%", "Largest", "Removed", "Files", "Role"}, strings.Fields(out[0]))
	assert.Equal(t, []string{device, "65536", "16384", "49152", "25%", "49152", "0", "1", "client"}, strings.Fields(out[1]))
	assert.Contains(t, famfsRun(t, "df", "-h", device).out, "64 MiB 16 MiB")
	assert.Equal(t, famfsRun(t, "df", device), famfsRun(t, "df", "-k", device))
	out = lines(famfsRun(t, "df", "-T", device).out)
	assert.Equal(t, []string{"Device", "Type", "1K-blocks"}, strings.Fields(out[0])[:3])
	assert.Equal(t, []string{device, "file", "65536"}, strings.Fields(out[1])[:3])
	assert.Equal(t, []string{"Device", "Type", "Entries"}, strings.Fields(lines(famfsRun(t, "df", "-iT", device).out)[0])[:3])
	assert.Equal(t, 2, famfsRun(t, "df", "-kh", device).status)
	out = lines(famfsRun(t, "df", "-i", "--system-uuid", host, device).out)
	assert.Equal(t, []string{device, "15420", "1", "15419", "1%", "1", "0", "master"}, strings.Fields(out[1]))
	found := parse[[]dfJSON](t, famfsRun(t, "df", "--json", device))
	require.Len(t, found, 1)
	assert.EqualValues(t, 48*mib, found[0].Free)
}

// corrupt changes a byte of a log entry.
func corrupt(t testing.TB, device string, entry int64) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	at := int64(2*mib+48) + entry*544 + 45
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	require.NoError(t, err)
	b[0] ^= 0x20
	_, err = f.WriteAt(b[:], at)
	require.NoError(t, err)
}

// forge changes a log entry and keeps it sound.
func forge(t testing.TB, device string, entry int64, change func(b []byte)) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	b, at := make([]byte, 544), int64(2*mib+48)+entry*544
	_, err = f.ReadAt(b, at)
	require.NoError(t, err)
	change(b)
	binary.LittleEndian.PutUint64(b[536:], uint64(crc32.ChecksumIEEE(b[:536])))
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
}

func TestFsck(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	for _, name := range []string{"first", "second", "third"} {
		asMaster(t, "creat", "-s", "1M", device+":/"+name)
	}
	r := famfsRun(t, "fsck", device)
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.out, "3 files of 3 MiB")
	assert.Contains(t, r.out, "  clean\n")
	assert.True(t, parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", device))[0].Clean)

	before, err := os.ReadFile(device)
	require.NoError(t, err)
	corrupt(t, device, 1)
	r = famfsRun(t, "fsck", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, "log entry 1")
	assert.Contains(t, r.out, "checksum mismatch")
	assert.Contains(t, r.out, "do: readers stop here")
	assert.Contains(t, r.out, "1 problem\n")
	report := parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", device))[0]
	assert.Equal(t, 1, report.Status)
	require.Len(t, report.Problems, 1)
	assert.Equal(t, 1, report.Problems[0].Index)
	assert.Equal(t, "checksum", report.Problems[0].Kind)
	after, err := os.ReadFile(device)
	require.NoError(t, err)
	differing := 0
	for i := range before {
		if before[i] != after[i] {
			differing++
		}
	}
	assert.Equal(t, 1, differing, "fsck writes nothing: only what the test changed differs")

	// What the other commands do with such a device.
	r = famfsRun(t, "ls", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "famfs fsck "+device)
	assert.Contains(t, r.err, "--salvage")
	assert.Equal(t, "first\n", famfsRun(t, "ls", "--tolerant", device).out)
	dumped := parse[dumpedLog](t, famfsRun(t, "logdump", "--json", device))
	assert.Equal(t, 1, dumped.Used)
	require.Len(t, dumped.Entries, 3, "those behind the corrupt one too")
	assert.Nil(t, dumped.Entries[0].Problem)
	for i, name := range []string{"first", "second", "third"} {
		e := dumped.Entries[i]
		assert.Equal(t, []any{i, uint64(i), "file"}, []any{e.Index, e.Seq, e.Type})
		if i != 1 { // of which the path is what is corrupt
			assert.Equal(t, name, e.Path)
		}
		assert.Len(t, e.Map.Extents, 1)
	}
	require.NotNil(t, dumped.Entries[1].Problem)
	assert.Equal(t, "checksum", dumped.Entries[1].Problem.Kind)
	assert.Regexp(t, "^found CRC ", dumped.Entries[1].Problem.Message)
	assert.Contains(t, dumped.Entries[1].Problem.Do, "readers stop here")
	require.NotNil(t, dumped.Entries[2].Problem)
	assert.Regexp(t, "^not served", dumped.Entries[2].Problem.Message)
	r = famfsRun(t, "logdump", device)
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.out, "1 of 15,420 entries served, 2 more not\n")
	assert.Regexp(t, `(?m)^ +1 file .*\n +problem: found CRC `, r.out)
	assert.Regexp(t, `(?m)^ +2 file .* third  \[2097152@\d+\]\n +problem: not served`, r.out)

	blank := filepath.Join(testDir(t), "blank")
	require.NoError(t, os.WriteFile(blank, make([]byte, 16*mib), 0o600))
	r = famfsRun(t, "fsck", blank)
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "not formatted")
	assert.Equal(t, 2, famfsRun(t, "fsck", device, blank).status, "the highest")
	reports := parse[[]reportJSON](t, famfsRun(t, "fsck", "--json", blank))
	assert.Equal(t, 2, reports[0].Status)
	assert.NotEmpty(t, reports[0].Error)
	assert.Equal(t, 2, famfsRun(t, "fsck", filepath.Join(testDir(t), "missing")).status)
}

// A wrong sequence number stops readers too, and a wrong superblock stops everybody: fsck says
// what to do about each.
func TestFsckAdvice(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", device+":/f")
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	var b [8]byte
	_, err = f.ReadAt(b[:], 2*mib+40)
	require.NoError(t, err)
	binary.LittleEndian.PutUint64(b[:], binary.LittleEndian.Uint64(b[:])+1) // one more entry, of zeros
	_, err = f.WriteAt(b[:], 2*mib+40)
	require.NoError(t, err)
	r := famfsRun(t, "fsck", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, "log entry 1\n")
	assert.Contains(t, r.out, "readers stop here")
	// A byte of the random UUID is turned over: a fixed one would now and then be what stands there.
	_, err = f.ReadAt(b[:1], 50)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{^b[0]}, 50)
	require.NoError(t, err)
	r = famfsRun(t, "fsck", device)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, "superblock or log header\n")
	assert.Contains(t, r.out, "cannot be opened")
}

// dumpedLog is the output of logdump --json for programs.
type dumpedLog struct {
	Used, Capacity int
	Superblock     superblockJSON
	Entries        []struct {
		nodeJSON
		Seq         uint64
		CRC         string
		AddedDevice *addedDeviceJSON `json:"added_device"`
		Problem     *problemJSON
	}
}

func TestLogdump(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "mkdir", device+":/d")
	asMaster(t, "creat", "-s", "1M", device+":/d/f")
	r := famfsRun(t, "logplay", "--dryrun", device)
	assert.Equal(t, 0, r.status)
	out := lines(r.out)
	assert.Contains(t, out[0], "version 48, on-media format 2.2")
	assert.Contains(t, out[1], "2 of 15,420 entries used")
	assert.Regexp(t, `^ +0 mkdir 0755 .* d$`, out[3])
	assert.Regexp(t, `^ +1 file +0644 .* 1048576 d/f  \[2097152@10485760\]$`, out[4])
	log := parse[dumpedLog](t, famfsRun(t, "logdump", "--json", device))
	require.Len(t, log.Entries, 2)
	assert.Equal(t, "mkdir", log.Entries[0].Type)
	assert.Equal(t, "d/f", log.Entries[1].Path)
	out = lines(famfsRun(t, "logdump", "-v", device).out)
	assert.Equal(t, []string{"entry", "seq", "crc", "type"}, strings.Fields(out[2])[:4])
	assert.Equal(t, []string{"1", "1", log.Entries[1].CRC, "file"}, strings.Fields(out[4])[:4])

	// An unknown type.
	forge(t, device, 1, func(b []byte) { b[8] = 9 })
	log = parse[dumpedLog](t, famfsRun(t, "logdump", "--json", device))
	require.Len(t, log.Entries, 2)
	assert.Equal(t, "type 9", log.Entries[1].Type)
	assert.Contains(t, log.Entries[1].Problem.Message, "found type 9")
}

func TestWatch(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "mkdir", device+":/old")
	cmd := command("watch", "--all", "--interval", "5ms", "--count", "4", device)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	defer cmd.Process.Kill()
	seen := bufio.NewScanner(out)
	require.True(t, seen.Scan())
	long := lines(famfsRun(t, "ls", "-ld", device+":/old").out)[0]
	assert.Equal(t, strings.Fields(long), strings.Fields(seen.Text()), "a line of ls -l")
	asMaster(t, "mkdir", device+":/other")
	asMaster(t, "mkdir", device+":/new")
	asMaster(t, "creat", "-s", "1M", device+":/new/f")
	for _, name := range []string{"other", "new", "new/f"} {
		require.True(t, seen.Scan())
		assert.True(t, strings.HasSuffix(seen.Text(), " "+device+":/"+name), seen.Text())
	}
	assert.False(t, seen.Scan())
	require.NoError(t, cmd.Wait())
	r := famfsRun(t, "watch", "--all", "--json", "--count", "2", device+":/new")
	assert.Equal(t, 0, r.status)
	found := lines(r.out)
	require.Len(t, found, 2)
	assert.Contains(t, found[0], `"path":"new"`)
	assert.Contains(t, found[1], `"path":"new/f"`)
}

func TestLayoutList(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "3M", device+":/a")
	asMaster(t, "creat", "-s", "9M", "--interleave", "2,4,2M", device+":/b")
	r := famfsRun(t, "layout", "--list", device)
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.out, "64 MiB, 2 files of 12 MiB taking 16 MiB; 38 MiB free")
	at := int64(0)
	report := parse[layoutJSONReport](t, famfsRun(t, "layout", "--json", device))
	for _, line := range lines(r.out)[2:] {
		var off, n int64
		_, err := fmt.Sscan(line, &off, &n)
		require.NoError(t, err, line)
		assert.Equal(t, at, off, "no gaps")
		at += n
	}
	assert.EqualValues(t, 64*mib, at)
	var free int64
	for _, x := range report.Free {
		free += x.Length
	}
	assert.Equal(t, report.Usage.Free, free)
	assert.Empty(t, report.Claimed)
	require.Len(t, report.Files, 2)
}

// Space claimed by an entry that was passed over belongs to nobody, and is shown that way.
func TestLayoutClaimed(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "65M") // which ends with half a unit
	for _, name := range []string{"a", "b", "c"} {
		asMaster(t, "creat", "-s", "8M", device+":/"+name)
	}
	assert.NotContains(t, famfsRun(t, "layout", device).out, "claimed")
	assert.NotContains(t, famfsRun(t, "layout", "--svg", "-", device).out, "claimed")
	forge(t, device, 1, func(b []byte) { b[40] = 'a' }) // logged before, and the first wins

	report := parse[layoutJSONReport](t, famfsRun(t, "layout", "--json", device))
	assert.Equal(t, []extentJSON{{0, 18 * mib, 8 * mib}}, report.Claimed)
	assert.Equal(t, []extentJSON{{0, 34 * mib, 30 * mib}}, report.Free)
	assert.EqualValues(t, 30*mib, report.Usage.Free)
	assert.Len(t, report.Files, 2)
	list := famfsRun(t, "layout", "--list", device).out
	assert.Contains(t, list, "2 files of 16 MiB taking 16 MiB; 30 MiB free; 8 MiB bad, or claimed by log entries passed over, see famfs fsck\n")
	assert.Regexp(t, `(?m)^ *18874368 +8388608 claimed +-$`, list)

	r := famfsRun(t, "layout", "--width", "76", device)
	assert.Equal(t, 1, r.status, "a file is missing")
	assert.Contains(t, r.err, "files may be missing")
	assert.Contains(t, r.out, "\n !  bad, or claimed by log entries passed over  8 MiB, see famfs fsck\n")
	cells := r.out[strings.Index(r.out, "0 B "):strings.Index(r.out, "each column")]
	assert.Equal(t, strings.Count(cells, "a"), strings.Count(cells, "!"))
	coloured := famfsRun(t, "layout", "--color", "always", device).out
	assert.Contains(t, coloured, "38;5;124m×")

	svg := famfsRun(t, "layout", "--svg", "-", device).out
	assert.NoError(t, xml.Unmarshal([]byte(svg), new(svgElement)))
	assert.Contains(t, svg, "<title>bad, or claimed by log entries passed over: 8 MiB\n8 MiB at 18 MiB (offset 18874368)</title>")
	assert.Contains(t, svg, `fill="url(#x)"`)
	assert.Contains(t, svg, `<pattern id="x"`)
}

// A device can claim that a file has more chunks than fit into memory.
func TestGetmapManyChunks(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64G") // sparse
	asMaster(t, "creat", "-s", "32G", "--keep", "--interleave", "2,2,2M", device+":/wide")
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	b := make([]byte, 104)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	binary.LittleEndian.PutUint64(b[32:], 4096) // the allocation unit
	binary.LittleEndian.PutUint64(b[96:], uint64(crc32.ChecksumIEEE(b[:96])))
	_, err = f.WriteAt(b, 0)
	require.NoError(t, err)
	forge(t, device, 0, func(b []byte) { binary.LittleEndian.PutUint64(b[144:], 4096) })
	r := famfsRun(t, "getmap", device+":/wide")
	require.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, "interleaved over 2 strips in chunks of 4 KiB")
	r = famfsRun(t, "getmap", "--chunks", device+":/wide")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "has 8388608 chunks, and --chunks lists 4194304 at most")
	for _, args := range [][]string{{"layout"}, {"layout", "--svg", "-"}, {"layout", "--list"}, {"layout", "--json"}} {
		r := famfsRun(t, append(args, device)...)
		assert.Equal(t, 0, r.status, r.err)
		assert.Less(t, len(r.out), 4*mib)
	}
}
