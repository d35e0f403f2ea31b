package pipelines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sources/kafkaio"
)

// UnavailableError says that something that a job needs does not answer now, or not yet
// as it will.
type UnavailableError struct {
	What string // and where
	Err  error
}

func (e *UnavailableError) Error() string { return e.Err.Error() }

func (e *UnavailableError) Unwrap() error { return e.Err }

// Times between attempts: each is twice the one before.
const (
	firstWait = 250 * time.Millisecond
	maxWait   = 5 * time.Second
)

// Await calls f until what it needs is there, and says what it waits for; every
// other error, and the context's end, is the last. f may be left behind then: a
// driver that waits for a greeting does not look at its context.
func Await(ctx context.Context, f func() error) error {
	for attempt, wait := 1, firstWait; ; attempt, wait = attempt+1, min(2*wait, maxWait) {
		done := make(chan error, 1)
		go func() { done <- f() }()
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			return fmt.Errorf("stopped while the job was starting: %w", ctx.Err())
		}
		var away *UnavailableError
		if !errors.As(err, &away) {
			if err == nil && attempt > 1 {
				slog.Info("the job has what it waited for", "attempt", attempt)
			}
			return err
		}
		slog.Warn("the job waits for what does not answer, and will ask again", "for", away.What, "attempt", attempt, "in", wait, "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("stopped while waiting for %s: %w", away.What, ctx.Err())
		}
	}
}

// away marks an error of something that may come back; others stay as they are.
func away(what string, err error) error {
	if err == nil || !temporary(err) {
		return err
	}
	return &UnavailableError{what, err}
}

// temporary reports whether waiting may help: the network, a server that starts, is
// overloaded or full. A topic that nobody has made, another schema and a login
// that is refused stay.
func temporary(err error) bool {
	if may, ofTheLog := kafkaio.Temporary(err); ofTheLog {
		return may
	}
	return clickhouseio.Retryable(err)
}

func theLog(brokers []string) string { return fmt.Sprintf("the log at %v", brokers) }

// theClickHouse names the server without its password.
func theClickHouse(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return "ClickHouse"
	}
	return "ClickHouse at " + u.Host
}
