package event

import (
	"hash/maphash"

	"github.com/go-faster/jx"
	"github.com/mileusna/useragent"
)

// place fills Page and PageType.
func (d *Decoder) place(r *record, m meaning, e *Event) {
	path := r.path()
	call := e.Kind == KindPage
	switch {
	case len(path) > 0:
		e.Page = hash(path)
	case call:
		// A screen of an app has a name and no path.
		if name := r.text(fName); len(name) > 0 {
			e.Page = hash(name)
		}
	case e.Kind == KindProductView:
		if id, ok := r.id(pProductID); ok && len(id) > 0 {
			e.Page = hash(id)
		} else if id, ok := r.id(pSKU); ok && len(id) > 0 {
			e.Page = hash(id)
		}
	}
	if e.PageType = pageTypeOf(r.text(pPageType)); e.PageType != PageUnknown {
		return
	}
	if e.PageType = d.ruled(r, path, call); e.PageType != PageUnknown {
		return
	}
	if e.PageType = m.page; e.PageType == PageUnknown && call {
		e.PageType = PageOther
	}
}

// path is the page's path without query, fragment and trailing slash.
func (r *record) path() []byte {
	if p := r.text(cPath); len(p) > 0 {
		return cleanPath(p)
	}
	if p := r.text(pPath); len(p) > 0 {
		return cleanPath(p)
	}
	if p := urlPath(r.text(cURL)); len(p) > 0 {
		return cleanPath(p)
	}
	return cleanPath(urlPath(r.text(pURL)))
}

// ruled is the type of the first rule that matches. Names count on page and
// screen calls only: a product's name is no page's.
func (d *Decoder) ruled(r *record, path []byte, call bool) PageType {
	for i := range d.pages {
		p := &d.pages[i]
		if p.path != nil && (len(path) == 0 || !p.path.match(path)) {
			continue
		}
		if p.name != "" && !(call && r.named(p.name)) {
			continue
		}
		return p.typ
	}
	return PageUnknown
}

func (r *record) named(name string) bool {
	return string(r.text(fName)) == name || string(r.text(fCategory)) == name ||
		string(r.text(pName)) == name || string(r.text(pCategory)) == name
}

// context fills what the event says of the device. The user agent is read
// only where the context does not state the form of the device.
func (d *Decoder) context(r *record, e *Event) {
	e.DeviceType = deviceTypes[lower(r.text(cDeviceType))]
	e.OS = osOf(r.text(cOSName))
	if ua := r.text(cUserAgent); len(ua) > 0 && len(r.text(cDeviceType)) == 0 {
		a := d.agents.parse(ua)
		e.DeviceType = a.device
		if e.OS == OSUnknown {
			e.OS = a.os
		}
	}
	if e.DeviceType == DeviceBot {
		e.Flags |= FlagBot
	}
	e.Width, e.Height = r.pixels(cWidth), r.pixels(cHeight)
	e.Network = r.network()
}

// pixels is a screen dimension; 0 when it is not stated or makes no sense.
func (r *record) pixels(f field) uint16 {
	v, ok := r.number(f)
	if !ok || !(v > 0) {
		return 0
	}
	return uint16(min(v, 65535))
}

// network is the speed class. A measured speed below 4G says more than the
// medium: a slow wifi is slow.
func (r *record) network() Network {
	typ, effective := networks[lower(r.text(cNetType))], networks[lower(r.text(cEffective))]
	switch {
	case typ == NetworkOffline || effective == NetworkOffline:
		return NetworkOffline
	case effective != NetworkUnknown && effective < Network4G:
		return effective
	case typ == NetworkWifi || typ == NetworkEthernet:
		return typ
	case r.truth(cWifi) == 1:
		return NetworkWifi
	case effective != NetworkUnknown:
		return effective
	}
	return typ
}

var networks = map[short]Network{
	word("none"): NetworkOffline, word("offline"): NetworkOffline, word("slow-2g"): NetworkSlow2G,
	word("2g"): Network2G, word("3g"): Network3G, word("4g"): Network4G, word("lte"): Network4G,
	word("5g"): Network5G, word("wifi"): NetworkWifi, word("ethernet"): NetworkEthernet,
}

var deviceTypes = map[short]DeviceType{
	word("desktop"): DeviceDesktop, word("mobile"): DeviceMobile, word("phone"): DeviceMobile,
	word("smartphone"): DeviceMobile, word("ios"): DeviceMobile, word("android"): DeviceMobile,
	word("tablet"): DeviceTablet, word("tv"): DeviceTV, word("smarttv"): DeviceTV, word("bot"): DeviceBot,
}

var systems = map[short]OS{
	word("windows"): OSWindows, word("macos"): OSMac, word("mac os x"): OSMac, word("mac os"): OSMac, word("os x"): OSMac,
	word("linux"): OSLinux, word("ubuntu"): OSLinux, word("android"): OSAndroid, word("ios"): OSiOS,
	word("iphone os"): OSiOS, word("ipados"): OSiOS, word("chromeos"): OSChrome, word("chrome os"): OSChrome,
}

func osOf(name []byte) OS {
	if len(name) == 0 {
		return OSUnknown
	}
	if os, ok := systems[lower(name)]; ok {
		return os
	}
	if len(name) >= 8 && lower(name[:8]) == word("windows ") {
		return OSWindows // "Windows 10"
	}
	return OSOther
}

// short is a word in lower case, as a map key that needs no allocation; zero
// bytes fill it up. Longer words are the zero key, which no table has.
type short [12]byte

func lower(b []byte) (s short) {
	if len(b) > len(s) {
		return s
	}
	for i, c := range b {
		if c-'A' < 26 {
			c |= 0x20
		}
		s[i] = c
	}
	return s
}

func word(w string) short { return lower([]byte(w)) }

// agent is what a user agent says.
type agent struct {
	device DeviceType
	os     OS
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
	a := agent{os: osOf([]byte(u.OS))}
	switch {
	case u.Bot:
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

// productsOK reports whether properties.products was an array that adds up.
func (r *record) productsOK() bool {
	return r.vals[pProducts].typ == jx.Array && !r.products.bad
}
