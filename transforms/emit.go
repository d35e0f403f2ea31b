package transforms

import (
	"context"

	"github.com/microseg/microseg/rows"
)

// Outputs are where a stage's effects go. A nil one drops them: state that is
// made again from its log had them before.
type Outputs struct {
	Vectors func(shard int, batch []byte)
	Counts  func(key int, counts []byte)
	Rows    func(rows.Batch)
	Records func(batch []byte)          // for the topic `segments`
	Untold  func(person string)         // is told where it is owed that a person has left
	Sure    func(context.Context) error // waits until the batch is where a restart finds it, before anything of it leaves; nil: at once
}

func (o *Outputs) sure(ctx context.Context) error {
	if o.Sure == nil {
		return nil
	}
	return o.Sure(ctx)
}

// emitRows lets a builder's rows go, if there are any.
func emitRows[R any](b *rows.Builder[R], decided int64, out func(rows.Batch)) error {
	if b.Len() == 0 {
		return nil
	}
	batch, err := b.Batch(decided)
	if err == nil {
		out(batch)
	}
	return err
}

// of marks rows with the shard that made them.
func of(shard int, out func(rows.Batch)) func(rows.Batch) {
	return func(b rows.Batch) {
		b.Shard = shard
		out(b)
	}
}
