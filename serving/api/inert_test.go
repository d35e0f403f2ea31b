package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/session"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// hostile are texts that do something where they are not escaped.
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`'><svg/onload=alert(1)>`,
	`<esi:include src="http://evil.example/x"/>`,
	`<!--esi <esi:include src="x"/>-->`,
	`--><!--#exec cmd="id"-->`,
	`javascript:alert(1)`,
	`JaVaScRiPt&#58;alert(1)`,
	`data:text/html,<script>alert(1)</script>`,
	"` onmouseover=alert(1) x=`",
	` onfocus=alert(1) autofocus `,
	`</section></div><style>*{display:none}</style>`,
	`{{.Data}}{{printf "%s" "x"}}`,
	"\x00<b>\u2028\u2029\\\"",
	`</textarea></title><h1>`,
	"\r\nX-Injected: 1\r\n\r\n<html>",
	`%3Cscript%3E`,
	strings.Repeat(`<b>`, 300),
}

// everywhere puts a visitor's texts into every context that templates may use.
const everywhere = `<section class="a {{.Category}}" title='{{.Product}}' id=x{{.Category}} data-a="{{.Segment}}{{.Page}}{{.Device}}">{{.Product}} <a href="{{.Category}}">{{.Category}}</a>` +
	`<a href="/c/{{.Product}}?q={{.Category}}#{{.Product}}">x</a><img src="{{.Product}}" srcset="{{.Category}}" alt={{.Product}}><input value="{{.Category}}"><textarea>{{.Product}}</textarea>` +
	`{{with .DeadlineMS}}<time data-ms-deadline="{{.}}">{{$.Category}}</time>{{end}}</section>`

// shape is the structure of HTML: elements and the names of their attributes.
// Attributes that hold URLs are noted when they would run something.
func shape(t *testing.T, text string) string {
	t.Helper()
	nodes, err := html.ParseFragment(strings.NewReader(text), &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body})
	check(t, err)
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		switch n.Type {
		case html.ElementNode:
			fmt.Fprintf(&b, "<%s", n.Data)
			for _, a := range n.Attr {
				fmt.Fprintf(&b, " %s", a.Key)
				if scheme, _, ok := strings.Cut(strings.ToLower(strings.TrimSpace(a.Val)), ":"); ok && (scheme == "javascript" || scheme == "data" || scheme == "vbscript") && !strings.HasPrefix(a.Key, "data-") && a.Key != "value" && a.Key != "title" && a.Key != "alt" {
					fmt.Fprintf(&b, "!%s", scheme)
				}
			}
			b.WriteByte('>')
		case html.CommentNode:
			b.WriteString("<!>")
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
		if n.Type == html.ElementNode {
			b.WriteString("</>")
		}
	}
	for _, n := range nodes {
		walk(n)
	}
	return b.String()
}

// TestInertHTML: whatever texts the visitor's event holds, an action's HTML has
// the structure that it has with harmless ones.
func TestInertHTML(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config, *Config){
		"shipped": nil,
		"everywhere": func(c *config.Config, _ *Config) {
			c.Templates["banner"], c.Templates["overlay"] = everywhere, everywhere
		},
	} {
		s := newSite(t, change)
		rec := s.record("everyone/high_intent/price_sensitive_analyzer")
		rec.Values[session.SlotPageDwell], rec.Values[session.SlotScrollDepth] = 130, 0.7
		s.put("d:a", rec)
		ask := func(text string) map[string]string {
			got := s.personalized(map[string]any{"anonymousId": "a", "segment": text, "claim": text, "token": text, "event": map[string]any{
				"name": text, "event": text, "type": text, "messageId": text,
				"properties": map[string]any{"page_type": "product", "category": text, "name": text, "path": text, "url": text, "referrer": text},
				"context":    map[string]any{"userAgent": text, "page": map[string]any{"path": "/product/1", "url": text, "title": text}, "device": map[string]any{"type": text}}}})
			out := map[string]string{}
			for _, a := range got.Actions {
				out[a.Slot] = shape(t, a.HTML)
				if low := strings.ToLower(a.HTML); strings.Contains(low, "<esi:") || strings.Contains(low, "<!--") || strings.Contains(a.HTML, "\x00") {
					t.Errorf("%s, %q: %s", name, text, a.HTML)
				}
			}
			return out
		}
		want := ask("laptops")
		if len(want) < 3 || !strings.Contains(want["overlay"], "<span") && name == "shipped" {
			t.Fatalf("%s: the test shows too little: %v", name, want)
		}
		for _, text := range hostile {
			if got := ask(text); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, %q: %v\nwant %v", name, text, got, want)
			}
		}
	}
}

