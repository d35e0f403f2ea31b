package routes

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestOneList: every route that a node's code registers is on the list. link.js
// and Mixpanel's /groups and /import were not known to Varnish and the worker, so
// that the site was asked for them.
func TestOneList(t *testing.T) {
	t.Parallel()
	literal := regexp.MustCompile("\"(GET|POST|PUT|PATCH|DELETE) (/[^\"]*)\"")
	all := slices.Concat(Collector, Others, Admin)
	found := 0
	look := func(path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range literal.FindAllStringSubmatch(string(b), -1) {
			if strings.HasPrefix(path, "../../web") && !strings.HasSuffix(m[2], ".js") {
				continue // the demo's shop
			}
			found++
			if !slices.ContainsFunc(all, func(r Route) bool { return r.Path == m[2] && slices.Contains(strings.Fields(r.Methods), m[1]) }) {
				t.Errorf("%s registers %s %s, which is not on the list of serving/routes: edges do not pass it on", path, m[1], m[2])
			}
		}
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, "../routes") {
			look(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	look("../../web/web.go")
	if found < len(Others) {
		t.Errorf("%d routes are found in the code, the list has %d beside the collector's", found, len(Others))
	}
}

// TestPatterns: edges pass on every form of a route, and no page of the site
// that is called nearly so.
func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, r := range slices.Concat(Collector, Others) {
		for _, path := range r.Forms() {
			for _, url := range []string{path, path + "?x=1"} {
				for e := Node; e <= Hidden; e++ {
					if got := regexp.MustCompile(Pattern(e)).MatchString(url); got != (e == r.Edge) {
						t.Errorf("%s is %v for %s", url, got, Pattern(e))
					}
				}
			}
		}
	}
	for _, url := range []string{"/", "/v1", "/v10/x", "/apis/", "/track-order", "/tracks", "/importers/", "/groups/hiking", "/engagement", "/beacon/", "/beacon/v2/batch",
		"/sourceConfigs", "/microseg.jsx", "/microseg-js", "/linkxjs", "/shop/v1/batch", "/blog/track"} {
		for e := Node; e <= Hidden; e++ {
			if regexp.MustCompile(Pattern(e)).MatchString(url) {
				t.Errorf("%s, a page of the site's, is for %s", url, Pattern(e))
			}
		}
	}
}
