package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"regexp"
	"slices"
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
	if !modelMeasure(cfg, top["event"], props, &e) {
		return e, Malformed
	}
	if receipt > 0 && e.Time > receipt+cfg.FutureMS {
		return e, Future
	}
	return e, ""
}

type object = map[string]any

func modelConsent(c Consent, top object) bool {
	context, _ := top["context"].(object)
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
		yes, no := modelSegmentConsent(context["consent"], names)
		y, n := modelRudderConsent(context["consentManagement"], names)
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
	return !container && !list && slices.Contains([]string{"true", "1", "yes", "granted", "allowed", "allow"}, s)
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

func modelSegmentConsent(v any, names []string) (yes, no bool) {
	if modelEmpty(v) {
		return false, false
	}
	consent, ok := v.(object)
	if !ok {
		return modelYes(v), !modelYes(v)
	}
	switch preferences := consent["categoryPreferences"].(type) {
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

func modelRudderConsent(v any, names []string) (yes, no bool) {
	if modelEmpty(v) {
		return false, false
	}
	m, ok := v.(object)
	if !ok {
		return modelYes(v), !modelYes(v)
	}
	if allowed := m["allowedConsentIds"]; allowed != nil {
		yes = modelListed(allowed, names) > 0
		no = !yes
	}
	if denied := m["deniedConsentIds"]; denied != nil {
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
	anon, user = modelSomebody(anon), modelSomebody(user)
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
