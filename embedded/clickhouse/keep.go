package clickhouse

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// probeEvery is how often Keep asks; the answer may take as long as it wants to.
const (
	probeEvery   = time.Second
	probeTimeout = time.Minute
)

// Keep starts the embedded server again, on its ports and folder, when it ends by
// itself or says that it cannot go on. A server that only does not answer is left
// alone. report is told why it was started again, or could not be. End it with
// the returned function before Stop or Kill. It does nothing for a server that
// someone else runs.
//
// A library that aborts may stay as a process that refuses every query. What
// clients do on its ports does not make it abort (see terminal).
func (s *Server) Keep(report func(error)) (end func()) {
	if !s.Embedded() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if why := s.failed(ctx); why != nil {
				s.restart(ctx, why, report)
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// failed waits for a moment and says why the server cannot go on; nil: it can,
// or is slow.
func (s *Server) failed(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.Exited():
		return fmt.Errorf("ClickHouse has ended by itself (its log is %s)", s.Log())
	case <-time.After(probeEvery):
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTPAddr()+"/?query="+url.QueryEscape("SELECT 1"), nil)
	if err != nil {
		return nil
	}
	req.SetBasicAuth(User, s.password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil // gone, which Exited tells, or slow
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16)) // the part that came says enough
	if res.StatusCode != http.StatusOK && strings.Contains(string(body), "shutting down due to a fatal error") {
		return fmt.Errorf("ClickHouse has failed (its log is %s): %s", s.Log(), strings.TrimSpace(string(body)))
	}
	return nil
}

// restart ends what is left of the process and starts another, until it answers
// or ctx ends.
func (s *Server) restart(ctx context.Context, why error, report func(error)) {
	s.Kill()
	report(why)
	o := s.opts
	o.TCPPort, o.HTTPPort = s.tcp, s.http
	// Clients keep the addresses that they were told, with the passwords in them.
	for user, password := range map[string]string{User: s.password, Analyst: s.analyst} {
		if err := writePrivate(PasswordFile(o.Dir, user), []byte(password+"\n")); err != nil {
			report(err)
		}
	}
	for {
		found, err := o.find()
		if err == nil {
			var again *Server
			if again, err = o.start(ctx, found); err == nil {
				s.mu.Lock()
				s.child = again.child
				s.mu.Unlock()
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
			report(fmt.Errorf("starting ClickHouse again, will try again: %w", err))
		}
	}
}
