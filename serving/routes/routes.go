// Package routes is the one list of what a serving node answers, on the listener that
// everybody reaches and on the admin's. The collector registers by it; that all others are on it, and that Varnish's configuration
// and the worker pass on what is on it, is tested (routes_test.go,
// serving/edge): a route that an edge did not know was a page of the site there,
// and the events that a library sent to it were lost.
package routes

import (
	"regexp"
	"slices"
	"strings"
)

// Edge is what an edge in front of site and nodes does with a request.
type Edge int

const (
	Node     Edge = iota // passes it on to a node, and keeps nothing
	Mixpanel             // the same, but for a GET without data: such a page may be the site's own
	Script               // passes it on to a node, and keeps the answer as its header says
	Fragment             // makes the answer itself
	Hidden               // answers 404: it is between edges and nodes
)

// Route is a path with the methods that it answers, beside OPTIONS.
type Route struct {
	Methods string // separated by spaces
	Path    string // as net/http writes it
	Edge    Edge
}

// Collector are the routes that take events. Libraries put slashes at their end,
// and twice where a host that ends with one meets a path: those are the same.
var Collector = slices.Concat(
	calls("/v1/", "track", "t", "page", "p", "screen", "s", "identify", "i", "alias", "a", "group", "g", "reset",
		"batch", "b", "import", "m", "identity/link"),
	calls("/beacon/v1/", "batch"),
	[]Route{
		{"GET", "/v1/projects/{writeKey}/settings", Node},
		{"GET", "/v1/pixel/{call}", Node},
		{"GET", "/sourceConfig", Node},
		{"GET POST", "/track", Mixpanel},
		{"GET POST", "/import", Mixpanel},
		{"GET POST", "/engage", Mixpanel},
		{"GET POST", "/groups", Mixpanel},
	})

func calls(under string, words ...string) (out []Route) {
	for _, w := range words {
		out = append(out, Route{"POST", under + w, Node})
	}
	return out
}

// Others are all other routes that everybody reaches.
var Others = []Route{
	{"GET POST", "/api/segment", Node},
	{"GET POST", "/api/segment/explain", Node},
	{"GET", "/api/stream", Node},
	{"POST", "/api/personalize", Node},
	{"GET", "/microseg.js", Script},
	{"GET", "/link.js", Script},
	{"GET", "/esi/{slot}", Fragment},
	{"GET", "/edge/token", Hidden},
	{"GET", "/edge/offer/{slot}", Hidden},
}

// Admin are the routes of the admin listener alone: those that act on persons, with the
// admin key, and what tells how a process is. The public listener knows them only to say
// where they are.
var Admin = []Route{
	{"GET DELETE", "/v1/profiles/{id}", Node},
	{"GET", "/v1/profiles/{id}/deletion", Node},
	{"POST", "/v1/identity/unlink", Node},
	{"POST", "/v1/identity/token", Node},
	{"GET", "/health", Hidden},
	{"GET", "/metrics", Hidden},
}

// Pattern is the regular expression of the URLs that an edge treats so, in the
// dialect that Go, JavaScript and PCRE share, without a backslash, so that it
// stands in a string of any of them. What is below a folder of the node's passes
// as a whole.
func Pattern(e Edge) string {
	var words []string
	for _, r := range slices.Concat(Collector, Others) {
		if r.Edge != e {
			continue
		}
		word := ""
		switch parts := strings.Split(r.Path[1:], "/"); {
		case len(parts) == 1:
			word = strings.ReplaceAll(regexp.QuoteMeta(parts[0]), `\.`, "[.]") + "/*([?]|$)"
		case parts[0] == "beacon":
			word = "beacon/+v1/" // a folder of this name may be the site's
		default:
			word = parts[0] + "/"
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return "^/+(" + strings.Join(words, "|") + ")"
}

// Forms are the paths by which a client may ask for a route, with values for
// what it leaves open.
func (r Route) Forms() []string {
	values := strings.NewReplacer("{writeKey}", "demo", "{id}", "u:ann", "{slot}", "hero", "{call}", "track")
	path := values.Replace(r.Path)
	out := []string{path, "/" + path}
	if slices.Contains(Collector, r) {
		out = append(out, path+"/", "/"+strings.ReplaceAll(path, "/", "//")+"//")
	}
	return out
}
