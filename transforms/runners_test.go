package transforms

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/mtime"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/runner"
)

func init() {
	register.DoFn3x0[int, []byte, func(beam.EventTime, int, []byte)](&inOrderFn{})
	register.DoFn1x0[rows.Batch](&collectFn{})
	register.DoFn2x0[int, []byte](&noteFn{})
	register.Function2x0(numberedFn)
	beam.RegisterType(reflect.TypeFor[rows.Batch]())
	beam.RegisterType(reflect.TypeFor[numbered]())
	RegisterLog("test", func(settings []byte) LogReader {
		v, _ := testLogs.Load(string(settings))
		l, _ := v.(LogReader)
		return l
	})
}

func TestMain(m *testing.M) {
	*jobopts.Experiments = "prism_disable_sdf_split" // as the job has it: a split lets a key's elements overtake each other
	ptest.MainWithDefault(m, "prism")
}

// testLogs are the logs of tests on runners, by job.
var testLogs sync.Map

// inOrderFn gives elements rising timestamps: runners order what waits for a key by them.
type inOrderFn struct{}

func (*inOrderFn) ProcessElement(i int, e []byte, emit func(beam.EventTime, int, []byte)) {
	emit(mtime.Time(i), int(e[0]), e[1:])
}

// collected are the rows of tests on runners, by job.
var collected sync.Map

type collectFn struct{ Job string }

func (fn *collectFn) ProcessElement(b rows.Batch) {
	v, _ := collected.LoadOrStore(fn.Job, &sync.Map{})
	v.(*sync.Map).Store(rand.Uint64(), b)
}

// numbered is an encoded batch with its place among the others.
type numbered struct {
	N     int
	Batch []byte // shard, then the batch
}

func numberedFn(n numbered, emit func(int, []byte)) { emit(n.N, n.Batch) }

// TestStagesOnRunners: the DoFns, their state and their outputs on Beam runners give
// what the stages give in a plain loop.
func TestStagesOnRunners(t *testing.T) {
	for _, name := range []string{"prism", runner.Name} {
		t.Run(name, func(t *testing.T) { stagesOn(t, name) })
	}
}

func stagesOn(t *testing.T, runner string) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 7))
		spec := testSpec(t, fmt.Sprint(runner, "-", seed), 1+int(seed)%2, 3)
		l := randomLog(r, spec.Partitions, 150, true, false)
		testLogs.Store(spec.Job, l)
		elements := l.cut(t, &spec, r)
		want := runPlain(t, &spec, l, elements)
		check(t, runOn(t, runner, spec, elements))
		got := tables{}
		v, ok := collected.Load(spec.Job)
		if !ok {
			t.Fatal("no rows")
		}
		v.(*sync.Map).Range(func(_, b any) bool { got.add(t, b.(rows.Batch)); return true })
		for _, table := range []string{rows.TableSessions, rows.TableSegmentState, rows.TableDeadLetters, rows.TableProgress} {
			anonymous := func(row map[string]string) bool { return !isUser(row) }
			same(t, seed, table, want.list(table, anonymous), got.list(table, anonymous))
		}
		same(t, seed, "moves", chains(want), chains(got))
		if len(got[rows.TableAudience]) == 0 {
			t.Error("no audience was decided")
		}
	}
}

// numberedIn are the elements in their order, as a PCollection<KV<int, []byte>>.
func numberedIn(s beam.Scope, elements []element) beam.PCollection {
	var list []numbered
	for i, e := range elements {
		list = append(list, numbered{i, append([]byte{byte(e.key)}, e.batch...)})
	}
	return beam.ParDo(s, &inOrderFn{}, beam.ParDo(s, numberedFn, beam.CreateList(s, list)))
}

// runOn runs the stages over the batches on a runner.
func runOn(t *testing.T, runner string, spec Spec, elements []element) error {
	t.Helper()
	openJob(t, &spec)
	p, s := beam.NewPipelineWithRoot()
	batches := numberedIn(s, elements)
	vectors, counts, deviceRows, _ := Devices(s, spec, LogSpec{Name: "test", Settings: []byte(spec.Job)}, batches)
	userCounts, userRows, _ := Persons(s, spec, vectors)
	audience, _ := Audience(s, spec, beam.Flatten(s, counts, userCounts))
	for _, col := range []beam.PCollection{deviceRows, userRows, audience} {
		beam.ParDo0(s, &collectFn{Job: spec.Job}, col)
	}
	_, err := beam.Run(t.Context(), runner, p)
	return err
}

// noteFn notes that something passes, by job.
type noteFn struct{ Job, What string }

var (
	notesMu sync.Mutex
	notes   = map[string][]string{}
)

func (fn *noteFn) ProcessElement(int, []byte) {
	notesMu.Lock()
	defer notesMu.Unlock()
	notes[fn.Job] = append(notes[fn.Job], fn.What)
}

// TestVectorsLeaveLast: our runner has the person stage done with a vector before the call
// that emits it returns. A batch's vectors left before its counts, the person stage told the
// audience of the time that they brought, and minutes were decided without those counts: on a
// quiet site an abandoned cart was nobody's for a minute or two.
func TestVectorsLeaveLast(t *testing.T) {
	spec := testSpec(t, "vectors-last", 1, 2)
	r := rand.New(rand.NewPCG(3, 7))
	l := randomLog(r, spec.Partitions, 300, true, false)
	testLogs.Store(spec.Job, l)
	openJob(t, &spec)
	p, s := beam.NewPipelineWithRoot()
	batches := numberedIn(s, l.cut(t, &spec, r))
	note := func(what string, col beam.PCollection) { beam.ParDo0(s, &noteFn{spec.Job, what}, col) }
	note("batch", batches)
	vectors, counts, _, _ := Devices(s, spec, LogSpec{Name: "test", Settings: []byte(spec.Job)}, batches)
	note("vectors", vectors)
	note("counts", counts)
	if _, err := beam.Run(t.Context(), runner.Name, p); err != nil {
		t.Fatal(err)
	}
	both, last := 0, ""
	for _, what := range notes[spec.Job] {
		switch {
		case what == "counts" && last == "vectors":
			t.Fatal("counts of a batch leave behind its vectors")
		case what == "vectors" && last == "counts":
			both++
		}
		last = what
	}
	if both == 0 {
		t.Errorf("no batch has counts and vectors: %v", notes[spec.Job])
	}
}

// TestBundleFails: a batch that cannot be read fails the job, and says where.
func TestBundleFails(t *testing.T) {
	for _, name := range []string{"prism", runner.Name} {
		spec := testSpec(t, name+"-fails", 1, 1)
		l := randomLog(rand.New(rand.NewPCG(1, 8)), 1, 20, false, false)
		testLogs.Store(spec.Job, l)
		elements := l.cut(t, &spec, rand.New(rand.NewPCG(1, 9)))
		elements[1].batch = elements[1].batch[:len(elements[1].batch)/2]
		err := runOn(t, name, spec, elements)
		if err == nil || !strings.Contains(err.Error(), "device shard 0") || !strings.Contains(err.Error(), "decoding a record batch") {
			t.Fatalf("a damaged batch gives %v on %s", err, name)
		}
	}
}
