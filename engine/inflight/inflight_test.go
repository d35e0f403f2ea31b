package inflight

import (
	"testing"
	"time"

	"github.com/microseg/microseg/engine"
)

// TestUnder: what was taken from the log and is not decided is under way, however long
// that takes. A stage that was busy for a hundred seconds was forgotten after thirty,
// and before that nobody counted what it held.
func TestUnder(t *testing.T) {
	job := engine.New("busy")
	w, other := Of(job).Shard(0), Of(job).Shard(1)
	enter := func(w *Window, id int64, records int) {
		if !w.try(id, 2, time.Nanosecond) {
			t.Fatalf("batch %d does not get in", id)
		}
		w.Holds(id, records)
		time.Sleep(time.Millisecond)
	}
	enter(w, 1, 10)
	enter(w, 2, 20)
	enter(w, 3, 30) // patience has ended for the others
	enter(other, 1, 5)
	Of(engine.New("another job")).Shard(0).try(1, 2, time.Minute)
	if u := UnderOf(job); u.Batches != 4 || u.Records != 65 || u.For < 4*time.Millisecond {
		t.Errorf("under way: %+v", u)
	}
	w.Leave(1)
	w.Split(2, 1)
	w.Leave(2)
	if u := w.Under(); u.Batches != 2 || u.Records != 50 {
		t.Errorf("after the first is applied, and half of the second: %+v", u)
	}
	w.Leave(2)
	w.Leave(3)
	other.Leave(1)
	if u := UnderOf(job); u != (Under{}) {
		t.Errorf("after all of them are applied: %+v", u)
	}
}
