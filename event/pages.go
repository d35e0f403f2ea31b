package event

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// PageRule gives pages their type. Path is a glob on the URL path: * matches
// within a segment, ** whole segments, also none: /cart** and /cart/** are /cart and
// what is below it, and not /cartoons. Name is the exact name or category of a page or screen
// call. A rule with both needs both. The first rule that matches wins.
type PageRule struct {
	Type PageType `setting:"type"`
	Path string   `setting:"path"`
	Name string   `setting:"name"`
}

// pageRule is a PageRule ready to match.
type pageRule struct {
	typ  PageType
	path *glob // nil: any
	name string
}

func compilePages(rules []PageRule) ([]pageRule, error) {
	out := make([]pageRule, len(rules))
	for i, r := range rules {
		if r.Path == "" && r.Name == "" {
			return nil, fmt.Errorf("compiling page rule %d: neither path nor name is set", i+1)
		}
		if r.Type == PageUnknown || r.Type >= NumPageTypes {
			return nil, fmt.Errorf("compiling page rule %d: page type %d is not one that a rule can give", i+1, r.Type)
		}
		out[i] = pageRule{typ: r.Type, name: r.Name}
		if r.Path != "" {
			out[i].path = compileGlob(r.Path)
		}
	}
	return out, nil
}

// glob matches a whole path. Nearly all globs have at most one star; those are
// a prefix and a suffix. More stars become a regular expression, which is
// linear in the path whatever the glob.
type glob struct {
	prefix, suffix []byte
	star           string // "", "*", "**" (anything) or "/**" (nothing, or a slash and anything)
	re             *regexp.Regexp
}

var stars = regexp.MustCompile(`/\*\*|\*\*|\*`)

func compileGlob(g string) *glob {
	at := starsIn(g)
	switch len(at) {
	case 0:
		return &glob{prefix: []byte(g)}
	case 1:
		return &glob{prefix: []byte(g[:at[0].from]), star: at[0].kind, suffix: []byte(g[at[0].to:])}
	}
	var re strings.Builder
	re.WriteString(`(?s)\A`)
	end := 0
	for _, s := range at {
		re.WriteString(regexp.QuoteMeta(g[end:s.from]))
		re.WriteString(map[string]string{"*": `[^/]*`, "**": `.*`, "/**": `(?:/.*)?`}[s.kind])
		end = s.to
	}
	re.WriteString(regexp.QuoteMeta(g[end:]) + `\z`)
	return &glob{re: regexp.MustCompile(re.String())}
}

// star is a star of a glob and where it is.
type star struct {
	from, to int
	kind     string
}

// starsIn finds the stars of a glob. "/**" is a star of its own only as a whole
// segment: in "/**x" the slash is literal. "**" behind a name is a "/**", too, so that a
// prefix ends where a segment does.
func starsIn(g string) (out []star) {
	for _, s := range stars.FindAllStringIndex(g, -1) {
		at := star{s[0], s[1], g[s[0]:s[1]]}
		switch before := at.from - 1; {
		case at.kind == "/**" && at.to < len(g) && g[at.to] != '/':
			at.from, at.kind = at.from+1, "**"
		case at.kind == "**" && before >= 0 && g[before] != '/' && g[before] != '*':
			at.kind = "/**"
		}
		out = append(out, at)
	}
	return out
}

func (g *glob) match(path []byte) bool {
	if g.re != nil {
		return g.re.Match(path)
	}
	if !bytes.HasPrefix(path, g.prefix) {
		return false
	}
	rest := path[len(g.prefix):]
	if g.star == "" {
		return len(rest) == 0
	}
	if !bytes.HasSuffix(rest, g.suffix) {
		return false
	}
	mid := rest[:len(rest)-len(g.suffix)]
	switch g.star {
	case "*":
		return bytes.IndexByte(mid, '/') < 0
	case "/**":
		return len(mid) == 0 || mid[0] == '/'
	}
	return true
}

// cleanPath drops query, fragment and one trailing slash (not that of "/").
func cleanPath(p []byte) []byte {
	if i := bytes.IndexAny(p, "?#"); i >= 0 {
		p = p[:i]
	}
	if len(p) > 1 && p[len(p)-1] == '/' {
		p = p[:len(p)-1]
	}
	return p
}

// oneSpelling is the path as people write it, so that a page is one whoever states it, and
// rules may have letters of any language: browsers escape them, apps and servers do not.
// Doubled slashes are one, and a Java server's ";jsessionid=" is no part of it.
func oneSpelling(p []byte) []byte {
	if i := bytes.Index(p, sessionParameter); i > 0 {
		p = p[:i]
	}
	if bytes.Contains(p, doubled) {
		once := make([]byte, 0, len(p))
		for i, c := range p {
			if c != '/' || i == 0 || p[i-1] != '/' {
				once = append(once, c)
			}
		}
		p = cleanPath(once)
	}
	if bytes.IndexByte(p, '%') < 0 {
		return p
	}
	plain, err := url.PathUnescape(string(p))
	if err != nil || !utf8.ValidString(plain) || strings.Count(plain, "/") != bytes.Count(p, root) || strings.ContainsAny(plain, "?#\x00") {
		return p // an escaped slash or question mark is not the plain one
	}
	return []byte(plain)
}

var sessionParameter, doubled = []byte(";jsessionid="), []byte("//")

var root, scheme = []byte("/"), []byte("://")

// hashRoute is the path that the fragment of an address is, #/cart or #!/cart; nil when
// it is none.
func hashRoute(address []byte) []byte {
	_, fragment, _ := bytes.Cut(address, []byte("#"))
	fragment = bytes.TrimPrefix(fragment, []byte("!"))
	if len(fragment) == 0 || fragment[0] != '/' {
		return nil
	}
	return cleanPath(fragment)
}

// urlPath is the path of an absolute URL ("/" when it has none) or of a
// reference that starts with a slash; nil for anything else.
func urlPath(u []byte) []byte {
	u = bytes.TrimSpace(u)
	if i := schemeEnd(u); i > 0 {
		u = u[i:]
		j := bytes.IndexAny(u, "/?#")
		if j < 0 || u[j] != '/' {
			return root
		}
		return u[j:]
	}
	if len(u) > 0 && u[0] == '/' {
		return u
	}
	return nil
}

// schemeEnd is where the host of an absolute URL begins, 0 for anything else: an address in
// the query ("/login?next=https://…") is none. A browser fills the scheme of "//host/path" in.
func schemeEnd(u []byte) int {
	if i := bytes.Index(u, scheme); i > 0 && !bytes.ContainsAny(u[:i], "/?#") {
		return i + len(scheme)
	}
	return 0
}

// pageTypeOf is the page type of that name; "unknown" and other words are none.
func pageTypeOf(name []byte) PageType {
	for t := PageUnknown + 1; t < NumPageTypes; t++ {
		if PageTypes[t] == string(name) {
			return t
		}
	}
	return PageUnknown
}
