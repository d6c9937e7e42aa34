package famfs

// Ranges that several goroutines work on: every byte is worked on once, the result is right, and
// all work has stopped when the caller gets it.

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inParallel works on every piece once, and returns the place and the reason of the first gap.
func TestInParallel(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		from := rng.Int64N(3 * workPiece)
		to := from + rng.Int64N(12*workPiece)
		type gap struct {
			at  int64
			err error
		}
		gaps := map[int64]gap{} // by piece
		want := gap{to, nil}
		for range rng.IntN(4) {
			g := gap{from + rng.Int64N(to-from+1), nil}
			if rng.IntN(2) == 0 {
				g.err = fmt.Errorf("at %d", g.at)
			}
			if g.at < to && (gaps[g.at/workPiece] == gap{} || g.at < gaps[g.at/workPiece].at) {
				gaps[g.at/workPiece] = g
			}
			if g.at < want.at {
				want = g
			}
		}
		var mu sync.Mutex
		seen := map[int64]int64{}
		n, err := inParallel(from, to, func(a, b int64) (int64, error) {
			mu.Lock()
			defer mu.Unlock()
			assert.Zero(t, seen[a], "twice")
			assert.Less(t, a, b)
			assert.Equal(t, a/workPiece, (b-1)/workPiece)
			if g, ok := gaps[a/workPiece]; ok {
				return g.at - a, g.err
			}
			seen[a] = b
			return b - a, nil
		})
		require.Equal(t, want.at-from, n, "round %d", round)
		require.Equal(t, want.err, err, "round %d", round)
		for at := from; at/workPiece < want.at/workPiece; at = seen[at] {
			require.NotZero(t, seen[at], "round %d: piece at %d was left out", round, at)
		}
	}
}

// If two gaps are met at the same time, the first in the range counts, whichever is met first.
func TestInParallelFirstGap(t *testing.T) {
	t.Parallel()
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one processor: one goroutine works")
	}
	for late := range int64(2) {
		synctest.Test(t, func(t *testing.T) {
			var (
				begun sync.WaitGroup
				wait  = make(chan struct{})
				n     int64
				err   error
			)
			begun.Add(2)
			go func() {
				n, err = inParallel(0, 2*workPiece, func(from, _ int64) (int64, error) {
					begun.Done()
					begun.Wait()
					if from/workPiece == late {
						<-wait
					}
					return 7, fmt.Errorf("at %d", from)
				})
			}()
			synctest.Wait() // until only the late one is missing
			close(wait)
			synctest.Wait()
			assert.EqualValues(t, 7, n)
			assert.EqualError(t, err, "at 0")
		})
	}
}

// If a piece panics, in any goroutine, all work has stopped when the caller gets the panic. No
// more pieces are begun: the range is so large that nobody reaches its end.
func TestInParallelPanics(t *testing.T) {
	t.Parallel()
	const endless = math.MaxInt64 / 2
	for bad := range int64(8) {
		for name, way := range map[string]struct {
			end  func()
			want any
		}{"panic": {func() { panic(io.ErrNoProgress) }, io.ErrNoProgress}, "Goexit": {runtime.Goexit, nil}} {
			var working atomic.Int64
			panicked, returned := ending(func() {
				inParallel(5, endless, func(from, to int64) (int64, error) {
					defer working.Add(-1)
					working.Add(1)
					if from/workPiece == bad {
						way.end()
					}
					runtime.Gosched()
					return to - from, nil
				})
			})
			assert.False(t, returned, name)
			assert.Equal(t, way.want, panicked, name)
			assert.Zero(t, working.Load(), name)
		}
	}
}
