package transforms

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
)

// audienceMachine is the decision about segments. What it decides is in the
// journal, with its state and what it gave out, before anybody sees it.
type audienceMachine struct {
	machine
	state  *AudienceState
	unsaid []audienceEntry   // decided by a process that is gone, maybe not seen by anybody
	poison map[countsAt]bool // counts that are left out
}

// audienceEntry is a decision in the journal.
type audienceEntry struct {
	State   json.RawMessage
	Rows    []rows.Batch
	Records [][]byte
	Poison  *countsAt `json:",omitempty"` // a verdict and no decision: counts that are left out
}

// countsAt names what a reporter tells.
type countsAt struct {
	Reporter int
	Seq      int64
}

func newAudienceMachine(b *Built, from *Recovered) (*audienceMachine, error) {
	m := &audienceMachine{state: NewAudienceState(b), poison: map[countsAt]bool{}}
	state := from.Snapshot
	for _, e := range from.Entries {
		var d audienceEntry
		if err := json.Unmarshal(e, &d); err != nil {
			return nil, fmt.Errorf("reading a decision in the journal: %w", err)
		}
		if d.Poison != nil {
			m.poison[*d.Poison] = true
			continue
		}
		m.unsaid, state = append(m.unsaid, d), d.State
	}
	if state == nil {
		return m, nil
	}
	if err := json.Unmarshal(state, m.state); err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	return m, nil
}

// counts applies what a reporter tells.
func (l *Local) counts(ctx context.Context, c *shardCounts, out func(rows.Batch), records func([]byte)) error {
	m := l.audience
	return m.do(func() error {
		for _, e := range m.unsaid {
			e.leave(out, records)
		}
		m.unsaid = nil
		var e audienceEntry
		at := countsAt{c.Reporter, c.Seq}
		take := m.state.try
		if m.poison[at] {
			take = m.state.pass
		}
		err := take(c, l.built, func(b rows.Batch) { e.Rows = append(e.Rows, b) }, func(b []byte) { e.Records = append(e.Records, b) })
		if p := poisoned(err); p != nil && !m.poison[at] {
			return l.decideCounts(ctx, p, at, c.place())
		}
		if err != nil {
			return err
		}
		if len(e.Rows) == 0 && len(e.Records) == 0 {
			return nil
		}
		if e.State, err = json.Marshal(m.state); err != nil {
			return fmt.Errorf("encoding the audience's state: %w", err)
		}
		entry, err := json.Marshal(&e)
		if err != nil {
			return fmt.Errorf("encoding a decision: %w", err)
		}
		if err := l.journal.Append(2*l.built.Spec.Shards, entry)(ctx); err != nil {
			return err
		}
		e.leave(out, records)
		return nil
	})
}

// decideCounts puts the verdict into the journal that a reporter's counts are left out;
// the next ones of that reporter are absolute again.
func (l *Local) decideCounts(ctx context.Context, p *PoisonError, at countsAt, place identity.Place) error {
	entry, err := json.Marshal(&audienceEntry{Poison: &at})
	if err != nil {
		return fmt.Errorf("encoding a verdict: %w", err)
	}
	p.Places = []identity.Place{place}
	return l.decide(ctx, p, 2*l.built.Spec.Shards, entry)
}

func (e *audienceEntry) leave(out func(rows.Batch), records func([]byte)) {
	for _, b := range e.Rows {
		out(b)
	}
	for _, r := range e.Records {
		records(r)
	}
}
