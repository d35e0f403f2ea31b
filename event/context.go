package event

// context fills what the event says of the device. The form of the device is
// the user agent's only where the context does not state it.
func (d *Decoder) context(r *record, e *Event) {
	e.DeviceType = deviceTypes[lower(r.text(cDeviceType))]
	e.OS = osOf(r.text(cOSName))
	if ua := r.text(cUserAgent); len(ua) > 0 {
		a := d.agents.parse(ua)
		if a.bot {
			e.Flags |= FlagBot // whatever form of device it plays
		}
		if len(r.text(cDeviceType)) == 0 {
			e.DeviceType = a.device
			if e.OS == OSUnknown {
				e.OS = a.os
			}
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
	case r.truth(cWifi):
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
