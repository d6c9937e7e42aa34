package famfs

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Memory of the superblock cannot be read: Salvage and Check use the copy.
func TestCopyWhereSuperblockFaults(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	page := os.Getpagesize()
	if page > copyAt {
		t.Skip("the copy is on the same page")
	}
	f := newForgery(t)
	f.good("first", firstUnit)
	want := openTest(t, f.path).Superblock()
	fsys, err := openMedium(f.path, newOpenConfig([]Option{WithSystemUUID(testHost), Salvage()}))
	require.NoError(t, err)
	defer fsys.release()
	require.NoError(t, unix.Mprotect(fsys.window.mem[:page], unix.PROT_NONE))
	var report *Report
	require.NoError(t, Guard(func() (err error) {
		report, err = fsys.check()
		return err
	}))
	assert.Equal(t, want, report.Superblock)
	assert.Equal(t, &want, report.Copy)
	require.Len(t, report.Problems, 1)
	var fault *FaultError
	require.ErrorAs(t, report.Problems[0], &fault)
	assert.Equal(t, f.path, fault.Name)
	assert.ErrorContains(t, report.Problems[0], "its second copy is sound, and is used")
	assertGood(t, fsys, "first", firstUnit)
}

// Memory of the copy cannot be read: nobody needs it where the superblock or the rest is sound.
func TestWhereCopyFaults(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	page := os.Getpagesize()
	if page > copyAt {
		t.Skip("the copy is on the superblock's page")
	}
	for name, damage := range map[string]func(f *forgery){
		"sound":  func(*forgery) {},
		"CRC":    func(f *forgery) { f.superblock(nil, flip(superblockCRC)) },
		"zeroed": func(f *forgery) { f.write(0, make([]byte, superblockSize)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newForgery(t)
			f.good("first", firstUnit)
			damage(f)
			fsys, err := openMedium(f.path, newOpenConfig([]Option{WithSystemUUID(testHost), Salvage()}))
			require.NoError(t, err)
			defer fsys.release()
			require.NoError(t, unix.Mprotect(fsys.window.mem[copyAt:][:page], unix.PROT_NONE))
			var report *Report
			err = Guard(func() (err error) {
				report, err = fsys.check()
				return err
			})
			require.NoError(t, err)
			assert.Nil(t, report.Copy)
			var fault *FaultError
			assert.ErrorAs(t, report.CopyErr, &fault)
			assertGood(t, fsys, "first", firstUnit)
		})
	}
}
