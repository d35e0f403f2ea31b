package query

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/sinks/clickhouseio"
)

var (
	tree = []string{"everyone", "everyone/high", "everyone/high/cart", "everyone/high/mobile", "everyone/low", "everyone/low/idle"}
	// Needs no audience: served before there are audience rows, and in all of them.
	exempt = "everyone/high/cart"
	t0     = int64(1_772_000_000_000) / 60_000 * 60_000 // a whole minute
)

// world is a random history, and the naive model of what the views say of it.
type world struct {
	audience []rows.Audience
	events   []rows.SegmentEvent
	states   map[string]rows.SegmentState
	moves    []move
}

type move struct {
	person, from, to string
	at               int64
}

// prefixes are the nodes on a path, from the root; none for no path.
func prefixes(path string) (out []string) {
	for i, c := range path {
		if c == '/' {
			out = append(out, path[:i])
		}
	}
	if path != "" {
		out = append(out, path)
	}
	return out
}

func newWorld(r *rand.Rand, site string) *world {
	w := &world{states: map[string]rows.SegmentState{}}
	active := map[string]bool{"everyone": true, exempt: true}
	for m := range int64(12) {
		for _, n := range tree {
			before := active[n]
			if n != "everyone" && n != exempt && r.IntN(4) == 0 {
				active[n] = !before
			}
			w.audience = append(w.audience, rows.Audience{Site: site, Minute: t0 + m*60_000, Path: n, Members: r.Uint32N(100), Total: 100,
				Active: active[n], Exempt: n == exempt || n == "everyone", Why: fmt.Sprint("because of ", m), StaleShare: r.Float64(), SignalWeight: r.Float64(), Version: 5})
		}
	}
	for p := range 20 {
		person, path := fmt.Sprintf("d:%02d", p), ""
		at := t0 + r.Int64N(200_000)
		for n := range uint32(1 + r.IntN(6)) {
			to := tree[r.IntN(len(tree))]
			if to == path {
				continue
			}
			w.move(site, person, path, to, n+1, at)
			path = to
			at += []int64{0, 1, 60_000, r.Int64N(200_000)}[r.IntN(4)]
			if r.IntN(8) == 0 {
				at = at / 60_000 * 60_000 // exactly at a flip, perhaps before the last move
				at = max(at, w.moves[len(w.moves)-1].at)
			}
		}
		w.states[person] = rows.SegmentState{Site: site, Person: person, Path: path, Deleted: r.IntN(6) == 0, Version: 9}
	}
	return w
}

func (w *world) move(site, person, from, to string, n uint32, at int64) {
	w.moves = append(w.moves, move{person, from, to, at})
	ev := rows.SegmentEvent{Site: site, Person: person, Transition: n, FromPath: from, ToPath: to, Cause: "event", At: at, Version: 1}
	for _, node := range prefixes(from) {
		if !slices.Contains(prefixes(to), node) {
			ev.Node, ev.Action = node, rows.Left
			w.events = append(w.events, ev)
		}
	}
	for _, node := range prefixes(to) {
		if !slices.Contains(prefixes(from), node) {
			ev.Node, ev.Action = node, rows.Entered
			w.events = append(w.events, ev)
		}
	}
}

// served is the deepest active node on the path at a time, at least the root.
// With before it is as it was just before that time.
func (w *world) served(path string, at int64, before bool) string {
	nodes := prefixes(path)
	if len(nodes) == 0 {
		return ""
	}
	out := nodes[0]
	for _, n := range nodes {
		active := n == exempt
		for _, a := range w.audience {
			if a.Path == n && (a.Minute < at || a.Minute == at && !before) {
				active = a.Active
			}
		}
		if active {
			out = n
		}
	}
	return out
}

func (w *world) servedChanges() (out []string) {
	add := func(at int64, person, kind, from, to string) {
		if from != to {
			out = append(out, fmt.Sprint(at, " ", person, " ", kind, " ", from, ">", to))
		}
	}
	for _, m := range w.moves {
		add(m.at, m.person, "membership", w.served(m.from, m.at, false), w.served(m.to, m.at, false))
	}
	for minute := t0; minute < t0+12*60_000; minute += 60_000 {
		paths := map[string]string{}
		for _, m := range w.moves {
			if m.at < minute {
				paths[m.person] = m.to
			}
		}
		for person, path := range paths {
			add(minute, person, "activation", w.served(path, minute, true), w.served(path, minute, false))
		}
	}
	slices.Sort(out)
	return out
}

// memberships walks through each person's moves.
func (w *world) memberships() (out []string) {
	entered := map[string]int64{}
	for _, e := range w.events {
		k := e.Person + " " + e.Node
		if e.Action == rows.Entered {
			entered[k] = e.At
			continue
		}
		out = append(out, fmt.Sprint(k, " ", entered[k], " ", e.At))
		delete(entered, k)
	}
	for k, at := range entered {
		out = append(out, fmt.Sprint(k, " ", at, " "))
	}
	slices.Sort(out)
	return out
}

// write writes the world as a job with replays does: old versions, repetitions
// and another site in between.
func (w *world) write(r *rand.Rand, rec *record) {
	for range 2 {
		for _, a := range w.audience {
			old := a
			old.Version, old.Active, old.Members = 1, !a.Active, 1
			other := a
			other.Site, other.Active = "other", true
			put(rec, rows.NewAudienceBuilder(), old, other, a)
			if r.IntN(10) == 0 {
				rec.flush()
			}
		}
		put(rec, rows.NewSegmentEventBuilder(), w.events...)
		for _, s := range w.states {
			old := s
			old.Version, old.Path, old.Deleted = 1, "everyone/old", !s.Deleted
			put(rec, rows.NewSegmentStateBuilder(), s)
			if r.IntN(3) == 0 {
				rec.flush() // then the old version comes in a later insert
			}
			put(rec, rows.NewSegmentStateBuilder(), old)
		}
		rec.flush()
	}
}

