package transforms

import (
	"context"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/logstate"
)

// Store keeps the shards of a stage, and applies what comes for them. There are two: where
// the runner keeps the states (runnerStore), and in this process, with a changelog and
// snapshots (localStore). A DoFn opens its own in Setup and never asks which it is.
//
// Each element is applied once to the state that a restart goes on from, those of one sender
// in their order, however often and in whichever order they are given; what cannot be known
// to be whole is an error. What leaves by out does so when all of the element is made and a
// restart would find it; it may leave again then, the same. A stage that panics is given
// the state from before the element again, without the records that it cannot take. The
// context ends whatever waits.
type Store interface {
	Apply(ctx context.Context, kept Cells, e *Element, out Outputs) error
}

// Cells are what a runner keeps of a shard: a head, and a log without an order.
type Cells interface {
	Head() ([]byte, error)
	Log() ([][]byte, error)
	Write(c logstate.Change) error
}

// Element is something on its way to a shard.
type Element struct {
	Shard  int   // that it is for
	From   int   // who sends it: of batches of events the shard itself, of vectors a device shard, of counts a reporter
	Number int64 // of what that one has sent to the shard: it rises
	Bytes  []byte
	counts *shardCounts // Bytes decoded, where they are counts
}

func (e *Element) order() order { return order{e.From, e.Number} }

// stage applies elements to states of a kind, and knows no store. One goroutine at a time.
type stage[S any] interface {
	name() string
	// process applies an element, but for some records; out gets what leaves. It returns what
	// a store needs to apply it again.
	process(ctx context.Context, s S, e *Element, without []identity.Place, out Outputs) ([]applied, error)
	// suspects are the records that may have made process panic.
	suspects() []identity.Place
	// renew makes what a panic may have left half-way anew.
	renew() error
}

// applied is what a batch leaves in the log of its state.
type applied struct {
	delta  []byte // what was applied, or where it is
	weight int    // of its bytes, wherever they are
}

// attempt gives an element to a stage once; leave lets what it has made go.
func attempt[S any](ctx context.Context, g stage[S], s S, e *Element, without []identity.Place, out Outputs) (done []applied, leave func(context.Context) error, err error) {
	held, leave := out.hold()
	err = guard(g.name(), g.suspects, func() (err error) {
		done, err = g.process(ctx, s, e, without, held)
		return err
	})
	return done, leave, err
}
