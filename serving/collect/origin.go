package collect

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// requestHeaders are what pages of other origins may send along: what Segment's,
// RudderStack's and Mixpanel's browser libraries do (clients_test.go of
// testing/harness/clients runs them). RudderStack's asks for SentAt with every
// request and for those of Rsa with a retry; one that is not allowed, and the
// browser sends nothing.
var requestHeaders = []string{"Authorization", "Content-Type", "Content-Encoding", "AnonymousId", "SentAt",
	"Rsa-Recovered", "Rsa-Retry-Attempt", "Rsa-Since-Last-Attempt", "Rsa-Since-First-Attempt", "Rsa-Retry-Reason",
	"X-Retry-Count", "X-Requested-With", "Accept", "Idempotency-Key"}

// allow says which origins' pages may read the answer, and reports whether the
// one that asks may send: by default any. Never with credentials: the answer is
// the same for everybody, and cookies are none of the collector's business.
func (c *Collector) allow(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if len(c.cfg.Origins) == 0 || slices.Contains(c.cfg.Origins, "*") {
		// The origin is never looked at, so no cache can mix them up.
		h.Set("Access-Control-Allow-Origin", "*")
		return true
	}
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if i := slices.IndexFunc(c.cfg.Origins, func(o string) bool { return strings.EqualFold(o, origin) }); i >= 0 {
		h.Set("Access-Control-Allow-Origin", origin)
		return true
	}
	// Servers and apps state no origin, and the site's own pages need no leave.
	return origin == "" || r.Header.Get("Sec-Fetch-Site") == "same-origin" || sameHost(origin, r.Host)
}

// newerRsa are the headers of RudderStack's that a browser asks for and this
// version does not know: a new one in its library must not cost all events.
func newerRsa(r *http.Request) (out []string) {
	for _, asked := range r.Header.Values("Access-Control-Request-Headers") {
		for name := range strings.SplitSeq(asked, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); rsaHeader.MatchString(name) && len(out) < 16 {
				out = append(out, name)
			}
		}
	}
	return out
}

var rsaHeader = regexp.MustCompile("^rsa-[a-z-]{1,40}$")

func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// preflight answers a browser that asks whether it may send (Fetch standard,
// CORS-preflight, and Private Network Access for a node in the local network).
func (c *Collector) preflight(w http.ResponseWriter, r *http.Request) {
	if !c.allow(w, r) {
		http.Error(w, errOrigin.message, errOrigin.status)
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", strings.Join(append(slices.Clone(requestHeaders), newerRsa(r)...), ", "))
	h.Set("Access-Control-Max-Age", "86400")
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	w.WriteHeader(http.StatusNoContent)
}