func TestViewsAgreeWithTheNaiveModel(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 42))
		rec := newRecord(t)
		w := newWorld(r, "s")
		w.write(r, rec)
		end := t0 + 11*60_000
		var want []string
		for p, s := range w.states {
			if !s.Deleted {
				served, why := w.served(s.Path, end, false), ""
				if served != s.Path {
					why = "because of 11"
				}
				want = append(want, p+" "+s.Path+" "+served+" "+why)
			}
		}
		slices.Sort(want)
		equal(t, "segments_current", rec.lines("SELECT person, path, served, not_served FROM segments_current WHERE site = 's' ORDER BY person"), want)
		equal(t, "served_changes", rec.lines("SELECT toString(toUnixTimestamp64Milli(at)), person, kind, from_served || '>' || to_served FROM served_changes WHERE site = 's' ORDER BY 1, 2, 3, 4"), w.servedChanges())
		equal(t, "memberships", rec.lines("SELECT person, node, toString(toUnixTimestamp64Milli(entered_at)), if(left_at IS NULL, '', toString(toUnixTimestamp64Milli(assumeNotNull(left_at)))) FROM memberships WHERE site = 's'"), w.memberships())
	}
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	got = slices.Clone(got)
	slices.Sort(got)
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Fatalf("%s: %d rows, want %d; the first difference: %q, want %q", what, len(got), len(want), g, w)
		}
	}
}

// TestExemptBeforeAnyAudience: in the first minute of a site there is no
// audience row, and who is in a segment that needs none is served it all the
// same; of the others it is said why they are not.
func TestExemptBeforeAnyAudience(t *testing.T) {
	rec := newRecord(t)
	c := segment.NewCompiler(segment.NewSchema(nil), segment.Params{Kappa: 10})
	nodes, err := segment.NewTree(c, []segment.Spec{{Name: "high", When: "intent > 0.5", Children: []segment.Spec{{Name: "cart", Title: "Left", When: "cart.items > 0", Exempt: "answers a trigger", MinAudience: new(float64)}}}})
	if err != nil {
		t.Fatal(err)
	}
	describe := func(tree *segment.Tree, version int64) {
		if err := clickhouseio.DescribeTree(t.Context(), rec.dsn, "s", tree, segment.NewActivation(tree, 0.12, 0.02, 200), version); err != nil {
			t.Fatal(err)
		}
	}
	older, err := segment.NewTree(c, []segment.Spec{{Name: "gone", When: "intent > 0.5", Exempt: "was once", MinAudience: new(float64)}})
	if err != nil {
		t.Fatal(err)
	}
	describe(older, 1)
	describe(nodes, 2)
	put(rec, rows.NewSegmentStateBuilder(),
		rows.SegmentState{Site: "s", Person: "d:a", Path: "everyone/high/cart"}, rows.SegmentState{Site: "s", Person: "d:b", Path: "everyone/high"},
		rows.SegmentState{Site: "s", Person: "d:c", Path: "everyone/high", Bot: true})
	w := &world{}
	w.move("s", "d:a", "", "everyone/high/cart", 1, t0)
	put(rec, rows.NewSegmentEventBuilder(), w.events...)
	rec.flush()
	served := "SELECT person, served, not_served FROM segments_current WHERE site = 's'"
	equal(t, "segments_current", rec.lines(served), []string{"d:a everyone/high/cart ", "d:b everyone " + segment.WhyUndecided, "d:c everyone " + segment.WhyBot})
	equal(t, "served_changes", rec.lines("SELECT person, to_served FROM served_changes WHERE site = 's'"), []string{"d:a everyone/high/cart"})
	equal(t, "segment_nodes_current", rec.lines("SELECT path, title, condition, why FROM segment_nodes_current WHERE site = 's'"), []string{
		"everyone Everyone  exempt: everyone is always served", "everyone/high  intent > 0.5 " + segment.WhyUndecided, "everyone/high/cart Left cart.items > 0 exempt: answers a trigger"})
	r, err := Report(t.Context(), rec.conn, "s", DefaultThresholds)
	if err != nil || len(r.Segments) != 3 || !r.Segments[2].Active || !r.Segments[2].Exempt || r.Segments[1].Active || r.Segments[1].Why != segment.WhyUndecided {
		t.Fatalf("%+v, %v", r, err)
	}
	var text strings.Builder
	if err := WriteText(&text, r); err != nil || !strings.Contains(text.String(), "active (exempt)") ||
		!strings.Contains(text.String(), "  high/cart         exempt: answers a trigger\n") || !strings.Contains(text.String(), "  high              no audience decided yet\n") {
		t.Errorf("%v\n%s", err, &text)
	}
	put(rec, rows.NewAudienceBuilder(), rows.Audience{Site: "s", Minute: t0, Path: "everyone/high", Total: 5, Members: 3, Why: "3 of 5"})
	rec.flush()
	equal(t, "segments_current", rec.lines(served), []string{"d:a everyone/high/cart ", "d:b everyone 3 of 5", "d:c everyone " + segment.WhyBot})
}
