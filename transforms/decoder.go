package transforms

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/wire"
)

// BatchDecoder turns raw batches into batches of events; one goroutine at a time.
type BatchDecoder struct {
	events   *event.Decoder
	erased   *identity.Erasures
	lateness int64
	clocks   map[int32]*identity.DataClock // of what was seen: a suspicion only, the stage judges
	batch    identity.Batch
	cfg      event.Config
	trust    event.Trust      // of records of which nobody has judged
	legacy   int64            // Spec.LegacyUntil
	limits   identity.Limits  // of a partition
	poison   []identity.Place // of the batch: records that are left out
}

// NewBatchDecoder returns a decoder for the spec's site.
func NewBatchDecoder(spec *Spec) (*BatchDecoder, error) {
	d, err := event.NewDecoder(spec.Event)
	if err != nil {
		return nil, fmt.Errorf("making the event decoder: %w", err)
	}
	return &BatchDecoder{events: d, erased: identity.NewErasures(spec.Erased), lateness: spec.LatenessMS, clocks: map[int32]*identity.DataClock{}, cfg: spec.Event, trust: spec.Trust, legacy: spec.LegacyUntil, limits: spec.limits()}, nil
}

// Decode returns the batch, valid until the next call, and its header. What
// cannot be decoded is in it as dead letters.
func (d *BatchDecoder) Decode(b *identity.RawBatch) (wire.Header, *identity.Batch) {
	until, limits := d.legacy, d.limits
	if b.Again { // as it was decided then
		until, limits = b.LegacyUntil, b.Limits
	}
	if !b.Semantics.Has(5) {
		limits = identity.Limits{}
	}
	d.batch = identity.Batch{LegacyUntil: until, Limits: limits, Ranges: b.Ranges, Emitted: b.Emitted, Due: b.Due, Semantics: b.Semantics, Events: d.batch.Events[:0], Dead: d.batch.Dead[:0],
		Warnings: d.batch.Warnings[:0]}
	d.poison = b.Poison[:len(b.Poison):len(b.Poison)]
	for _, chunk := range b.Chunks {
		for i := range chunk {
			d.record(&chunk[i])
		}
	}
	// The order of partitions is not that of fetches: who reads the batch again
	// from the log must see the same one.
	byPartition := func(a, b event.Event) int { return cmp.Compare(a.Partition, b.Partition) }
	if !slices.IsSortedFunc(d.batch.Events, byPartition) {
		slices.SortStableFunc(d.batch.Events, byPartition)
	}
	return wire.Header{Shard: b.Shard, ID: b.ID, Ranges: b.Ranges, Due: b.Due, Emitted: b.Emitted, Again: b.Again, Semantics: b.Semantics, LegacyUntil: until, Limits: limits, Poison: d.poison}, &d.batch
}

func (d *BatchDecoder) record(r *identity.Record) {
	d.batch.Events = append(d.batch.Events, event.Event{})
	e := &d.batch.Events[len(d.batch.Events)-1]
	err := d.decode(r, e)
	gone, gap := d.gone(r, e, err)
	switch {
	case gap != "" && !gone && err == nil:
		e.User = gap
	case gone:
		at, device, id := e.Time, e.Device, e.ID
		if err != nil {
			at = 0 // it was a dead letter, which moves no clock
		}
		if err != nil || gap == "" {
			device, id, gap = "", e.DeviceHash(), ""
		}
		*e = event.Event{Kind: event.KindErased, Device: device, User: gap, ID: id, Time: at, Append: r.Append, Ingest: -1, Receipt: e.Receipt}
	case err != nil:
		d.batch.Dead = append(d.batch.Dead, d.refused(r, e, err))
		d.batch.Events = d.batch.Events[:len(d.batch.Events)-1]
		return
	}
	if e.Kind != event.KindErased {
		for _, w := range d.events.Warnings() {
			d.batch.Warnings = append(d.batch.Warnings, identity.Warning{Partition: r.Partition, Offset: r.Offset, Append: r.Append, Warning: w})
		}
	}
	e.Partition, e.Offset = r.Partition, r.Offset
	e.HasOrigin, e.OriginPartition, e.OriginOffset = r.Origin.Known, r.Origin.Partition, r.Origin.Offset
	if e.Kind.Control() {
		return
	}
	if e.Kind == event.KindAlias {
		e.Raw = d.events.Payload(r.Value) // the device stage may refuse it
	}
	clock := d.clocks[r.Partition]
	if clock == nil {
		clock = &identity.DataClock{}
		d.clocks[r.Partition] = clock
	}
	if e.Time < clock.Time-d.lateness {
		e.Raw = d.events.Payload(r.Value)
		return
	}
	clock.Take(e, d.batch.Semantics)
}

