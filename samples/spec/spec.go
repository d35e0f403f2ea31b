// Package spec writes Segment-spec events: what the converter and the
// simulator have in common.
package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Event is one call of the Segment spec (page, track, identify or screen).
type Event struct {
	Type        string         `json:"type"`
	Event       string         `json:"event,omitempty"` // track calls only
	Name        string         `json:"name,omitempty"`  // page and screen calls only
	AnonymousID string         `json:"anonymousId"`
	MessageID   string         `json:"messageId"`
	Timestamp   string         `json:"timestamp"` // RFC 3339, ms, UTC
	Properties  map[string]any `json:"properties,omitempty"`
	Context     map[string]any `json:"context,omitempty"`
}

// Page is a page call.
func Page(device, id string, at time.Time, path string, properties map[string]any) Event {
	return Event{Type: "page", AnonymousID: device, MessageID: id, Timestamp: Time(at), Properties: properties,
		Context: map[string]any{"page": map[string]any{"path": path}}}
}

// Track is a track call with the event's name, made on the page at path.
func Track(name, device, id string, at time.Time, path string, properties map[string]any) Event {
	e := Page(device, id, at, path, properties)
	e.Type, e.Event = "track", name
	return e
}

// Line is the event as one line of JSON, without the line feed. Equal events
// give equal lines.
func (e *Event) Line() ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("writing event %s: %w", e.MessageID, err)
	}
	return line, nil
}

// Time formats t as the spec does: RFC 3339 with milliseconds, UTC.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Hash names content: 128 bits of SHA-256, in hexadecimal. Equal content has
// one name, so that exact duplicates count as duplicates.
func Hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}
