package event

import "sync"

// Pages finds the type of a page from its path or URL, as the decoder does. It
// is safe for concurrent use.
type Pages struct {
	rules      []pageRule
	hashRoutes bool
}

// NewPages compiles the rules; hashRoutes is as in Config.
func NewPages(rules []PageRule, hashRoutes bool) (*Pages, error) {
	c, err := compilePages(rules)
	return &Pages{c, hashRoutes}, err
}

// Of is the type of the page at a path or URL, or of that name; PageOther when
// no rule knows it.
func (p *Pages) Of(address, name string) PageType {
	path := cleanPath(urlPath([]byte(address)))
	if route := hashRoute([]byte(address)); p.hashRoutes && len(route) > 0 {
		path = route
	}
	for i := range p.rules {
		r := &p.rules[i]
		if r.path != nil && (len(path) == 0 || !r.path.match(path)) || r.name != "" && r.name != name {
			continue
		}
		return r.typ
	}
	return PageOther
}

var requestAgents struct {
	sync.Mutex
	agents
}

// DeviceOf is the form of device that a user agent tells of. It is safe for
// concurrent use.
func DeviceOf(userAgent string) DeviceType {
	requestAgents.Lock()
	defer requestAgents.Unlock()
	return requestAgents.parse([]byte(userAgent)).device
}
