package transforms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/transforms/wire"
)

// A stage that panics has met a fault of this program, mostly about one record. The
// batch is then applied again without it, from the state before the batch: the job
// starts again from its journal (pipelines.Job), which has the verdict, so that every
// later start leaves the record out as well. The record is a dead letter, poison, that
// a mended program takes in its place (`microseg deadletters replay`).

// PoisonError says that a stage panicked. Where the verdict is in the journal, the job
// goes on when it starts again.
type PoisonError struct {
	Stage   string
	Places  []identity.Place // of the records that are left out; none: it was about no record of the batch
	Value   any              // of the panic
	Stack   []byte
	Decided bool // the verdict is where the next start finds it
}

func (e *PoisonError) Error() string {
	if len(e.Places) == 0 {
		return fmt.Sprintf("the %s stage panicked, and not about a record of its batch: %v; update microseg, it goes on where it was: nothing is lost", e.Stage, e.Value)
	}
	return fmt.Sprintf("the %s stage panicked about %d records, the first at offset %d of partition %d: %v; they are dead letters (poison), and the job goes on without them", e.Stage, len(e.Places), e.Places[0].Offset, e.Places[0].Partition, e.Value)
}

// poisonDetail is what the dead letter says; it is the same whoever makes it again.
const poisonDetail = "a stage of this program cannot take it, which is a fault of the program: its log has the details; after an update take it in its place with `microseg deadletters replay`"

// guard runs f, which must have let nothing out when it panics. suspects are the
// records that may be the cause.
func guard(stage string, suspects func() []identity.Place, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p := &PoisonError{Stage: stage, Places: suspects(), Value: v, Stack: debug.Stack()}
			slog.Error("a stage panicked", "stage", stage, "records", p.Places, "panic", v, "stack", string(p.Stack))
			err = p
		}
	}()
	return f()
}

// hold keeps whatever leaves until leave: what a batch gives out must not be seen
// before all of it is made.
func (o Outputs) hold() (held Outputs, leave func(context.Context) error) {
	var all []func()
	held = o
	held.Sure = nil
	if o.Vectors != nil {
		held.Vectors = func(shard int, b []byte) { all = append(all, func() { o.Vectors(shard, b) }) }
	}
	if o.Counts != nil {
		held.Counts = func(key int, b []byte) { all = append(all, func() { o.Counts(key, b) }) }
	}
	if o.Rows != nil {
		held.Rows = func(b rows.Batch) { all = append(all, func() { o.Rows(b) }) }
	}
	if o.Records != nil {
		held.Records = func(b []byte) { all = append(all, func() { o.Records(b) }) }
	}
	return held, func(ctx context.Context) error {
		if err := o.sure(ctx); err != nil {
			return err
		}
		for _, f := range all {
			f()
		}
		return nil
	}
}

// suspects is the record that the stage is at, or else all records of the batch that
// are still in it: what time does after them may fail because of any.
func (g *DeviceStage) suspects() (out []identity.Place) {
	if g.state != nil {
		if at, ok := g.state.shard.At(); ok {
			return []identity.Place{at}
		}
	}
	for i := range g.batch.Events {
		out = append(out, placeOf(&g.batch.Events[i]))
	}
	return out
}

// leaveOut makes dead letters of the batch's events that the header names.
func leaveOut(h *wire.Header, b *identity.Batch) {
	if len(h.Poison) == 0 {
		return
	}
	b.Events = slices.DeleteFunc(b.Events, func(e event.Event) bool {
		bad := slices.Contains(h.Poison, placeOf(&e))
		if bad {
			b.Dead = append(b.Dead, identity.DeadLetter{Partition: e.Partition, Offset: e.Offset, Append: e.Append, Device: e.Device,
				Reason: event.Poison, Detail: poisonDetail, Raw: e.Raw, Origin: identity.Origin{Known: e.HasOrigin, Partition: e.OriginPartition, Offset: e.OriginOffset}})
		}
		return bad
	})
}

