package transforms

import (
	"fmt"
	"math"

	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// effects makes rows and audience counts of what a segment.Shard decides; both
// stages that decide have one.
type effects struct {
	segment.Effects
	built  *Built
	moves  *rows.Builder[rows.SegmentEvent]
	states *rows.Builder[rows.SegmentState]
	alerts *rows.Builder[rows.Alert]
}

func newEffects(b *Built) *effects {
	return &effects{built: b, moves: rows.NewSegmentEventBuilder(), states: rows.NewSegmentStateBuilder(), alerts: rows.NewAlertBuilder()}
}

// rows lets the rows go; decided is wall clock, ms.
func (f *effects) rows(decided int64, version uint64, out func(rows.Batch)) error {
	for i := range f.Moves {
		f.move(&f.Moves[i], decided, version)
	}
	for i := range f.States {
		f.state(&f.States[i], version)
	}
	for i := range f.Excess {
		f.exceeded(rows.AlertPersonDevices, &f.Excess[i], "devices together in one person: further ones are not merged")
	}
	if err := emitRows(f.alerts, 0, out); err != nil {
		return err
	}
	if err := emitRows(f.moves, decided, out); err != nil {
		return err
	}
	return emitRows(f.states, decided, out)
}

// exceeded makes the alert of a limit of identity: one a day and person, or a
// day and device. Its version is the count, so that it rises by itself.
func (f *effects) exceeded(kind string, x *session.Excess, what string) {
	f.alerts.Append(&rows.Alert{Site: f.built.Spec.Site, Kind: kind, Subject: x.Subject, At: x.Start, State: rows.Raised, Value: float64(x.Count), Threshold: float64(x.Limit),
		Message: fmt.Sprintf("%d %s", x.Count, what), Version: uint64(x.Count)})
}

// move makes a row for each node left and entered.
func (f *effects) move(m *segment.Move, decided int64, version uint64) {
	tree := f.built.Segment.Tree
	row := rows.SegmentEvent{Site: f.built.Spec.Site, Person: m.Person, Transition: m.Transition, Cause: segment.Causes[m.Cause],
		FromPath: pathOrNone(tree, m.From), ToPath: pathOrNone(tree, m.To),
		At: m.At, DecidedAt: decided, Partition: m.Partition, Offset: m.Offset, Version: version}
	left, entered := tree.Changes(m.From, m.To)
	row.Action = rows.Left
	for _, n := range left {
		row.Node = tree.Path(n)
		f.moves.Append(&row)
	}
	row.Action = rows.Entered
	for _, n := range entered {
		row.Node = tree.Path(n)
		f.moves.Append(&row)
	}
}

// pathOrNone is the path of a node, empty for who is nowhere.
func pathOrNone(t *segment.Tree, node int) string {
	if node < 0 {
		return ""
	}
	return t.Path(node)
}

func (f *effects) state(r *segment.StateRow, version uint64) {
	next := r.Next
	if next == math.MaxInt64 {
		next = 0
	}
	f.states.Append(&rows.SegmentState{Site: f.built.Spec.Site, Person: r.Person, Path: pathOrNone(f.built.Segment.Tree, r.Node), Since: r.Since,
		EvaluatedAt: r.Evaluated, NextEvaluation: next, LastEvent: r.Last, Intent: r.Intent, SignalWeight: r.Weight, Live: r.Live, Long: r.Long,
		CartValue: r.CartValue, Orders: r.Orders, Revenue: r.Revenue, Refunded: r.Refunded, Devices: uint16(r.Devices), Transitions: r.Transitions, Bot: r.Bot, Deleted: r.Deleted, Version: version})
}

// told is what a stage has reported to the audience.
type told struct {
	minute int64 // last event-time minute
	idle   bool
	seq    int64 // numbers the reports, from 1
}

func (t *told) appendTo(w *codec.Writer) {
	w.Int(t.minute)
	w.Bool(t.idle)
	w.Int(t.seq)
}

func readTold(r *codec.Reader) told { return told{minute: r.Int(), idle: r.Bool(), seq: r.Int()} }

// report tells the audience of the minutes that are over, always where it must.
func (f *effects) report(t *told, reporter int, now int64, idle, must bool, out func(int, []byte)) error {
	minute := now / 60_000
	if !must && minute == t.minute && idle == t.idle && len(f.Counts) == 0 {
		return nil
	}
	*t = told{minute, idle, t.seq + 1}
	if out == nil {
		return nil
	}
	b, err := encodeCounts(&shardCounts{Reporter: reporter, Seq: t.seq, UpTo: minute, Idle: idle, Minutes: f.Counts})
	if err != nil {
		return err
	}
	out(0, b)
	return nil
}
