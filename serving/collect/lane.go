package collect

import (
	"container/heap"
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/microseg/microseg/serving/throttle"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Who sends much at once has to wait, and nobody else has to wait for him. What one
// client sends now and then goes straight on. The rest goes one request after the
// other, the client first who has had least, and to the log only as fast as the job
// decides: a flood of 50,000 devices, taken as fast as it came, made all others wait
// until all of it was decided.

// lane is where large and frequent requests wait for their turn. Safe for concurrent use.
type lane struct {
	prompt    *throttle.Buckets // what a client may send without a turn
	undecided func(ends map[int32]int64) int
	window    int // so much may be undecided before a turn goes on

	mu      sync.Mutex
	free    int                      // turns that nobody has
	waiting turns                    // by when their clients have had their share
	clock   float64                  // that of the turn which began last
	had     map[throttle.Key]float64 // what each client will have had, on the same scale

	sent sync.Mutex
	way  int             // records on their way to the log
	ends map[int32]int64 // of each partition the offset behind what it has acknowledged
}

const (
	promptBytes = 512             // that a token of prompt is worth
	promptRate  = 20              // tokens a second
	promptBurst = 8               // so a request of more than 4 kB needs a turn
	small       = 2 * promptBurst // of what goes between the parts of a large one
	turnWait    = 5 * time.Second // for a turn; then the client is told to come back
	slice       = 128             // records of a turn that go to the log at once
	stall       = 50 * time.Millisecond
	remembered  = 1 << 16 // clients in had
)

func newLane(undecided func(map[int32]int64) int) *lane {
	return &lane{prompt: throttle.New(throttle.Rate{PerSecond: promptRate, Burst: promptBurst}, places), undecided: undecided,
		window: slice / 2 * runtime.GOMAXPROCS(0), free: max(1, runtime.GOMAXPROCS(0)/2), had: map[throttle.Key]float64{}, ends: map[int32]int64{}}
}

// turn is a request's.
type turn struct {
	lane  *lane
	tag   float64       // the least one is next
	begun chan struct{} // closed by who gives it
	cost  float64
	place int // among those that wait; -1: it is none of them
	over  bool
}

// errTurn is that of a request whose turn did not come.
var errTurn = &refusal{status: http.StatusTooManyRequests, message: "too much is being sent at once; send the request again in 2 s, or less in one request", retry: 2 * time.Second}

// enter waits for the turn of a request of so many bytes; nil: it needs none.
func (l *lane) enter(ctx context.Context, s *sender, bytes int) (*turn, error) {
	cost := 1 + bytes/promptBytes
	if s.server || cost <= promptBurst && l.prompt.Charge(s.key, cost, s.at) == 0 {
		return nil, nil
	}
	t := l.line(s, float64(cost))
	late := time.NewTimer(turnWait)
	defer late.Stop()
	select {
	case <-t.begun:
		return t, nil
	case <-late.C:
	case <-ctx.Done():
	}
	if l.withdraw(t) {
		s.refused.WithLabelValues("turns").Inc()
		return nil, errTurn
	}
	return t, nil // it came meanwhile
}

// line puts a request into the line.
func (l *lane) line(s *sender, cost float64) *turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &turn{lane: l, begun: make(chan struct{}), tag: max(l.clock, l.had[s.key]), cost: cost}
	if len(l.had) >= remembered {
		clear(l.had) // they are as new, as is who waits for the first time
	}
	l.had[s.key] = t.tag + cost
	heap.Push(&l.waiting, t)
	l.next()
	return t
}

// next gives the turns that are free.
func (l *lane) next() {
	for l.free > 0 && len(l.waiting) > 0 {
		l.clock = l.waiting[0].tag
		l.begin(l.waiting[0])
	}
	if len(l.waiting) == 0 && len(l.had) > 0 {
		for k, had := range l.had { // whoever has had no more than others is as new
			if had <= l.clock {
				delete(l.had, k)
			}
		}
	}
}

func (l *lane) begin(t *turn) {
	heap.Remove(&l.waiting, t.place)
	l.free--
	close(t.begun)
}

// between lets a small request in that has had no more than this one: it is done at
// once, and would wait for the end of a large one else.
func (t *turn) between() {
	l := t.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waiting {
		if w.cost <= small && w.tag <= t.tag+t.cost {
			l.begin(w)
			return
		}
	}
}

// withdraw takes a request out of the line; false: its turn has begun.
func (l *lane) withdraw(t *turn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.place < 0 {
		return false
	}
	heap.Remove(&l.waiting, t.place)
	return true
}

// leave ends a turn; nil, or one that is over, has none to end.
func (t *turn) leave() {
	if t == nil || t.over {
		return
	}
	t.over = true
	t.lane.mu.Lock()
	defer t.lane.mu.Unlock()
	t.lane.free++
	t.lane.next()
}

// room waits, within a turn, until the job has decided most of what it was sent, and
// once more as long, so that half of the time is for others. A job that is far behind
// for other reasons slows a turn down and does not stop it.
func (t *turn) room() {
	if t == nil || t.lane.undecided == nil {
		return
	}
	t.between()
	begun := time.Now()
	for end := begun.Add(stall); t.lane.behind() > t.lane.window && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(min(time.Since(begun), stall))
}

// behind is how many records of this collector's are not decided.
func (l *lane) behind() int {
	l.sent.Lock()
	defer l.sent.Unlock()
	return l.way + l.undecided(l.ends)
}

// on notes records that go to the log, and back what became of each.
func (l *lane) on(n int) {
	l.sent.Lock()
	defer l.sent.Unlock()
	l.way += n
}

func (l *lane) back(r *kgo.Record, err error) {
	l.sent.Lock()
	defer l.sent.Unlock()
	l.way--
	if err == nil {
		l.ends[r.Partition] = max(l.ends[r.Partition], r.Offset+1)
	}
}

// turns are a heap, the next one in front.
type turns []*turn

func (w turns) Len() int           { return len(w) }
func (w turns) Less(i, j int) bool { return w[i].tag < w[j].tag }
func (w turns) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

// Push implements heap.Interface.
func (w *turns) Push(t any) {
	t.(*turn).place = len(*w)
	*w = append(*w, t.(*turn))
}

// Pop implements heap.Interface.
func (w *turns) Pop() any {
	last := len(*w) - 1
	t := (*w)[last]
	(*w)[last] = nil
	*w, t.place = (*w)[:last], -1
	return t
}
