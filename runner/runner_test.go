package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/metrics"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/typex"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/rtrackers/offsetrange"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

func init() {
	register.DoFn4x2[context.Context, *sdf.LockRTracker, int, func(int, int), sdf.ProcessContinuation, error](&countingFn{})
	register.DoFn4x1[state.Provider, int, int, func(int, int), error](&sumFn{})
	register.DoFn4x1[context.Context, int, int, func(string), error](&wordFn{})
	register.DoFn1x1[string, error](&sinkFn{})
	register.DoFn2x0[typex.Window, string](&windowFn{})
	register.DoFn2x1[int, int, error](&failFn{})
	register.DoFn3x0[int, int, func(int, int)](&mixFn{})
	register.DoFn3x1[state.Provider, int, int, error](&kindFn{})
	register.DoFn3x1[state.Provider, int, int, error](&unreadyFn{})
	register.Emitter2[int, int]()
	register.Emitter1[string]()
	register.Function3x0(swap)
	register.Function1x2(keyOf)
	register.Function2x1(withSide)
}

func TestMain(m *testing.M) {
	*jobopts.Experiments = "prism_disable_sdf_split"
	ptest.MainWithDefault(m, Name)
}

// each runs a test of a pipeline on this runner and on Prism, whose word is Beam's.
func each(t *testing.T, test func(t *testing.T, name string, run func(*beam.Pipeline) (beam.PipelineResult, error))) {
	for _, runner := range []string{Name, "prism"} {
		t.Run(runner, func(t *testing.T) {
			t.Parallel()
			test(t, t.Name(), func(p *beam.Pipeline) (beam.PipelineResult, error) { return beam.Run(t.Context(), runner, p) })
		})
	}
}

// countingFn is an unbounded source in small: element n stands for the numbers 0 to n-1;
// each call gives up to three of them and asks to be called again.
type countingFn struct{ Endless bool }

func (fn *countingFn) CreateInitialRestriction(n int) offsetrange.Restriction {
	return offsetrange.Restriction{Start: 0, End: int64(n)}
}

func (fn *countingFn) SplitRestriction(_ int, r offsetrange.Restriction) []offsetrange.Restriction {
	return r.EvenSplits(2)
}

func (fn *countingFn) RestrictionSize(_ int, r offsetrange.Restriction) float64 { return r.Size() }

func (fn *countingFn) CreateTracker(r offsetrange.Restriction) *sdf.LockRTracker {
	return sdf.NewLockRTracker(offsetrange.NewTracker(r))
}

func (fn *countingFn) TruncateRestriction(rt *sdf.LockRTracker, _ int) offsetrange.Restriction {
	r := rt.GetRestriction().(offsetrange.Restriction)
	r.End = r.Start + 1 // one more, to show that it is processed
	return r
}

func (fn *countingFn) ProcessElement(ctx context.Context, rt *sdf.LockRTracker, n int, emit func(int, int)) (sdf.ProcessContinuation, error) {
	i := rt.GetRestriction().(offsetrange.Restriction).Start
	for range 3 {
		if !rt.TryClaim(i) {
			return sdf.StopProcessing(), rt.GetError()
		}
		emit(int(i%5), int(i))
		i++
	}
	return sdf.ResumeProcessingIn(0), ctx.Err()
}

// sumFn sums up the values of a key, and keeps them: value and bag state.
type sumFn struct {
	Sum  state.Value[int]
	Seen state.Bag[int]
}

func (fn *sumFn) ProcessElement(p state.Provider, key, v int, emit func(int, int)) error {
	sum, _, err := fn.Sum.Read(p)
	if err != nil {
		return err
	}
	if err := fn.Seen.Add(p, v); err != nil {
		return err
	}
	seen, _, err := fn.Seen.Read(p)
	if err != nil {
		return err
	}
	want := v
	for _, s := range seen[:len(seen)-1] {
		want += s
	}
	if sum+v != want {
		return fmt.Errorf("key %d: the sum is %d, and what was seen sums up to %d", key, sum+v, want)
	}
	if len(seen) == 40 { // clearing is part of the suite
		if err := fn.Seen.Clear(p); err != nil {
			return err
		}
		if err := fn.Seen.Add(p, sum+v); err != nil {
			return err
		}
	}
	emit(key, sum+v)
	return fn.Sum.Write(p, sum+v)
}

// wordFn counts its instances and bundles, and what it sees.
type wordFn struct {
	Test string
	seen beam.Counter
	in   int
}

func (fn *wordFn) Setup() {
	count(fn.Test, "set up", 1)
	fn.seen = beam.NewCounter("suite", "seen")
}
func (fn *wordFn) StartBundle(func(string))  { fn.in = 0 }
func (fn *wordFn) FinishBundle(func(string)) { count(fn.Test, "in bundles", fn.in) }
func (fn *wordFn) Teardown()                 { count(fn.Test, "torn down", 1) }

