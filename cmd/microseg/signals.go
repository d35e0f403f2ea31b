package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// hangups get a value for each SIGHUP while a command wants them: it asks to read
// the configuration again.
var hangups struct {
	sync.Mutex
	c chan struct{}
}

// onHangup sends SIGHUP to the returned channel until the context ends.
func onHangup(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	hangups.Lock()
	hangups.c = c
	hangups.Unlock()
	context.AfterFunc(ctx, func() {
		hangups.Lock()
		hangups.c = nil
		hangups.Unlock()
	})
	return c
}

// hungUp hands a SIGHUP on, and reports whether a command wanted it.
func hungUp() bool {
	hangups.Lock()
	defer hangups.Unlock()
	if hangups.c == nil {
		return false
	}
	select {
	case hangups.c <- struct{}{}:
	default: // one is waiting already
	}
	return true
}

// untilSignal is a context that ends with the first signal that asks the program
// to stop; the second one ends it at once. No signal ends it without a word, and
// those that ask for nothing that it does are named and ignored.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	c := make(chan os.Signal, 8)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup asks to go on
		signal.Notify(c, syscall.SIGHUP)
	}
	go func() {
		for s := range c {
			switch {
			case s == syscall.SIGUSR1, s == syscall.SIGUSR2, s == syscall.SIGALRM:
				fmt.Fprintf(os.Stderr, "microseg: got %s, which asks for nothing here; SIGHUP reads the configuration again, SIGTERM stops\n", name(s))
			case s == syscall.SIGHUP && hungUp():
			case ctx.Err() == nil:
				fmt.Fprintf(os.Stderr, "microseg: got %s, stopping (once more to stop at once)\n", name(s))
				cancel()
			default:
				fmt.Fprintf(os.Stderr, "microseg: got %s again, ending at once\n", name(s))
				os.Exit(exitStopped)
			}
		}
	}()
	return ctx, cancel
}

// exitStopped is the exit code of who is not let end: that of a shell for SIGINT.
const exitStopped = 130

func name(s os.Signal) string {
	if n, ok := s.(syscall.Signal); ok {
		for sig, text := range map[syscall.Signal]string{syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM", syscall.SIGHUP: "SIGHUP",
			syscall.SIGUSR1: "SIGUSR1", syscall.SIGUSR2: "SIGUSR2", syscall.SIGALRM: "SIGALRM"} {
			if n == sig {
				return text
			}
		}
	}
	return s.String()
}
