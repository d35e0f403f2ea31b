package transforms

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/signal"
	"github.com/microseg/microseg/transforms/wire"
)

// testSpec is the shipped configuration for a job of its own.
func testSpec(t testing.TB, job string, shards int, parts int32) Spec {
	t.Helper()
	cfg := config.Demo()
	rules, err := cfg.SignalRules()
	if err != nil {
		t.Fatal(err)
	}
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	return Spec{Site: "test", Job: job, Run: 1, Shards: shards, Partitions: parts, Event: cfg.EventConfig(), Signals: rules,
		HalfLives: signal.HalfLives{Live: float64(ms(cfg.HalfLives.Live)), Long: float64(ms(cfg.HalfLives.Long))}, Kappa: cfg.Intent.Kappa,
		GapMS: ms(cfg.Session.Gap), DwellCapMS: ms(cfg.Session.DwellCap), LatenessMS: ms(cfg.Lateness.Short), LongMS: ms(cfg.Lateness.Long), Patient: cfg.Patient(), RefreshMS: ms(cfg.Refresh),
		WindowMS: ms(cfg.Audience.Window), MinSpanMS: ms(cfg.Audience.MinSpan), Retention: ms(cfg.Retention), Activate: cfg.Audience.Activate, Hysteresis: cfg.Audience.Hysteresis,
		MinSample: cfg.Audience.MinSample, JumpFactor: cfg.Audience.JumpFactor, StaleShare: cfg.Audience.StaleShare, MaxDevices: cfg.Identity.MaxDevices, MaxUsers: cfg.Identity.MaxPersons, MinWeight: cfg.Health.SignalWeight, Segments: cfg.SegmentSpecs()}
}

// testLog is a log in memory. Records are numbered in the order of their appends.
type testLog struct {
	parts   map[int32][]identity.Record
	arrival []identity.Record
	step    int                       // records that are cut at once; 0: 1 to 9, at random
	before  int                       // records that a program has applied which knew no trusts
	until   int64                     // LegacyUntil of what comes behind them
	reads   int                       // ranges that were read again
	mended  map[identity.Place][]byte // what records say that are broken in the log
	poison  []identity.Place          // records whose vectors runPlain leaves out
	left    []identity.Place          // records that cut leaves out
}

func (l *testLog) add(partition int32, value string) { l.put(partition, value, event.Unstated) }

// put adds a record of which somebody has judged who sent it.
func (l *testLog) put(partition int32, value string, trust event.Trust) {
	if l.parts == nil {
		l.parts = map[int32][]identity.Record{}
	}
	r := identity.Record{Partition: partition, Offset: int64(len(l.parts[partition])), Value: []byte(value), Trust: trust}
	l.parts[partition] = append(l.parts[partition], r)
	l.arrival = append(l.arrival, r)
}

// trust lets records have come from whoever has the public key, mostly, and from
// others. What is sent again comes from the same, unless late: from somebody else it is
// no duplicate, but a late event.
func (l *testLog) trust(r *rand.Rand, late bool) {
	first := map[string]event.Trust{}
	for i := range l.arrival {
		rec := &l.arrival[i]
		rec.Trust = trusts[r.IntN(len(trusts))]
		if was, again := first[string(rec.Value)]; again && !late {
			rec.Trust = was
		}
		first[string(rec.Value)] = rec.Trust
		if strings.Contains(string(rec.Value), `"type":"$`) {
			rec.Trust = event.Unstated // the collector lets nobody else write those
		}
		l.parts[rec.Partition][rec.Offset] = *rec
	}
}

var trusts = []event.Trust{event.Public, event.Public, event.Public, event.Public, event.Public, event.Server, event.Proven, event.Linked, event.Unstated, event.Unchecked}

