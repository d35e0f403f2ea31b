package event

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// Config says how records are read. Zero numbers mean the default.
type Config struct {
	Pages                []PageRule `setting:"pages"`
	HashRoutes           bool       `setting:"hash_routes,since=2"`    // a page's path is what follows #/ or #!/ in its address, where it does
	HighTicketCategories []string   `setting:"high_ticket.categories"` // category prefixes: "electronics" covers "electronics.x" and "electronics/x"
	HighTicketMinPrice   float64    `setting:"high_ticket.min_price"`
	Elements             []string   `setting:"elements"`                    // names of properties.element that Event.Element numbers; at most 255
	Custom               []string   `setting:"names"`                       // event names without a kind of their own; at most 192
	MaxBytes             int        `setting:"max_event_bytes,reading"`     // a longer record is Oversized; default 32 KiB, Segment's limit
	FutureMS             int64      `setting:"future_tolerance,ms,reading"` // tolerance before an event is from the Future; default 5 min
	MaxPayload           int        `setting:"max_payload,reading"`         // bytes of a record that a dead letter keeps; default 4096
	Consent              Consent    `setting:"consent,reading"`
}

// Limits that no configuration lifts.
const (
	maxID      = 512  // bytes of anonymousId and userId
	maxMeasure = 1e12 // any price, duration, value …: sums of many stay exact enough and finite
	maxIngest  = 3_600_000
)

// userDevice begins the device of events that state only a userId.
const userDevice = "user:"

var errTrailing = errors.New("data after the JSON object")

// Decoder turns records into events. It keeps scratch space and caches
// between records: one goroutine at a time may use it.
type Decoder struct {
	cfg      Config
	names    map[string]meaning // those of KindOf and the custom ones
	elements map[string]uint8
	pages    []pageRule
	parser   parser
	agents   agents
	ids      interner
	consents *consents
	scratch  []byte
}

// NewDecoder checks the configuration and readies a decoder.
func NewDecoder(cfg Config) (*Decoder, error) {
	if cfg.MaxBytes < 0 || cfg.FutureMS < 0 || cfg.MaxPayload < 0 {
		return nil, errors.New("reading limits: a size or tolerance is negative")
	}
	d := &Decoder{cfg: cfg, names: make(map[string]meaning, len(names)+len(cfg.Custom)), elements: map[string]uint8{}}
	d.setDefaults()
	var err error
	if d.consents, err = newConsents(cfg.Consent); err != nil {
		return nil, err
	}
	if d.pages, err = compilePages(cfg.Pages); err != nil {
		return nil, err
	}
	if err := d.number(cfg.Elements, cfg.Custom); err != nil {
		return nil, err
	}
	d.cfg.HighTicketCategories = make([]string, len(cfg.HighTicketCategories))
	for i, c := range cfg.HighTicketCategories {
		d.cfg.HighTicketCategories[i] = strings.TrimRight(c, "./")
	}
	return d, nil
}

// number gives the configured elements and custom events their codes.
func (d *Decoder) number(elements, custom []string) error {
	if len(elements) > 255 {
		return fmt.Errorf("reading elements: %d names, at most 255 can be told apart", len(elements))
	}
	for i, e := range elements {
		if _, twice := d.elements[e]; twice || e == "" {
			return fmt.Errorf("reading elements: %q is empty or listed twice", e)
		}
		d.elements[e] = uint8(i + 1)
	}
	maps.Copy(d.names, names)
	if len(custom) > 256-int(FirstCustom) {
		return fmt.Errorf("reading custom events: %d names, at most %d have room", len(custom), 256-int(FirstCustom))
	}
	for i, c := range custom {
		if _, known := d.names[c]; known || c == "" {
			return fmt.Errorf("reading custom events: %q is empty, listed twice or has a kind of its own", c)
		}
		d.names[c] = meaning{FirstCustom + Kind(i), PageUnknown}
	}
	for spelling, name := range otherNames {
		if _, custom := d.names[spelling]; !custom {
			d.names[spelling] = names[name]
		}
	}
	return nil
}

func (d *Decoder) setDefaults() {
	if d.cfg.MaxBytes == 0 {
		d.cfg.MaxBytes = 32 << 10
	}
	if d.cfg.FutureMS == 0 {
		d.cfg.FutureMS = 5 * 60_000
	}
	if d.cfg.MaxPayload == 0 {
		d.cfg.MaxPayload = 4096
	}
}

