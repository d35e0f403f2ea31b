package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mileusna/useragent"
)

// model is the obviously right, slow decoder: encoding/json into maps, the
// standard library for times, hashes and globs. It returns the event and an
// empty reason, or whatever and the reason.
func model(cfg Config, raw []byte, appendMS int64) (Event, Reason) {
	e := Event{Append: appendMS, Ingest: -1}
	if len(raw) > cfg.MaxBytes {
		return e, Oversized
	}
	top, ok := modelJSON(raw)
	if !ok {
		return e, Malformed
	}
	if !modelIDs(top, raw, &e) {
		return e, Malformed
	}
	receipt, ok := modelTimes(top, &e)
	if !ok {
		return e, Malformed
	}
	props, ok1 := modelObject(top["properties"])
	context, ok2 := modelObject(top["context"])
	if !ok1 || !ok2 {
		return e, Malformed
	}
	implied := PageUnknown
	switch top["type"] {
	case "page", "screen":
		e.Kind = KindPage
	case "identify":
		e.Kind = KindIdentify
	case "group", "alias":
	case "track":
		name, _ := top["event"].(string)
		if name == "" {
			return e, Malformed
		}
		e.Kind, _ = KindOf(name)
		implied = names[name].page
		for i, c := range cfg.Custom {
			if c == name {
				e.Kind = FirstCustom + Kind(i)
			}
		}
	default:
		return e, Malformed
	}
	modelPage(cfg, top, props, context, implied, &e)
	modelContext(context, &e)
	if !modelMeasure(cfg, props, &e) {
		return e, Malformed
	}
	if receipt > 0 && e.Time > receipt+cfg.FutureMS {
		return e, Future
	}
	return e, ""
}

type object = map[string]any

func modelJSON(raw []byte) (object, bool) {
	if !utf8.Valid(raw) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil, false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	top, ok := v.(object)
	return top, ok
}

// modelObject is the object, empty for null; ok is false for other types.
func modelObject(v any) (object, bool) {
	if v == nil {
		return object{}, true
	}
	o, ok := v.(object)
	return o, ok
}

func modelIDs(top object, raw []byte, e *Event) bool {
	anon, ok1 := modelID(top["anonymousId"])
	user, ok2 := modelID(top["userId"])
	message, ok3 := modelID(top["messageId"])
	if !ok1 || !ok2 || !ok3 || anon == "" && user == "" {
		return false
	}
	e.Device, e.User, e.ID = anon, user, modelHash(message)
	if anon == "" {
		e.Device = "user:" + user
	}
	if message == "" {
		e.ID = modelHash(string(raw))
	}
	return true
}

func modelID(v any) (string, bool) {
	s := ""
	switch v := v.(type) {
	case nil:
	case string:
		s = v
	case json.Number:
		s = v.String()
	default:
		return "", false
	}
	return s, len(s) <= 512
}

func modelHash(s string) uint64 {
	if s == "" {
		return 0
	}
	h := fnv.New64a()
	io.WriteString(h, s)
	return max(1, h.Sum64())
}

func modelTimes(top object, e *Event) (receipt int64, ok bool) {
	t := map[string]int64{}
	for _, name := range []string{"timestamp", "originalTimestamp", "sentAt", "receivedAt"} {
		switch v := top[name].(type) {
		case nil:
		case string:
			if v != "" {
				if t[name], ok = modelTime(v); !ok {
					return 0, false
				}
			}
		case json.Number:
			f, err := v.Float64()
			if err != nil || f < 0 || f > maxTime {
				return 0, false
			}
			t[name] = int64(f)
		default:
			return 0, false
		}
	}
	has := func(name string) bool { _, ok := t[name]; return ok }
	if !has("timestamp") && !has("originalTimestamp") {
		return 0, false
	}
	if !has("timestamp") {
		t["timestamp"] = t["originalTimestamp"]
	}
	if !has("originalTimestamp") {
		t["originalTimestamp"] = t["timestamp"]
	}
	e.Time = t["timestamp"]
	if has("sentAt") && has("receivedAt") {
		e.Time = t["receivedAt"] - (t["sentAt"] - t["originalTimestamp"])
	}
	if way := e.Append - t["sentAt"]; has("sentAt") && e.Append > 0 && way >= 0 && way <= 3_600_000 {
		e.Ingest = way
	}
	receipt = e.Append
	if has("receivedAt") {
		receipt = t["receivedAt"]
	}
	return receipt, e.Time >= 0 && e.Time <= maxTime
}

