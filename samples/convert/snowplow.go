package convert

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// snowplow reads Snowplow's atomic web events as CSV:
//
//	event_name            page_view → page, page_ping → Page Pinged (and Page
//	                      Scrolled, below), link_click → Link Clicked,
//	                      object_click → Element Clicked; any other is a track
//	                      call of that name
//	derived_tstamp        timestamp: the device's, corrected for its clock
//	domain_userid         anonymousId (domain_sessionid with Device "session")
//	domain_sessionid      context.sessionId
//	page_urlpath, page_url, page_title, page_referrer
//	useragent, br_lang, dvce_screenwidth, dvce_screenheight   context
//	pp_yoffset_max, br_viewheight, doc_height
//	                      Page Scrolled: depth = (offset + view) / document
//	web page context      page_view_id
//
// A messageId is the page_view_id for page views and the event_id otherwise:
// the data holds an event_id twice three times, and one page view twice under
// two event ids. user_id names the test case in this data, so it is not sent.
//
// Which events count at all is Snowplow's own model's (see admit).
func snowplow(src io.Reader, o Options, emit func(*Event) error) error {
	rows, err := readSnowplow(src)
	if err != nil {
		return err
	}
	for _, r := range admit(rows) {
		e := r.event(o)
		if err := emit(e); err != nil {
			return err
		}
		if s := r.scroll(e); s != nil {
			if err := emit(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// atomic is what is read of one Snowplow event.
type atomic struct {
	name, id, session, user, view             string
	created, sent, collected, derived         time.Time
	path, url, title, referrer, agent, locale string
	width, height                             int
	offset, viewport, document                float64
}

var snowplowNames = map[string]string{"page_ping": "Page Pinged", "link_click": "Link Clicked", "object_click": "Element Clicked"}

// event is the call for the row.
func (r *atomic) event(o Options) *Event {
	e := &Event{Type: "track", AnonymousID: r.user, MessageID: r.id, Timestamp: stamp(r.derived), Context: &Context{
		Page: &Page{Path: r.path, URL: r.url}, UserAgent: r.agent, Locale: r.locale, SessionID: r.session}}
	if r.width > 0 && r.height > 0 {
		e.Context.Screen = &Screen{Width: r.width, Height: r.height}
	}
	if o.Device == "session" || r.user == "" {
		e.AnonymousID = r.session
	}
	switch r.name {
	case "page_view":
		e.Type, e.MessageID = "page", r.view
		e.Properties = &Properties{Title: r.title, Referrer: r.referrer}
	case "page_ping":
		// Snowplow's trackers ping only while there is activity on the page.
		e.Event, e.Properties = snowplowNames[r.name], &Properties{Visible: true}
	default:
		if e.Event = snowplowNames[r.name]; e.Event == "" {
			e.Event = r.name
		}
	}
	return e
}

// scroll is the Page Scrolled event that a ping of a page of known height
// states, nil for others. The depth is that of Snowplow's page view model.
func (r *atomic) scroll(ping *Event) *Event {
	if r.name != "page_ping" || r.document <= 0 {
		return nil
	}
	depth := min(1, (max(0, r.offset)+r.viewport)/r.document)
	s := *ping
	s.Event, s.MessageID = "Page Scrolled", r.id+":scroll"
	s.Properties = &Properties{Depth: json.Number(strconv.FormatFloat(math.Round(depth*1e4)/1e4, 'f', -1, 64))}
	return &s
}

func readSnowplow(src io.Reader) (rows []*atomic, err error) {
	t, err := newTable(src, "event_name", "event_id", "domain_sessionid", "domain_userid", "dvce_created_tstamp", "dvce_sent_tstamp",
		"collector_tstamp", "derived_tstamp", webPage)
	if err != nil {
		return nil, err
	}
	for {
		ok, err := t.next()
		if !ok {
			return rows, err
		}
		r := &atomic{name: t.get("event_name"), id: t.get("event_id"), session: t.get("domain_sessionid"), user: t.get("domain_userid"),
			path: t.get("page_urlpath"), url: t.get("page_url"), title: t.get("page_title"), referrer: t.get("page_referrer"),
			agent: t.get("useragent"), locale: t.get("br_lang"), width: t.whole("dvce_screenwidth"), height: t.whole("dvce_screenheight"),
			offset: t.number("pp_yoffset_max"), viewport: t.number("br_viewheight"), document: t.number("doc_height")}
		if r.view, err = viewID(t.get(webPage)); err != nil {
			return nil, fmt.Errorf("reading row %d: %w", t.line, err)
		}
		if r.path == "" && strings.Contains(r.url, "://") {
			if u, err := url.Parse(r.url); err == nil {
				r.path = u.Path
			}
		}
		if err := r.times(t); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
}

func (r *atomic) times(t *table) (err error) {
	const layout = "2006-01-02 15:04:05.999"
	for _, c := range []struct {
		name string
		to   *time.Time
	}{{"dvce_created_tstamp", &r.created}, {"dvce_sent_tstamp", &r.sent}, {"collector_tstamp", &r.collected}, {"derived_tstamp", &r.derived}} {
		if t.get(c.name) == "" {
			continue
		}
		if *c.to, err = t.time(c.name, layout); err != nil {
			return err
		}
	}
	return nil
}

// webPage is the column of the context that names the page view.
const webPage = "contexts_com_snowplowanalytics_snowplow_web_page_1_0_0"

// viewID is the page_view_id of a web page context, "" where there is none.
func viewID(context string) (string, error) {
	if context == "" {
		return "", nil
	}
	// Some rows hold the list in a list.
	if inner, ok := strings.CutPrefix(context, "[["); ok {
		context = "[" + strings.TrimSuffix(inner, "]")
	}
	var c []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(context), &c); err != nil {
		return "", fmt.Errorf("reading the web page context: %w", err)
	}
	if len(c) == 0 {
		return "", nil
	}
	return c[0].ID, nil
}

// number is a field as a number, 0 where it is none.
func (t *table) number(name string) float64 {
	v, err := strconv.ParseFloat(t.get(name), 64)
	if err != nil {
		return 0
	}
	return v
}

func (t *table) whole(name string) int { return int(t.number(name)) }
