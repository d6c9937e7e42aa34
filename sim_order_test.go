package famfs

// Every order in which programs on several hosts do something to the memory, up to a number of switches
// from one to another. A switch may be wherever a line goes from a cache to the memory, or the other way:
// between two such moments a host meets nobody. Caches keep what they have, and write back what they are
// told to; what they do by themselves is the concern of the random schedules.
//
//	FAMFS_SIM_EVERY  run every nth order of those with the most switches: 1 is all of them

import (
	"fmt"
	"iter"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// orderSwitch is a switch to another program before the meeting at.
type orderSwitch struct{ at, to int }

// orderRun runs programs in an order that is given.
type orderRun struct {
	*simWorld
	first    []int // programs: each runs to its end before the next one begins,
	switches []orderSwitch
	alive    uint   // a bit for each program
	target   int    // of the switch that is under way, or -1
	trace    []uint // at each meeting, the programs that could have run instead
}

// meet is called where a line is about to go from a cache to the memory, or the other way.
func (o *orderRun) meet() {
	at := len(o.trace)
	o.trace = append(o.trace, o.alive&^(1<<o.current))
	if len(o.switches) > 0 && o.switches[0].at == at {
		o.target, o.switches = o.switches[0].to, o.switches[1:]
		o.pass()
	}
}

func (o *orderRun) run(programs ...func()) {
	next := make([]func() (struct{}, bool), len(programs))
	for i, p := range programs {
		var stop func()
		next[i], stop = iter.Pull(func(yield func(struct{}) bool) {
			o.yield, o.current = yield, i
			p()
		})
		defer stop()
	}
	defer func() { o.yield = nil }()
	for _, i := range o.first {
		o.alive |= 1 << i
	}
	for now := o.first[0]; o.alive != 0; {
		o.target = -1
		_, more := next[now]()
		if !more {
			o.alive &^= 1 << now
		}
		switch {
		case o.target >= 0:
			now = o.target
		case o.alive != 0: // it has ended, or waits for another
			at := slices.Index(o.first, now)
			for {
				at = (at + 1) % len(o.first)
				if now = o.first[at]; o.alive&(1<<now) != 0 {
					break
				}
			}
		}
	}
}

// orderRunner runs programs anew in this order, and returns the trace of it.
type orderRunner func(first []int, switches []orderSwitch) (trace []uint, err error)

// everyOrder runs programs, of which firsts has the orders without switches, in each order with at
// most so many switches, or every nth of those with the most, and returns how many that were. It ends
// at the first error.
func everyOrder(run orderRunner, firsts [][]int, most, nth int) (orders int, err error) {
	skipped := 0
	var with func(first []int, switches []orderSwitch) error
	with = func(first []int, switches []orderSwitch) error {
		if len(switches) == most && most > 0 {
			if skipped++; skipped%nth != 0 {
				return nil
			}
		}
		trace, err := run(first, switches)
		orders++
		if err != nil {
			return fmt.Errorf("programs %v with switches %v (before which meeting, to whom): %w", first, switches, err)
		}
		if len(switches) == most {
			return nil
		}
		from := 0
		if len(switches) > 0 {
			from = switches[len(switches)-1].at + 1
		}
		for at := from; at < len(trace); at++ {
			for others := trace[at]; others != 0; others &= others - 1 {
				more := append(switches[:len(switches):len(switches)], orderSwitch{at, bits.TrailingZeros(others)})
				if err := with(first, more); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, first := range firsts {
		if err := with(first, nil); err != nil {
			return orders, err
		}
	}
	return orders, nil
}

// everyNth says that every nth order is run, of those with the most switches.
func everyNth(t *testing.T, nth int) int {
	t.Helper()
	if testing.Short() {
		nth *= 25
	}
	if s := os.Getenv("FAMFS_SIM_EVERY"); s != "" {
		var err error
		nth, err = strconv.Atoi(s)
		require.NoError(t, err, "FAMFS_SIM_EVERY")
	}
	return max(nth, 1)
}
