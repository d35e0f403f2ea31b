package event

import (
	"encoding/json"
	url2 "net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// modelPath is the page's path, cleaned: a page call's own, else the context's.
func modelPath(cfg Config, props, context object, call bool) string {
	page, _ := context["page"].(object)
	str := func(o object, key string) string { s, _ := o[key].(string); return s }
	first, second := page, props
	if call {
		first, second = props, page
	}
	address := func(o object, whole bool) string {
		url := strings.TrimSpace(str(o, "url"))
		if whole && url == "" && page == nil {
			url = str(context, "page")
		}
		return modelAddress(cfg, strings.TrimSpace(str(o, "path")), url)
	}
	if path := address(first, !call); path != "" {
		return path
	}
	return address(second, call)
}

func modelPage(cfg Config, top, props object, path string, implied PageType, e *Event) {
	str := func(o object, key string) string { s, _ := o[key].(string); return s }
	call := e.Kind == KindPage
	e.Page = modelHash(path)
	if path == "" && call {
		if e.Page = modelHash(str(top, "name")); e.Page == 0 {
			e.Page = modelHash(str(props, "name"))
		}
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
	if !call && path == "" && strings.HasPrefix(e.Device, "user:") {
		e.Page, e.PageType = 0, PageUnknown
	}
}

func modelAddress(cfg Config, path, url string) string {
	if cfg.HashRoutes {
		for _, address := range []string{path, url} {
			_, fragment, _ := strings.Cut(address, "#")
			if fragment = strings.TrimPrefix(fragment, "!"); strings.HasPrefix(fragment, "/") {
				return modelClean(fragment)
			}
		}
	}
	if modelAbsolute.MatchString(path) {
		path = modelURLPath(path)
	}
	if path == "" {
		if strings.HasPrefix(url, "//") {
			url = "https:" + url
		}
		path = modelURLPath(strings.TrimSpace(url))
	}
	path, _, _ = strings.Cut(modelClean(path), ";jsessionid=")
	if doubled := regexp.MustCompile("/{2,}"); doubled.MatchString(path) {
		path = modelClean(doubled.ReplaceAllString(path, "/"))
	}
	if plain, err := url2.PathUnescape(path); err == nil && utf8.ValidString(plain) && !modelEscaped.MatchString(path) {
		return plain
	}
	return path
}

var (
	modelAbsolute = regexp.MustCompile(`^[^/?#]+://`)
	modelEscaped  = regexp.MustCompile(`(?i)%(2f|3f|23|00)`) // of what means another thing when it is not escaped
)

func modelClean(path string) string {
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	if path != "/" {
		path = strings.TrimSuffix(path, "/")
	}
	return path
}

func modelProduct(props object) uint64 {
	for _, key := range []string{"product_id", "productId", "item_id"} { // of which a record has one
		if id, ok := modelID(props[key]); ok && id != "" {
			return modelHash(id)
		}
	}
	id, ok := modelID(props["sku"])
	if !ok {
		return 0
	}
	return modelHash(id)
}

func modelURLPath(u string) string {
	if modelAbsolute.MatchString(u) {
		_, rest, _ := strings.Cut(u, "://")
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
	re, before := "", ""
	for g != "" {
		rest := g
		switch {
		case g == "/**" || strings.HasPrefix(g, "/**/"):
			re, g = re+"(/.*)?", g[3:]
		case strings.HasPrefix(g, "**") && before != "" && before != "/" && before != "*":
			re, g = re+"(/.*)?", g[2:]
		case strings.HasPrefix(g, "**"):
			re, g = re+".*", g[2:]
		case g[0] == '*':
			re, g = re+"[^/]*", g[1:]
		default:
			re, g = re+regexp.QuoteMeta(g[:1]), g[1:]
		}
		before = rest[len(rest)-len(g)-1 : len(rest)-len(g)]
	}
	return regexp.MustCompile(`(?s)^` + re + `\z`)
}

// modelWord is a word in lower case, without what stands between its parts.
func modelWord(v any) string {
	s, _ := v.(string)
	return strings.NewReplacer(" ", "", "-", "", "_", "", ".", "", "/", "", "\u2010", "", "\u2011", "", "\u2012", "", "\u2013", "", "\u2014", "",
		"\u2015", "", "\u2212", "", "\u00ad", "", "\u00a0", "", "\u202f", "").Replace(asciiLower(s))
}

// modelContext takes what a user agent and client hints say from the decoder's own
// functions, which TestAgents and TestClientHints try; what counts first is here.
func modelContext(context object, e *Event) {
	sub := func(key string) object { o, _ := context[key].(object); return o }
	text := func(key, whole string) string {
		if s, _ := sub(whole)[key].(string); s != "" {
			return s
		}
		s, _ := context[whole].(string)
		return s
	}
	os := text("name", "os")
	ua, _ := context["userAgent"].(string)
	ua = ua[:min(len(ua), 1024)]
	agent, hints := parseAgent(ua), agent{}
	if o, ok := context["userAgentData"].(object); ok {
		hints = modelHints(o)
	}
	if w, ok := modelNumber(sub("screen")["width"]); ok && w > 0 {
		e.Width = uint16(min(w, 65535))
	}
	if h, ok := modelNumber(sub("screen")["height"]); ok && h > 0 {
		e.Height = uint16(min(h, 65535))
	}
	form, formOS, platform := modelForm(modelWord(text("type", "device")))
	stated := modelOS(os)
	e.OS = modelFirst(stated, hints.os, agent.os, formOS)
	model, _ := sub("device")["model"].(string)
	switch {
	case form != DeviceUnknown && !platform:
		e.DeviceType = form
	case agent.bot || hints.bot:
		e.DeviceType = DeviceBot
	case agent.device == DeviceTV:
		e.DeviceType = modelFirst(modelModel(model), agent.device)
	default:
		e.DeviceType = modelFirst(modelModel(model), modelSystem(os), hints.device, agent.device, form)
		touch, touched := modelNumber(sub("device")["maxTouchPoints"])
		apple := e.OS == OSMac || e.OS == OSiOS
		if e.DeviceType == DeviceDesktop && apple && (touched && touch > 1 || stated == OSiOS || ipads[[2]uint16{e.Width, e.Height}]) {
			e.DeviceType, e.OS = DeviceTablet, OSiOS
		}
	}
	if agent.bot || hints.bot || e.DeviceType == DeviceBot {
		e.Flags |= FlagBot
	}
	n := sub("network")
	radio := modelRadio.ReplaceAllString(text("type", "network"), "")
	e.Network = modelNetwork(modelWord(radio), modelWord(modelFirst[any](n["effectiveType"], n["effective_type"])), modelYes(n["wifi"]), modelYes(n["cellular"]))
}

var modelRadio = regexp.MustCompile(`^(CTRadioAccessTechnology)?(NETWORK_TYPE_)?(TYPE_)?`)

func modelFirst[T comparable](of ...T) T {
	var zero T
	for _, v := range of {
		if v != zero {
			return v
		}
	}
	return zero
}

func modelHints(o object) (a agent) {
	for _, key := range []string{"brands", "fullVersionList"} {
		text, _ := json.Marshal(o[key])
		a.bot = a.bot || strings.Contains(string(text), "HeadlessChrome")
	}
	if name, ok := o["platform"].(string); ok {
		a.os = modelOS(strings.Trim(name, `"`))
	}
	mobile, stated := o["mobile"].(bool)
	if text, ok := o["mobile"].(string); ok {
		mobile, stated = text == "?1" || text == "true", text == "?0" || text == "false"
	}
	desktop := a.os == OSWindows || a.os == OSMac || a.os == OSLinux || a.os == OSChrome
	switch {
	case a.bot:
		a.device = DeviceBot
	case mobile:
		a.device = DeviceMobile
	case stated && a.os == OSAndroid:
		a.device = DeviceTablet
	case stated && desktop:
		a.device = DeviceDesktop
	}
	return a
}

func modelModel(name string) DeviceType {
	for prefix, form := range map[string]DeviceType{"iPhone": DeviceMobile, "iPod": DeviceMobile, "Watch": DeviceMobile, "iPad": DeviceTablet,
		"AppleTV": DeviceTV, "Apple TV": DeviceTV, "Mac": DeviceDesktop, "iMac": DeviceDesktop,
		"Roku": DeviceTV, "AFT": DeviceTV, "BRAVIA": DeviceTV, "Chromecast": DeviceTV} {
		if strings.HasPrefix(name, prefix) {
			return form
		}
	}
	return DeviceUnknown
}

func modelForm(word string) (form DeviceType, os OS, platform bool) {
	switch word {
	case "ios":
		return DeviceMobile, OSiOS, true
	case "android":
		return DeviceMobile, OSAndroid, true
	case "macos", "macosx", "osx", "mac":
		return DeviceDesktop, OSMac, true
	case "windows":
		return DeviceDesktop, OSWindows, true
	case "linux":
		return DeviceDesktop, OSLinux, true
	case "chromeos", "chromebook":
		return DeviceDesktop, OSChrome, true
	case "desktop", "desktopcomputer", "desktoppc", "desktopweb", "windowsdesktop", "personalcomputer", "computer", "pc", "laptop", "notebook", "workstation":
		return DeviceDesktop, OSUnknown, false
	case "mobile", "mobileweb", "mobileapp", "mobiledevice", "phone", "mobilephone", "smartphone", "cellphone", "featurephone", "handset", "handheld", "phablet", "windowsphone",
		"watch", "smartwatch", "wearable", "wearos":
		return DeviceMobile, OSUnknown, false
	case "iphone", "ipod", "ipodtouch":
		return DeviceMobile, OSiOS, false
	case "applewatch", "watchos":
		return DeviceMobile, OSOther, false
	case "androidphone":
		return DeviceMobile, OSAndroid, false
	case "tablet", "pad", "ereader", "kindle":
		return DeviceTablet, OSUnknown, false
	case "ipad", "ipados":
		return DeviceTablet, OSiOS, false
	case "androidtablet":
		return DeviceTablet, OSAndroid, false
	case "androidtv", "googletv":
		return DeviceTV, OSAndroid, false
	case "tvos", "appletv", "roku", "tizen", "webos", "firetv":
		return DeviceTV, OSOther, false
	case "tv", "smarttv", "television", "connectedtv", "ctv", "ott", "settopbox", "settop", "stb", "mediaplayer", "chromecast", "hbbtv",
		"console", "gameconsole", "gamingconsole", "gamesconsole", "playstation", "xbox", "nintendo":
		return DeviceTV, OSUnknown, false
	case "bot", "crawler", "spider", "robot":
		return DeviceBot, OSUnknown, false
	}
	return DeviceUnknown, OSUnknown, false
}

var modelSpeeds = func() map[string]Network {
	m := map[string]Network{}
	for n, words := range map[Network]string{NetworkOffline: "none offline disconnected notreachable nonetwork noconnection notconnected", NetworkSlow2G: "slow2g",
		Network2G: "2g gprs edge gsm cdma 1xrtt cdma1x iden",
		Network3G: "3g umts wcdma hspa hspa+ hspap hsdpa hsupa evdo evdo0 evdoa evdob cdmaevdorev0 cdmaevdoreva cdmaevdorevb ehrpd tdscdma",
		Network4G: "4g lte 4glte lte+ ltea lteca lteadvanced", Network5G: "5g nr nrnsa nrsa 5gnr 5gnsa 5gsa 5ge 5g+ 5guw", NetworkWifi: "wifi wlan",
		NetworkEthernet: "ethernet wired lan", NetworkCellular: "cellular mobile wwan"} {
		for _, w := range strings.Fields(words) {
			m[w] = n
		}
	}
	return m
}()

func modelNetwork(typ, effective string, wifi, cellular bool) Network {
	t, s := modelSpeeds[typ], modelSpeeds[effective]
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
	if s != NetworkUnknown && s != NetworkCellular {
		return s
	}
	if t != NetworkUnknown {
		return t
	}
	if cellular || s == NetworkCellular {
		return NetworkCellular
	}
	return NetworkUnknown
}

// modelSystem is the form of device on which a system runs, if it is one form alone.
func modelSystem(name string) DeviceType {
	if form, os, platform := modelForm(modelWord(name)); os != OSUnknown && !platform {
		return form
	}
	if m := modelVersion.FindStringSubmatch(name); m != nil {
		return modelSystem(m[1])
	}
	return DeviceUnknown
}

var modelVersion = regexp.MustCompile(`^(.+) [0-9][^ ]*$`)

func modelOS(name string) OS {
	if name == "" {
		return OSUnknown
	}
	switch modelWord(name) {
	case "windows", "windowsphone", "win32", "windowsnt":
		return OSWindows
	case "macos", "macosx", "osx", "macintosh", "mac", "darwin":
		return OSMac
	case "linux", "ubuntu", "debian", "fedora":
		return OSLinux
	case "android", "androidos", "fireos", "androidtv", "googletv":
		return OSAndroid
	case "ios", "iphoneos", "ipados", "iphone", "ipad":
		return OSiOS
	case "chromeos", "chromiumos", "cros":
		return OSChrome
	}
	if m := modelVersion.FindStringSubmatch(name); m != nil {
		return modelOS(m[1])
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
