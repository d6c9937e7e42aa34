package main

// Signals that end long work in good order: Ctrl-C, a request to terminate, and the
// terminal or connection that is gone.

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal ended.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string { return fmt.Sprintf("ended by signal %v", e.signal) }

// interruptible returns a context that a signal ends. The second signal ends the
// process. Signals that whoever started the command has it ignore, as nohup does, stay
// ignored.
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

// signalStatus is what a process ends with that the signal ended which ended ctx.
func signalStatus(ctx context.Context) int {
	if e, ok := context.Cause(ctx).(*signalError); ok {
		if s, ok := e.signal.(syscall.Signal); ok {
			return statusSignal + int(s)
		}
	}
	return statusFailed
}
