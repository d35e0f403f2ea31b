package pipelines

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/transforms"
)

// Of poison: how many records a job leaves out in how long before it stops. A program
// that panics about so many is no good; what it has not decided is in the log, and a
// mended one goes on from there. It is this machine's clock: it decides about no event.
const (
	maxPoison     = 100
	poisonMinutes = time.Minute
)

// TooMuchPoisonError says that stages panicked about too many records.
type TooMuchPoisonError struct {
	Records int
	Last    *transforms.PoisonError
}

func (e *TooMuchPoisonError) Error() string {
	return fmt.Sprintf("the stages panicked about %d records within a minute, and the job stops: update microseg; it goes on where it was, and nothing is lost. The last: %v", e.Records, e.Last)
}

// Unwrap gives the last panic.
func (e *TooMuchPoisonError) Unwrap() error { return e.Last }

// poisoned notes verdicts as of now; it returns an error where there are too many.
func (j *Job) poisoned(p *transforms.PoisonError, now time.Time) error {
	for range p.Places {
		j.verdicts = append(j.verdicts, now)
	}
	for len(j.verdicts) > 0 && now.Sub(j.verdicts[0]) > poisonMinutes {
		j.verdicts = j.verdicts[1:]
	}
	j.left.Add(uint64(len(p.Places)))
	if n := len(j.verdicts); n > maxPoison {
		return &TooMuchPoisonError{n, p}
	}
	return nil
}

// Poisoned is how many records this process has left out because a stage panicked.
func (j *Job) Poisoned() uint64 { return j.left.Load() }

// watch waits for the end of the pipeline. One that ends because a record is left out
// starts again: from its journal, which has the verdict.
func (j *Job) watch(ctx context.Context, ran chan error) {
	for {
		var err error
		select {
		case err = <-ran:
		case <-j.changelog.Failed(): // stages that no event reaches do not learn of it
			err = j.changelog.Err()
		}
		p := j.local.Poisoned()
		if err == nil || p == nil || j.changelog.Err() != nil {
			j.done <- err
			return
		}
		if over := j.poisoned(p, time.Now()); over != nil {
			j.alertPoison(ctx, over)
			j.done <- over
			return
		}
		slog.Error("starting the job again without a record that a stage cannot take", "err", p)
		if ran, err = j.again(ctx, p); err != nil {
			j.done <- err
			return
		}
	}
}

// again ends what is left of the pipeline and starts it anew under another name, since
// what belongs to the old one may still be at work.
func (j *Job) again(ctx context.Context, p *transforms.PoisonError) (chan error, error) {
	j.Engine().Abort()
	j.stopKeep()
	<-j.kept
	j.changelog.Close()
	if err := j.finish(); err != nil {
		slog.Warn("recording what was decided before a stage panicked; it is made again", "err", err)
	}
	for {
		j.mu.Lock()
		if j.stopping {
			j.mu.Unlock()
			return nil, p
		}
		name := fmt.Sprintf("%s-%d", j.Site, clock.Now().UnixNano())
		j.Spec.Job, j.Source.Job, j.Segments.Job, j.Sink.Engine = name, name, name, name
		j.Rebuild = false
		ran, err := j.launch(ctx)
		j.mu.Unlock()
		if cfg := j.reloaded.Load(); err == nil && cfg != nil {
			err = j.Reload(cfg)
		}
		if err == nil {
			return ran, nil
		}
		slog.Error("starting the job again, will try once more", "err", err)
		time.Sleep(againAfter)
	}
}

const againAfter = time.Second

// Name is the job's in this process: what the stages and sources count goes by it. It
// is another one after a start that a panic has caused.
func (j *Job) Name() string {
	if e := j.Engine(); e != nil {
		return e.Name()
	}
	return j.Spec.Job
}

// alertPoison raises the alert of a job that stops.
func (j *Job) alertPoison(ctx context.Context, over error) {
	b := rows.NewAlertBuilder()
	now := time.Now().UnixMilli()
	b.Append(&rows.Alert{Site: j.Site, Kind: rows.AlertPoison, At: now, State: rows.Raised, Value: float64(len(j.verdicts)), Threshold: maxPoison, Message: over.Error(), Version: uint64(now)})
	batch, err := b.Batch(0)
	if err == nil {
		var w *clickhouseio.Writer
		if w, err = clickhouseio.Acquire(ctx, j.Engine(), j.Sink); err == nil {
			err = w.Add(ctx, batch)
			if rerr := clickhouseio.Release(j.Engine(), j.Sink, w); err == nil {
				err = rerr
			}
		}
	}
	if err != nil {
		slog.Error("recording an alert", "err", err)
	}
}
