// Package attack does to a running node what a stranger can do who has the public
// write key and a few kilobytes, or a page in a browser on the same machine, and
// says what came of it: who saw what of whom, how long six other visitors waited,
// how much memory the process took, whether it starts again. `./run.sh attack`
// runs it against a stack of its own or, with --url, against a node of yours.
//
// What each attack is about is a promise of docs/security.md. Load goes to the one
// address that is named, is bounded, and leaves no more than the events that it sent.
package attack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Options say what is attacked, and how hard.
type Options struct {
	URL         string   // of the node; empty: a stack of its own is started
	WriteKey    string   // the public one
	IdentityKey string   // makes proofs for the victims; empty: users are not attacked
	ServerKey   string   // sends as the shop's server; empty: users are not attacked
	Binary      string   // microseg, for a stack of its own
	Dir         string   // folder for its data
	Config      []byte   // YAML that is added to the stack's configuration
	Scale       float64  // of the sizes that the attacks had when they did harm; 0: 1
	Only        []string // names of attacks; none: all
	Progress    io.Writer
}

// Report is what came of the attacks. Times are milliseconds, memory is MB.
type Report struct {
	Target   string    `json:"target"`
	Scale    float64   `json:"scale"`
	Calm     Quantiles `json:"calm"` // canaries before all attacks
	Attacks  []Result  `json:"attacks"`
	Skipped  []string  `json:"skipped,omitempty"` // attacks that need what was not given, and why
	Breaches int       `json:"breaches"`
}

// Err is an error if an attack did harm.
func (r *Report) Err() error {
	if r.Breaches == 0 {
		return nil
	}
	return fmt.Errorf("%d promises do not hold; the report says which", r.Breaches)
}

// Result is what came of one attack.
type Result struct {
	Name     string         `json:"name"`
	Story    string         `json:"story"`
	Holds    bool           `json:"holds"`
	Breaches []string       `json:"breaches,omitempty"` // promises that do not hold
	Saw      map[string]any `json:"saw,omitempty"`      // what whom was answered
	Answers  map[string]int `json:"answers,omitempty"`  // HTTP statuses of the attacker's requests
	Before   Quantiles      `json:"canaries_before"`
	During   Quantiles      `json:"canaries_during"`
	Ratio    float64        `json:"p99_ratio,omitempty"` // of the canaries, during and before
	RSS      [2]float64     `json:"rss_mb,omitzero"`     // of the process, before and at its highest after
	Seconds  float64        `json:"seconds"`
}

// attack is one of the suite. Its run returns when its load is sent and its effect
// could be seen.
type attack struct {
	name, story string
	users       bool // needs keys for proofs and servers
	own         bool // needs a stack of our own
	run         func(context.Context, *suite, *Result) error
}

// suite is what attacks share.
type suite struct {
	o        Options
	stack    *stack // nil: somebody else's
	shop     *sender
	canaries *canaries
	crowd    *crowd
	calm     Quantiles // of canaries, before all attacks
	seed     int64     // makes ids of this run differ from those of others
}

// Run runs the attacks one after the other.
func Run(ctx context.Context, o Options) (*Report, error) {
	o.Scale = cmp.Or(o.Scale, 1)
	s := &suite{o: o, seed: time.Now().UnixNano()}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	defer s.close()
	s.shop = s.sender(shopHost)
	report := &Report{Target: s.o.URL, Scale: o.Scale}
	s.canaries = s.fly(ctx)
	defer s.canaries.stop()
	s.crowd = s.gather(ctx)
	begun := time.Now()
	if err := rest(ctx, calmFor); err != nil {
		return nil, err
	}
	report.Calm = s.canaries.between(begun, time.Now())
	s.calm = report.Calm
	if report.Calm.N == 0 {
		return nil, fmt.Errorf("no event became visible at %s within %v: is its job running, and is %q a write key there?", s.o.URL, calmFor, o.WriteKey)
	}
	for _, a := range suiteOf() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, a.name) {
			continue
		}
		if why := s.lacks(&a); why != "" {
			report.Skipped = append(report.Skipped, a.name+": "+why)
			continue
		}
		r, err := s.try(ctx, &a)
		if err != nil {
			return report, fmt.Errorf("attack %s: %w", a.name, err)
		}
		report.Attacks = append(report.Attacks, *r)
		report.Breaches += len(r.Breaches)
	}
	if len(report.Attacks) == 0 {
		return nil, errors.Join(fmt.Errorf("no attack was run; there are %v", names()), fmt.Errorf("left out: %v", report.Skipped))
	}
	return report, nil
}

func (s *suite) lacks(a *attack) string {
	switch {
	case a.users && (s.o.IdentityKey == "" || s.o.ServerKey == ""):
		return "users have no proofs without an identity key and a server key"
	case a.own && s.stack == nil:
		return "it is for a stack of its own"
	}
	return ""
}

// calmFor is for how long canaries are watched before an attack.
const calmFor = 3 * time.Second

// recovery is for how long they are watched after its last request.
const recovery = 2 * time.Second

func (s *suite) try(ctx context.Context, a *attack) (*Result, error) {
	s.say("%s ...", a.name)
	r := &Result{Name: a.name, Story: a.story, Saw: map[string]any{}, Answers: map[string]int{}}
	s.canaries.settle(ctx, s.calm)
	begun := time.Now()
	if err := rest(ctx, calmFor); err != nil {
		return nil, err
	}
	r.Before, r.RSS[0] = s.canaries.between(begun, time.Now()), s.rss()
	peak := s.watchRSS()
	from := time.Now()
	err := a.run(ctx, s, r)
	if err == nil {
		err = rest(ctx, recovery)
	}
	r.RSS[1] = peak()
	if err != nil {
		return nil, err
	}
	r.During = s.canaries.between(from, time.Now())
	if r.Before.P99 > 0 {
		r.Ratio = round(r.During.P99 / r.Before.P99)
	}
	if r.During.Lost > 0 {
		r.breach("%d events of other visitors did not become visible within %v", r.During.Lost, canaryPatience)
	}
	r.Holds, r.Seconds = len(r.Breaches) == 0, round(time.Since(from).Seconds())
	s.say("%s: holds %v, p99 of others %v → %v ms", a.name, r.Holds, r.Before.P99, r.During.P99)
	return r, nil
}

func (r *Result) breach(format string, args ...any) {
	r.Breaches = append(r.Breaches, fmt.Sprintf(format, args...))
}

func (s *suite) say(format string, args ...any) {
	if s.o.Progress != nil {
		fmt.Fprintf(s.o.Progress, "attack: "+format+"\n", args...)
	}
}

// scaled is n by the scale, at least 1.
func (s *suite) scaled(n int) int { return max(1, int(float64(n)*s.o.Scale)) }

// id is a name that no other run has.
func (s *suite) id(format string, args ...any) string {
	return fmt.Sprintf("%s-%d", fmt.Sprintf(format, args...), s.seed)
}

// suiteOf are all attacks, in the order in which they are run.
func suiteOf() []attack {
	return slices.Concat(readers(), writers(), loads(), connections(), clocks(), floods(), restarts())
}

func names() (out []string) {
	for _, a := range suiteOf() {
		out = append(out, a.name)
	}
	return out
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
