package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// model is the obviously right, slow decoder: encoding/json into maps, the
// standard library for times, hashes and globs. It returns the event and an
// empty reason, or whatever and the reason.
func model(cfg Config, raw []byte, appendMS int64) (Event, Reason) {
	e := Event{Append: appendMS, Ingest: -1}
	if len(raw) > cfg.MaxBytes && !strings.HasPrefix(string(raw), `{"type":"$rebuild",`) {
		return e, Oversized
	}
	top, ok := modelJSON(raw)
	if !ok {
		return e, Malformed
	}
	switch top["type"] {
	case TypeRebuild:
		e.Kind = KindRebuild
		if !modelIDs(top, raw, &e) {
			return e, Malformed
		}
		text, _ := top["raw"].(string)
		if b, err := base64.StdEncoding.DecodeString(text); err != nil || len(b) == 0 {
			return e, Malformed
		}
		e.User = ""
		return e, ""
	case TypeDelete, TypeUnlink, TypeReset:
		e.Kind = map[any]Kind{TypeDelete: KindDelete, TypeUnlink: KindUnlink, TypeReset: KindReset}[top["type"]]
		ok := modelIDs(top, raw, &e)
		of := strings.HasPrefix(e.Device, "user:")
		if !ok || e.Kind != KindDelete && of || e.Kind == KindUnlink && e.User == "" {
			return e, Malformed
		}
		if e.Kind == KindReset {
			e.User = ""
		}
		return e, ""
	}
	if !modelConsent(cfg.Consent, top) {
		return e, NoConsent
	}
	if top["type"] == TypeRejected {
		if top["reason"] == string(Oversized) {
			return e, Oversized
		}
		return e, Malformed
	}
	if !modelIDs(top, raw, &e) {
		return e, Malformed
	}
	receipt, ok := modelTimes(top, &e)
	if !ok {
		return e, Malformed
	}
	props, context := modelUnwrapped(modelObject(top["properties"])), modelObject(top["context"])
	implied := PageUnknown
	switch top["type"] {
	case "page", "screen":
		e.Kind = KindPage
	case "identify":
		e.Kind = KindIdentify
	case "group":
	case "alias":
		e.Kind = KindAlias
		previous, ok := modelID(top["previousId"])
		if !ok || Nobody(previous) || e.User == "" {
			return e, Malformed
		}
		e.Device = previous
	case "track":
		name, _ := top["event"].(string)
		if name == "" {
			return e, Malformed
		}
		spec := name
		if other := otherNames[name]; other != "" && !slices.Contains(cfg.Custom, name) {
			spec = other
		}
		e.Kind, _ = KindOf(spec)
		implied = names[spec].page
		for i, c := range cfg.Custom {
			if c == name {
				e.Kind = FirstCustom + Kind(i)
			}
		}
	default:
		return e, Malformed
	}
	path := modelPath(cfg, props, context, e.Kind == KindPage)
	modelPage(cfg, top, props, path, implied, &e)
	modelContext(context, &e)
	modelMeasure(cfg, top["event"], props, &e)
	if modelHighTicket(cfg, top, props, path, &e) {
		e.Flags |= FlagHighTicket
	}
	of := slices.Contains([]any{"identify", "group", "alias"}, top["type"]) && strings.HasPrefix(e.Device, "user:")
	if active := context["active"]; of || active == false || active == "false" || active == "False" || active == "0" || active == json.Number("0") {
		e.Flags |= FlagPassive
	}
	if receipt > 0 && e.Time > receipt+cfg.FutureMS {
		return e, Future
	}
	return e, ""
}

type object = map[string]any

// modelUnwrapped has what "ecommerce" and "product" say of products.
func modelUnwrapped(props object) object {
	for _, wrapper := range []string{"ecommerce", "product"} {
		inner, ok := props[wrapper].(object)
		if !ok {
			continue
		}
		all := object{}
		for _, key := range []string{"category", "product_id", "productId", "item_id", "sku", "price", "currency", "quantity", "value", "total", "revenue", "subtotal",
			"products", "items", "line_items"} {
			if v, ok := inner[key]; ok {
				all[key] = v
			}
		}
		for key, v := range props {
			if v != nil {
				all[key] = v
			}
		}
		props = all
	}
	return props
}