var rfc3339 = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|([-+])([01]\d|2[0-3]):?([0-5]\d))$`)

func modelTime(s string) (int64, bool) {
	m := rfc3339.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	zone := "Z"
	if m[2] != "" {
		zone = m[2] + m[3] + ":" + m[4]
	}
	t, err := time.Parse(time.RFC3339, m[1]+zone)
	return t.UnixMilli(), err == nil && t.UnixMilli() >= 0 && t.UnixMilli() <= maxTime
}

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
	if ua, _ := context["userAgent"].(string); ua != "" && device == "" {
		u := useragent.Parse(ua[:min(len(ua), 1024)])
		if e.OS == OSUnknown {
			e.OS = modelOS(u.OS)
		}
		switch {
		case u.Bot:
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

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// modelNumber is the value of a number or of a string that spells one.
func modelNumber(v any) (float64, bool) {
	s := ""
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && jsonNumber.MatchString(s)
}

func modelMeasure(cfg Config, props object, e *Event) bool {
	for i, name := range cfg.Elements {
		if props["element"] == name {
			e.Element = uint8(i + 1)
		}
	}
	e.Item = modelProduct(props)
	ok := true
	// get is a measurement, 0 when not stated; it clears ok when it is wrong.
	get := func(o object, key string) float64 {
		if o[key] == nil {
			return 0
		}
		v, good := modelNumber(o[key])
		if !good || v < 0 || v > 1e12 {
			ok = false
			return 0
		}
		return math.Abs(v) // -0 is 0
	}
	category, _ := props["category"].(string)
	for _, p := range cfg.HighTicketCategories {
		if category == p || strings.HasPrefix(category, p+".") || strings.HasPrefix(category, p+"/") {
			if get(props, "price") >= cfg.HighTicketMinPrice && ok {
				e.Flags |= FlagHighTicket
			}
			ok = true
		}
	}
	switch e.Kind {
	case KindPing:
		e.X = get(props, "seconds")
		if props["visible"] != false {
			e.Flags |= FlagVisible
		}
	case KindScroll:
		if props["depth"] != nil {
			if e.X, ok = modelNumber(props["depth"]); !ok {
				return false
			}
			if e.X > 1 {
				e.X /= 100
			}
			e.X = math.Abs(math.Min(1, math.Max(0, e.X)))
		}
		if props["velocity"] != nil {
			if e.Y, ok = modelNumber(props["velocity"]); !ok {
				return false
			}
			e.Y = math.Abs(e.Y)
		}
		e.Z = get(props, "seconds_to_half")
	case KindHover, KindFocus:
		e.X = get(props, "duration_ms")
	case KindVideoStart, KindVideoPause, KindVideoComplete:
		e.X = get(props, "position")
		if id, ok := modelID(props["session_id"]); ok && id != "" {
			e.Item = modelHash(id)
		}
	case KindProductView:
		e.X = get(props, "price")
	case KindCartAdd, KindCartRemove:
		e.X, e.Y = get(props, "price"), math.Max(1, get(props, "quantity"))
	case KindCartView, KindCheckout:
		e.X, e.Y = modelProducts(props, &ok, get)
		if props["value"] != nil {
			e.X = get(props, "value")
		}
	case KindOrder:
		if props["total"] != nil {
			e.X = get(props, "total")
		} else if props["revenue"] != nil {
			e.X = get(props, "revenue")
		} else if props["value"] != nil {
			e.X = get(props, "value")
		} else {
			e.X, _ = modelProducts(props, &ok, get)
		}
	}
	return ok && e.X <= 1e12 && e.Y <= 1e12
}

func modelProducts(props object, ok *bool, get func(object, string) float64) (value, items float64) {
	if props["products"] == nil {
		return 0, 0
	}
	list, isList := props["products"].([]any)
	if !isList {
		*ok = false
	}
	for _, v := range list {
		p, isObject := v.(object)
		if !isObject {
			*ok = false
			continue
		}
		quantity := 1.0
		if p["quantity"] != nil {
			quantity = get(p, "quantity")
		}
		value += get(p, "price") * quantity
		items += quantity
	}
	return value, items
}
