package transforms

import (
	"context"
	"fmt"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/transforms/wire"
)

// warn makes rows of what could not be read of a batch's records. Where they are in the
// log says which rows they are, so a batch that is applied again changes nothing.
func (g *DeviceStage) warn(warnings []identity.Warning) {
	for i := range warnings {
		w := &warnings[i]
		g.warnings.Append(&rows.EventWarning{Site: g.built.Spec.Site, Partition: w.Partition, Offset: w.Offset, Property: w.Property,
			Reason: string(w.Why), Example: w.Example, Appended: w.Append, Version: uint64(w.Offset)})
	}
}

// rows lets everything that a batch gave for the record go; decided is wall clock, ms.
func (g *DeviceStage) rows(s *DeviceState, h *wire.Header, decided int64, out func(rows.Batch)) error {
	site, version := g.built.Spec.Site, g.built.Spec.version(h.ID+1)
	for i := range g.out.Sessions {
		row := sessionRow(site, &g.out.Sessions[i])
		g.sessions.Append(&row)
	}
	for i := range g.out.Dead {
		d := &g.out.Dead[i]
		g.dead.Append(&rows.DeadLetter{Site: site, Partition: d.Partition, Offset: d.Offset, Reason: string(d.Reason), Detail: d.Detail,
			EventTime: d.Time, Appended: d.Append, Device: d.Device, Payload: strings.ToValidUTF8(string(d.Raw), "\uFFFD"), Version: uint64(d.Offset)})
	}
	for i := range g.out.Replayed {
		r := &g.out.Replayed[i]
		g.replayed.Append(&rows.Replayed{Site: site, Partition: r.Partition, Offset: r.Offset, Receipt: r.Receipt, Outcome: r.Outcome, At: h.Emitted / 1000, Version: uint64(r.Version)})
	}
	for i := range g.out.Excess {
		g.effects.exceeded(rows.AlertDevicePersons, &g.out.Excess[i], "persons on one device that day: further ones are not linked")
	}
	g.strayed(s, h)
	g.effects.poisonAlerts(h, "device")
	if h.Due > 0 {
		s.marks.add(h.Emitted, progressOf(s, h, site, version))
		for _, p := range s.marks.reached(h.Due) {
			g.progress.Append(&p)
		}
		g.ledger.rows(&g.built.Spec, h.Shard, version, h.Due >= h.Emitted, g.latency)
	}
	if err := emitRows(g.sessions, decided, out); err != nil {
		return err
	}
	if err := emitRows(g.dead, decided, out); err != nil {
		return err
	}
	if err := emitRows(g.warnings, decided, out); err != nil {
		return err
	}
	if err := emitRows(g.replayed, decided, out); err != nil {
		return err
	}
	if err := g.effects.rows(decided, version, out); err != nil {
		return err
	}
	if err := emitRows(g.latency, 0, out); err != nil {
		return err
	}
	return emitRows(g.progress, decided, out)
}

// strayed raises an alert of each partition in which the batch had strays, once an
// hour of the job's clock; its version is the count, so that it rises by itself.
func (g *DeviceStage) strayed(s *DeviceState, h *wire.Header) {
	var last int32 = -1
	for i := range g.out.Dead {
		d := &g.out.Dead[i]
		if d.Reason != event.Stray || d.Partition == last {
			continue
		}
		last = d.Partition
		n := s.shard.Partition(last).Counts.Stray
		g.effects.alerts.Append(&rows.Alert{Site: g.built.Spec.Site, Kind: rows.AlertStray, Subject: fmt.Sprint("partition ", last), At: h.Emitted / 1000 / hourMS * hourMS, State: rows.Raised,
			Value: float64(n), Message: fmt.Sprintf("%d records so far in partition %d whose device belongs into another one: %s", n, last, strayAdvice), Version: n})
	}
}

const hourMS = 3_600_000

const strayAdvice = "the topic is not keyed by device, or got partitions; they are dead letters; set source.rekey: on (docs/operations.md)"