func (fn *wordFn) ProcessElement(ctx context.Context, k, v int, emit func(string)) error {
	fn.seen.Inc(ctx, 1)
	fn.in++
	emit(fmt.Sprint(k, " ", v))
	return nil
}

// sinkFn keeps what arrives, by test.
type sinkFn struct{ Test string }

func (fn *sinkFn) ProcessElement(s string) error {
	count(fn.Test, s, 1)
	return nil
}

var (
	countsMu sync.Mutex
	counts   = map[string]map[string]int{}
)

func count(test, what string, n int) {
	countsMu.Lock()
	defer countsMu.Unlock()
	if counts[test] == nil {
		counts[test] = map[string]int{}
	}
	counts[test][what] += n
}

// counted is what a test has counted, and forgets it.
func counted(test string) map[string]int {
	countsMu.Lock()
	defer countsMu.Unlock()
	defer delete(counts, test)
	return maps.Clone(counts[test])
}

// last is the largest value of each key.
func last(c map[string]int) map[int]int {
	out := map[int]int{}
	for s := range c {
		var k, v int
		if n, _ := fmt.Sscan(s, &k, &v); n == 2 {
			out[k] = max(out[k], v)
		}
	}
	return out
}

// TestSource: a source that checkpoints itself, with restrictions that are split, through
// state: nothing is lost, nothing comes twice, and one key's elements never meet.
func TestSource(t *testing.T) {
	each(t, func(t *testing.T, name string, run func(*beam.Pipeline) (beam.PipelineResult, error)) {
		p, s := beam.NewPipelineWithRoot()
		numbers := beam.ParDo(s, &countingFn{}, beam.Reshuffle(s, beam.Create(s, 100, 60)))
		sums := beam.ParDo(s, &sumFn{Sum: state.MakeValueState[int]("sum"), Seen: state.MakeBagState[int]("seen")}, numbers)
		beam.ParDo0(s, &sinkFn{Test: name}, beam.ParDo(s, &wordFn{Test: name}, sums))
		result, err := run(p)
		if err != nil {
			t.Fatal(err)
		}
		got := counted(name)
		want := map[int]int{}
		for i := range 100 {
			want[i%5] += i
		}
		for i := range 60 {
			want[i%5] += i
		}
		if !maps.Equal(last(got), want) || got["in bundles"] != 160 {
			t.Errorf("%v; want sums %v of 160 elements", got, want)
		}
		seen := result.Metrics().Query(func(r metrics.SingleResult) bool { return r.Name() == "seen" }).Counters()
		total := int64(0)
		for _, c := range seen {
			total += c.Result()
		}
		if total != 160 && strings.Contains(name, Name) { // Prism's are those of a moment
			t.Errorf("the counter is %d", total)
		}
		if strings.HasPrefix(name, "TestSource/"+Name) && (got["set up"] == 0 || got["set up"] != got["torn down"]) {
			t.Errorf("%d DoFns were set up and %d torn down", got["set up"], got["torn down"])
		}
	})
}

func swap(k, v int, emit func(int, int)) { emit(v, k) }
func keyOf(n int) (int, int)             { return n % 3, n }

// mixFn keeps what it was told in a field that does not travel.
type mixFn struct {
	By   int
	lost int
}

func (fn *mixFn) ProcessElement(k, v int, emit func(int, int)) { emit(k, v*fn.By+fn.lost) }

