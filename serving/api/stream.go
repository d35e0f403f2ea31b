package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/serving/httpserver"
)

const (
	keepAlive   = 15 * time.Second // a comment so often tells both ends that the other is there
	streamGrace = 30 * time.Second // a client that does not read for so long is cut off
	lookAgain   = 10 * time.Second // time may be moved, and activations wait for nobody
)

// stream pushes a visitor's segment, at once and whenever it or what the rules
// make of it changes, as server-sent events (HTML standard, 9.2).
func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	if s.Store == nil {
		return &Error{http.StatusNotFound, "this node looks nothing up; ask a serving node for streams"}
	}
	a := query(r)
	if a.device == "" && a.user == "" {
		return bad("say whose segment: anonymousId, or userId with the admin key")
	}
	if n := s.streams.Add(1); n > int64(s.MaxStreams) {
		s.streams.Add(-1)
		return &Error{http.StatusServiceUnavailable, "there are too many streams on this node"}
	}
	s.metrics.streams.Inc()
	defer func() { s.streams.Add(-1); s.metrics.streams.Dec() }()
	p := &push{s: s, w: w, r: r, asked: a}
	return p.run()
}

// push is one stream.
type push struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	asked asked
	told  []byte // fingerprint of what was pushed last
	open  bool
}

func (p *push) run() error {
	sub := p.s.Store.Subscribe()
	defer sub.Close()
	sub.Watch("d:" + p.asked.device) // before the first look, so that nothing falls between
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		keys, next, err := p.look()
		if err != nil {
			if p.open {
				return nil // the client has gone, or will come back
			}
			return err
		}
		sub.Watch(keys...)
		timer := time.NewTimer(min(lookAgain, max(time.Millisecond, time.Duration(next-clock.NowMS())*time.Millisecond)))
		select {
		case <-p.r.Context().Done():
			timer.Stop()
			return nil
		case <-p.s.closed:
			timer.Stop()
			return nil
		case <-alive.C:
			if p.write(": alive\n\n") != nil {
				timer.Stop()
				return nil
			}
		case <-sub.C:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look pushes what has changed. It returns the keys that tell of the next
// change, and when time alone may make one.
func (p *push) look() (keys []string, next int64, err error) {
	v, err := p.s.find(p.r, &p.asked)
	if err != nil {
		return nil, 0, err
	}
	defer p.s.give(v)
	var room [8]rule.Winner
	winners, next := p.s.Rules.Decide(&v.view, v.now, func(r *rule.Rule) bool { return p.s.allowed(v, r) }, room[:0])
	print := p.s.fingerprint(v, winners)
	if !slices.Equal(print, p.told) {
		b, err := json.Marshal(p.s.describe(v))
		if err != nil {
			return nil, 0, fmt.Errorf("encoding a segment: %w", err)
		}
		if err := p.write("event: segment\ndata: " + string(b) + "\n\n"); err != nil {
			return nil, 0, err
		}
		p.told = print
	}
	keys = append(keys, v.id)
	if v.person != v.id {
		keys = append(keys, v.person)
	}
	return keys, min(next, p.s.offerEnds(v, winners)), nil
}

// fingerprint is what a page would want to know of: the segment, and who wins.
func (s *Server) fingerprint(v *visitor, winners []rule.Winner) []byte {
	b := []byte(s.Tree.Path(v.served))
	if v.proof == known {
		b = append(b, '+')
	}
	for _, w := range winners {
		b = append(b, byte(w.Action.SlotID), byte(w.Action.Rule.Index), byte(w.Action.Rule.Index>>8))
	}
	return b
}

// offerEnds is when the first of the winners' offers is over, far away if none is.
func (s *Server) offerEnds(v *visitor, winners []rule.Winner) int64 {
	end := v.now + lookAgain.Milliseconds()
	for _, w := range winners {
		if d := longest(w.Action.Rule); d > 0 && ofSegment(w.Action.Rule) && v.proof == known {
			end = min(end, v.record.Since+d.Milliseconds())
		}
	}
	return end
}

func (p *push) write(text string) error {
	if err := httpserver.Extend(p.w, streamGrace); err != nil {
		return err
	}
	if !p.open {
		h := p.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no")
		p.w.WriteHeader(http.StatusOK)
		p.open = true
	}
	if _, err := io.WriteString(p.w, text); err != nil {
		return err
	}
	return http.NewResponseController(p.w).Flush()
}
