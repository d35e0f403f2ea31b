package collect

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

var segmentAnswers = answers{
	ok: func(w http.ResponseWriter, _ *request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"success": true}`)
	},
	fail: func(w http.ResponseWriter, _ *request, why *refusal) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(why.status)
		json.NewEncoder(w).Encode(map[string]any{"success": false, "error": map[string]string{"message": why.message}})
	},
}

// pixelAnswers are pictures, so that a page or mail shows nothing broken.
var pixelAnswers = answers{
	ok:   func(w http.ResponseWriter, _ *request) { writePixel(w, http.StatusOK) },
	fail: func(w http.ResponseWriter, _ *request, why *refusal) { writePixel(w, why.status) },
}

// onePixel is a transparent GIF.
var onePixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

func writePixel(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "image/gif")
	w.WriteHeader(status)
	_, _ = w.Write(onePixel) // who has gone away needs no picture
}

// settings is what Segment's browser library asks its CDN for before it sends
// anything: which integrations there are, and where Segment's own sends to.
func (c *Collector) settings(w http.ResponseWriter, r *http.Request) {
	if !c.allow(w, r) {
		segmentAnswers.fail(w, nil, errOrigin)
		return
	}
	key := r.PathValue("writeKey")
	if !c.keys[key] {
		segmentAnswers.fail(w, nil, errBadKey)
		return
	}
	protocol, host := c.address(r)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"integrations": map[string]any{"Segment.io": map[string]any{
			"apiKey": key, "apiHost": host + "/v1", "protocol": protocol, "retryQueue": true, "addBundledMetadata": false}},
		"plan":               map[string]any{"track": map[string]any{"__default": map[string]any{"enabled": true, "integrations": map[string]any{}}}},
		"edgeFunction":       map[string]any{},
		"middlewareSettings": map[string]any{"routingRules": []any{}},
		"enabledMiddleware":  map[string]any{},
		"metrics":            map[string]any{"sampleRate": 0},
		"remotePlugins":      []any{},
	})
}

// sourceConfig is what RudderStack's browser library asks its control plane
// for (loadOptions.configUrl): a source that is on and has no destinations.
func (c *Collector) sourceConfig(w http.ResponseWriter, r *http.Request) {
	q := &request{c: c, r: r}
	if !c.allow(w, r) {
		segmentAnswers.fail(w, q, errOrigin)
		return
	}
	if err := q.authorise(""); err != nil {
		segmentAnswers.fail(w, q, asRefusal(err))
		return
	}
	off := map[string]any{"enabled": false}
	write(w, http.StatusOK, map[string]any{"source": map[string]any{"id": "microseg", "name": "microseg", "workspaceId": "microseg", "enabled": true,
		"config": map[string]any{"statsCollection": map[string]any{"errors": off, "metrics": off}}, "destinations": []any{}}})
}

// address is where a page sends to: as configured, else where it asked.
func (c *Collector) address(r *http.Request) (protocol, host string) {
	if u, err := url.Parse(c.cfg.PublicURL); err == nil && u.Host != "" {
		return u.Scheme, u.Host + strings.TrimSuffix(u.Path, "/")
	}
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https", r.Host
	}
	return "http", r.Host
}
