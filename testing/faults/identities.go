package faults

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/microseg/microseg/serving/proof"
)

// Calls that change who a device is. All are the clients' but the last, which is
// the administrator's.
const (
	callIdentify = "identify"
	callAlias    = "alias"
	callReset    = "reset"
	callUnlink   = "unlink"
)

// plan says as whom a device is known.
type plan struct {
	rng    *rand.Rand
	events int
	steps  []step
	user   string  // by now
	says   float64 // share of the events that state the userId, once linked
	apart  float64 // share of the events that state nothing but the userId
}

// step is a call that is made with an event of the device.
type step struct {
	at   int // number of the event, from 1
	call string
	user string
}

// usersShare is the number of successive devices that may be one user's.
const usersShare = 3

// plan draws a device's plan once.
func (s *stream) plan(device string) *plan {
	if p := s.plans[device]; p != nil {
		return p
	}
	n, err := strconv.Atoi(device[strings.LastIndexByte(device, '-')+1:])
	if err != nil {
		panic("the simulator's devices are numbered: " + device)
	}
	rng := rand.New(rand.NewPCG(s.seed, 1<<40+uint64(n)))
	p := &plan{rng: rng, says: 0.5}
	user, guest := fmt.Sprintf("person-%x-%d", s.seed, n/usersShare), fmt.Sprintf("guest-%x-%d", s.seed, n)
	soon := 2 + rng.IntN(15)
	later := soon + 2 + rng.IntN(20)
	switch x := rng.Float64(); {
	case x < 0.5: // nobody
	case x < 0.6: // signs in
		p.steps = []step{{soon, callIdentify, user}}
	case x < 0.65: // a server says so
		p.steps = []step{{soon, callAlias, user}}
	case x < 0.72: // then somebody else does
		p.steps = []step{{soon, callIdentify, user}, {later, callIdentify, guest}}
	case x < 0.77: // which a server has wrong: it would merge two users
		p.steps = []step{{soon, callIdentify, user}, {later, callAlias, guest}}
	case x < 0.83: // logs out, and comes back
		p.steps = []step{{soon, callIdentify, user}, {later, callReset, ""}, {later + 1 + rng.IntN(10), callIdentify, user}}
	case x < 0.87: // logs out, and is never heard of again
		p.steps = []step{{soon, callIdentify, user}, {later, callReset, ""}}
	case x < 0.93: // is taken away again
		p.steps = []step{{soon, callIdentify, user}, {later, callUnlink, user}}
	case x < 0.96: // is known from the first event
		p.steps, p.says = []step{{1, callIdentify, user}}, 0
	default: // and the shop's server speaks of them, too
		p.steps, p.apart = []step{{soon, callIdentify, user}}, 0.2
	}
	s.plans[device] = p
	return p
}

// identify is the event as whoever the visitor is by now, after the calls that
// make it so.
func (p *plan) identify(e sentEvent) (out []sentEvent) {
	p.events++
	for _, s := range p.steps {
		if s.at == p.events {
			out = append(out, s.event(e))
			if p.user = s.user; s.call == callUnlink {
				p.user = ""
			}
		}
	}
	switch x := p.rng.Float64(); {
	case p.user == "" || x >= p.says+p.apart:
	case x < p.apart:
		e.AnonymousID, e.UserID = "", p.user
	default:
		e.UserID = p.user
	}
	return append(out, e)
}

// event is the call at the time of an event.
func (s step) event(e sentEvent) sentEvent {
	e.Type, e.Event.Event, e.Name, e.Properties, e.UserID = s.call, "", "", nil, s.user
	if s.call == callAlias {
		e.AnonymousID, e.PreviousID = "", e.AnonymousID
	}
	return e
}

// identityKey makes proofs; the nodes have it, too.
const identityKey = "the-identity-key-of-the-faults-32"

// proven are the shares of a user's events that come with proof: of most users all
// do, some are proven long after they have claimed to be somebody, some never.
var proven = []float64{1, 1, 1, 0.2, 0}

// prove adds the proof of an event's user, as its kind of user does.
func (s *stream) prove(e *sentEvent) {
	if e.UserID == "" {
		return
	}
	h := fnv.New32a()
	h.Write([]byte(e.UserID))
	if s.rng.Float64() >= proven[h.Sum32()%uint32(len(proven))] {
		return
	}
	s.marked["proven"]++
	context := maps.Clone(e.Context)
	if context == nil {
		context = map[string]any{}
	}
	context["proof"] = hex.EncodeToString(proof.Hash([]byte(identityKey), e.UserID))
	e.Context = context
}
