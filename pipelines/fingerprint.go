package pipelines

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/signal"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/transforms"
)

// settings are what decides, and what only says which records are events.
func settings(b *transforms.Built, topic string) (decides, reading map[string]string) {
	decides, reading = b.Settings()
	decides["topic"] = topic
	return decides, reading
}

// older answers for changelogs with fingerprints of version 1, which are hashes of
// what the programs of their time had in memory.
func older(b *transforms.Built, topic string) func(*changelogio.Manifest) (same, sameReading bool, partitions int32, why string) {
	return func(m *changelogio.Manifest) (same, sameReading bool, partitions int32, why string) {
		decides, reading := settings(b, topic)
		if name := unknownToFirst(decides); name != "" {
			return false, false, 0, fmt.Sprintf("%s is stated, which the program that wrote it did not know", name)
		}
		sameReading = unknownToFirst(reading) == "" && m.Reading == hashOf(firstReading(&b.Spec.Event)...)
		// Partitions may have been added to the topic since.
		for partitions = b.Spec.Partitions; partitions > 0; partitions-- {
			if m.Fingerprint == hashOf(topic, firstSpec(b, (len(m.Machines)-1)/2, partitions), firstSlots(b)) {
				return true, sameReading, partitions, ""
			}
		}
		return false, sameReading, 0, ""
	}
}

var elementOf = regexp.MustCompile(`\[[^\]]*\]`)

// unknownToFirst is a setting that fingerprints of version 1 did not have.
func unknownToFirst(settings map[string]string) string {
	var out []string
	for name := range settings {
		if !slices.Contains(firstNames, settingOf(name)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return ""
	}
	return out[0]
}

// settingOf is the name of a setting without the elements of lists that it is of.
func settingOf(name string) string {
	name = elementOf.ReplaceAllString(name, "")
	for strings.Contains(name, ".children.children") {
		name = strings.ReplaceAll(name, ".children.children", ".children")
	}
	return strings.ReplaceAll(name, "segments.children", "segments")
}

// firstNames are the settings of version 1.
var firstNames = []string{"allowed_lateness", "audience.activate", "audience.hysteresis", "audience.min_sample", "audience.stale_share", "audience.window",
	"events.consent.categories", "events.consent.required", "events.elements", "events.future_tolerance",
	"events.high_ticket.categories", "events.high_ticket.min_price", "events.max_event_bytes", "events.max_payload", "events.names", "events.pages.after",
	"events.pages.name", "events.pages.path", "events.pages.type", "features", "half_lives.live", "half_lives.long", "health.signal_weight",
	"identity.max_devices", "identity.max_persons_per_day", "intent.kappa", "refresh_interval", "retention", "segments.after", "segments.min_audience",
	"segments.name", "segments.when", "session.dwell_cap", "session.gap", "signals.after", "signals.event", "signals.name", "signals.page_type",
	"signals.weight", "signals.x.above", "signals.x.below", "signals.y.above", "signals.y.below", "site", "topic"}

// first is what version 1 hashed, field by field, as JSON. It must stay as it is.
type first struct {
	Site       string
	Job        string
	Run        int64
	Life       uint64
	Shards     int
	Partitions int32
	Event      firstEvent
	Signals    []firstSignal
	HalfLives  struct{ Live, Long float64 }
	Kappa      float64
	GapMS      int64
	DwellCapMS int64
	LatenessMS int64
	RefreshMS  int64
	WindowMS   int64
	Retention  int64
	Activate   float64
	Hysteresis float64
	MinSample  int
	StaleShare float64
	MaxDevices int
	MaxUsers   int
	MinWeight  float64
	Segments   []firstSegment
	Slots      []firstSlot
	Rules      *struct{}
	Erased     *struct{}
}

type firstEvent struct {
	Pages                []firstPage
	HighTicketCategories []string
	HighTicketMinPrice   float64
	Elements             []string
	Custom               []string
	MaxBytes             int
	FutureMS             int64
	MaxPayload           int
	Consent              firstConsent
}

type firstPage struct {
	Type       int
	Path, Name string
}

type firstConsent struct {
	Categories []string
	Required   bool
}

type firstSignal struct {
	Name   string
	Kind   int
	Pages  []byte // numbers of one byte, which JSON has as one text
	X, Y   *firstBound
	Weight float64
}

type firstBound struct{ Above, Below *float64 }

type firstSegment struct {
	Name, Title, When string
	MinAudience       *float64
	Children          []firstSegment
}

type firstSlot struct {
	Name, Title string
	Edge        bool
}

func firstReading(e *event.Config) []any {
	return []any{e.MaxBytes, e.FutureMS, e.MaxPayload, firstConsent{Categories: e.Consent.Categories, Required: e.Consent.Required}}
}

func firstSpec(b *transforms.Built, shards int, partitions int32) *first {
	s := &b.Spec
	out := &first{Site: s.Site, Shards: shards, Partitions: partitions, HalfLives: struct{ Live, Long float64 }{s.HalfLives.Live, s.HalfLives.Long},
		Kappa: s.Kappa, GapMS: s.GapMS, DwellCapMS: s.DwellCapMS, LatenessMS: s.LatenessMS, RefreshMS: s.RefreshMS, WindowMS: s.WindowMS, Retention: s.Retention,
		Activate: s.Activate, Hysteresis: s.Hysteresis, MinSample: s.MinSample, StaleShare: s.StaleShare, MaxDevices: s.MaxDevices, MaxUsers: s.MaxUsers,
		MinWeight: s.MinWeight, Segments: firstSegments(s.Segments), Slots: firstRuleSlots(s.Slots)}
	out.Event = firstEvent{HighTicketCategories: s.Event.HighTicketCategories, HighTicketMinPrice: s.Event.HighTicketMinPrice, Elements: s.Event.Elements, Custom: s.Event.Custom}
	for _, p := range s.Event.Pages {
		out.Event.Pages = append(out.Event.Pages, firstPage{int(p.Type), p.Path, p.Name})
	}
	for i := range s.Signals {
		out.Signals = append(out.Signals, firstSignalOf(&s.Signals[i]))
	}
	return out
}

func firstSignalOf(r *signal.Rule) firstSignal {
	out := firstSignal{Name: r.Name, Kind: int(r.Kind), X: plainBound(r.X), Y: plainBound(r.Y), Weight: r.Weight}
	for _, p := range r.Pages {
		out.Pages = append(out.Pages, byte(p))
	}
	return out
}

func plainBound(b *signal.Bound) *firstBound {
	if b == nil {
		return nil
	}
	return &firstBound{b.Above, b.Below}
}

func firstSegments(specs []segment.Spec) []firstSegment {
	out := []firstSegment{} // a leaf had an empty list
	for i := range specs {
		s := &specs[i]
		out = append(out, firstSegment{s.Name, s.Title, s.When, s.MinAudience, firstSegments(s.Children)})
	}
	return out
}

func firstRuleSlots(slots []rule.Slot) (out []firstSlot) {
	for _, s := range slots {
		out = append(out, firstSlot{s.Name, s.Title, s.Edge})
	}
	return out
}

// firstSlots are the stored features that are read, by their numbers of then.
func firstSlots(b *transforms.Built) (out []int) {
	known := int(session.SlotHover0) + 2*len(b.Spec.Event.Elements)
	for _, s := range b.Segment.Slots {
		if int(s) < known {
			out = append(out, int(s))
		}
	}
	return out
}

func hashOf(v ...any) string {
	j, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("naming the configuration: %v", err)) // plain values
	}
	sum := sha256.Sum256(j)
	return hex.EncodeToString(sum[:16])
}
