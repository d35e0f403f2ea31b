package transforms

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/signal"
)

// linkLog makes n records of a few devices, half of them about who uses them:
// links by identify and alias, log-outs, unlinks, deletions; late ones and
// ones that come twice.
func linkLog(r *rand.Rand, parts int32, n int) *testLog {
	l := &testLog{}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	var sent []string
	var from []int32
	for i := range n {
		at = at.Add(time.Duration(r.Int64N(int64([]time.Duration{time.Second, 20 * time.Second, 2 * time.Minute}[r.IntN(3)]))))
		d := r.IntN(4)
		p := home(d, parts)
		when := at
		if r.IntN(5) == 0 {
			when = at.Add(-time.Duration(r.Int64N(int64(11 * time.Minute))))
		}
		line, user := "", ""
		switch r.IntN(10) {
		case 0, 1, 2:
			line = control(r, d, i, when)
		case 3:
			if r.IntN(3) == 0 {
				l.add(p, tombstone(r, d, true, i))
				continue
			}
			line = fmt.Sprintf(`{"type":"identify","anonymousId":"d%d","userId":"%s","messageId":"%d","timestamp":"%s"}`, d, []string{"null", "u0", "u1", "u2"}[r.IntN(4)], i, when.Format(time.RFC3339Nano))
		case 4:
			if len(sent) > 0 {
				k := r.IntN(len(sent))
				line, p = sent[k], from[k]
				break
			}
			fallthrough
		case 5, 6:
			user = fmt.Sprint("u", r.IntN(3))
			fallthrough
		default:
			line = visit(r, fmt.Sprint("d", d), user, i, when)
		}
		if !strings.Contains(line, event.TypeUnlink) { // nobody sends that twice
			sent, from = append(sent, line), append(from, p)
		}
		l.add(p, line)
	}
	return l
}

// TestLinks: after any sequence of links, unlinks, log-outs and deletions, of
// late events and ones that come twice, the state is that of a fold over all
// events under the links that hold in the end: sessions, the sums, path and
// number of devices of each person, what serving reads under each key, which
// memberships are open, and who has gone beyond which limit.
func TestLinks(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for seed := range seeds(2000) {
		r := rand.New(rand.NewPCG(seed, 6))
		parts, shards := int32(3), 1+r.IntN(2)
		limited := r.IntN(2) == 0
		if limited { // who comes first is the log's order only in one partition
			parts, shards = 1, 1
		}
		spec := testSpec(t, fmt.Sprint("links-", seed), shards, parts)
		if limited {
			spec.MaxDevices, spec.MaxUsers = 1+r.IntN(2), 1+r.IntN(2)
		}
		l := linkLog(r, parts, 10+r.IntN(30))
		l.deleteUsers(r, 3)
		b, err := spec.buildOnce()
		check(t, err)
		open := memberships{}
		got := runPlainWith(t, &spec, l, l.cut(t, &spec, r), func(b rows.Batch) { open.take(t, seed, b) })
		d, err := event.NewDecoder(spec.Event)
		check(t, err)
		m := newModel(b)
		for _, rec := range l.arrival {
			m.take(t, d, rec)
		}
		got.erase(t, l.tombstones(t, &spec))
		got.eraseEpochs(t, m.gone)
		tried["deleted users"] += len(m.gone)
		compareModel(t, seed, got, m)
		compareExcess(t, seed, got, m)
		open.compare(t, seed, got)
		if len(m.gone) > 0 && !limited && len(l.tombstones(t, &spec)) == 0 && tried["read again"] < 150 {
			tried["read again"]++
			compareAgain(t, seed, &spec, l, r, got, m)
		}
		for _, row := range got[rows.TableSegmentEvents] {
			tried[row["cause"]]++
		}
		tried["refused alias"] += m.dead[event.Identity]
		tried["excess"] += len(m.excess)
		forgetBuilt(spec.Job)
	}
	for _, what := range []string{"link", "unlink", "erased", "refused alias", "excess", "deleted users"} {
		if tried[what] < 100 && !chosen() {
			t.Errorf("%d times %s: the sequences prove little", tried[what], what)
		}
	}
}

// compareAgain reads the whole log again, without the records of users who were deleted
// from shared devices: the sessions of all others have the keys that they had, and are
// as they were, and so are the persons.
func compareAgain(t *testing.T, seed uint64, spec *Spec, l *testLog, r *rand.Rand, got tables, m *model) {
	t.Helper()
	again := *spec
	again.Job += "-again"
	for _, x := range m.gone {
		again.Erased = append(again.Erased, identity.Erasure{Partition: x.partition, Offset: x.offset, From: x.number, To: x.to, Device: identity.HashDevice(x.device), User: identity.HashDevice(x.of)})
	}
	defer forgetBuilt(again.Job)
	compareLeft(t, seed, got, runPlain(t, &again, l, l.cut(t, &again, r)))
}