func modelConsent(c Consent, top object) bool {
	context := modelObject(top["context"])
	groups := [][]string{analytics}
	if len(c.Categories) > 0 {
		groups = nil
		for _, name := range c.Categories {
			if strings.EqualFold(name, "analytics") {
				groups = append(groups, analytics)
			} else {
				groups = append(groups, []string{name})
			}
		}
	}
	granted, denied := 0, 0
	for _, names := range groups {
		yes, no := modelSegmentConsent(context["consent"], names, groups)
		y, n := modelRudderConsent(context["consentManagement"], names, groups)
		if yes || y {
			granted++
		}
		if no || n {
			denied++
		}
	}
	return denied == 0 && (!c.Required || granted == len(groups))
}

func modelYes(v any) bool {
	s := strings.ToLower(strings.TrimSpace(fmt.Sprint(v)))
	_, container := v.(object)
	_, list := v.([]any)
	return !container && !list && slices.Contains([]string{"true", "1", "yes", "granted", "allowed", "allow", "on", "accepted", "opted_in"}, s)
}

func modelEmpty(v any) bool {
	o, isObject := v.(object)
	l, isList := v.([]any)
	return v == nil || isObject && len(o) == 0 || isList && len(l) == 0
}

// modelNamed reports whether a name is one of the category's.
func modelNamed(name string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSpace(name), n) })
}

func modelSegmentConsent(v any, names []string, groups [][]string) (yes, no bool) {
	if modelEmpty(v) {
		return false, false
	}
	consent, ok := v.(object)
	if !ok {
		return modelYes(v), !modelYes(v)
	}
	stated, found := modelMember(consent, "categorypreferences")
	if !found {
		return modelPlainConsent(consent, names, groups)
	}
	switch preferences := stated.(type) {
	case object:
		for key, says := range preferences {
			if says != nil && modelNamed(key, names) {
				yes, no = yes || modelYes(says), no || !modelYes(says)
			}
		}
		return yes, no
	case []any:
		if len(preferences) > 0 {
			yes = modelListed(preferences, names) > 0
			no = !yes
		}
		return yes, no
	case nil:
		return false, false
	default:
		return modelYes(preferences), !modelYes(preferences)
	}
}

func modelMember(o object, word string) (v any, found bool) {
	for key, member := range o {
		if modelWord(key) == word {
			v, found = member, true
		}
	}
	return v, found
}

// modelPlainConsent is what an object says that has neither form of the two libraries.
func modelPlainConsent(o object, names []string, groups [][]string) (yes, no bool) {
	for key, says := range o {
		word := word(key)
		answers := regexp.MustCompile(`^(?i: *(false|0|no|denied|disallowed|deny|rejected|off|opted_out|unknown|pending) *)$`)
		_, isText := says.(string)
		_, isNumber := says.(json.Number)
		_, isBool := says.(bool)
		switch {
		case says == nil:
		case modelNamed(key, names) || everything[word] && !modelEmpty(says):
			yes, no = yes || modelYes(says), no || !modelYes(says)
		case slices.ContainsFunc(groups, func(names []string) bool { return modelNamed(key, names) }) || modelEmpty(says) || platform[word]:
		case !isBool && !modelYes(says) && !((isText || isNumber) && answers.MatchString(fmt.Sprint(says))):
			no = true
		}
	}
	return yes, no
}

func modelRudderConsent(v any, names []string, groups [][]string) (yes, no bool) {
	if modelEmpty(v) {
		return false, false
	}
	m, ok := v.(object)
	if !ok {
		return modelYes(v), !modelYes(v)
	}
	allowed, some := modelMember(m, "allowedconsentids")
	denied, others := modelMember(m, "deniedconsentids")
	if !some && !others {
		return modelPlainConsent(m, names, groups)
	}
	if allowed != nil {
		yes = modelListed(allowed, names) > 0
		no = !yes
	}
	if denied != nil {
		no = no || modelListed(denied, names) != 0
	}
	return yes, no
}