// errPoison refuses a record that a stage or the decoder cannot take.
var errPoison = &event.Error{Reason: event.Poison, Detail: poisonDetail}

// decode decodes a record. One of which the decoder panics is left out from here on,
// as the batch's header says.
func (d *BatchDecoder) decode(r *identity.Record, e *event.Event) (err error) {
	at := identity.Place{Partition: r.Partition, Offset: r.Offset}
	if len(d.poison) > 0 && slices.Contains(d.poison, at) {
		*e = event.Event{}
		return errPoison
	}
	defer func() {
		if v := recover(); v != nil {
			slog.Error("the decoder panicked", "partition", r.Partition, "offset", r.Offset, "panic", v, "stack", string(debug.Stack()))
			d.poison = append(d.poison, at)
			if n, failed := event.NewDecoder(d.cfg); failed == nil {
				d.events = n // the old one may be half-way through a record
			}
			*e, err = event.Event{}, errPoison
		}
	}()
	if testDecode != nil {
		testDecode(r)
	}
	err = d.events.Decode(r.Value, d.trustOf(r), r.Append, e)
	if err == nil && e.Kind == event.KindDeleteUser && !d.batch.Semantics.Has(6) {
		return event.Unread()
	}
	return err
}

// trustOf is the trust of a record: what the collector has judged, else that of the
// source. What a program without trusts had applied is applied again as it was.
func (d *BatchDecoder) trustOf(r *identity.Record) event.Trust {
	switch {
	case !d.batch.Semantics.Has(3):
		return event.Unstated
	case r.Trust == event.Unstated:
		return d.trust
	case r.Trust == event.Linked && !d.batch.Semantics.Has(6):
		return event.Public // what was not understood was not trusted
	}
	return r.Trust
}

// testDecode is a test's: it may panic.
var testDecode func(*identity.Record)

// gone reports whether the record was erased: by what it says of its device or,
// where it cannot be read, by its key. gap names the epoch, of a device that has others.
func (d *BatchDecoder) gone(r *identity.Record, e *event.Event, err error) (gone bool, gap string) {
	if e.Kind == event.KindDelete {
		return false, ""
	}
	device := e.Device
	if err != nil && device == "" {
		device = string(r.Key)
	}
	gone, gap = d.erased.Has(&identity.Erased{Place: identity.Place{Partition: r.Partition, Offset: r.Offset}, Device: device, User: e.User, Control: e.Kind.Control()})
	if gap != "" && !d.batch.Semantics.Has(6) {
		return false, "" // so it was read
	}
	return gone, gap
}

// Payload is the copy of a record that a dead letter keeps.
func (d *BatchDecoder) Payload(record []byte) []byte { return d.events.Payload(record) }

func (d *BatchDecoder) refused(r *identity.Record, e *event.Event, err error) identity.DeadLetter {
	l := identity.DeadLetter{Partition: r.Partition, Offset: r.Offset, Append: r.Append, Time: e.Time, Device: strings.ToValidUTF8(string(r.Key), "?"),
		Reason: event.Malformed, Detail: err.Error(), Raw: d.events.Payload(r.Value), Origin: r.Origin}
	var typed *event.Error
	if errors.As(err, &typed) {
		l.Reason, l.Detail, l.Raw = typed.Reason, typed.Detail, d.events.Kept(r.Value, typed)
		if typed.Withheld() {
			l.Device = ""
		}
	}
	return l
}
