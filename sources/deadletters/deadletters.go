// Package deadletters takes dead letters that read by now in their place: it finds
// them in the log, gathers what the log holds of their devices, and writes the
// records that tell the job to make these anew.
package deadletters

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Letter is a dead letter.
type Letter struct {
	identity.Place
	identity.Letter
}

// Options say what to replay.
type Options struct {
	Brokers  []string
	Topic    string       // of events
	Event    event.Config // how records are read now: as by the job
	Letters  []Letter     // all that are recorded
	Reason   event.Reason // only devices that have a letter of this reason, "": any
	Device   string       // only this device, "": any
	Cut      bool         // make devices anew even where they remember what the log no longer holds
	MaxBytes int          // of what is kept in memory; 0: DefaultMaxBytes
}

// DefaultMaxBytes bounds the histories that are kept in memory.
const DefaultMaxBytes = 512 << 20

// Plan is what a replay will do, as of the time when it was made.
type Plan struct {
	Since       time.Time     `json:"since"`       // of the oldest record that the log holds
	Retention   time.Duration `json:"retention"`   // for which the topic keeps records, ns; 0: for ever
	Letters     int           `json:"letters"`     // dead letters that could read by now
	Gone        int           `json:"gone"`        // those that the log no longer holds
	Refused     int           `json:"refused"`     // those that are still no events
	Verdicts    int           `json:"verdicts"`    // late, strays, or aliases that merge users: the log's order decided them, no fault did
	Unconsented int           `json:"unconsented"` // events without consent, which are never replayed
	Devices     int           `json:"devices"`     // that are made anew
	Scattered   int           `json:"scattered"`   // devices whose events are in several partitions: they are left as they are
	Readable    int           `json:"readable"`    // letters that read now
	Receipt     string        `json:"receipt"`     // names the replay
	Sent        int           `json:"sent"`        // letters of the devices that were sent, those of other reasons included
	Partitions  []int32       `json:"partitions"`  // of the devices
}

// Replay reads a log. Close it.
type Replay struct {
	o       Options
	plan    Plan
	decoder *event.Decoder
	scan    *scanner
	devices map[string]bool
}

// New finds the letters that read by now.
func New(ctx context.Context, o Options) (*Replay, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	r := &Replay{o: o, devices: map[string]bool{}, plan: Plan{Receipt: uuid.NewString()}}
	var err error
	if r.decoder, err = event.NewDecoder(o.Event); err != nil {
		return nil, err
	}
	if r.scan, err = newScanner(ctx, o.Brokers, o.Topic); err != nil {
		return nil, err
	}
	if r.plan.Since, r.plan.Retention, err = r.scan.holds(ctx); err == nil {
		err = r.find(ctx)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Plan is what was found.
func (r *Replay) Plan() Plan { return r.plan }

// Close disconnects.
func (r *Replay) Close() { r.scan.cl.Close() }

// find reads the letters that the decoder had refused.
func (r *Replay) find(ctx context.Context) error {
	want, spans := map[identity.Place]bool{}, map[int32][2]int64{}
	ends, err := r.scan.ends(ctx)
	if err != nil {
		return err
	}
	for _, l := range r.o.Letters {
		switch {
		case l.Placed:
			continue
		case l.Reason == event.Late || l.Reason == event.TooMany || l.Reason == event.Identity || l.Reason == event.Stray:
			r.plan.Verdicts++
			continue
		case l.Reason == event.NoConsent: // consent that came later is not for what was before
			r.plan.Unconsented++
			continue
		case r.o.Reason != "" && l.Reason != r.o.Reason:
			continue
		}
		r.plan.Letters++
		if l.Offset < r.scan.starts[l.Partition] || l.Offset >= ends[l.Partition] {
			r.plan.Gone++
			continue
		}
		want[l.Place] = true
		s, ok := spans[l.Partition]
		if !ok {
			s = [2]int64{l.Offset, l.Offset}
		}
		spans[l.Partition] = [2]int64{min(s[0], l.Offset), max(s[1], l.Offset)}
	}
	var e event.Event
	from, to := map[int32]int64{}, map[int32]int64{}
	for p, s := range spans {
		from[p], to[p] = s[0], s[1]+1
	}
	return r.scan.read(ctx, from, to, func(rec *identity.Record) error {
		if !want[identity.Place{Partition: rec.Partition, Offset: rec.Offset}] {
			return nil
		}
		switch err := r.decoder.Decode(rec.Value, rec.Trust, rec.Append, &e); {
		case err != nil:
			r.plan.Refused++
		case r.o.Device == "" || e.Device == r.o.Device:
			r.plan.Readable++
			r.devices[e.Device] = true
			r.plan.Devices = len(r.devices)
		}
		return nil
	})
}

// Sizes of what is written.
const (
	partSize   = 480 << 10 // bytes of a history in one record: with base64 less than a log's usual 1 MB
	devicesRun = 64        // devices that are written before the log is read to its end once more
)

// Send reads the log from its beginning and writes, for each device, the record
// that tells to make it anew. It returns the plan with what was sent.
func (r *Replay) Send(ctx context.Context) (Plan, error) {
	letters, skipped := map[identity.Place]identity.Letter{}, map[identity.Place]bool{}
	for _, l := range r.o.Letters {
		if l.Reason == event.NoConsent || l.Reason == event.Stray { // a stray is no part of its device's history
			skipped[l.Place] = true
		} else {
			letters[l.Place] = l.Letter
		}
	}
	g := identity.NewGatherer(r.decoder, r.devices, letters, skipped)
	next := maps.Clone(r.scan.starts)
	advance := func() error {
		ends, err := r.scan.ends(ctx)
		if err != nil {
			return err
		}
		err = r.scan.read(ctx, next, ends, func(rec *identity.Record) error {
			g.Take(rec)
			if g.Bytes() > r.o.MaxBytes {
				return fmt.Errorf("the log holds more than %d MB of these %d devices: choose some with --device or --reason, or start the job with --rebuild to make all states anew", r.o.MaxBytes>>20, len(r.devices))
			}
			return nil
		})
		next = ends
		return err
	}
	partitions := map[int32]bool{}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(r.devices)), devicesRun) {
		if err := advance(); err != nil {
			return r.plan, err
		}
		for _, device := range chunk {
			if err := r.send(ctx, device, g, partitions); err != nil {
				return r.plan, err
			}
		}
	}
	r.plan.Partitions = slices.Sorted(maps.Keys(partitions))
	return r.plan, nil
}

// send writes one device's history.
func (r *Replay) send(ctx context.Context, device string, g *identity.Gatherer, partitions map[int32]bool) error {
	all := g.Histories(device)
	if len(all) > 1 {
		r.plan.Scattered++
		r.plan.Devices--
		return nil
	}
	for partition, h := range all {
		h.Receipt, h.Cut = r.plan.Receipt, r.o.Cut
		parts, err := h.Parts(partSize)
		if err != nil {
			return fmt.Errorf("making device %q anew: %w", device, err)
		}
		var out []*kgo.Record
		for _, b := range parts {
			value := (&event.Rebuild{Device: device, Receipt: r.plan.Receipt, Payload: b}).Append(nil)
			out = append(out, &kgo.Record{Topic: r.o.Topic, Partition: partition, Key: []byte(event.Key(device)), Value: value})
		}
		if err := r.scan.cl.ProduceSync(ctx, out...).FirstErr(); err != nil {
			return fmt.Errorf("telling the job to make device %q anew: %w", device, err)
		}
		partitions[partition] = true
		for i := range h.Records {
			if h.Records[i].Letter {
				r.plan.Sent++
			}
		}
	}
	return nil
}