// TestFlatten: a PCollection that several steps consume, and one that several make; and a
// DoFn's instance is what travelled, as elsewhere.
func TestFlatten(t *testing.T) {
	each(t, func(t *testing.T, name string, run func(*beam.Pipeline) (beam.PipelineResult, error)) {
		p, s := beam.NewPipelineWithRoot()
		pairs := beam.ParDo(s, keyOf, beam.Create(s, 1, 2, 3, 4))
		other := beam.ParDo(s, swap, pairs)
		tens := beam.ParDo(s, &mixFn{By: 10, lost: 7}, pairs)
		beam.ParDo0(s, &sinkFn{Test: name}, beam.ParDo(s, &wordFn{Test: name}, beam.Flatten(s, pairs, other, tens, pairs)))
		if _, err := run(p); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{}
		for _, n := range []int{1, 2, 3, 4} {
			want[fmt.Sprint(n%3, " ", n)] += 2
			want[fmt.Sprint(n, " ", n%3)]++
			want[fmt.Sprint(n%3, " ", 10*n)]++
		}
		got := counted(name)
		maps.DeleteFunc(got, func(s string, _ int) bool {
			return strings.Contains(s, "up") || strings.Contains(s, "n b") || strings.Contains(s, "down")
		})
		if !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// TestEmpty: a source without elements, and a pipeline without a source.
func TestEmpty(t *testing.T) {
	each(t, func(t *testing.T, name string, run func(*beam.Pipeline) (beam.PipelineResult, error)) {
		p, s := beam.NewPipelineWithRoot()
		numbers := beam.ParDo(s, &countingFn{}, beam.Reshuffle(s, beam.Create(s, 0)))
		sums := beam.ParDo(s, &sumFn{Sum: state.MakeValueState[int]("sum"), Seen: state.MakeBagState[int]("seen")}, numbers)
		beam.ParDo0(s, &sinkFn{Test: name}, beam.ParDo(s, &wordFn{Test: name}, sums))
		if _, err := run(p); err != nil {
			t.Fatal(err)
		}
		if got := last(counted(name)); len(got) > 0 {
			t.Errorf("%v came from nowhere", got)
		}
	})
}

// failFn fails, or panics, at 7.
type failFn struct{ Panic bool }

var errSeven = errors.New("seven is not taken")

func (fn *failFn) ProcessElement(_, v int) error {
	if v == 7 && fn.Panic {
		panic("seven is worse")
	}
	if v == 7 {
		return errSeven
	}
	return nil
}

// TestFails: a DoFn that fails or panics ends the run with its words, also while an
// endless source runs beside it.
func TestFails(t *testing.T) {
	each(t, func(t *testing.T, _ string, run func(*beam.Pipeline) (beam.PipelineResult, error)) {
		for _, panics := range []bool{false, true} {
			p, s := beam.NewPipelineWithRoot()
			numbers := beam.ParDo(s, &countingFn{}, beam.Reshuffle(s, beam.Create(s, 1<<40, 1<<41)))
			sums := beam.ParDo(s, &sumFn{Sum: state.MakeValueState[int]("sum"), Seen: state.MakeBagState[int]("seen")}, beam.ParDo(s, keyOf, beam.Create(s, 1, 2, 4)))
			beam.ParDo0(s, &failFn{Panic: panics}, sums) // 1 + 2 + 4 are of other keys
			beam.ParDo0(s, &failFn{Panic: panics}, numbers)
			_, err := run(p)
			if want := map[bool]string{true: "seven is worse", false: errSeven.Error()}[panics]; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "tearing") {
				t.Errorf("%v; want %q", err, want)
			}
		}
	})
}

// unreadyFn cannot be set up.
type unreadyFn struct{ V state.Value[int] }

func (*unreadyFn) Setup() error                                  { return errors.New("there is no room") }
func (*unreadyFn) ProcessElement(state.Provider, int, int) error { return nil }

// TestSetupFails: a DoFn that cannot be set up says why, with state and without.
func TestSetupFails(t *testing.T) {
	each(t, func(t *testing.T, _ string, run func(*beam.Pipeline) (beam.PipelineResult, error)) {
		p, s := beam.NewPipelineWithRoot()
		beam.ParDo0(s, &unreadyFn{V: state.MakeValueState[int]("v")}, beam.ParDo(s, keyOf, beam.Create(s, 1, 2)))
		if _, err := run(p); err == nil || !strings.Contains(err.Error(), "there is no room") || strings.Contains(err.Error(), "tearing") {
			t.Errorf("%v", err)
		}
	})
}

// windowFn notes windows of what it gets.
type windowFn struct{ Test string }

func (fn *windowFn) ProcessElement(w typex.Window, s string) {
	count(fn.Test, fmt.Sprint(reflect.TypeOf(w), " ", s), 1)
}

// TestWindows: fixed windows are windows.
func TestWindows(t *testing.T) {
	each(t, func(t *testing.T, name string, run func(*beam.Pipeline) (beam.PipelineResult, error)) {
		p, s := beam.NewPipelineWithRoot()
		words := beam.WindowInto(s, window.NewFixedWindows(time.Minute), beam.Create(s, "a", "b"))
		beam.ParDo0(s, &windowFn{Test: name}, words)
		if _, err := run(p); err != nil {
			t.Fatal(err)
		}
		if got := counted(name); len(got) != 2 || got["window.IntervalWindow a"] != 1 {
			t.Errorf("%v", got)
		}
	})
}

// endless is a pipeline whose source does not end.
func endless(name string) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	numbers := beam.ParDo(s, &countingFn{}, beam.Reshuffle(s, beam.Create(s, 1<<40)))
	sums := beam.ParDo(s, &sumFn{Sum: state.MakeValueState[int]("sum"), Seen: state.MakeBagState[int]("seen")}, numbers)
	beam.ParDo0(s, &sinkFn{Test: name}, beam.ParDo(s, &wordFn{Test: name}, sums))
	return p
}

// TestStopWhileBusy: the context's end stops a busy run, and tears its DoFns down.
func TestStopWhileBusy(t *testing.T) {
	name := t.Name()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Execute(ctx, endless(name))
		ended <- err
	}()
	busy(t, name)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := counted(name); got["set up"] != got["torn down"] {
		t.Errorf("%d set up, %d torn down", got["set up"], got["torn down"])
	}
}

