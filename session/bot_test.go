package session

import (
	"testing"

	"github.com/microseg/microseg/event"
)

// TestAWrongVerdictIsNotForEver: one event with a crawler's user agent (a preview of a
// link that was opened on the phone, a library that was on the list) made a visitor a
// bot for the rest of its life. The newest statement about the device holds, in the
// order of event times, however events arrive; what says nothing of it changes nothing.
func TestAWrongVerdictIsNotForEver(t *testing.T) {
	p := params()
	crawler := func(at, offset int64) *event.Event {
		return &event.Event{Time: at, Offset: offset, ID: uint64(offset) + 1, Kind: event.KindPage, DeviceType: event.DeviceBot, Flags: event.FlagBot}
	}
	phone := func(at, offset int64) *event.Event {
		return &event.Event{Time: at, Offset: offset, ID: uint64(offset) + 1, Kind: event.KindPage, DeviceType: event.DeviceMobile}
	}
	silent := func(at, offset int64) *event.Event {
		return &event.Event{Time: at, Offset: offset, ID: uint64(offset) + 1, Kind: event.KindClick}
	}
	for name, c := range map[string]struct {
		events []*event.Event
		bot    bool
	}{
		"a crawler":                      {[]*event.Event{crawler(1000, 1), silent(2000, 2)}, true},
		"a person after a wrong verdict": {[]*event.Event{crawler(1000, 1), phone(2000, 2), silent(3000, 3)}, false},
		"the same, late":                 {[]*event.Event{phone(2000, 1), crawler(1000, 2)}, false},
		"a crawler at last":              {[]*event.Event{crawler(2000, 1), phone(1000, 2)}, true},
	} {
		q := &Profile{}
		for _, e := range c.events {
			q.Add(e, p)
		}
		if got := q.State().Context.Bot; got != c.bot {
			t.Errorf("%s: bot %v", name, got)
		}
	}
	old := params()
	old.Semantics = event.FirstSemantics
	q := &Profile{}
	q.Add(crawler(1000, 1), old)
	q.Add(phone(2000, 2), old)
	if !q.State().Context.Bot {
		t.Error("what an older program decided is decided otherwise")
	}
}
