package api

import (
	"net/url"
	"strings"
)

// eachParameter calls f for the parameters of a query in their order, as
// net/url reads them, and without a map.
func eachParameter(raw string, f func(name, value string)) {
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" || strings.Contains(part, ";") {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		var ok bool
		if name, ok = unescape(name); !ok {
			continue
		}
		if value, ok = unescape(value); ok {
			f(name, value)
		}
	}
}

func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	s, err := url.QueryUnescape(s)
	return s, err == nil
}

// parameters are those of all routes; of several of a name the first counts.
type parameters struct {
	asked
	page, device string // types, at an edge
	writeKey     bool
	seen         uint8
}

func parse(raw string) (p parameters) {
	names := [...]struct {
		name string
		to   *string
	}{{"anonymousId", &p.asked.device}, {"userId", &p.user}, {"token", &p.token}, {"claim", &p.claim}, {"segment", &p.segment}, {"page", &p.page}, {"device", &p.device}}
	eachParameter(raw, func(name, value string) {
		if name == "writeKey" {
			p.writeKey = true
		}
		for i := range names {
			if names[i].name == name && p.seen&(1<<i) == 0 {
				p.seen |= 1 << i
				*names[i].to = value
			}
		}
	})
	return p
}
