package privacy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
)

// Lifetimes of links.
const (
	defaultLinkTTL = 10 * time.Minute
	maxLinkTTL     = 24 * time.Hour
)

// read reads a small JSON object and nothing else.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4*maxID))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &Error{http.StatusBadRequest, "reading the body: " + err.Error()}
	}
	return nil
}

// somebody refuses ids that stand for nobody, or are too long for one.
func somebody(name, id string) error {
	if event.Nobody(id) || len(id) > maxID {
		return &Error{http.StatusBadRequest, name + " is missing, stands for nobody, or is longer than 512 bytes"}
	}
	return nil
}

// unlink writes to the log that a device leaves a user, in all of its epochs. The
// job applies it where it stands in the order of the device's events; the answer
// says where that is.
func (s *Server) unlink(w http.ResponseWriter, r *http.Request) error {
	var in struct{ AnonymousID, UserID string }
	if err := read(w, r, &in); err != nil {
		return err
	}
	if err := somebody("anonymousId", in.AnonymousID); err != nil {
		return err
	}
	if err := somebody("userId", in.UserID); err != nil {
		return err
	}
	if event.IsUserDevice(in.AnonymousID) {
		return &Error{http.StatusBadRequest, "events that state no anonymousId are their user's by name and cannot be unlinked; delete them with DELETE /v1/profiles/d:" + in.AnonymousID}
	}
	u := event.Unlinked{Device: in.AnonymousID, User: in.UserID, Receipt: uuid.NewString()}
	now := clock.Now()
	rec, err := s.write(r.Context(), event.Key(u.Device), u.Append(nil, now.UTC().Format(time.RFC3339Nano)))
	if err != nil {
		return fmt.Errorf("writing an unlink to topic %q: %w", s.Events, err)
	}
	answer(w, http.StatusAccepted, map[string]any{"receipt": u.Receipt, "partition": rec.Partition, "offset": rec.Offset})
	return nil
}

// token signs a link to a user.
func (s *Server) token(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		UserID string
		TTL    int `json:"ttl_s"`
	}
	if s.Keys == nil {
		return &Error{http.StatusNotFound, "this node signs no links"}
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	if err := somebody("userId", in.UserID); err != nil {
		return err
	}
	ttl := time.Duration(in.TTL) * time.Second
	switch {
	case in.TTL == 0:
		ttl = defaultLinkTTL
	case in.TTL < 0 || in.TTL > int(maxLinkTTL/time.Second):
		return &Error{http.StatusBadRequest, "ttl_s is not from 1 to 86400"}
	}
	now := clock.Now()
	text, err := s.Keys.LinkTo(in.UserID, s.Site, now, ttl)
	if err != nil {
		return &Error{http.StatusBadRequest, err.Error()}
	}
	answer(w, http.StatusOK, map[string]any{"token": text, "parameter": "ms_link=" + text, "expires": now.Add(ttl).UTC().Truncate(time.Second)})
	return nil
}
