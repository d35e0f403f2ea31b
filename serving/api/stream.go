package api

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/serving/httpserver"
)

// streamTimes are the pace of streams.
type streamTimes struct {
	alive time.Duration // a comment so often tells both ends that the other is there
	grace time.Duration // a client that does not read for so long is cut off
	look  time.Duration // time may be moved, and activations wait for nobody
}

var defaultStreamTimes = streamTimes{alive: 15 * time.Second, grace: 30 * time.Second, look: 10 * time.Second}

// stream pushes a visitor's segment, at once and whenever it or what the rules
// make of it changes, as server-sent events (HTML standard, 9.2).
func (s *Server) stream(w http.ResponseWriter, r *http.Request, a *asked) error {
	if s.Store == nil {
		return &Error{http.StatusNotFound, "this node looks nothing up; ask a serving node for streams"}
	}
	if a.device == "" && a.user == "" {
		return bad("say whose segment: anonymousId, or userId with the admin key")
	}
	v, err := s.find(r, a)
	if err != nil {
		return err
	}
	known := v.isKnown()
	s.give(v)
	place, err := s.streams.enter(s.Clients.Of(r), known)
	if err != nil {
		return err
	}
	s.metrics.streams.Inc()
	defer func() { s.streams.leave(place); s.metrics.streams.Dec() }()
	p := &push{s: s, w: w, r: r, asked: *a, place: place}
	return p.run()
}

// push is one stream.
type push struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	asked asked
	place *place
	told  []byte // fingerprint of what was pushed last
	open  bool
}

func (p *push) run() error {
	sub := p.s.Store.Subscribe()
	defer sub.Close()
	var watched []string
	alive := time.NewTicker(p.s.times.alive)
	defer alive.Stop()
	for {
		keys, next, err := p.look()
		if err != nil {
			if p.open {
				return nil // the client has gone, or will come back
			}
			return err
		}
		if !slices.Equal(keys, watched) { // what changed before this is seen by another look
			sub.Watch(keys...)
			watched = keys
			continue
		}
		timer := time.NewTimer(min(p.s.times.look, max(time.Millisecond, time.Duration(next-p.s.nowMS())*time.Millisecond)))
		select {
		case <-p.r.Context().Done():
			timer.Stop()
			return nil
		case <-p.s.closed:
			timer.Stop()
			return nil
		case <-p.place.end: // another visitor has it; the page will ask again
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
	if !p.place.known && v.isKnown() {
		p.s.streams.learn(p.place)
	}
	var room [8]rule.Winner
	winners, next := p.s.Rules.Decide(&v.view, v.now, func(a *rule.Action) bool { return p.s.allowed(v, a.Rule) }, room[:0])
	print := p.s.fingerprint(v, winners)
	if !slices.Equal(print, p.told) {
		v.out = p.s.appendSegment(append(v.out[:0], "event: segment\ndata: "...), v, false)
		if err := p.write(string(v.out) + "\n\n"); err != nil {
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

// fingerprint is what a page would want to know of: the segment, who wins, an
// order of the person (on any device: it ends offers), and a token that is about to expire.
func (s *Server) fingerprint(v *visitor, winners []rule.Winner) []byte {
	b := []byte(s.Tree.Path(v.served))
	// An edge believes the page's token for a while only, so it gets a new one.
	b = strconv.AppendInt(b, v.now/(s.TokenTTL.Milliseconds()/2), 10)
	if v.proof == known {
		b = strconv.AppendInt(append(b, '+'), int64(v.view.Values[s.slots.orders]), 10)
	}
	for _, w := range winners {
		b = append(b, byte(w.Action.SlotID), byte(w.Action.Rule.Index), byte(w.Action.Rule.Index>>8))
	}
	return b
}

// offerEnds is when the first of the winners' offers is over, far away if none is.
func (s *Server) offerEnds(v *visitor, winners []rule.Winner) int64 {
	end := v.now + s.times.look.Milliseconds()
	for _, w := range winners {
		if offer := s.facts[w.Action.Rule.Index].offer; offer > 0 && v.proof == known {
			end = min(end, v.record.Since+offer)
		}
	}
	return end
}

func (p *push) write(text string) error {
	if err := httpserver.Extend(p.w, p.s.times.grace); err != nil {
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
