package famfs

// Goroutines that run callers' code: however one of them ends, all work has stopped when the
// caller gets the panic, and the panic is unchanged.

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ending runs work in its own goroutine and returns how it ended: the value of its panic, and
// whether it returned.
func ending(work func()) (panicked any, returned bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		work()
		returned = true
	}()
	<-done
	return panicked, returned
}

func TestCrewEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	ways := map[string]struct {
		end      func()
		panicked any
		returned bool
	}{
		"returns":  {func() {}, nil, true},
		"value":    {func() { panic("value") }, "value", false},
		"error":    {func() { panic(broken) }, broken, false}, // the same one, not wrapped
		"Goexit":   {runtime.Goexit, nil, false},
		"no value": {func() { panic(nil) }, new(runtime.PanicNilError), false},
	}
	for name, way := range ways {
		for _, who := range []string{"another", "lead"} {
			t.Run(name+" of "+who, func(t *testing.T) {
				t.Parallel()
				var working atomic.Int64
				stopped := make(chan struct{})
				c := crew{stop: sync.OnceFunc(func() { close(stopped) })}
				waits := func() {
					defer working.Add(-1)
					if !way.returned {
						<-stopped
					}
				}
				working.Store(3)
				panicked, returned := ending(func() {
					another, lead := waits, waits
					if who == "lead" {
						lead = func() { defer working.Add(-1); way.end() }
					} else {
						another = func() { defer working.Add(-1); way.end() }
					}
					c.start(another)
					c.start(waits)
					c.lead(lead)
				})
				assert.Zero(t, working.Load(), "all are waited for")
				assert.Equal(t, way.panicked, panicked)
				assert.Equal(t, way.returned, returned)
			})
		}
	}
}

// If several panic, the lead's panic is used.
func TestCrewPanicsTwice(t *testing.T) {
	t.Parallel()
	stopped := make(chan struct{})
	c := crew{stop: sync.OnceFunc(func() { close(stopped) })}
	panicked, _ := ending(func() {
		c.start(func() { panic("another's") })
		c.lead(func() { <-stopped; panic("the lead's") })
	})
	assert.Equal(t, "the lead's", panicked)
}

// A program that ends with a panic of another goroutine shows where the panic was, and its value
// last, also through Guard.
func TestCrewShowsStack(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	const child = "FAMFS_TEST_CREW_PANICS"
	if os.Getenv(child) != "" {
		c := crew{stop: func() {}}
		c.start(panicsSomewhere)
		Guard(func() error { c.lead(func() {}); return nil })
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrewShowsStack$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	stack, value := bytes.Index(out, []byte("panicsSomewhere")), bytes.LastIndex(out, []byte("of a caller"))
	assert.Positive(t, stack, "%s", out)
	assert.Greater(t, value, stack, "%s", out)
}

//go:noinline
func panicsSomewhere() { panic("of a caller") }