// compareLeft compares the sessions and persons that there are.
func compareLeft(t *testing.T, seed uint64, got, anew tables) {
	t.Helper()
	left := func(ts tables) (out []string) {
		for key, row := range ts[rows.TableSessions] {
			if row["deleted"] == "0" {
				out = append(out, fmt.Sprint(key, row["person"], row["claimed_user"], row["start"], row["end"], row["events"]))
			}
		}
		for _, row := range ts[rows.TableSegmentState] {
			if row["deleted"] == "0" {
				out = append(out, row["person"]+row["path"])
			}
		}
		slices.Sort(out)
		return out
	}
	if a, b := left(got), left(anew); !slices.Equal(a, b) {
		t.Fatalf("seed %d: the log read again gives\n%s\nand not\n%s", seed, strings.Join(b, "\n"), strings.Join(a, "\n"))
	}
}

// compareUsers: the sums of each user are those of its devices, at the time at
// which it was evaluated last.
func compareUsers(t *testing.T, seed uint64, got tables, m *model) {
	t.Helper()
	want := m.users(t, got)
	for user, path := range want {
		row := got[rows.TableSegmentState]["test|"+user]
		if row == nil || row["path"] != path {
			t.Fatalf("seed %d: %s is in %v, the model says %s", seed, user, row, path)
		}
		at, err := strconv.ParseInt(row["evaluated_at"], 10, 64)
		check(t, err)
		v := m.merge(m.linked(user[2:]), at)
		h := m.b.Spec.HalfLives
		for name, want := range map[string]float64{"live": sumOf(v.Live, at, h.Live), "long": sumOf(v.Long, at, h.Long), "devices": float64(len(m.devicesOf(user[2:])))} {
			x, err := strconv.ParseFloat(row[name], 64)
			check(t, err)
			if math.Abs(x-want) > 1e-9*math.Max(1, math.Abs(want)) {
				t.Fatalf("seed %d: %s has %s %v, the model %v", seed, user, name, x, want)
			}
		}
	}
}

func sumOf(d signal.Decayed, t int64, h float64) float64 { return d.At(max(t, d.Ref), h) }

// compareServed: under a device's key serving finds its own person or the user
// that it belongs to, and nothing where nothing is known.
func compareServed(t *testing.T, seed uint64, got tables, m *model) {
	t.Helper()
	for d, es := range m.devices {
		last, row := es[len(es)-1], got[tablePublished]["d:"+d]
		switch {
		case last.user != "":
			if row["user"] != last.user {
				t.Fatalf("seed %d: d:%s is published as %v, it belongs to %s", seed, d, row, last.user)
			}
		case len(last.events)+len(last.late) == 0:
			if row != nil {
				t.Fatalf("seed %d: nothing is known of d:%s, and it is published as %v", seed, d, row)
			}
		default:
			if path := pathOrNone(m.b.Segment.Tree, m.node[d]); row == nil || row["user"] != "" || row["path"] != path {
				t.Fatalf("seed %d: d:%s is published as %v, it stands in %s", seed, d, row, path)
			}
		}
	}
	users := m.users(t, got)
	for key, row := range got[tablePublished] {
		if strings.HasPrefix(key, "u:") && row["path"] != users[key] {
			t.Fatalf("seed %d: %s is published as %v, the model says %q", seed, key, row, users[key])
		}
	}
	for u := range users {
		if got[tablePublished][u] == nil {
			t.Fatalf("seed %d: nothing is published of %s", seed, u)
		}
	}
}

// compareModel compares all that does not depend on limits.
func compareModel(t *testing.T, seed uint64, got tables, m *model) {
	t.Helper()
	compareVerdicts(t, seed, got, m)
	compareSessions(t, seed, got, m)
	comparePersons(t, seed, got, m, true)
	comparePublished(t, seed, got)
	compareUsers(t, seed, got, m)
	compareServed(t, seed, got, m)
}