// ReadRange implements LogReader.
func (l *testLog) ReadRange(_ context.Context, partition int32, first, last int64, f func(identity.Record) error) error {
	l.reads++
	for _, r := range l.parts[partition][first : last+1] {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

// quietFor is for how long (ms) partitions were quiet in the end, longer than batches take.
const quietFor = 1000

// cut makes the batches of all shards, encoded, in an order in which a source
// could emit them; the last ones say that all partitions are idle.
func (l *testLog) cut(t testing.TB, spec *Spec, r *rand.Rand) (out []element) {
	t.Helper()
	d, err := NewBatchDecoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	w := wire.NewEventWriter()
	next := map[int32]int64{}
	ids := make([]int64, spec.Shards)
	emitted, done := int64(0), 0
	emit := func(shard int, records []identity.Record, idle int64) {
		emitted += 100
		raw := identity.RawBatch{Shard: shard, ID: ids[shard], Emitted: emitted, Semantics: 2}
		if done >= l.before {
			raw.Semantics, d.legacy = event.NewestSemantics, max(spec.LegacyUntil, l.until)
		}
		ids[shard]++
		switch {
		case idle > 0:
			raw.Due = emitted
		case r.IntN(3) == 0:
			raw.Due = emitted - r.Int64N(500)
		}
		for p := range spec.Partitions {
			if int(p)%spec.Shards != shard {
				continue
			}
			rg := identity.Range{Partition: p, Prev: next[p] - 1, First: next[p], Last: next[p] - 1, Idle: idle}
			for _, rec := range records {
				if rec.Partition == p {
					rg.Last = rec.Offset
				}
			}
			next[p] = rg.Last + 1
			raw.Ranges = append(raw.Ranges, rg)
		}
		raw.Chunks, raw.Poison = [][]identity.Record{records}, l.leftOf(records)
		h, b := d.Decode(&raw)
		enc, err := w.Encode(&h, b)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, element{shard, enc})
	}
	for i := 0; i < len(l.arrival); {
		n := min(cmp.Or(l.step, 1+r.IntN(9)), len(l.arrival)-i)
		if done = i; i < l.before {
			n = min(n, l.before-i)
		}
		for shard := range spec.Shards {
			var records []identity.Record
			for _, rec := range l.arrival[i : i+n] {
				if int(rec.Partition)%spec.Shards == shard {
					records = append(records, rec)
				}
			}
			emit(shard, records, 0)
		}
		i += n
	}
	done = len(l.arrival)
	for range 2 {
		for shard := range spec.Shards {
			emit(shard, nil, quietFor)
		}
	}
	return out
}

// leftOf are those of the records that are left out.
func (l *testLog) leftOf(records []identity.Record) (left []identity.Place) {
	for _, rec := range records {
		if at := (identity.Place{Partition: rec.Partition, Offset: rec.Offset}); slices.Contains(l.left, at) {
			left = append(left, at)
		}
	}
	return left
}

// sent is a batch as the decoder sends it to the device stage.
func sent(t testing.TB, d *BatchDecoder, raw *identity.RawBatch) []byte {
	t.Helper()
	h, b := d.Decode(raw)
	out, err := wire.NewEventWriter().Encode(&h, b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// element is one element of a keyed PCollection.
type element struct {
	key   int
	batch []byte
}

// tables are what a record holds: rows by table and key, the newest version of
// each in tables of state.
type tables map[string]map[string]map[string]string

// add reads a batch of rows.
func (ts tables) add(t testing.TB, b rows.Batch) {
	t.Helper()
	table, ok := rows.ByName(b.Table)
	if !ok {
		t.Fatalf("no table %q", b.Table)
	}
	if ts[b.Table] == nil {
		ts[b.Table] = map[string]map[string]string{}
	}
	eachRow(t, b, func(row map[string]string) {
		var key []string
		for _, c := range table.Keys() {
			key = append(key, row[table.Columns[c].Name])
		}
		k := strings.Join(key, "|")
		if old := ts[b.Table][k]; old == nil || !older(row["version"], old["version"]) {
			ts[b.Table][k] = row
		}
	})
}

// eachRow reads the rows of a batch as text; times are ms.
func eachRow(t testing.TB, b rows.Batch, f func(row map[string]string)) {
	t.Helper()
	table, _ := rows.ByName(b.Table)
	rd, err := ipc.NewReader(bytes.NewReader(b.Data))
	if err != nil || !rd.Next() {
		t.Fatalf("reading rows of %s: %v", b.Table, err)
	}
	rec := rd.Record()
	for i := range int(rec.NumRows()) {
		row := map[string]string{}
		for c, col := range table.Columns {
			row[col.Name] = rec.Column(c).ValueStr(i)
			if ts, ok := rec.Column(c).(*array.Timestamp); ok {
				row[col.Name] = strconv.FormatInt(int64(ts.Value(i)), 10)
			}
		}
		f(row)
	}
}

// tablePublished stands for the topic `segments`: the last record of each key.
const tablePublished = "published"

// publish reads a batch of records as the compacted topic would keep them.
func (ts tables) publish(t testing.TB, batch []byte) {
	t.Helper()
	if ts[tablePublished] == nil {
		ts[tablePublished] = map[string]map[string]string{}
	}
	check(t, segment.EachKeyed(batch, func(key, value []byte) {
		person := string(key)
		if len(value) == 0 {
			delete(ts[tablePublished], person)
			return
		}
		var r segment.Record
		check(t, r.Read(value))
		// Readers keep the newest by event time (serving/store).
		stamp, err := segment.StampOf(value)
		check(t, err)
		if held := ts[tablePublished][person]; held != nil {
			if was, err := strconv.ParseInt(held["at"], 10, 64); err != nil || stamp.Evaluated < was {
				check(t, err)
				return
			}
		}
		row := map[string]string{"person": person, "path": r.Path, "user": r.User, "last_event": fmt.Sprint(r.Last), "since": fmt.Sprint(r.Since), "at": fmt.Sprint(stamp.Evaluated)}
		if r.User != "" {
			row["last_event"], row["since"] = "", ""
		}
		ts[tablePublished][person] = row
	}))
}

// older compares versions, which are numbers without leading zeros.
func older(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }

// list is the table's rows as text, without some columns, sorted.
func (ts tables) list(table string, keep func(row map[string]string) bool, without ...string) []string {
	var out []string
	for _, row := range ts[table] {
		if keep != nil && !keep(row) {
			continue
		}
		var cols []string
		for c, v := range row {
			if !strings.Contains(" "+strings.Join(without, " ")+" ", " "+c+" ") {
				cols = append(cols, c+"="+v)
			}
		}
		sort.Strings(cols)
		out = append(out, strings.Join(cols, " "))
	}
	sort.Strings(out)
	return out
}

// visit writes a random event of a device as Segment would send it.
func visit(r *rand.Rand, device, user string, id int, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"anonymousId":"%s","messageId":"%d","timestamp":"%s"`, device, id, at.UTC().Format("2006-01-02T15:04:05.000Z"))
	if user != "" {
		fmt.Fprintf(&b, `,"userId":"%s"`, user)
	}
	path := []string{"/", "/category/a", "/product/1", "/product/2", "/compare/x", "/cart"}[r.IntN(6)]
	props := ""
	kind := []string{"page", "page", "Product Viewed", "Product Added", "Page Pinged", "Page Scrolled", "Element Hovered", "Order Completed", "Product Removed", "Element Clicked"}[r.IntN(10)]
	switch kind {
	case "Product Viewed", "Product Added", "Product Removed":
		props = fmt.Sprintf(`"price":%d,"quantity":%d,"category":"electronics","product_id":"p"`, 10+r.IntN(900), 1+r.IntN(2))
	case "Page Pinged":
		props = `"seconds":30`
	case "Page Scrolled":
		props = fmt.Sprintf(`"depth":0.%d`, 1+r.IntN(9))
	case "Element Hovered":
		props = fmt.Sprintf(`"element":"%s","duration_ms":%d`, []string{"price", "features"}[r.IntN(2)], 400+r.IntN(2000))
	case "Order Completed":
		props = `"total":99`
	}
	if kind == "page" {
		b.WriteString(`,"type":"page"`)
	} else {
		fmt.Fprintf(&b, `,"type":"track","event":"%s"`, kind)
	}
	fmt.Fprintf(&b, `,"properties":{%s},"context":{"device":{"type":"%s"},"page":{"path":"%s"}}}`, props, []string{"desktop", "mobile"}[r.IntN(2)], path)
	return b.String()
}

// ordered writes an order, which may come long after it was made.
func ordered(device int, user string, id int, at time.Time) string {
	if user != "" {
		user = fmt.Sprintf(`"userId":"%s",`, user)
	}
	return fmt.Sprintf(`{"type":"track","event":"Order Completed",%s"anonymousId":"d%d","messageId":"%d","timestamp":"%s","properties":{"total":50}}`, user, device, id, at.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// control links a device by alias, logs out on it, or takes it from a user.
func control(r *rand.Rand, device, id int, at time.Time) string {
	d, u := fmt.Sprint("d", device), fmt.Sprint("u", r.IntN(3))
	switch r.IntN(3) {
	case 0:
		return fmt.Sprintf(`{"type":"alias","previousId":"%s","userId":"%s","anonymousId":"other","messageId":"%d","timestamp":"%s"}`, d, u, id, at.UTC().Format("2006-01-02T15:04:05.000Z"))
	case 1:
		return fmt.Sprintf(`{"type":"reset","anonymousId":"%s","messageId":"%d"}`, d, id)
	}
	return string((&event.Unlinked{Device: d, User: u, Receipt: fmt.Sprint("r", id)}).Append(nil, "2026-03-01T10:00:00Z"))
}

// tombstone deletes a device, and now and then takes it from a user that it may
// not be linked to.
func tombstone(r *rand.Rand, device int, linked bool, id int) string {
	t := event.Deleted{Device: fmt.Sprint("d", device), Receipt: fmt.Sprint("r", id)}
	if linked && r.IntN(2) == 0 {
		t.User = fmt.Sprint("u", r.IntN(2))
	}
	return string(t.Append(nil, "2026-03-01T10:00:00Z"))
}

// tombstones are the last ones of the log's devices.
func (l *testLog) tombstones(t testing.TB, spec *Spec) (last map[string]identity.Erasure) {
	t.Helper()
	d, err := event.NewDecoder(spec.Event)
	check(t, err)
	last = map[string]identity.Erasure{}
	for _, r := range l.arrival {
		var e event.Event
		if d.Decode(r.Value, event.Unstated, 0, &e) == nil && e.Kind == event.KindDelete {
			last[e.Device] = identity.Erasure{Partition: r.Partition, Offset: r.Offset, Device: identity.HashDevice(e.Device)}
		}
	}
	return last
}

// erase drops the session rows from before the tombstones, as who deletes does.
func (ts tables) erase(t testing.TB, last map[string]identity.Erasure) {
	t.Helper()
	for key, row := range ts[rows.TableSessions] {
		version, err := strconv.ParseInt(row["version"], 10, 64)
		check(t, err)
		if x, ok := last[row["device"]]; ok && version>>13 < x.Offset {
			delete(ts[rows.TableSessions], key)
		}
	}
}

// eraseEpochs drops the session rows of a user's epochs, as who deletes the user does.
func (ts tables) eraseEpochs(t testing.TB, gone []erasedEpoch) {
	t.Helper()
	for key, row := range ts[rows.TableSessions] {
		version, err := strconv.ParseInt(row["version"], 10, 64)
		check(t, err)
		if slices.ContainsFunc(gone, func(x erasedEpoch) bool {
			// A device that was forgotten in between has two epochs of the number 0.
			starts := slices.ContainsFunc(x.events, func(e event.Event) bool { return strconv.FormatInt(e.Time, 10) == row["start"] })
			return x.device == row["device"] && strconv.FormatInt(x.number, 10) == row["epoch"] && version>>13 < x.offset && starts
		}) {
			delete(ts[rows.TableSessions], key)
		}
	}
}

// eraseOpen drops the rows of sessions that were open when a user was deleted from their
// device, and had no row since: whether one of the user's had its first row by then is a
// matter of when rows are due. Who deletes the user drops it.
func (ts tables) eraseOpen(t testing.TB, l *testLog) {
	t.Helper()
	last := map[string]int64{}
	for _, rec := range l.arrival {
		var e struct{ Type, AnonymousID string }
		if json.Unmarshal(rec.Value, &e) == nil && e.Type == event.TypeDeleteUser {
			last[e.AnonymousID] = max(last[e.AnonymousID], rec.Offset)
		}
	}
	for key, row := range ts[rows.TableSessions] {
		version, err := strconv.ParseInt(row["version"], 10, 64)
		check(t, err)
		if at, ok := last[row["device"]]; ok && row["open"] == "1" && version>>13 < at {
			delete(ts[rows.TableSessions], key)
		}
	}
}

// deleteUsers makes one of so many of the log's unlinks deletions of the user on that device.
func (l *testLog) deleteUsers(r *rand.Rand, share int) {
	for i := range l.arrival {
		if rec := &l.arrival[i]; r.IntN(share) == 0 {
			rec.Value = bytes.Replace(rec.Value, []byte(event.TypeUnlink), []byte(event.TypeDeleteUser), 1)
			l.parts[rec.Partition][rec.Offset] = *rec
		}
	}
}

// home is the partition of one of a log's devices.
func home(device int, parts int32) int32 { return event.Home(fmt.Sprint("d", device), parts) }

// randomLog makes n events of a few devices over a few hours. Late ones stay
// within the allowed lateness but for a few; some are sent twice, some cannot be
// read, some devices are deleted. linked devices state users, now and then another one.
func randomLog(r *rand.Rand, parts int32, n int, linked, late bool) *testLog {
	return crowdedLog(r, parts, n, 5, linked, late)
}

// crowdedLog is randomLog of so many devices.
func crowdedLog(r *rand.Rand, parts int32, n, devices int, linked, late bool) *testLog {
	l := &testLog{}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	var sent []string
	var from []int32
	crowd := devices > 60 // comes within a few hours, too, and more of it are users
	for i := range n {
		step := time.Duration(r.Int64N(int64([]time.Duration{2 * time.Second, 40 * time.Second, 3 * time.Minute, 35 * time.Minute}[r.IntN(4)])))
		if crowd {
			step /= 10
		}
		at = at.Add(step)
		d := r.IntN(devices)
		p := home(d, parts)
		switch {
		case r.IntN(30) == 0:
			l.add(p, "no json")
			continue
		case r.IntN(25) == 0:
			l.add(p, tombstone(r, d, linked, i))
			continue
		case linked && r.IntN(10) == 0:
			line := control(r, d, i, at)
			if !strings.Contains(line, event.TypeUnlink) { // nobody sends that twice
				sent, from = append(sent, line), append(from, p)
			}
			l.add(p, line)
			continue
		case len(sent) > 0 && r.IntN(12) == 0:
			k := r.IntN(len(sent))
			l.add(from[k], sent[k])
			continue
		}
		when, user := at, ""
		if late && r.IntN(4) == 0 {
			when = at.Add(-time.Duration(r.Int64N(int64(11 * time.Minute))))
		}
		if linked && (d < 3 || crowd && d%4 == 0) && r.IntN(4) == 0 {
			user = fmt.Sprint("u", r.IntN(2))
		}
		line := visit(r, fmt.Sprint("d", d), user, i, when)
		if late && r.IntN(8) == 0 { // a phone's queue, after an outage
			line = ordered(d, user, i, at.Add(-time.Duration(r.Int64N(int64(3*time.Hour)))))
		}
		line = received(rand.New(rand.NewPCG(uint64(n), uint64(i))), line, at) // the rest of the log is the same with it and without
		sent, from = append(sent, line), append(from, p)
		l.add(p, line)
	}
	return l
}

// received lets about half of the records pass a collector, several in one request, and
// some say that nobody visits by them.
func received(r *rand.Rand, line string, at time.Time) string {
	if r.IntN(2) == 0 {
		receipt := at.Add(time.Duration(r.IntN(2000)) * time.Millisecond).Truncate(time.Duration(1+59*r.IntN(2)) * time.Second)
		receipt = receipt.Add(137 * time.Millisecond) // the data clock may be there, and nothing happens at the ms of a tick
		line = fmt.Sprintf(`{"receivedAt":"%s",%s`, receipt.UTC().Format("2006-01-02T15:04:05.000Z"), line[1:])
	}
	if r.IntN(10) == 0 {
		line = strings.Replace(line, `"context":{`, `"context":{"active":false,`, 1)
	}
	return line
}
