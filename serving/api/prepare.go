package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
	"github.com/prometheus/client_golang/prometheus"
)

// facts are what requests ask of a rule, worked out once.
type facts struct {
	live      bool  // it reads more than what a token and a request tell
	ofSegment bool  // it reads what is served
	offer     int64 // ms from coming into the segment until the offer is over; 0: never
}

// form is an action in JSON, but for what a visitor changes.
type form struct {
	head, data, rule string
	values           map[string]string // the data
	packed           atomic.Pointer[packed]
	wins             prometheus.Counter
}

func (s *Server) prepare() {
	s.forms = map[*rule.Action]*form{}
	for _, r := range s.Rules.Rules() {
		f := facts{live: live(r), ofSegment: ofSegment(r)}
		if f.ofSegment {
			f.offer = longest(r).Milliseconds()
		}
		s.facts = append(s.facts, f)
		for _, a := range r.Actions {
			s.forms[a] = s.form(a)
		}
	}
}

func (s *Server) form(a *rule.Action) *form {
	f := &form{values: a.Data, wins: s.metrics.wins.WithLabelValues(a.Slot, a.Rule.Name)}
	f.head = string(appendText(nil, `{"slot":`, a.Slot)) + `,"html":`
	if len(a.Data) > 0 {
		data, err := json.Marshal(a.Data)
		if err != nil {
			panic(fmt.Sprintf("api: encoding strings: %v", err))
		}
		f.data = `,"data":` + string(data)
	}
	f.data += `,"ttl_s":` + strconv.FormatInt(int64(a.TTL/time.Second), 10)
	f.rule = string(appendText(nil, `,"rule":`, a.Rule.Name)) + `,"why":`
	return f
}

func live(r *rule.Rule) bool {
	return slices.ContainsFunc(r.When.Features, func(f *segment.Feature) bool {
		return f.Name != "segment" && f.Name != "page.type" && f.Name != "device.type"
	})
}

func ofSegment(r *rule.Rule) bool {
	return slices.ContainsFunc(r.When.Features, func(f *segment.Feature) bool { return f.Name == "segment" })
}

// longest is the longest countdown of a rule whose actions all have one, else 0.
func longest(r *rule.Rule) (d time.Duration) {
	for _, a := range r.Actions {
		if a.Deadline == 0 {
			return 0
		}
		d = max(d, a.Deadline)
	}
	return d
}
