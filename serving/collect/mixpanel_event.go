package collect

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/microseg/microseg/event"
)

// properties are a Mixpanel object's, as they were sent.
type properties map[string]json.RawMessage

// text is the property as a string; numbers as their digits.
func (p properties) text(key string) string {
	v := p[key]
	if s := text(v); s != "" {
		return s
	}
	var n json.Number
	if json.Unmarshal(v, &n) == nil {
		return n.String()
	}
	return ""
}

// devicePrefix marks a distinct_id that is an anonymous device's.
const devicePrefix = "$device:"

// ids are Segment's ids of who it is about. In Mixpanel's simplified identity
// merge a distinct_id that is no device's is a user's; before it, that of an
// unidentified browser is its $device_id.
func (p properties) ids(distinctKey string) (anonymous, user string) {
	distinct := p.text(distinctKey)
	anonymous, user = strings.TrimPrefix(p.text("$device_id"), devicePrefix), p.text("$user_id")
	device, marked := strings.CutPrefix(distinct, devicePrefix)
	switch {
	case distinct == "":
	case marked:
		if anonymous == "" {
			anonymous = device
		}
	case user == "" && distinct != anonymous:
		user = distinct
	}
	return anonymous, user
}

// time is a time as the decoder reads one: Mixpanel's is in seconds or milliseconds.
func (p properties) time(key string) (string, error) {
	v, ok := p[key]
	if !ok || string(v) == "null" {
		return "", nil
	}
	ms, ok := event.Time(v)
	if !ok {
		return "", fmt.Errorf("%s: not a time from 1973 to 2299, in seconds or milliseconds since 1970", key)
	}
	return time.UnixMilli(ms).UTC().Format(timeForm), nil
}

// notKept are the properties that become something else, or that are nobody's
// business.
var notKept = []string{"token", "time", "distinct_id", "$device_id", "$user_id", "$insert_id", "ip", "$ip", "api_key", mixpanelProof}

// mixpanelProof is the (super) property that has the proof of the userId.
const mixpanelProof = "microseg_proof"

// mixpanelEvent is {"event": name, "properties": {...}} as a Segment call.
func mixpanelEvent(item []byte) (token string, call map[string]any, err error) {
	var in struct {
		Event      string     `json:"event"`
		Properties properties `json:"properties"`
	}
	if err := json.Unmarshal(item, &in); err != nil {
		return "", nil, fmt.Errorf("reading a Mixpanel event: %w", err)
	}
	p := in.Properties
	token = p.text("token")
	if in.Event == "" {
		return token, nil, errors.New("a Mixpanel event has no name")
	}
	at, err := p.time("time")
	if err != nil {
		return token, nil, err
	}
	anonymous, user := p.ids("distinct_id")
	call = map[string]any{"type": "track", "event": in.Event, "context": p.context(), "properties": p.without(notKept)}
	switch in.Event {
	case "$mp_web_page_view":
		call["type"], call["properties"] = "page", p.page()
		delete(call, "event")
	case "$identify":
		call["type"] = "identify"
		delete(call, "event")
		anonymous, user = cmp.Or(strings.TrimPrefix(p.text("$anon_id"), devicePrefix), anonymous), cmp.Or(p.text("$identified_id"), user)
	case "$create_alias":
		// alias is the new name of distinct_id.
		call = map[string]any{"type": "alias", "previousId": cmp.Or(user, anonymous)}
		anonymous, user = "", p.text("alias")
	}
	set(call, "anonymousId", anonymous)
	set(call, "userId", user)
	set(call, "messageId", p.text("$insert_id"))
	set(call, "timestamp", at)
	return token, call, nil
}

// mixpanelProfile is a profile update of /engage as an identify call: the
// traits that it sets. Increments, lists and deletions have no counterpart.
func mixpanelProfile(item []byte) (token string, call map[string]any, err error) {
	var p properties
	if err := json.Unmarshal(item, &p); err != nil {
		return "", nil, fmt.Errorf("reading a Mixpanel profile: %w", err)
	}
	token = p.text("$token")
	at, err := p.time("$time")
	if err != nil {
		return token, nil, err
	}
	traits := map[string]json.RawMessage{}
	for _, op := range []string{"$set_once", "$set"} {
		var sets properties
		if v, ok := p[op]; ok && json.Unmarshal(v, &sets) != nil {
			return token, nil, fmt.Errorf("%s is not an object", op)
		}
		for k, v := range sets.without(notKept) {
			traits[strings.TrimPrefix(k, "$")] = v
		}
	}
	anonymous, user := p.ids("$distinct_id")
	call = map[string]any{"type": "identify", "traits": traits}
	set(call, "anonymousId", anonymous)
	set(call, "userId", user)
	set(call, "timestamp", at)
	return token, call, nil
}

// contexts are where Segment's context has what Mixpanel has as properties.
var contexts = map[string][2]string{
	"$current_url": {"page", "url"}, "$referrer": {"page", "referrer"},
	"current_page_title": {"page", "title"}, "current_url_path": {"page", "path"}, "current_url_search": {"page", "search"},
	"$os": {"os", "name"}, "$os_version": {"os", "version"},
	"$screen_width": {"screen", "width"}, "$screen_height": {"screen", "height"},
	"$manufacturer": {"device", "manufacturer"}, "$model": {"device", "model"}, "$device": {"device", "type"}, "$device_type": {"device", "type"},
	"$wifi": {"network", "wifi"}, "$carrier": {"network", "carrier"}, "$radio": {"network", "type"},
	"mp_lib": {"library", "name"}, "$lib_version": {"library", "version"},
	"$app_version_string": {"app", "version"}, "$app_build_number": {"app", "build"},
}

func (p properties) context() map[string]any {
	parts := map[string]map[string]json.RawMessage{}
	for _, key := range slices.Sorted(maps.Keys(p)) { // $device_type counts before $device
		if to, ok := contexts[key]; ok {
			if parts[to[0]] == nil {
				parts[to[0]] = map[string]json.RawMessage{}
			}
			parts[to[0]][to[1]] = p[key]
		}
	}
	out := map[string]any{}
	for name, part := range parts {
		out[name] = part
	}
	if with := p.text(mixpanelProof); with != "" {
		out[proofKey] = with
	}
	if agent := p.text("$user_agent"); agent != "" {
		out["userAgent"] = agent
	}
	return out
}

// page is a page call's properties.
func (p properties) page() properties {
	out := p.without(notKept)
	for key, value := range p {
		if to, ok := contexts[key]; ok && to[0] == "page" {
			out[to[1]] = value
		}
	}
	return out
}

func (p properties) without(keys []string) properties {
	out := properties{}
	for k, v := range p {
		out[k] = v
	}
	for _, k := range keys {
		delete(out, k)
	}
	return out
}

func set(call map[string]any, key, value string) {
	if value != "" {
		call[key] = value
	}
}
