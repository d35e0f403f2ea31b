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
	stage  *AudienceStage
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

func newAudienceMachine(b *Built, number int, from *Recovered) (*audienceMachine, error) {
	m := &audienceMachine{machine: machine{number: number}, stage: NewAudienceStage(b), state: NewAudienceState(b), poison: map[countsAt]bool{}}
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
func (l *Local) counts(ctx context.Context, e *Element, out Outputs) error {
	m := l.audience
	return m.do(func() error {
		for _, d := range m.unsaid {
			d.leave(out)
		}
		m.unsaid = nil
		var without []identity.Place
		at := countsAt{e.From, e.Number}
		if m.poison[at] {
			without = []identity.Place{{Partition: int32(at.Reporter), Offset: at.Seq}}
		}
		var d audienceEntry
		err := guard(m.stage.name(), m.stage.suspects, func() error {
			_, err := m.stage.process(ctx, m.state, e, without, Outputs{Rows: func(b rows.Batch) { d.Rows = append(d.Rows, b) }, Records: func(b []byte) { d.Records = append(d.Records, b) }})
			return err
		})
		if p := poisoned(err); p != nil && without == nil {
			return m.decide(ctx, l, p, at)
		}
		if err != nil || len(d.Rows) == 0 && len(d.Records) == 0 {
			return err
		}
		if d.State, err = json.Marshal(m.state); err != nil {
			return fmt.Errorf("encoding the audience's state: %w", err)
		}
		entry, err := json.Marshal(&d)
		if err != nil {
			return fmt.Errorf("encoding a decision: %w", err)
		}
		if err := l.journal.Append(m.number, entry)(ctx); err != nil {
			return err
		}
		d.leave(out)
		return nil
	})
}

// decide puts the verdict into the journal that a reporter's counts are left out; the next
// ones of that reporter are absolute again.
func (m *audienceMachine) decide(ctx context.Context, l *Local, p *PoisonError, at countsAt) error {
	entry, err := json.Marshal(&audienceEntry{Poison: &at})
	if err != nil {
		return fmt.Errorf("encoding a verdict: %w", err)
	}
	return l.decide(ctx, p, m.number, entry)
}

func (e *audienceEntry) leave(out Outputs) {
	for _, b := range e.Rows {
		out.Rows(b)
	}
	for _, r := range e.Records {
		out.Records(r)
	}
}
