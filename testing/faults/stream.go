package faults

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/samples/spec"
)

// message is one event to be acknowledged. Its messageId is e<number>; a
// number comes more than once where the client sends it again.
type message struct {
	number int
	device string // messages of a device keep their order, unless they are held back
	body   []byte // JSON
	unlink bool   // not an event, and without a number: a request of its own
}

// Shares of the messages that are not as they should be.
const (
	shareDuplicate = 0.03  // sent again, at once or up to maxSwap later
	shareSwapped   = 0.04  // held back by up to maxSwap: within the allowed lateness
	shareLate      = 0.004 // held back by more than the allowed lateness
	shareMalformed = 0.01
	maxSwap        = 8 * time.Minute  // of event time
	lateFrom       = 11 * time.Minute // of event time
	lateTo         = 30 * time.Minute
)

// stream makes messages of simulated visitors, in the order in which they are to
// be sent.
type stream struct {
	rng    *rand.Rand
	seed   uint64
	clock  time.Time // event time of the newest message
	next   int
	held   held
	plans  map[string]*plan
	emit   func(message) error
	marked map[string]int // what was done to messages, by kind
	quiet  quiet
}

// generate emits at least so many events. Equal arguments give equal messages,
// but for the times, which count from start.
func generate(seed uint64, events int, start time.Time, span time.Duration, emit func(message) error) (*stream, error) {
	// How many events visitors make is known when they have made them: about 200.
	for visitors := events/200 + 1; ; {
		s, err := visit(seed, visitors, start, span, func(message) error { return nil })
		if err != nil {
			return s, err
		}
		if s.next >= events {
			return visit(seed, visitors, start, span, emit)
		}
		visitors = int(1.02*float64(visitors)*float64(events)/float64(max(1, s.next))) + 1
	}
}

// visit emits the messages of so many visitors.
func visit(seed uint64, visitors int, start time.Time, span time.Duration, emit func(message) error) (*stream, error) {
	s := &stream{rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, plans: map[string]*plan{}, emit: emit, marked: map[string]int{}, quiet: newQuiet(seed, start, span)}
	err := simulate.Run(simulate.Options{Seed: seed, Start: start, Duration: span, Visitors: visitors}, s.take)
	for err == nil && len(s.held) > 0 {
		err = emit(heap.Pop(&s.held).(heldBack).message)
	}
	return s, err
}

// sentEvent is what is sent of an event.
type sentEvent struct {
	spec.Event
	UserID     string `json:"userId,omitempty"`
	PreviousID string `json:"previousId,omitempty"`
}

// take is an event of the simulator, with the identity that its visitor has by now.
func (s *stream) take(line []byte) error {
	var e sentEvent
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("reading a simulated event: %w", err)
	}
	at, err := time.Parse(time.RFC3339, e.Timestamp)
	if err != nil {
		return fmt.Errorf("reading a simulated event: %w", err)
	}
	s.clock = at
	for len(s.held) > 0 && s.held[0].until.Before(at) {
		if err := s.emit(heap.Pop(&s.held).(heldBack).message); err != nil {
			return err
		}
	}
	for _, e := range s.plan(e.AnonymousID).identify(e) {
		if err := s.send(&e); err != nil {
			return err
		}
	}
	return nil
}

// send numbers an event and lets it go, or not yet, or twice, or broken.
func (s *stream) send(e *sentEvent) error {
	m := message{number: s.next, device: cmp.Or(e.AnonymousID, e.PreviousID, "user:"+e.UserID)}
	if s.quiet.has(strings.TrimPrefix(m.device, "user:"), s.clock) {
		s.marked["unsent"]++
		return nil
	}
	s.marked[e.Type]++
	if e.Type == callUnlink {
		m.unlink, m.body = true, fmt.Appendf(nil, `{"anonymousId":%q,"userId":%q}`, e.AnonymousID, e.UserID)
		return s.emit(m)
	}
	s.next++
	e.MessageID = "e" + strconv.Itoa(m.number)
	s.prove(e)
	var err error
	if m.body, err = json.Marshal(e); err != nil {
		return fmt.Errorf("writing event %s: %w", e.MessageID, err)
	}
	switch x := s.rng.Float64(); {
	case x < shareMalformed:
		m.body = s.spoil(e, m.body)
		s.marked["malformed"]++
	case x < shareMalformed+shareLate:
		s.marked["late"]++
		s.hold(m, lateFrom+time.Duration(s.rng.Int64N(int64(lateTo-lateFrom))))
		return nil
	case x < shareMalformed+shareLate+shareSwapped:
		s.marked["swapped"]++
		s.hold(m, time.Duration(s.rng.Int64N(int64(maxSwap))))
		return nil
	}
	if s.rng.Float64() < shareDuplicate {
		s.marked["duplicate"]++
		s.hold(m, time.Duration(s.rng.IntN(2))*time.Duration(s.rng.Int64N(int64(maxSwap))))
	}
	return s.emit(m)
}

// spoil breaks an event in one of the ways in which clients do.
func (s *stream) spoil(e *sentEvent, body []byte) []byte {
	text := string(body)
	switch s.rng.IntN(21) {
	case 0, 1, 2, 3:
		return []byte(strings.Replace(text, `"timestamp":"`, `"timestamp":yesterday,"was":"`, 1))
	case 4, 5, 6, 7:
		return []byte(strings.Replace(text, `"timestamp":"`, `"timestamp":"about `, 1))
	case 8, 9, 10, 11:
		return fmt.Appendf(nil, `{"type":"page","messageId":"%s","timestamp":"%s"}`, e.MessageID, e.Timestamp)
	case 12, 13, 14, 15:
		return []byte(strings.Replace(text, `"type":"`, `"type":"un`, 1))
	case 16, 17, 18, 19:
		return []byte(strings.Replace(text, e.Timestamp, spec.Time(s.clock.Add(100*time.Hour)), 1))
	default:
		return []byte(strings.Replace(text, `"type":"`, `"ballast":"`+strings.Repeat("x", 33<<10)+`","type":"`, 1))
	}
}

func (s *stream) hold(m message, d time.Duration) {
	heap.Push(&s.held, heldBack{m, s.clock.Add(d)})
}

// heldBack is a message that is sent later than its time would have it.
type heldBack struct {
	message
	until time.Time
}

// held orders messages by when they are let go.
type held []heldBack

func (h held) Len() int { return len(h) }
func (h held) Less(i, j int) bool {
	if !h[i].until.Equal(h[j].until) {
		return h[i].until.Before(h[j].until)
	}
	return h[i].number < h[j].number
}
func (h held) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop are heap.Interface's.
func (h *held) Push(x any) { *h = append(*h, x.(heldBack)) }

// Pop takes the last one out.
func (h *held) Pop() any {
	old := *h
	m := old[len(old)-1]
	*h = old[:len(old)-1]
	return m
}