// renew implements stage: it makes the stage's scratch space anew, of which a panic may have left anything.
func (g *DeviceStage) renew() error {
	n, err := NewDeviceStage(g.built, g.log)
	if err != nil {
		return err
	}
	*g = *n
	g.bind()
	return nil
}

// appendPlaces adds the places that are not in the list.
func appendPlaces(list, more []identity.Place) []identity.Place {
	for _, p := range more {
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

func appendPoison(w *codec.Writer, list []identity.Place) {
	w.Uint(uint64(len(list)))
	for _, p := range list {
		w.Int(int64(p.Partition))
		w.Int(p.Offset)
	}
}

func readPoison(r *codec.Reader) (list []identity.Place) {
	for range r.Len() {
		list = append(list, identity.Place{Partition: int32(r.Int()), Offset: r.Int()})
	}
	return list
}

// poisoned is the error as what a panic has left, nil where it is another one.
func poisoned(err error) *PoisonError {
	var p *PoisonError
	errors.As(err, &p)
	return p
}

// decide puts a verdict into the machine's journal, behind the batch. The machine's
// state is half-way through the batch: the job must start again.
func (l *Local) decide(ctx context.Context, p *PoisonError, machine int, entry []byte) error {
	if len(p.Places) == 0 {
		return p
	}
	if err := l.journal.Append(machine, entry)(ctx); err != nil {
		return err
	}
	p.Decided = true
	l.poison.CompareAndSwap(nil, p)
	return p
}

// Poisoned is why the job has to start again, with a verdict that its journal has;
// nil while it has not.
func (l *Local) Poisoned() *PoisonError { return l.poison.Load() }

// poisonAlerts raises an alert of each partition with records that are left out, once
// an hour of the job's clock.
func (f *effects) poisonAlerts(h *wire.Header, stage string) {
	last := map[int32]identity.Place{}
	n := map[int32]int{}
	for _, p := range h.Poison {
		if n[p.Partition]++; p.Offset >= last[p.Partition].Offset {
			last[p.Partition] = p
		}
	}
	for _, p := range slices.Sorted(maps.Keys(last)) {
		f.alerts.Append(&rows.Alert{Site: f.built.Spec.Site, Kind: rows.AlertPoison, Subject: fmt.Sprint("partition ", p), At: h.Emitted / 1000 / hourMS * hourMS, State: rows.Raised,
			Value: float64(n[p]), Message: fmt.Sprintf("%d records that the %s stage cannot take, the last at offset %d: a fault of this program; they are dead letters (poison); after an update take them in their place with `microseg deadletters replay`", n[p], stage, last[p].Offset),
			Version: uint64(last[p].Offset)})
	}
}

// suspects is the vector's record that the stage is at, or else those of all vectors
// that are still in the batch.
func (g *PersonStage) suspects() (out []identity.Place) {
	if g.at != nil {
		return []identity.Place{*g.at}
	}
	_, err := wire.ReadVectors(g.batch, func(v *wire.Vector) { out = appendPlaces(out, []identity.Place{placeOfVector(v)}) })
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(out, func(p identity.Place) bool { return slices.Contains(g.poison, p) })
}

func placeOfVector(v *wire.Vector) identity.Place {
	return identity.Place{Partition: v.Partition, Offset: v.Version.Offset}
}

// leaveOut reports whether the vector is left out, and makes a dead letter of its
// record: the device has it, and its person does not.
func (g *PersonStage) leaveOut(v *wire.Vector) bool {
	at := placeOfVector(v)
	if len(g.poison) == 0 || !slices.Contains(g.poison, at) {
		return false
	}
	g.dead.Append(&rows.DeadLetter{Site: g.built.Spec.Site, Partition: at.Partition, Offset: at.Offset, Reason: string(event.Poison), Detail: poisonDetail,
		EventTime: v.At, Appended: v.Append, Device: v.Device, Version: uint64(at.Offset)})
	return true
}