// compareExcess: who goes beyond a limit has one alert a day. A deletion lets
// the count begin again.
func compareExcess(t *testing.T, seed uint64, got tables, m *model) {
	t.Helper()
	var want, have []string
	for who := range m.excess {
		want = append(want, who)
	}
	for _, row := range got[rows.TableAlerts] {
		if row["kind"] != rows.AlertPersonDevices && row["kind"] != rows.AlertDevicePersons {
			continue
		}
		who := row["subject"] + " " + row["at"]
		have = append(have, who)
		value, err := strconv.ParseFloat(row["value"], 64)
		check(t, err)
		limit, err := strconv.ParseFloat(row["threshold"], 64)
		check(t, err)
		if value <= limit || value > limit+float64(len(m.excess[who])) {
			t.Fatalf("seed %d: %v, the model has %v", seed, row, m.excess[who])
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.Fatalf("seed %d: alerts %v, the model has %v", seed, have, want)
	}
}

// memberships are the nodes that each person is in, by the events in their order.
type memberships map[string]map[string]bool

func (o memberships) take(t *testing.T, seed uint64, b rows.Batch) {
	t.Helper()
	if b.Table != rows.TableSegmentEvents {
		return
	}
	eachRow(t, b, func(row map[string]string) {
		in := o[row["person"]]
		if in == nil {
			in = map[string]bool{}
			o[row["person"]] = in
		}
		if entered := row["action"] == rows.Entered; entered == in[row["node"]] {
			t.Fatalf("seed %d: %v, but the person is in %v", seed, row, slices.Sorted(maps.Keys(in)))
		} else if entered {
			in[row["node"]] = true
		} else {
			delete(in, row["node"])
		}
	})
}

// compare: each person is in the nodes on its path, and in no other.
func (o memberships) compare(t *testing.T, seed uint64, got tables) {
	t.Helper()
	for person, in := range o {
		var want []string
		path := got[rows.TableSegmentState]["test|"+person]["path"]
		for i := range path {
			if path[i] == '/' {
				want = append(want, path[:i])
			}
		}
		if path != "" {
			want = append(want, path)
		}
		if have := slices.Sorted(maps.Keys(in)); !slices.Equal(have, want) {
			t.Fatalf("seed %d: %s entered %v and did not leave; it stands in %q", seed, person, have, path)
		}
	}
}

// TestMembershipsThroughLinks tells a whole story. A link adds a device to a user
// whose path it does not change: the user enters nothing again, and the person
// that was the device leaves, because of the link. Unlinked, it enters as a new
// person, because of that; linked again it leaves again. A repeated alias and an
// unlink from somebody else say nothing.
func TestMembershipsThroughLinks(t *testing.T) {
	t.Parallel()
	spec := testSpec(t, "memberships", 2, 4)
	l := &testLog{}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	event := func(partition int32, typ, device, more string) {
		at = at.Add(time.Second)
		key := "anonymousId"
		if typ == "alias" {
			key = "previousId"
		}
		l.add(partition, fmt.Sprintf(`{"type":"%s","%s":"%s","messageId":"%d","timestamp":"%s"%s}`, typ, key, device, len(l.arrival), at.Format(time.RFC3339Nano), more))
	}
	// Nothing here has a weight, so that no link changes a path.
	const ann = `,"userId":"ann"`
	event(0, "identify", "desk", ann)
	event(1, "identify", "phone", "")
	event(1, "alias", "phone", ann) // the link
	event(1, "alias", "phone", ann)
	event(1, "$unlink", "phone", `,"userId":"bob"`)
	event(1, "$unlink", "phone", ann)
	event(1, "$unlink", "phone", ann)
	event(1, "identify", "phone", ann) // linked again
	event(1, "reset", "phone", "")
	event(1, "reset", "phone", "")
	event(1, "identify", "phone", "")
	event(0, "identify", "desk", ann) // an unlink has no time but that of its partition
	event(0, "$unlink", "desk", ann)
	event(1, "$unlink", "phone", ann) // of an earlier epoch: ann has no device left
	// The order within a person is its own; the stages have one for each partition.
	var got []string
	runPlainWith(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(1, 7))), func(b rows.Batch) {
		if b.Table == rows.TableSegmentEvents {
			eachRow(t, b, func(r map[string]string) {
				got = append(got, fmt.Sprintf("%s %s %s %s %s", r["person"], r["transition"], r["action"], r["node"], r["cause"]))
			})
		}
	})
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(strings.Fields(a)[0], strings.Fields(b)[0]) })
	want := []string{
		"d:desk 1 entered everyone unlink",
		"d:phone 1 entered everyone event", "d:phone 2 left everyone link",
		"d:phone 1 entered everyone unlink", "d:phone 2 left everyone link",
		"d:phone 1 entered everyone event",
		"u:ann 1 entered everyone event", "u:ann 2 left everyone unlink",
	}
	if !slices.Equal(got, want) {
		t.Errorf("membership events\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
