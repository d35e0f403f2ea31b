package changelogio

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// wholeBytes is how large a snapshot may be that is in memory as a whole. The bytes of a
// larger one would be there beside the state that is made of them.
const wholeBytes = 4 << 20

var errWhole = errors.New("the snapshot is whole")

// pieces reads a machine's snapshot once more, piece by piece as they are asked for.
func pieces(ctx context.Context, cfg *Config, machine int, m *Manifest, end int64) (next func() ([]byte, error), stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	out, failed := make(chan []byte), make(chan error, 1)
	x := readerOf(machine, m)
	x.piece = func(b []byte) error {
		select {
		case out <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	go func() {
		defer close(out)
		err := each(ctx, cfg, int32(machine), x.part.Begin, end, func(r *kgo.Record) error {
			if err := x.take(r); err != nil || x.chunks < x.part.Chunks {
				return err
			}
			return errWhole
		})
		if !errors.Is(err, errWhole) {
			failed <- err
		}
	}()
	return func() ([]byte, error) {
		if b, ok := <-out; ok {
			return b, nil
		}
		select {
		case err := <-failed:
			return nil, err
		default:
			return nil, nil
		}
	}, cancel
}
