package event

import (
	"regexp"
	"strings"

	"github.com/mileusna/useragent"
)

func modelPage(cfg Config, top, props, context object, implied PageType, e *Event) {
	page, _ := context["page"].(object)
	str := func(o object, key string) string { s, _ := o[key].(string); return s }
	path := str(page, "path")
	if path == "" {
		path = str(props, "path")
	}
	if path == "" {
		path = modelURLPath(str(page, "url"))
	}
	if path == "" {
		path = modelURLPath(str(props, "url"))
	}
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	if path != "/" {
		path = strings.TrimSuffix(path, "/")
	}
	call := e.Kind == KindPage
	e.Page = modelHash(path)
	if path == "" && call {
		e.Page = modelHash(str(top, "name"))
	}
	if path == "" && e.Kind == KindProductView {
		e.Page = modelProduct(props)
	}
	for t := PageHome; t < NumPageTypes; t++ {
		if props["page_type"] == PageTypes[t] {
			e.PageType = t
			return
		}
	}
	for _, r := range cfg.Pages {
		byPath := r.Path == "" || path != "" && modelGlob(r.Path).MatchString(path)
		byName := r.Name == "" || call && (top["name"] == r.Name || top["category"] == r.Name || props["name"] == r.Name || props["category"] == r.Name)
		if byPath && byName {
			e.PageType = r.Type
			return
		}
	}
	if e.PageType = implied; implied == PageUnknown && call {
		e.PageType = PageOther
	}
}

func modelProduct(props object) uint64 {
	if id, ok := modelID(props["product_id"]); ok && id != "" {
		return modelHash(id)
	}
	id, ok := modelID(props["sku"])
	if !ok {
		return 0
	}
	return modelHash(id)
}

func modelURLPath(u string) string {
	if _, rest, ok := strings.Cut(u, "://"); ok {
		if i := strings.IndexAny(rest, "/?#"); i >= 0 && rest[i] == '/' {
			return rest[i:]
		}
		return "/"
	}
	if strings.HasPrefix(u, "/") {
		return u
	}
	return ""
}

func modelGlob(g string) *regexp.Regexp {
	re := ""
	for g != "" {
		switch {
		case g == "/**" || strings.HasPrefix(g, "/**/"):
			re, g = re+"(/.*)?", g[3:]
		case strings.HasPrefix(g, "**"):
			re, g = re+".*", g[2:]
		case g[0] == '*':
			re, g = re+"[^/]*", g[1:]
		default:
			re, g = re+regexp.QuoteMeta(g[:1]), g[1:]
		}
	}
	return regexp.MustCompile(`(?s)^` + re + `\z`)
}

func modelContext(context object, e *Event) {
	sub := func(key string) object { o, _ := context[key].(object); return o }
	word := func(v any) string { s, _ := v.(string); return asciiLower(s) }
	device, _ := sub("device")["type"].(string)
	os, _ := sub("os")["name"].(string)
	e.OS = modelOS(os)
	switch asciiLower(device) {
	case "desktop":
		e.DeviceType = DeviceDesktop
	case "mobile", "phone", "smartphone", "ios", "android":
		e.DeviceType = DeviceMobile
	case "tablet":
		e.DeviceType = DeviceTablet
	case "tv", "smarttv":
		e.DeviceType = DeviceTV
	case "bot":
		e.DeviceType = DeviceBot
	}
	ua, _ := context["userAgent"].(string)
	ua = ua[:min(len(ua), 1024)]
	u := useragent.Parse(ua)
	bot := ua != "" && (u.Bot || modelCrawler(ua))
	if bot {
		e.Flags |= FlagBot
	}
	if ua != "" && device == "" {
		if e.OS == OSUnknown {
			e.OS = modelOS(u.OS)
		}
		switch {
		case bot:
			e.DeviceType = DeviceBot
		case u.Tablet:
			e.DeviceType = DeviceTablet
		case u.Mobile:
			e.DeviceType = DeviceMobile
		case u.Desktop:
			e.DeviceType = DeviceDesktop
		}
	}
	if e.DeviceType == DeviceBot {
		e.Flags |= FlagBot
	}
	if w, ok := modelNumber(sub("screen")["width"]); ok && w > 0 {
		e.Width = uint16(min(w, 65535))
	}
	if h, ok := modelNumber(sub("screen")["height"]); ok && h > 0 {
		e.Height = uint16(min(h, 65535))
	}
	n := sub("network")
	e.Network = modelNetwork(word(n["type"]), word(n["effectiveType"]), n["wifi"] == true)
}

func modelNetwork(typ, effective string, wifi bool) Network {
	speeds := map[string]Network{"none": NetworkOffline, "offline": NetworkOffline, "slow-2g": NetworkSlow2G, "2g": Network2G,
		"3g": Network3G, "4g": Network4G, "lte": Network4G, "5g": Network5G, "wifi": NetworkWifi, "ethernet": NetworkEthernet}
	t, s := speeds[typ], speeds[effective]
	if t == NetworkOffline || s == NetworkOffline {
		return NetworkOffline
	}
	if s == NetworkSlow2G || s == Network2G || s == Network3G {
		return s
	}
	if t == NetworkWifi || t == NetworkEthernet {
		return t
	}
	if wifi {
		return NetworkWifi
	}
	if s != NetworkUnknown {
		return s
	}
	return t
}

func modelOS(name string) OS {
	switch name = asciiLower(name); name {
	case "":
		return OSUnknown
	case "windows":
		return OSWindows
	case "macos", "mac os x", "mac os", "os x":
		return OSMac
	case "linux", "ubuntu":
		return OSLinux
	case "android":
		return OSAndroid
	case "ios", "iphone os", "ipados":
		return OSiOS
	case "chromeos", "chrome os":
		return OSChrome
	}
	if strings.HasPrefix(name, "windows ") {
		return OSWindows
	}
	return OSOther
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
