package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Event is one Segment-spec call. Fields that a source does not state are
// left out of the JSON.
type Event struct {
	Type        string      `json:"type"` // page or track
	Event       string      `json:"event,omitempty"`
	AnonymousID string      `json:"anonymousId"`
	MessageID   string      `json:"messageId"`
	Timestamp   string      `json:"timestamp"` // RFC 3339, UTC
	Properties  *Properties `json:"properties,omitempty"`
	Context     *Context    `json:"context,omitempty"`
}

// Properties are those of the page call, of Segment's e-commerce events and of
// the behavioural events that the sources can fill.
type Properties struct {
	ProductID string      `json:"product_id,omitempty"`
	Category  string      `json:"category,omitempty"`
	Brand     string      `json:"brand,omitempty"`
	Price     json.Number `json:"price,omitempty"`
	Quantity  int         `json:"quantity,omitempty"`
	Total     json.Number `json:"total,omitempty"`
	Currency  string      `json:"currency,omitempty"`
	OrderID   string      `json:"order_id,omitempty"`
	PageType  string      `json:"page_type,omitempty"`
	URL       string      `json:"url,omitempty"`
	Title     string      `json:"title,omitempty"`
	Referrer  string      `json:"referrer,omitempty"`
	Visible   bool        `json:"visible,omitempty"`
	Depth     json.Number `json:"depth,omitempty"` // 0 to 1
}

// Context is what the source knows of the device and of its own session.
type Context struct {
	Page      *Page   `json:"page,omitempty"`
	UserAgent string  `json:"userAgent,omitempty"`
	Locale    string  `json:"locale,omitempty"`
	Screen    *Screen `json:"screen,omitempty"`
	// SessionID is the source's own session id. The pipeline makes sessions
	// of its own and does not read it.
	SessionID string `json:"sessionId,omitempty"`
}

// Page is where the event happened.
type Page struct {
	Path string `json:"path,omitempty"`
	URL  string `json:"url,omitempty"`
}

// Screen is the device's screen in pixels.
type Screen struct {
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`
}

// contentID is the messageId of a source row: 128 bits of the SHA-256 of its
// fields, so that rows that are the same in every column are duplicates.
func contentID(fields ...string) string {
	h := sha256.Sum256([]byte(strings.Join(fields, "\x1f")))
	return hex.EncodeToString(h[:16])
}

// stamp writes a time as the events carry it, in milliseconds where it has any.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }
