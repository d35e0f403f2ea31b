package runner

import (
	"bytes"
	"context"
	"io"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/exec"
)

// memory is the state of an instance's keys: value and bag state, by state, window and
// key, as Beam encodes it. Nothing is taken back when a bundle fails: the run ends then,
// and its state with it.
type memory struct {
	exec.StateReader // nil: of other kinds of state, which a plan has none of
	cells            map[cell][]byte
}

type cell struct{ state, window, key string }

// OpenBagUserStateReader reads a cell; value state is a bag of at most one.
func (m memory) OpenBagUserStateReader(_ context.Context, _ exec.StreamID, state string, key, w []byte) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.cells[cell{state, string(w), string(key)}])), nil
}

// OpenBagUserStateAppender appends to a cell.
func (m memory) OpenBagUserStateAppender(_ context.Context, _ exec.StreamID, state string, key, w []byte) (io.Writer, error) {
	return appender{m, cell{state, string(w), string(key)}}, nil
}

// OpenBagUserStateClearer empties a cell with each write.
func (m memory) OpenBagUserStateClearer(_ context.Context, _ exec.StreamID, state string, key, w []byte) (io.Writer, error) {
	return clearer{m, cell{state, string(w), string(key)}}, nil
}

type appender struct {
	m  memory
	at cell
}

func (a appender) Write(b []byte) (int, error) {
	a.m.cells[a.at] = append(a.m.cells[a.at], b...)
	return len(b), nil
}

type clearer appender

func (c clearer) Write(b []byte) (int, error) {
	delete(c.m.cells, c.at)
	return len(b), nil
}