// TestDrain: an endless source is truncated where it is; what was read, and what the
// truncated restriction has left, goes through the graph, and the run ends well.
func TestDrain(t *testing.T) {
	name, drain := t.Name(), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), endless(name), Options{Drain: drain})
		ended <- err
	}()
	busy(t, name)
	close(drain)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	got := counted(name)
	n := got["in bundles"]
	if n%3 == 0 { // 3 a call, of two restrictions, and one more each at the end
		t.Errorf("%d elements: the truncated restrictions have one each", n)
	}
}

// busy waits until elements arrive.
func busy(t *testing.T, name string) {
	t.Helper()
	for {
		countsMu.Lock()
		n := counts[name]["in bundles"]
		countsMu.Unlock()
		if n > 100 {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("nothing arrives")
		}
		time.Sleep(time.Millisecond)
	}
}

// kindFn uses a kind of state that other runners have not, either.
type kindFn struct{ Map state.Map[int, int] }

func (fn *kindFn) ProcessElement(p state.Provider, k, v int) error { return fn.Map.Put(p, k, v) }

func withSide(n int, side []int) int { return n + len(side) }

// TestRefused: what the runner cannot do it says before it does anything.
func TestRefused(t *testing.T) {
	for what, build := range map[string]func(s beam.Scope, numbers beam.PCollection){
		"side inputs": func(s beam.Scope, numbers beam.PCollection) {
			beam.ParDo(s, withSide, numbers, beam.SideInput{Input: numbers})
		},
		"GroupByKey": func(s beam.Scope, numbers beam.PCollection) { beam.GroupByKey(s, beam.ParDo(s, keyOf, numbers)) },
		"Combine":    func(s beam.Scope, numbers beam.PCollection) { stats.Sum(s, numbers) },
		"windows of the kind SES": func(s beam.Scope, numbers beam.PCollection) {
			beam.WindowInto(s, window.NewSessions(time.Minute), numbers)
		},
		"map state": func(s beam.Scope, numbers beam.PCollection) {
			beam.ParDo0(s, &kindFn{Map: state.MakeMapState[int, int]("map")}, beam.ParDo(s, keyOf, numbers))
		},
	} {
		t.Run(what, func(t *testing.T) {
			name := t.Name()
			p, s := beam.NewPipelineWithRoot()
			s = s.Scope("shop")
			build(s, beam.Create(s, 1, 2, 3))
			beam.ParDo0(s, &sinkFn{Test: name}, beam.Create(s, "something happened"))
			_, err := beam.Run(t.Context(), Name, p)
			var no *UnsupportedError
			if !errors.As(err, &no) || !strings.Contains(err.Error(), what) && !(what == "Combine" && strings.Contains(err.Error(), "GroupByKey")) {
				t.Fatalf("%v", err)
			}
			if !strings.HasPrefix(no.Step, "shop/") || len(counted(name)) > 0 {
				t.Errorf("step %q; %v", no.Step, counted(name))
			}
			t.Log(err)
		})
	}
}

// TestManyKeys: more keys than instances share them.
func TestManyKeys(t *testing.T) {
	name := t.Name()
	var list []int
	for i := range 2000 {
		list = append(list, i, i)
	}
	p, s := beam.NewPipelineWithRoot()
	pairs := beam.ParDo(s, &doubleFn{}, beam.CreateList(s, list))
	sums := beam.ParDo(s, &sumFn{Sum: state.MakeValueState[int]("sum"), Seen: state.MakeBagState[int]("seen")}, pairs)
	beam.ParDo0(s, &sinkFn{Test: name}, beam.ParDo(s, &wordFn{Test: name}, sums))
	if _, err := beam.Run(t.Context(), Name, p); err != nil {
		t.Fatal(err)
	}
	got := last(counted(name))
	for i := range 2000 {
		if got[i] != 2*i {
			t.Fatalf("key %d has %d", i, got[i])
		}
	}
	if !slices.Contains(slices.Collect(maps.Keys(got)), 1999) {
		t.Error("keys are missing")
	}
}

type doubleFn struct{}

func (*doubleFn) ProcessElement(n int, emit func(int, int)) { emit(n, n) }

func init() { register.DoFn2x0[int, func(int, int)](&doubleFn{}) }
