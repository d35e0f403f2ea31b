package collect_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/microseg/microseg/event"
)

// TestMixpanelForms: one event in every form that Mixpanel's libraries use.
func TestMixpanelForms(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const one = `{"event":"Product Viewed","properties":{"token":"demo","distinct_id":"$device:d?>1","time":1772625600,"price":12.5,"x":"ÿ?>"}}`
	form := func(data string) string { return url.Values{"data": {data}, "ip": {"1"}}.Encode() }
	std, web := base64.StdEncoding.EncodeToString([]byte(one)), base64.RawURLEncoding.EncodeToString([]byte(one))
	if !strings.ContainsAny(std, "+/") {
		t.Fatal("the sample does not try the alphabet")
	}
	for name, body := range map[string]string{
		"JSON": one, "array": "[" + one + "]", "a line each": one + "\n", "form, JSON": form(one), "form, array": form("[" + one + "]"),
		"form, base64": form(std), "form, base64 as it is": "data=" + std, "form, base64url": form(web), "gzip": zipped(form(one)), "gzip, JSON": zipped(one),
	} {
		for _, path := range []string{"/track", "/track/", "/import"} {
			if r := s.post(path, body); r.code != 200 || r.body != "1" {
				t.Errorf("%s, %s: %+v", path, name, r)
				continue
			}
			check(t, s, name)
		}
	}
	for _, query := range []string{"/track?data=" + url.QueryEscape(std), "/track/?ip=1&data=" + web, "/track?data=" + url.QueryEscape(one)} {
		if r := s.do("GET", query, ""); r.code != 200 || r.body != "1" {
			t.Errorf("%s: %+v", query, r)
			continue
		}
		check(t, s, query)
	}
	if r := s.post("/track?verbose=1", one); r.code != 200 || r.body != `{"error":null,"status":1}`+"\n" {
		t.Errorf("%+v", r)
	}
	if r := s.post("/import?strict=1", "["+one+","+one+"]"); !strings.Contains(r.body, `"num_records_imported":2`) {
		t.Errorf("%+v", r)
	}
	s.records(3)
	s.nothing()
}

func check(t *testing.T, s *site, name string) {
	t.Helper()
	r := s.records(1)[0]
	e, _, err := decoded(t, event.Config{}, r)
	if err != nil || e.Device != "d?>1" || e.Kind != event.KindProductView || e.X != 12.5 || e.Time != 1772625600_000 || strings.Contains(string(r.Value), "demo") {
		t.Errorf("%s: %+v, %v: %s", name, e, err, r.Value)
	}
}

