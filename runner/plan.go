package runner

import (
	"fmt"
	"path"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/graphx"
	v1pb "github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/graphx/v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
)

// UnsupportedError names what of a pipeline the runner cannot execute.
type UnsupportedError struct {
	Step string // the transform, with its scope
	What string // of it
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("the local runner has no %s, which %s needs; run the pipeline with --runner prism, or on Flink or Dataflow", e.What, e.Step)
}

// plan is a pipeline that the runner can execute.
type plan struct {
	consumers map[int][]*graph.MultiEdge // of a PCollection, by its node
	encoded   map[int]*v1pb.MultiEdge    // edges with DoFns
}

// newPlan checks the edges and encodes their DoFns: each instance is decoded from that,
// as on a runner whose workers are elsewhere. So a field that does not travel is missing
// here as well, and not first on Flink.
func newPlan(edges []*graph.MultiEdge) (*plan, error) {
	p := &plan{consumers: map[int][]*graph.MultiEdge{}, encoded: map[int]*v1pb.MultiEdge{}}
	for _, e := range edges {
		if what := unsupported(e); what != "" {
			return nil, &UnsupportedError{Step: nameOf(e), What: what}
		}
		for _, in := range e.Input {
			p.consumers[in.From.ID()] = append(p.consumers[in.From.ID()], e)
		}
		if e.Op == graph.ParDo {
			var err error
			if p.encoded[e.ID()], err = graphx.EncodeMultiEdge(e); err != nil {
				return nil, fmt.Errorf("encoding %s (its type must be registered with Beam): %w", nameOf(e), err)
			}
		}
	}
	return p, nil
}

// doFn decodes a new instance of the edge's DoFn.
func (p *plan) doFn(e *graph.MultiEdge) (*graph.DoFn, error) {
	_, fn, _, _, _, err := graphx.DecodeMultiEdge(p.encoded[e.ID()])
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", nameOf(e), err)
	}
	return graph.AsDoFn(fn, graph.MainUnknown)
}

// unsupported names what the runner has not; empty: it has all of the edge.
func unsupported(e *graph.MultiEdge) string {
	switch e.Op {
	case graph.Impulse, graph.Flatten, graph.Reshuffle:
		return ""
	case graph.WindowInto:
		return unsupportedWindows(e.WindowFn)
	case graph.ParDo:
		return unsupportedParDo(e)
	case graph.CoGBK:
		return "GroupByKey or CoGroupByKey"
	case graph.Combine:
		return "Combine"
	case graph.External:
		return "transforms of other languages"
	}
	return string(e.Op)
}

func unsupportedWindows(fn *window.Fn) string {
	switch fn.Kind {
	case window.GlobalWindows, window.FixedWindows:
		return ""
	}
	return fmt.Sprintf("windows of the kind %s (only global and fixed ones)", fn.Kind)
}

// stateKinds are what Beam calls the kinds of state that the runner has not.
var stateKinds = map[state.TypeEnum]string{state.TypeCombining: "combining", state.TypeMap: "map", state.TypeSet: "set", state.TypeOrderedList: "ordered list"}

func unsupportedParDo(e *graph.MultiEdge) string {
	fn := e.DoFn.ProcessElementFn()
	_, finalizes := fn.BundleFinalization()
	_, timed := e.DoFn.OnTimerFn()
	timers, _ := e.DoFn.PipelineTimers()
	switch {
	case len(e.Input) > 1:
		return "side inputs"
	case timed || len(timers) > 0:
		return "timers"
	case finalizes:
		return "bundle finalizers"
	}
	for _, s := range e.DoFn.PipelineState() {
		if kind := stateKinds[s.StateType()]; kind != "" {
			return kind + " state (only value and bag state)"
		}
	}
	if e.DoFn.IsSplittable() && isStateful(e) {
		return "state in a splittable DoFn"
	}
	return ""
}

func isStateful(e *graph.MultiEdge) bool {
	return e.Op == graph.ParDo && len(e.DoFn.PipelineState()) > 0
}

// nameOf is the edge as its author knows it: scopes and the DoFn.
func nameOf(e *graph.MultiEdge) string {
	var scopes []string
	for s := e.Scope(); s != nil && s.Parent != nil; s = s.Parent {
		scopes = append([]string{s.Label}, scopes...)
	}
	return strings.Join(append(scopes, shortName(e)), "/")
}

func shortName(e *graph.MultiEdge) string { return path.Base(e.Name()) }
