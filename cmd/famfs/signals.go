package main

// Signals that end long work in an orderly way: Ctrl-C, a request to terminate, and the loss of
// the terminal or connection.

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that was ended by a signal.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string { return fmt.Sprintf("ended by signal %v", e.signal) }

// interruptible returns a context that a signal ends. A second signal ends the process. Signals
// that are ignored when the command starts, as with nohup, stay ignored.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	caught := make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(caught, s)
		}
	}
	go func() {
		select {
		case s := <-caught:
			signal.Stop(caught)
			cancel(&signalError{s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		cancel(nil)
	}
}

// signalStatus returns the exit status of a process whose ctx was ended by a signal.
func signalStatus(ctx context.Context) int {
	if e, ok := context.Cause(ctx).(*signalError); ok {
		if s, ok := e.signal.(syscall.Signal); ok {
			return statusSignal + int(s)
		}
	}
	return statusFailed
}
