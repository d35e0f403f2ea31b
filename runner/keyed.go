package runner

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/coder"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/exec"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/graphx"
)

// keyed is a stateful step. Keys are dealt out to instances in the order in which they
// come, so a few keys, such as shards, never share one; beyond the limit they do.
type keyed struct {
	run   *run
	edge  *graph.MultiEdge
	limit int // of instances

	mu        sync.Mutex
	of        map[any]*instance
	instances []*instance
}

// instance is a DoFn with all that follows it in its chain, and the state of its keys.
type instance struct {
	mu    sync.Mutex
	chain *chain
	root  exec.Node
}

func newKeyed(r *run, e *graph.MultiEdge) *keyed {
	return &keyed{run: r, edge: e, limit: max(64, 4*runtime.GOMAXPROCS(0)), of: map[any]*instance{}}
}

// process gives the element to the instance of its key, when its turn comes.
func (k *keyed) process(elm *exec.FullValue) error {
	in, err := k.instance(elm.Elm)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.chain.bundle(in.root, elm)
}

// instance is the one of the key.
func (k *keyed) instance(key any) (*instance, error) {
	id, err := k.comparable(key)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if in := k.of[id]; in != nil {
		return in, nil
	}
	n := len(k.of) % k.limit
	if n == len(k.instances) {
		in, err := k.make()
		if err != nil {
			return nil, err
		}
		k.instances = append(k.instances, in)
	}
	k.of[id] = k.instances[n]
	return k.instances[n], nil
}

// comparable is the key as one of a map.
func (k *keyed) comparable(key any) (any, error) {
	switch v := key.(type) {
	case int, int64, string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	c := coder.SkipW(k.edge.Input[0].From.Coder)
	b, err := exec.EncodeElement(exec.MakeElementEncoder(c.Components[0]), key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key of %s: %w", nameOf(k.edge), err)
	}
	return string(b), nil
}

// make makes and sets up a new instance.
func (k *keyed) make() (*instance, error) {
	c := k.run.newChain()
	p, err := c.parDo(k.edge)
	if err != nil {
		return nil, err
	}
	coders := map[string]*coder.Coder{}
	for _, s := range p.Fn.PipelineState() {
		coders[s.StateKey()] = k.edge.StateCoders[graphx.UserStateCoderID(s)]
	}
	input := k.edge.Input[0].From
	windows := coder.NewGlobalWindow()
	if input.WindowingStrategy().Fn.Kind == window.FixedWindows {
		windows = coder.NewIntervalWindow()
	}
	p.UState = exec.NewUserStateAdapter(exec.StreamID{PtransformID: shortName(k.edge)}, coder.NewW(input.Coder, windows), coders, nil, nil)
	c.data = exec.DataContext{State: memory{cells: map[cell][]byte{}}}
	c.add(p)
	if err := c.up(); err != nil {
		k.run.fail(err)
		c.down() // what is set up already
		return nil, err
	}
	return &instance{chain: c, root: p}, nil
}

// down tears all instances down.
func (k *keyed) down() {
	for _, in := range k.instances {
		in.chain.down()
	}
}