// TestMixpanelEvents: what each kind of event becomes.
func TestMixpanelEvents(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for name, c := range map[string]struct{ path, in, want string }{
		"a user": {"/track", `{"event":"A","properties":{"token":"demo","distinct_id":"u1","$insert_id":"i1","time":1772625600123}}`,
			`{"event":"A","messageId":"i1","properties":{},"timestamp":"2026-03-04T12:00:00.123Z","type":"track","userId":"u1"}`},
		"an identified device": {"/track", `{"event":"A","properties":{"token":"demo","distinct_id":"u1","$device_id":"d1","$user_id":"u1","$insert_id":"i"}}`,
			`{"anonymousId":"d1","event":"A","messageId":"i","properties":{},"type":"track","userId":"u1"}`},
		"before the identity merge": {"/track", `{"event":"A","properties":{"token":"demo","distinct_id":"d1","$device_id":"d1","$insert_id":"i"}}`,
			`{"anonymousId":"d1","event":"A","messageId":"i","properties":{},"type":"track"}`},
		"a number": {"/track", `{"event":"A","properties":{"token":"demo","distinct_id":13793,"$insert_id":"i"}}`,
			`{"event":"A","messageId":"i","properties":{},"type":"track","userId":"13793"}`},
		"a page": {"/track", `{"event":"$mp_web_page_view","properties":{"token":"demo","distinct_id":"$device:d1","$insert_id":"i","$current_url":"https://x.example/a","current_page_title":"T","$screen_width":390,"$os":"iOS","ip":"1.2.3.4"}}`,
			`{"anonymousId":"d1","context":{"os":{"name":"iOS"},"page":{"title":"T","url":"https://x.example/a"},"screen":{"width":390}},"messageId":"i","properties":{"$current_url":"https://x.example/a","$os":"iOS","$screen_width":390,"current_page_title":"T","title":"T","url":"https://x.example/a"},"type":"page"}`},
		"identify": {"/track", `{"event":"$identify","properties":{"token":"demo","distinct_id":"u1","$anon_id":"$device:d1","$identified_id":"u1","$insert_id":"i"}}`,
			`{"anonymousId":"d1","messageId":"i","properties":{"$anon_id":"$device:d1","$identified_id":"u1"},"type":"identify","userId":"u1"}`},
		"alias": {"/track", `{"event":"$create_alias","properties":{"token":"demo","distinct_id":"d1","alias":"u1","$insert_id":"i"}}`,
			`{"messageId":"i","previousId":"d1","type":"alias","userId":"u1"}`},
		"a profile": {"/engage", `{"$token":"demo","$distinct_id":"u1","$ip":"1.2.3.4","$time":1772625600,"$set":{"$email":"a@x.example","plan":"pro"},"$set_once":{"plan":"free","first":1}}`,
			`{"timestamp":"2026-03-04T12:00:00.000Z","traits":{"email":"a@x.example","first":1,"plan":"pro"},"type":"identify","userId":"u1"}`},
		"an increment": {"/engage", `{"$token":"demo","$distinct_id":"$device:d1","$add":{"n":1}}`,
			`{"anonymousId":"d1","traits":{},"type":"identify"}`},
	} {
		if r := s.post(c.path, url.Values{"data": {c.in}}.Encode()); r.body != "1" {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		r := s.records(1)[0]
		if _, _, err := decoded(t, event.Config{}, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		m := fields(t, r.Value)
		if m["timestamp"] == m["receivedAt"] {
			delete(m, "timestamp")
		}
		delete(m, "receivedAt")
		if !strings.Contains(c.want, "messageId") {
			delete(m, "messageId")
		}
		if context, _ := m["context"].(map[string]any); len(context) == 0 {
			delete(m, "context")
		}
		if got, _ := json.Marshal(m); string(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// TestMixpanelRefused: answers in Mixpanel's words, and one bad event costs no
// other.
func TestMixpanelRefused(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const good = `{"event":"A","properties":{"token":"demo","distinct_id":"a"}}`
	for name, c := range map[string]struct {
		body string
		code int
	}{
		"nothing": {"", 400}, "no data": {"ip=1", 400}, "rubbish": {"data=%%%", 400}, "no base64": {"data=!!!", 400},
		"a number": {"data=17", 400}, "half": {good[:20], 400}, "half an array": {"[" + good, 400},
		"no token":      {`{"event":"A","properties":{"distinct_id":"a"}}`, 401},
		"unknown token": {`[{"event":"A","properties":{"token":"guess","distinct_id":"a"}}]`, 401},
	} {
		if r := s.post("/track", c.body); r.code != c.code || r.body != "0" {
			t.Errorf("%s: %+v", name, r)
		}
		if r := s.post("/track?verbose=1", c.body); r.code != c.code || !strings.Contains(r.body, `"status":0`) || strings.Contains(r.body, `"error":null`) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := s.post("/groups", `[{"$token":"demo","$group_key":"k","$group_id":"i","$set":{}}]`); r.body != "1" {
		t.Errorf("%+v", r)
	}
	s.nothing()
	deep := `{"event":"A","properties":{"token":"demo","x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}`
	bad := []string{`{"properties":{"token":"demo"}}`, `{"event":"A","properties":{"token":"demo"}}`, `{"event":"A","properties":{"token":"demo","distinct_id":"a","time":"noon"}}`,
		`{"event":"A","properties":{"token":"demo","distinct_id":"a","x":"` + strings.Repeat("y", 40_000) + `"}}`}
	unknown := []string{`{"event":"A","properties":{"token":"guess","distinct_id":"a"}}`, deep, `17`} // whose token is not known
	if r := s.post("/track", "["+strings.Join(append(append(bad, unknown...), good), ",")+"]"); r.body != "1" {
		t.Fatalf("%+v", r)
	}
	seen := map[event.Reason]int{}
	for _, r := range s.records(len(bad) + 1) {
		_, _, err := decoded(t, event.Config{}, r)
		if err == nil {
			seen[""]++
		} else {
			seen[err.(*event.Error).Reason]++
		}
	}
	if seen[""] != 1 || seen[event.Malformed] != 3 || seen[event.Oversized] != 1 {
		t.Errorf("%v", seen)
	}
	s.nothing()
}

// TestMixpanelDevices: what Mixpanel's libraries say of the device arrives where the
// decoder reads it; $device and $user_agent were properties that nobody read.
func TestMixpanelDevices(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for properties, want := range map[string]event.Event{
		`"$os":"Mac OS X","$browser":"Safari","mp_lib":"web","$screen_width":820,"$screen_height":1180,"$device":"iPad"`: {DeviceType: event.DeviceTablet, OS: event.OSMac, Width: 820, Height: 1180},
		`"$device":"iPhone","$os":"iOS"`:                                                           {DeviceType: event.DeviceMobile, OS: event.OSiOS},
		`"$os":"Android","$model":"Pixel 8","$radio":"LTE","$device":"Android"`:                    {DeviceType: event.DeviceMobile, OS: event.OSAndroid, Network: event.Network4G},
		`"$user_agent":"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"`: {DeviceType: event.DeviceBot, Flags: event.FlagBot},
	} {
		s.post("/track", `{"event":"A","properties":{"token":"demo","distinct_id":"$device:d1","time":"1772625600",`+properties+`}}`)
		e, _, err := decoded(t, event.Config{}, s.records(1)[0])
		if err != nil || e.Time != 1_772_625_600_000 || e.DeviceType != want.DeviceType || e.OS != want.OS || e.Network != want.Network || e.Flags != want.Flags || e.Width != want.Width || e.Height != want.Height {
			t.Errorf("{%s}: %+v, %v", properties, e, err)
		}
	}
}
