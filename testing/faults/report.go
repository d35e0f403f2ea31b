package faults

import (
	"fmt"
	"slices"
	"time"
)

// Report is what a run has found.
type Report struct {
	Seed         uint64                `json:"seed"`
	Events       int                   `json:"events"`       // made; each has a number
	Acknowledged int                   `json:"acknowledged"` // of them
	Retries      int64                 `json:"retries"`      // requests that were sent again
	Unlinks      int                   `json:"unlinks"`      // of devices from users, in the log
	Records      int                   `json:"records"`      // of the log: events, unlinks, and what was sent twice
	Good         int                   `json:"good"`         // records = good + duplicates + dead
	Duplicates   int                   `json:"duplicates"`
	Dead         int                   `json:"dead"`
	Sessions     int                   `json:"sessions"`
	Persons      int                   `json:"persons"`
	Moves        int                   `json:"moves"`     // changes of path in the record
	Published    int                   `json:"published"` // records of the topic of segments
	Lookups      int                   `json:"lookups"`   // answers of nodes that were compared
	Kills        map[string]int        `json:"kills"`     // by what was killed; zombie: stood still
	Fenced       int                   `json:"fenced"`    // zombies that ended by themselves
	Ended        map[string]int        `json:"ended"`     // what else ended by itself, and was started again
	Recovery     map[string]Recoveries `json:"recovery"`  // by what was killed
	Lost         int                   `json:"lost"`      // acknowledged events that the record does not count
	Extra        int                   `json:"extra"`     // events that the record counts and nobody sent, or counts twice
	Rewritten    int                   `json:"rewritten"` // contradictions between what was shown and the record's history; Strict makes them differences
	Found        int                   `json:"differences"`
	Differences  []string              `json:"examples,omitempty"`
	Rewrites     []string              `json:"rewrites,omitempty"` // examples of Rewritten
	TookS        float64               `json:"took_s"`
	Logs         string                `json:"logs,omitempty"` // folder, when it was kept
}

// Recoveries sums up times from a new start to the first new progress, in seconds.
type Recoveries struct {
	Count  int     `json:"count"`
	Median float64 `json:"median_s"`
	Max    float64 `json:"max_s"`
}

// examples is how many differences of a kind are told.
const examples = 5

// finder collects differences, and tells the first ones of each kind.
type finder struct {
	n    int
	kind map[string]int
	text []string
}

func (f *finder) add(kind, format string, args ...any) {
	if f.kind == nil {
		f.kind = map[string]int{}
	}
	f.n++
	f.kind[kind]++
	if f.kind[kind] <= examples {
		f.text = append(f.text, kind+": "+fmt.Sprintf(format, args...))
	}
}

func (r *Report) recovered(took map[string][]time.Duration) {
	r.Recovery = map[string]Recoveries{}
	for kind, all := range took {
		slices.Sort(all)
		r.Recovery[kind] = Recoveries{len(all), all[len(all)/2].Seconds(), all[len(all)-1].Seconds()}
	}
}

// Killed is the number of processes that were killed.
func (r *Report) Killed() (n int) {
	for kind, k := range r.Kills {
		if kind != kindZombie {
			n += k
		}
	}
	return n
}

// Err says what is wrong with the outcome, nil if nothing is.
func (r *Report) Err() error {
	if r.Found == 0 {
		return nil
	}
	err := fmt.Errorf("seed %d: %d differences (%d lost, %d extra) after %d kills; the logs are in %s", r.Seed, r.Found, r.Lost, r.Extra, r.Killed(), r.Logs)
	for _, d := range r.Differences {
		err = fmt.Errorf("%w\n  %s", err, d)
	}
	return err
}
