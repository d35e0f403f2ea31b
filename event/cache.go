package event

import (
	"hash/maphash"

	"github.com/mileusna/useragent"
)

// agent is what a user agent says.
type agent struct {
	device DeviceType
	os     OS
	bot    bool
}

// agents remembers parsed user agents; when full it starts over.
type agents struct{ known map[string]agent }

const maxAgents, maxAgentBytes = 4096, 1024

func (a *agents) parse(ua []byte) agent {
	ua = ua[:min(len(ua), maxAgentBytes)]
	if got, ok := a.known[string(ua)]; ok {
		return got
	}
	if a.known == nil || len(a.known) >= maxAgents {
		a.known = make(map[string]agent, 64)
	}
	got := parseAgent(string(ua))
	a.known[string(ua)] = got
	return got
}

func parseAgent(ua string) agent {
	u := useragent.Parse(ua)
	a := agent{os: osOf([]byte(u.OS)), bot: u.Bot || AgentOf(ua).Bot()}
	switch {
	case a.bot:
		a.device = DeviceBot
	case u.Tablet:
		a.device = DeviceTablet
	case u.Mobile:
		a.device = DeviceMobile
	case u.Desktop:
		a.device = DeviceDesktop
	}
	return a
}

// interner gives the same string for the same bytes as long as its slot is
// not taken over, so that busy devices cost no allocation. It is bounded.
type interner struct {
	seed  maphash.Seed
	slots []string
}

const internSlots = 1 << 14

func (in *interner) string(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if in.slots == nil {
		in.seed, in.slots = maphash.MakeSeed(), make([]string, internSlots)
	}
	slot := &in.slots[maphash.Bytes(in.seed, b)&(internSlots-1)]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}
