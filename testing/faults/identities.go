package faults

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// plan says as whom a device is known, by the number of its event.
type plan struct {
	rng    *rand.Rand
	events int
	from   [2]int    // the event that links the device to each user; 0: none does
	users  [2]string // the second one shares the device
	says   float64   // share of the events that state the userId, once linked
	apart  float64   // share of the events that state nothing but the userId
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
	p := &plan{rng: rng}
	user := fmt.Sprintf("person-%x-%d", s.seed, n/usersShare)
	switch x := rng.Float64(); {
	case x < 0.6: // nobody
	case x < 0.75: // signs in
		p.from, p.users, p.says = [2]int{2 + rng.IntN(20)}, [2]string{user}, 0.5
	case x < 0.83: // then somebody else does
		first := 2 + rng.IntN(10)
		p.from, p.users, p.says = [2]int{first, first + 3 + rng.IntN(20)}, [2]string{user, fmt.Sprintf("guest-%x-%d", s.seed, n)}, 0.4
	case x < 0.9: // is known from the first event, which is an identify
		p.from, p.users, p.says = [2]int{1}, [2]string{user}, 0
	default: // and the shop's server speaks of them, too
		p.from, p.users, p.says, p.apart = [2]int{1 + rng.IntN(20)}, [2]string{user}, 0.5, 0.2
	}
	s.plans[device] = p
	return p
}

// identify is the event as whoever the visitor is by now, after the identify
// call that makes it so.
func (p *plan) identify(e sentEvent) (out []sentEvent) {
	p.events++
	user := ""
	for i, from := range p.from {
		if from == 0 || p.events < from {
			continue
		}
		if user = p.users[i]; p.events == from {
			call := e
			call.Type, call.Event.Event, call.Name, call.Properties, call.UserID = "identify", "", "", nil, user
			out = append(out, call)
		}
	}
	switch x := p.rng.Float64(); {
	case user == "" || x >= p.says+p.apart:
	case x < p.apart:
		e.AnonymousID, e.UserID = "", user
	default:
		e.UserID = user
	}
	return append(out, e)
}
