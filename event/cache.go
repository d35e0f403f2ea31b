package event

import (
	"bytes"
	"hash/maphash"
	"regexp"
	"strings"

	"github.com/go-faster/jx"
	"github.com/mileusna/useragent"
)

// agent is what a user agent, or its client hints, say.
type agent struct {
	device DeviceType
	os     OS
	bot    bool
}

// certain is the form where nothing else can know better: a television's browser
// calls itself an Android or a Linux everywhere but in its user agent.
func (a agent) certain() DeviceType {
	if a.device == DeviceTV {
		return DeviceTV
	}
	return DeviceUnknown
}

// agents remembers parsed user agents and client hints; when full it starts over.
type agents struct{ known, hints map[string]agent }

const maxAgents, maxAgentBytes = 4096, 1024

func (a *agents) parse(ua []byte) agent {
	if len(ua) == 0 {
		return agent{}
	}
	ua = ua[:min(len(ua), maxAgentBytes)]
	return remembered(&a.known, ua, parseAgent)
}

// hinted is what the record's client hints say.
func (a *agents) hinted(r *record) agent {
	if r.set>>cHints&1 == 0 || r.vals[cHints].typ != jx.Object || len(r.vals[cHints].b) > maxAgentBytes {
		return agent{}
	}
	return remembered(&a.hints, r.vals[cHints].b, parseHints)
}

func remembered(cache *map[string]agent, b []byte, parse func(string) agent) agent {
	if got, ok := (*cache)[string(b)]; ok {
		return got
	}
	if *cache == nil || len(*cache) >= maxAgents {
		*cache = make(map[string]agent, 64)
	}
	got := parse(string(b))
	(*cache)[string(b)] = got
	return got
}

func parseAgent(ua string) agent {
	ua = strings.ReplaceAll(ua, "Tablet PC", "") // a service of Windows on desktops
	u := useragent.Parse(ua)
	a := agent{os: osOf([]byte(u.OS))}
	switch is := AgentOf(ua); {
	case is.Bot():
		a.bot, a.device = true, DeviceBot
	case is == AgentLibrary:
		return agent{} // what it speaks for is another thing
	case handheld.MatchString(ua):
		if a.device = DeviceMobile; strings.Contains(ua, "iPad") {
			a.device = DeviceTablet
		}
	case televisions.MatchString(ua):
		a.device = DeviceTV
	case u.Tablet || tablets.MatchString(ua) || onTablet(ua):
		a.device = DeviceTablet
	case u.Mobile:
		a.device = DeviceMobile
	case u.Desktop:
		a.device = DeviceDesktop
	}
	return a
}

// onTablet reports whether a browser's user agent is a tablet's: on Android it leaves out
// "Mobile" there, which apps never say.
func onTablet(ua string) bool {
	return strings.Contains(ua, "Android") && !strings.Contains(ua, "Mobile") && browsers.MatchString(ua)
}

var (
	handheld = regexp.MustCompile(`\b(iPhone|iPod|iPad)\b`)
	// televisions, what is plugged into one, and consoles.
	televisions = regexp.MustCompile(`(?i)smart-?_? ?tv|google ?tv|android ?tv|apple ?tv|tvos|aosp tv|philipstv|` +
		`opera tv|mitv|mibox|hbbtv|web0s|netcast|viera|bravia|vidaa|\broku|\bcrkey|chromecast|nexus player|` +
		`\baft[a-z0-9]+\b|shield android|` +
		`\btizen\b.*\btv\b|\btv\b.*\btizen\b|playstation [3-9]|\bxbox\b|nintendo (switch|wii)`)
	// tablets whose user agents may say "Mobile", or nothing.
	tablets = regexp.MustCompile(`\b(SM-[TPX]\d|GT-P\d|KF[A-Z]{2,}|Nexus (7|9|10)\b|Pixel (C|Tablet)|` +
		`Lenovo TB|MediaPad|MatePad|Tablet|Kindle|PlayBook)`)
	browsers = regexp.MustCompile(`^Mozilla/.*(Chrome|Safari|Firefox|Gecko)/`)
)

// parseHints reads navigator.userAgentData, as Segment's library sends it:
//
//	{"brands": [{"brand": "Chromium", "version": "138"}], "mobile": false, "platform": "Android"}
func parseHints(raw string) (a agent) {
	d := jx.DecodeStr(raw)
	mobile := ""
	d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		switch {
		case string(key) == "mobile" && d.Next() == jx.Bool:
			yes, err := d.Bool()
			mobile = map[bool]string{true: "yes", false: "no"}[yes]
			return err
		case string(key) == "mobile" && d.Next() == jx.String: // as the header has it
			is, err := d.Str()
			mobile = map[string]string{"?1": "yes", "true": "yes", "?0": "no", "false": "no"}[is]
			return err
		case string(key) == "platform" && d.Next() == jx.String:
			name, err := d.StrBytes()
			a.os = osOf(bytes.Trim(name, `"`))
			return err
		case string(key) == "brands" || string(key) == "fullVersionList":
			brands, err := d.Raw()
			a.bot = a.bot || strings.Contains(brands.String(), "HeadlessChrome")
			return err
		}
		return d.Skip()
	})
	switch {
	case a.bot:
		a.device = DeviceBot
	case mobile == "yes":
		a.device = DeviceMobile
	case mobile == "no" && a.os == OSAndroid:
		a.device = DeviceTablet
	case mobile == "no" && (a.os == OSWindows || a.os == OSMac || a.os == OSLinux || a.os == OSChrome):
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