// TestInertJSON: answers, refusals among them, hold no markup that a reader
// that takes them for HTML would run, and no header of the visitor's making.
func TestInertJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, text := range hostile {
		if strings.ContainsRune(text, 0) {
			text = strings.ReplaceAll(text, "\x00", "")
		}
		rec := s.record("everyone/" + text)
		s.put(session.PersonID(text, ""), rec)
		s.put(session.PersonID("", text), rec)
		q, field := url.QueryEscape(text), func(name string) string {
			b, err := json.Marshal(map[string]any{name: text})
			check(t, err)
			return string(b)
		}
		for _, r := range [][2]string{
			{"GET", "/api/segment?anonymousId=" + q}, {"GET", "/api/segment?userId=" + q}, {"GET", "/api/segment?token=" + q}, {"GET", "/api/segment?claim=" + q},
			{"GET", "/api/segment?segment=" + q}, {"GET", "/api/segment/explain?anonymousId=" + q}, {"GET", "/api/segment/explain?userId=" + q}, {"GET", "/api/stream?claim=" + q},
			{"POST", field("event")}, {"POST", field("segment")}, {"POST", field("anonymousId")}, {"POST", field("userId")}, {"POST", field("token")}, {"POST", field("claim")},
			{"POST", `{"event":` + text}, {"POST", text}, {"GET", "/esi/" + url.PathEscape(text)}, {"GET", "/edge/token"},
		} {
			target, body := r[1], ""
			if r[0] == "POST" {
				target, body = "/api/personalize", r[1]
			}
			header := []string{"X-Microseg-Token", text}
			if strings.Contains(target+body, "userId") {
				header = append(header, "Authorization", admin)
			}
			w := s.ask(r[0], target, body, header...)
			if strings.ContainsAny(w.Body.String(), "<>\u2028") || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %s %s: %s", r[0], target, body, w.Body)
			}
			for _, values := range w.Header() {
				if slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "<>\r\n") }) {
					t.Errorf("%s %s: %v", r[0], target, w.Header())
				}
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" && strings.HasPrefix(target, "/api/") {
				t.Errorf("%s %s may be sniffed: %v", r[0], target, w.Header())
			}
		}
	}
}

// TestInertFragments: what a fragment is asked with never stands in it.
func TestInertFragments(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Config, _ *Config) { c.Templates["hero"] = everywhere })
	get := func(segment, page, device, claim string) string {
		w := s.ask("GET", "/esi/hero?"+url.Values{"segment": {segment}, "page": {page}, "device": {device}, "claim": {claim}, "category": {segment}, "x": {page}}.Encode(), "")
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	for _, text := range hostile {
		for i, got := range []string{get(text, "home", "mobile", ""), get("everyone", "home", text, ""), get("everyone", "home", "mobile", text), get("everyone", text, "mobile", "")} {
			want := get("everyone", []string{"home", "home", "home", "unknown"}[i], []string{"mobile", "unknown", "mobile", "mobile"}[i], "")
			if got != want {
				t.Errorf("%q: %s\nwant %s", text, got, want)
			}
		}
	}
}
