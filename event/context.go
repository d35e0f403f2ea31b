package event

// context fills what the event says of the device: what it states comes first,
// then the model, a system of one form of device, client hints, the user agent, and at last what the name of a
// system alone lets one guess. A word that no table knows says nothing.
func (d *Decoder) context(r *record, e *Event) {
	e.Width, e.Height = r.pixels(cWidth), r.pixels(cHeight)
	e.Network = r.network()
	word := forms[squeezed(r.textOr(cDeviceType, cDevice))]
	agent := d.agents.parse(r.text(cUserAgent))
	hints := d.agents.hinted(r)
	stated := osOf(r.textOr(cOSName, cOS))
	e.OS = stated
	for _, os := range [...]OS{hints.os, agent.os, word.os} {
		if e.OS == OSUnknown {
			e.OS = os
		}
	}
	bot := agent.bot || hints.bot
	switch {
	case word.device != DeviceUnknown && !word.platform:
		e.DeviceType = word.device
	case bot:
		e.DeviceType = DeviceBot
	default:
		e.DeviceType = firstDevice(deviceOfModel(r.text(cModel)), agent.certain(), formOf(r.textOr(cOSName, cOS)), hints.device, agent.device, word.device)
		if e.DeviceType == DeviceDesktop && r.upright(e, stated) {
			e.DeviceType, e.OS = DeviceTablet, OSiOS
		}
	}
	if bot || e.DeviceType == DeviceBot {
		e.Flags |= FlagBot // whatever form of device it plays
	}
}

func firstDevice(of ...DeviceType) DeviceType {
	for _, d := range of {
		if d != DeviceUnknown {
			return d
		}
	}
	return DeviceUnknown
}

// upright reports whether what passes for a Mac is an iPad: it names its system,
// can be touched, or has the screen of one.
func (r *record) upright(e *Event, stated OS) bool {
	if e.OS != OSMac && e.OS != OSiOS {
		return false
	}
	if touch, ok := r.number(cTouch); ok && touch > 1 {
		return true
	}
	return stated == OSiOS || ipads[[2]uint16{e.Width, e.Height}]
}

// pixels is a screen dimension; 0 when it is not stated or makes no sense.
func (r *record) pixels(f field) uint16 {
	v, ok := r.number(f)
	if !ok || !(v > 0) {
		return 0
	}
	return uint16(min(v, 65535))
}