// progressOf is how far the shard has come in each partition.
func progressOf(s *DeviceState, h *wire.Header, site string, version uint64) (out []rows.Progress) {
	w, _ := s.shard.Watermark()
	s.shard.Partitions(func(id int32, p *identity.Partition) {
		c := p.Counts
		out = append(out, rows.Progress{Site: site, Stage: rows.StageDevice, Partition: id, Shard: uint16(h.Shard), Offset: p.Offset, Clock: p.Clock,
			Watermark: w, Read: c.Read, Good: c.Good, Duplicate: c.Duplicate, Dead: c.Dead, Version: version})
	})
	return out
}

// payloads reads the records of late events again whose decoder did not suspect
// them: it had not seen the newer ones, in another process or after a gap.
func (g *DeviceStage) payloads(ctx context.Context) error {
	missing := map[int32]*identity.Range{}
	for i := range g.out.Dead {
		if d := &g.out.Dead[i]; d.Raw == nil {
			if r := missing[d.Partition]; r == nil {
				missing[d.Partition] = &identity.Range{First: d.Offset, Last: d.Offset}
			} else {
				r.Last = d.Offset
			}
		}
	}
	for p, r := range missing {
		if g.log == nil {
			continue // a letter without its text is better than none
		}
		err := g.log.ReadRange(ctx, p, r.First, r.Last, func(rec identity.Record) error {
			for i := range g.out.Dead {
				if d := &g.out.Dead[i]; d.Partition == p && d.Offset == rec.Offset && d.Raw == nil {
					d.Raw = g.decoder.Payload(rec.Value)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading the payloads of late events: %w", err)
		}
	}
	return nil
}

const msPerS = 1000.0

// sessionRow is a session, or its tombstone, as a row of the record.
func sessionRow(site string, r *identity.SessionRow) rows.Session {
	row := rows.Session{Site: site, Device: r.Device, Epoch: r.Epoch, Start: r.Start, End: r.Start, Person: r.Person, ClaimedUser: r.Claim(),
		Open: r.Open, Deleted: r.Fold == nil, Version: r.Version}
	if f := r.Fold; f != nil {
		row.DeviceType, row.OS, row.Network = event.DeviceTypes[f.Context.Device], event.OSes[f.Context.OS], event.Networks[f.Context.Network]
		row.CartItems, row.CartValue = uint32(f.Cart().Items), f.Cart().Value
		row.End, row.DurationS = f.End, float64(f.End-f.Start)/msPerS
		row.Events, row.PageViews, row.Clicks = f.Events, f.PageViews, f.Clicks
		row.DwellListS, row.DwellProductS = s1(f.Dwell[event.PageList]), s1(f.Dwell[event.PageProduct])
		row.DwellComparisonS, row.DwellCartS = s1(f.Dwell[event.PageComparison]), s1(f.Dwell[event.PageCart])
		row.DwellCheckoutS, row.DwellHighTicketS = s1(f.Dwell[event.PageCheckout]), s1(f.HighTicket)
		row.DwellS, row.HoverS, row.FocusS = s1(f.Dwell[:]...), s1(f.Hover...), s1(f.Focus...)
		row.MaxScroll, row.ScrollVelocity, row.HalfScrollS = f.MaxDepth, f.Velocity, f.Half
		row.VideoStarts, row.VideoDropoffs, row.FormStarts, row.FormSubmits = f.VideoStarts, f.VideoDrops, f.FormStarts, f.FormSubmits
		row.Orders, row.Revenue = f.Orders, f.Revenue
		row.Path = pathOf(f.Path)
	}
	return row
}

// s1 is a sum of milliseconds in seconds.
func s1(ms ...int64) float64 {
	var sum int64
	for _, v := range ms {
		sum += v
	}
	return float64(sum) / msPerS
}

func pathOf(types []byte) string {
	var path strings.Builder
	for i, t := range types {
		if i > 0 {
			path.WriteByte('>')
		}
		path.WriteString(event.PageTypes[t])
	}
	return path.String()
}