// Decode reads one Segment-spec JSON record that was appended to the log at
// appendMS (ms since the epoch; 0 or less when not known) into e, except for
// e.Offset, e.Partition and e.Raw, which it clears.
//
// A nil error means decoded; whether the event is late or a duplicate is
// judged elsewhere. Otherwise it returns an *Error with the reason Oversized,
// NoConsent, Malformed or Future, and e holds what was learnt before (Device, User, Time
// and Append, where known), for the dead letter. The record's key is not read:
// a topic may be keyed by anything. trust is that of who sent it. raw is not kept.
func (d *Decoder) Decode(raw []byte, trust Trust, appendMS int64, e *Event) error {
	*e = Event{Append: appendMS, Ingest: -1, Trust: trust}
	if len(raw) > d.cfg.MaxBytes && !strings.HasPrefix(string(raw[:min(len(raw), len(rebuildStart))]), rebuildStart) {
		return &Error{Reason: Oversized, Detail: fmt.Sprintf("%d bytes, at most %d are allowed", len(raw), d.cfg.MaxBytes)}
	}
	if !utf8.Valid(raw) {
		return malformed("not UTF-8")
	}
	if err := d.parser.parse(raw); err != nil {
		return malformed("reading JSON: " + err.Error())
	}
	r := &d.parser.rec
	if control, err := d.control(r, raw, e); control {
		return err
	}
	if !d.consents.given(r) {
		return &Error{Reason: NoConsent, Detail: "context.consent or context.consentManagement does not allow it", Payload: new(string)}
	}
	if string(r.text(fType)) == TypeRejected {
		return d.rejected(r, e)
	}
	if err := d.identify(r, raw, e); err != nil {
		return err
	}
	if string(r.text(fType)) == typeAlias {
		if err := d.alias(r, e); err != nil {
			return err
		}
	}
	if err := r.mayBe(e); err != nil {
		return err
	}
	receipt, err := r.stamp(e)
	if err != nil {
		return err
	}
	m, err := d.meaning(r)
	if err != nil {
		return err
	}
	r.wantObject(fProperties)
	r.wantObject(fContext)
	e.Kind = m.kind
	d.place(r, m, e)
	d.context(r, e)
	d.measure(r, e)
	if r.passive(e) {
		e.Flags |= FlagPassive
	}
	if receipt > 0 && e.Time > receipt && e.Time-receipt > d.cfg.FutureMS {
		return &Error{Reason: Future, Detail: fmt.Sprintf("%d ms after its receipt, at most %d are allowed", e.Time-receipt, d.cfg.FutureMS)}
	}
	return nil
}

// Payload is the copy of a record that a dead letter keeps: at most
// Config.MaxPayload bytes, not cut within a character.
func (d *Decoder) Payload(raw []byte) []byte {
	return slices.Clone(cut(raw, d.cfg.MaxPayload))
}

// Kept is what the dead letter of a record keeps that Decode refused with err.
func (d *Decoder) Kept(raw []byte, err *Error) []byte {
	if err.Payload != nil {
		return []byte(*err.Payload)
	}
	return d.Payload(raw)
}

// identify fills Device, User and ID.
func (d *Decoder) identify(r *record, raw []byte, e *Event) error {
	anon, user, message := r.idOrWarn(fAnonymousID), r.idOrWarn(fUserID), r.idOrWarn(fMessageID)
	if nobody(user) {
		user = nil
	}
	if nobody(anon) {
		anon = nil
	}
	if len(anon) == 0 && len(user) == 0 {
		return malformed("anonymousId, userId: neither is stated as a text or number of at most 512 bytes that stands for somebody (null or zeros do not)")
	}
	e.User = d.ids.string(user)
	if len(anon) == 0 {
		anon = append(append(d.scratch[:0], userDevice...), user...)
		d.scratch = anon
	}
	e.Device = d.ids.string(anon)
	if len(message) > 0 {
		e.ID = e.Trust.of(hash(message))
	} else {
		e.ID = e.Trust.of(hash(raw)) // so a record that was sent twice is still one event
	}
	return nil
}

// mayBe refuses a device that only servers speak of, where everybody may have sent it.
func (r *record) mayBe(e *Event) error {
	if !e.Trust.fromPage() || !IsUserDevice(e.Device) {
		return nil
	}
	for _, f := range [...]field{fAnonymousID, fPreviousID} {
		if id, _ := r.id(f); bytes.HasPrefix(id, []byte(userDevice)) {
			return malformed("anonymousId, previousId: begins with user:, which is kept for what servers send of a userId alone")
		}
	}
	if e.Trust.Verified() {
		return nil
	}
	return &Error{Reason: Identity, Detail: "a userId alone, without proof: anybody could have sent it; send it with a secret server key, " +
		"with proof of the userId, or with an anonymousId (docs/identity.md)"}
}

// idOrWarn is an identifier, empty when not stated or when it is none. The other one
// of the two then says who it was.
func (r *record) idOrWarn(f field) []byte {
	id, ok := r.id(f)
	if ok {
		return id
	}
	if v := &r.vals[f]; !v.empty() {
		r.warn(f, Unreadable, v)
	}
	return nil
}

// id is an identifier: a string, or a number's digits; empty when not stated.
func (r *record) id(f field) ([]byte, bool) {
	if !r.stated(f) {
		return nil, true
	}
	v := &r.vals[f]
	return v.b, v.scalar() && len(v.b) <= maxID
}

// wantObject warns of what is stated where an object belongs and is none. PHP writes
// an empty map as an empty list.
func (r *record) wantObject(f field) {
	if v := &r.vals[f]; r.stated(f) && v.typ != jx.Object && !v.empty() && !(v.typ == jx.String && len(v.b) == 0) {
		r.warn(f, WrongType, v)
	}
}

// meaning is the kind of the call, and what its event name says of the page.
func (d *Decoder) meaning(r *record) (meaning, error) {
	switch typ := r.text(fType); string(typ) {
	case "page", "screen":
		return meaning{kind: KindPage}, nil
	case "identify":
		return meaning{kind: KindIdentify}, nil
	case "group":
		return meaning{}, nil
	case typeAlias:
		return meaning{kind: KindAlias}, nil
	case "track":
		name := r.text(fEvent)
		if len(name) == 0 {
			return meaning{}, malformed("event: a track call without a name")
		}
		return d.names[string(name)], nil
	}
	return meaning{}, Unread()
}

// Unread is the error of a record whose type says nothing to a program, so that a record
// which an older one read is read again as it was.
func Unread() error {
	return malformed("type: not page, screen, track, identify, group, alias or reset")
}

// hash is FNV-1a 64, the same in every process and language; never 0, which
// means "not stated".
func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	if h == 0 {
		return 1
	}
	return h
}