// modelListed is 1 where a list has one of the names, 0 where it has none, and -1
// where it is none.
func modelListed(v any, names []string) (found int) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			switch e := e.(type) {
			case nil:
			case string, json.Number:
				if modelNamed(fmt.Sprint(e), names) {
					found = 1
				}
			default:
				return -1
			}
		}
	case object:
		for key, name := range v {
			switch name := name.(type) {
			case nil:
			case string, json.Number:
				if modelNamed(fmt.Sprint(name), names) {
					found = 1
				}
			default:
				return -1
			}
			if modelNamed(key, names) {
				found = 1
			}
		}
	case string, json.Number:
		for _, part := range strings.Split(fmt.Sprint(v), ",") {
			if modelNamed(part, names) {
				found = 1
			}
		}
	default:
		return -1
	}
	return found
}

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

// modelObject is the object, also one in a text; empty for all else.
func modelObject(v any) object {
	if text, ok := v.(string); ok && strings.HasPrefix(text, "{") {
		o, _ := modelJSON([]byte(text))
		return o
	}
	o, _ := v.(object)
	return o
}

func modelIDs(top object, raw []byte, e *Event) bool {
	id := func(name string) string {
		if id, ok := modelID(top[name]); ok {
			return id
		}
		return ""
	}
	anon, user, message := modelSomebody(id("anonymousId")), modelSomebody(id("userId")), id("messageId")
	if anon == "" && user == "" {
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

// modelSomebody is the id, empty where it stands for nobody.
func modelSomebody(id string) string {
	text := asciiLower(strings.TrimSpace(id))
	if strings.Trim(text, "0-") == "" || blocked[text] || modelTemplate.MatchString(text) {
		return ""
	}
	return id
}

var modelTemplate = regexp.MustCompile(`(?s)^(\{\{.+\}\}|\{%.+%\}|\$\{.+\}|<.+>|%.+%)$`)

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

// modelTimes has the rules of stamps in the order in which docs/collector.md says them.
func modelTimes(top object, e *Event) (receipt int64, ok bool) {
	const day, since = 86_400_000, 100_000_000_000
	stamp := map[string]int64{}
	for _, name := range []string{"timestamp", "originalTimestamp", "sentAt", "receivedAt"} {
		if ms, ok := modelStamp(top[name]); ok {
			stamp[name] = ms
		}
	}
	good := func(name string) bool { return stamp[name] >= since }
	receipt = e.Append
	if good("receivedAt") {
		receipt = stamp["receivedAt"]
		e.Receipt = receipt
	}
	if way := e.Append - stamp["sentAt"]; good("sentAt") && e.Append > 0 && way >= 0 && way <= 3_600_000 {
		e.Ingest = way
	}
	if !good("timestamp") && !good("originalTimestamp") {
		original, ok := stamp["originalTimestamp"]
		if !ok {
			original = stamp["timestamp"]
		}
		way := stamp["sentAt"] - original
		e.Time = stamp["receivedAt"] - way
		return receipt, original > 0 && stamp["sentAt"] > 0 && !good("sentAt") && good("receivedAt") && way >= 0 && way <= day
	}
	original := stamp["originalTimestamp"]
	if !good("originalTimestamp") {
		original = stamp["timestamp"]
	}
	if e.Time = stamp["timestamp"]; !good("timestamp") {
		e.Time = original
	}
	if !good("sentAt") || !good("receivedAt") || stamp["sentAt"] < original-3_600_000 {
		return receipt, true
	}
	behind := stamp["receivedAt"] - stamp["sentAt"]
	corrected := original + behind
	if (behind < 0 || behind > 600_000) && behind <= day && corrected >= since && corrected <= maxTime {
		e.Time = corrected
	}
	return receipt, true
}

func modelStamp(v any) (int64, bool) {
	s := ""
	switch v := v.(type) {
	case string:
		if ms, ok := modelTime(v); ok {
			return ms, true
		}
		s = v
	case json.Number:
		s = v.String()
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !jsonNumber.MatchString(s) {
		return 0, false
	}
	for _, unit := range []struct{ from, to, ms float64 }{{1e8, 1e11, 1000}, {1e11, 1e14, 1}, {1e14, 1e17, 1e-3}, {1e17, 1e20, 1e-6}} {
		if f >= unit.from && f < unit.to {
			ms := f * unit.ms
			switch unit.ms {
			case 1000:
				ms = math.Round(f * 1000)
			case 1e-3:
				ms = f / 1000
			case 1e-6:
				ms = f / 1e6
			}
			return int64(ms), ms <= maxTime
		}
	}
	return 0, false
}

// modelOtherTime leaves the forms of Java, of mail and of JavaScript to the standard library.
func modelOtherTime(s string) (int64, bool) {
	if i := strings.LastIndexByte(s, '['); i > 0 && regexp.MustCompile(`^[A-Za-z0-9_/+-]+\]$`).MatchString(s[i+1:]) {
		if ms, ok := modelTime(s[:i]); ok {
			return ms, ok
		}
		s = s[:i]
	}
	s = regexp.MustCompile(` \(.*\)$`).ReplaceAllString(s, "")
	for _, form := range []string{"2006-01-02T15:04Z07:00", "2006-01-02T15:04Z0700", "20060102T150405Z07:00", "20060102T150405Z0700",
		"Mon, 2 Jan 2006 15:04:05 GMT", "Mon, 2 Jan 2006 15:04:05 -0700", "Mon Jan 02 2006 15:04:05 GMT-0700"} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UnixMilli(), t.UnixMilli() >= 0 && t.UnixMilli() <= maxTime
		}
	}
	return 0, false
}

var anyTime = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt _](\d\d:\d\d:\d\d)(?:[.,](\d*))? *(?:([Zz]|[Uu][Tt][Cc]|[Gg][Mm][Tt])|([-+\x{2212}])([01]\d|2[0-3])(?::?([0-5]\d))?(?: *[Uu][Tt][Cc])?)$`)

// modelTime takes a time apart by an expression and leaves dates to the standard library.
func modelTime(s string) (int64, bool) {
	if s = strings.TrimSpace(s); len(s) > 96 {
		return 0, false
	}
	m := anyTime.FindStringSubmatch(s)
	if m == nil && len(s) >= len("20261120T100000Z") {
		return modelOtherTime(s)
	}
	if m == nil || len(s) > 64 || strings.ContainsAny(s[19:20], ".,") && m[3] == "" {
		return 0, false
	}
	day, clock, frac, zone := m[1], m[2], (m[3] + "000")[:3], "Z"
	if m[4] == "" {
		if m[7] == "" {
			m[7] = "00"
		}
		zone = strings.Replace(m[5], "\u2212", "-", 1) + m[6] + ":" + m[7]
	}
	leap, midnight := strings.HasSuffix(clock, ":60"), clock == "24:00:00" && strings.Trim(m[3], "0") == ""
	if leap {
		clock = clock[:6] + "59"
	}
	if midnight {
		clock = "00:00:00"
	}
	t, err := time.Parse("2006-01-02T15:04:05.000Z07:00", day+"T"+clock+"."+frac+zone)
	if err != nil || t.UnixMilli() < 0 {
		return 0, false
	}
	if leap {
		t = t.Add(time.Second)
		if u := t.UTC(); u.Hour() != 0 || u.Minute() != 0 || u.Second() != 0 {
			return 0, false
		}
	}
	if midnight {
		t = t.AddDate(0, 0, 1)
	}
	return t.UnixMilli(), t.UnixMilli() <= maxTime
}
