package convert

import (
	"fmt"
	"io"
	"time"
)

// wikipedia reads the reading events of the R package reconstructr:
//
//	uuid       anonymousId
//	timestamp  timestamp (RFC 3339)
//	url        context.page.url of a page call; a decoy, not the page read
//
// messageId is the hash of the whole row. The source has no sessions of its
// own, so Device "session" is refused.
func wikipedia(src io.Reader, o Options, emit func(*Event) error) error {
	if o.Device == "session" {
		return fmt.Errorf("the readers' data has no session ids")
	}
	t, err := newTable(src, "uuid", "timestamp", "url")
	if err != nil {
		return err
	}
	for {
		ok, err := t.next()
		if !ok {
			return err
		}
		at, err := t.time("timestamp", time.RFC3339)
		if err != nil {
			return err
		}
		e := &Event{Type: "page", AnonymousID: t.get("uuid"), MessageID: contentID(t.row...), Timestamp: stamp(at),
			Context: &Context{Page: &Page{URL: t.get("url")}}}
		if err := emit(e); err != nil {
			return err
		}
	}
}
