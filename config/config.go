// Package config holds microseg's configuration: plain structs, their defaults,
// strict YAML, and validation that says what to do.
package config

import "time"

// Config is the whole of a configuration file. The comments of the fields are
// also the text of docs/config.md, which is generated from them.
type Config struct {
	Site       string            `yaml:"site"` // name that every row in ClickHouse carries, so that sites can share tables
	HalfLives  HalfLives         `yaml:"half_lives"`
	Intent     Intent            `yaml:"intent"`
	Session    Session           `yaml:"session"`
	Lateness   Lateness          `yaml:"lateness"`
	Future     time.Duration     `yaml:"future_tolerance"` // an event that is ahead of the time it was received by more is a dead letter
	MaxBytes   int               `yaml:"max_event_bytes"`  // an event that is longer, in bytes, is a dead letter; what the collector adds comes on top
	Refresh    time.Duration     `yaml:"refresh_interval"` // grid on which conditions without a closed form are looked at, and signal weights taken
	Retention  time.Duration     `yaml:"retention"`        // a visitor without events for so long is forgotten
	State      State             `yaml:"state"`
	Identity   Identity          `yaml:"identity"`
	Audience   Audience          `yaml:"audience"`
	Pages      []Page            `yaml:"pages"`
	HashRoutes bool              `yaml:"hash_routes"` // a page whose address has a route in its fragment (#/cart or #!/cart) has that as its path
	HighTicket HighTicket        `yaml:"high_ticket"`
	Elements   []string          `yaml:"elements"` // values of properties.element that conditions can tell apart, as hover.<element> and focus.<element>
	Signals    []Signal          `yaml:"signals"`
	Segments   []Segment         `yaml:"segments"`
	Slots      []Slot            `yaml:"slots"`
	Rules      []Rule            `yaml:"rules"`
	Templates  map[string]string `yaml:"templates"` // html/template texts by name; those that a file states come on top of the shipped ones
	Collector  Collector         `yaml:"collector"`
	Serving    Serving           `yaml:"serving"`
	Source     Source            `yaml:"source"`
	Sink       Sink              `yaml:"sink"`
	Storage    Storage           `yaml:"storage"`
	Health     Health            `yaml:"health"`

	marks map[string]mark // where values stand in their files, by path
}

// HalfLives are the half-lives of the two decayed sums of signal weights: what
// a visitor does now, and the base line that it is compared with.
type HalfLives struct {
	Live time.Duration `yaml:"live"` // half-life of live
	Long time.Duration `yaml:"long"` // half-life of long
}

// Intent scales the intent score 1 − 2^(−live/kappa).
type Intent struct {
	Kappa float64 `yaml:"kappa"` // the live sum at which intent is 0.5; twice as much gives 0.75
}

// Session bounds sessions and dwell.
type Session struct {
	Gap      time.Duration `yaml:"gap"`       // so long without an event ends a session
	DwellCap time.Duration `yaml:"dwell_cap"` // time that counts between two events of a page, at the most
}

// Lateness says how much older than the newest event of its partition an event may be. Orders, refunds, identify, alias
// and the events that are named may be as late as long; beyond short they change what is known of the person (cart,
// orders, sums, links) as of their own time, and no session. Later ones are dead letters. One duration alone is short.
type Lateness struct {
	Short  time.Duration `yaml:"short"`  // of all other events: these may still change sessions
	Long   time.Duration `yaml:"long"`   // of these; at most the retention
	Events []string      `yaml:"events"` // names of further events that may be so late
}

// State bounds what the job keeps of visitors: whoever has the write key can make as many as they like. Who is let
// go is decided from the log, so another limit holds from the next start on and makes nothing anew; see docs/operations.md.
type State struct {
	MaxDevices int           `yaml:"max_devices"`            // devices in state, shared out over the partitions; beyond it those go first that had one event, without a proof of who they are, then the longest silent, and users' last
	Single     time.Duration `yaml:"single_event_retention"` // a device of one event, without a proof of who it is, is forgotten after so long; 0: as any other
	MaxPending int           `yaml:"max_pending"`            // events of one device that late ones may still change; beyond it the oldest fold early, and what comes later of the time before is a dead letter
}

// Identity says whose word counts for who a visitor is, and bounds how devices and
// persons are linked; see docs/identity.md.
type Identity struct {
	Verification string `yaml:"verification"`        // signed: a userId counts with a server key or a proof; off: with the public write key, too
	JWT          JWT    `yaml:"jwt"`                 // which JWTs are proofs of a userId, beside HMACs
	MaxDevices   int    `yaml:"max_devices"`         // devices that are merged into one person, the first ones
	MaxPersons   int    `yaml:"max_persons_per_day"` // persons that a device is linked to in a day of event time (UTC), the first ones
	LegacyUntil  string `yaml:"legacy_until"`        // event time up to which links are believed of which nobody has seen a proof: those from before proofs were asked for; empty: always
}

// LegacyUntilMS is legacy_until in ms; 0 for no end, also where it cannot be read.
func (i *Identity) LegacyUntilMS() int64 {
	t, _ := i.legacyUntil()
	return t
}

func (i *Identity) legacyUntil() (ms int64, ok bool) {
	if i.LegacyUntil == "" {
		return 0, true
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, i.LegacyUntil); err == nil && t.UnixMilli() > 0 {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

// JWT says which JSON Web Tokens are proofs of a userId: their sub is the userId, and
// exp is required.
type JWT struct {
	Algorithm string `yaml:"algorithm"` // HS256, RS256, ES256 or EdDSA; none: no JWT is a proof
	Audience  string `yaml:"audience"`  // what their aud must have
	KeyFile   string `yaml:"key_file"`  // PEM file with the public key of RS256, ES256 or EdDSA; two while one takes the other's place. HS256 takes MICROSEG_IDENTITY_KEYS
}

// Audience says which segments are served: those with enough active visitors.
type Audience struct {
	Window     time.Duration `yaml:"window"`      // a visitor who counts is active for so long after an event
	MinSpan    time.Duration `yaml:"min_span"`    // a visitor counts from two events on that were received so far apart, at least; 0: from the first
	Activate   float64       `yaml:"activate"`    // share of the active visitors that activates a segment
	Hysteresis float64       `yaml:"hysteresis"`  // an active segment is deactivated below activate − hysteresis
	MinSample  int           `yaml:"min_sample"`  // with fewer active visitors no segment changes its state
	JumpFactor float64       `yaml:"jump_factor"` // more than so many times as many active visitors within 10 minutes hold all changes for 10 minutes; 0: never
	StaleShare float64       `yaml:"stale_share"` // a segment with a larger stale share is flagged, and its members are re-evaluated
}

// Page maps URL paths and page names to a page type. The first rule that
// matches wins; one with both path and name needs both.
type Page struct {
	Type string `yaml:"type"` // home, list, search, product, comparison, cart, checkout, confirmation, content or other
	Path string `yaml:"path"` // glob on the URL path: * matches within a segment, ** whole segments, also none (/cart** is not /cartoons)
	Name string `yaml:"name"` // exact name or category of the page call
}

// HighTicket says which products are expensive: time on them, and on lists of
// them, counts as dwell.high_ticket. A list counts where at least half of the
// products that it states with a price do, or, without prices, by its category
// or its path alone.
type HighTicket struct {
	Categories []string `yaml:"categories"` // category prefixes: electronics covers electronics/tv and electronics.tv
	MinPrice   float64  `yaml:"min_price"`  // price from which a product of the categories counts
}

// Signal gives events a weight. An event gets the sum of all signals that match it.
type Signal struct {
	Name   string      `yaml:"name"`   // unique name
	Match  SignalMatch `yaml:"match"`  // which events it is about
	Weight float64     `yaml:"weight"` // what one event adds to live and long
}

// SignalMatch says which events a signal is about. Limits are exclusive.
type SignalMatch struct {
	Event    string   `yaml:"event"`     // Segment's event name, or page
	PageType []string `yaml:"page_type"` // page types on which it counts; none: all
	Depth    Bound    `yaml:"depth"`     // {above: x, below: y} on the scroll depth, from 0 to 1
	Duration Bound    `yaml:"duration"`  // the same on hover and focus, in milliseconds
	Price    Bound    `yaml:"price"`     // the same on the price of product events
}

// Bound is an interval without its ends; an end that is not stated is open.
type Bound struct {
	Above *float64 `yaml:"above"` // strictly above
	Below *float64 `yaml:"below"` // strictly below
}

// Segment is a node of the tree below everyone. At each level the first child
// whose condition holds wins.
type Segment struct {
	Name        string    `yaml:"name"`         // part of the path, unique among its siblings
	Title       string    `yaml:"title"`        // for people
	When        string    `yaml:"when"`         // the condition, see below
	MinAudience *float64  `yaml:"min_audience"` // overrides audience.activate; 0: always active
	Exempt      string    `yaml:"exempt"`       // why the segment is served whatever its audience, from its first member on; empty: it needs one
	Children    []Segment `yaml:"children"`     // finer segments within this one
}

// Slot is a place in the page, an element with data-ms-slot.
type Slot struct {
	Name  string `yaml:"name"`  // value of data-ms-slot
	Title string `yaml:"title"` // for people
	Edge  bool   `yaml:"edge"`  // kept at the edge for all visitors: its rules may read segment, page.type and device.type alone
}

// Rule fills slots for the visitors whom its source and its condition name. A
// file with segments of its own has only the rules that it states.
type Rule struct {
	Name    string        `yaml:"name"`    // unique name
	Title   string        `yaml:"title"`   // for people
	Source  RuleSource    `yaml:"source"`  // where the rule may hold
	When    string        `yaml:"when"`    // the condition, see below; none: always
	Public  bool          `yaml:"public"`  // a segment that a request only claims is believed
	Gives   bool          `yaml:"gives"`   // gives something away: the segment must be proved, so the rule cannot be public
	Offer   string        `yaml:"offer"`   // name of the offer that the rule makes; rules that share it make one offer, which a visitor sees in one slot; none: the rule's name
	Cap     time.Duration `yaml:"cap"`     // a visitor is granted the offer again after so long at the earliest, in whole seconds, up to 90d; not below its deadline; 0: when it is over
	Actions []Action      `yaml:"actions"` // what fills slots, at most one action a slot
}

// RuleSource is what a request must be about. A list that is not stated is no
// restriction.
type RuleSource struct {
	Segments []string `yaml:"segments"` // the served segment is one of these or below one; names, or ends of paths such as high_intent/cart_abandoner
	Pages    []string `yaml:"pages"`    // page types
	Devices  []string `yaml:"devices"`  // device types
}

// Action fills a slot. Of several rules that hold, the one with the highest
// priority wins it; rules of equal priority must exclude each other.
type Action struct {
	Slot     string            `yaml:"slot"`     // name of the slot
	Priority int               `yaml:"priority"` // the highest wins
	Template string            `yaml:"template"` // name of the template that makes the HTML
	TTL      time.Duration     `yaml:"ttl"`      // a page or an edge may keep it for so long, from 1s to 24h; 0: 1m
	Deadline time.Duration     `yaml:"deadline"` // length of its countdown, in whole seconds, up to 30d; what has one is an offer that stays in its slot until then, see docs/page.md; 0: none
	Data     map[string]string `yaml:"data"`     // for the template, as .Data.name, and for the page
}

// Collector says who may send events over HTTP and which are kept; see
// docs/collector.md.
type Collector struct {
	WriteKeys   []string      `yaml:"write_keys"`          // keys that may write events, and nothing else; they are in every page
	MaxBatch    int           `yaml:"max_batch_bytes"`     // a request's body that is longer, unpacked, is refused
	MaxInFlight int           `yaml:"max_in_flight_bytes"` // bodies under way, in bytes; with more, clients are told to come back
	AckTimeout  time.Duration `yaml:"acknowledge_within"`  // when the log takes longer, the client is told to send again
	Origins     []string      `yaml:"origins"`             // whose pages may send, such as https://shop.example; none: those of any site, without cookies
	PublicURL   string        `yaml:"public_url"`          // address that browser libraries send to; empty: the one that they ask
	Consent     Consent       `yaml:"consent"`
	Limits      Limits        `yaml:"limits"`
}

// Limits bound the events of one client, so that one does not keep out others; an event of more than 4 KiB counts
// as several. Beyond them the collector answers 429 with the time after which the client sends again. Where a
// proxy is in front, name it in serving.trusted_proxies, or all visitors are one address. 0 a second is no limit.
type Limits struct {
	AddressRate  int `yaml:"address_per_second"`    // events a second of one address, or of 64 bits of IPv6: an office or a mobile network has many visitors
	AddressBurst int `yaml:"address_burst"`         // and so many at once
	DeviceRate   int `yaml:"device_per_second"`     // events a second of one device from one address
	DeviceBurst  int `yaml:"device_burst"`          // and so many at once: an app that was offline sends what it kept
	ServerRate   int `yaml:"server_key_per_second"` // events a second with one server key, for all of its users; they count for no other limit
	ServerBurst  int `yaml:"server_key_burst"`      // and so many at once
}

// Consent says whose events make a profile: the job and the collector drop the
// others.
type Consent struct {
	Categories []string `yaml:"categories"`  // consent categories (context.consent, context.consentManagement) that must not be denied, in any case
	Required   bool     `yaml:"required"`    // also drop events that do not grant all of them
	RespectGPC bool     `yaml:"respect_gpc"` // drop what browsers send with the Global Privacy Control on (Sec-GPC: 1)
}

// Serving tunes the nodes that answer pages and edges. Secrets are not here but
// in the environment: MICROSEG_TOKEN_KEYS and MICROSEG_ADMIN_KEY.
type Serving struct {
	Origins      []string      `yaml:"origins"`         // whose pages may read answers, such as https://shop.example; none: those of any site, without cookies
	TokenTTL     time.Duration `yaml:"token_ttl"`       // an edge believes a token for so long
	MaxProfiles  int           `yaml:"max_profiles"`    // records that a node holds in memory, about 400 bytes each; beyond it those of one event go first, users' last, the longest silent of each
	MaxStreams   int           `yaml:"max_streams"`     // pages that may listen to one node
	Thresholds   bool          `yaml:"thresholds"`      // GET /api/segment/explain tells everybody what conditions and audiences are compared with, and when that may change; else the admin alone
	Proxies      []string      `yaml:"trusted_proxies"` // addresses and networks (10.0.0.0/8) of your own proxies and CDN, whose header tells who the client is; none: the client is who connects
	AddressShare float64       `yaml:"address_share"`   // share of the memory for bodies, of connections and of streams that one address may have; proxies that are trusted may have all
	ProxyHeader  string        `yaml:"proxy_header"`    // the header that they write: X-Forwarded-For or Forwarded
}

// Source tunes reading the log.
type Source struct {
	Shards           int           `yaml:"shards"`            // groups of partitions that are processed side by side; 0: one per core
	Linger           time.Duration `yaml:"linger"`            // wait for so long to fill a batch
	MaxBatch         int           `yaml:"max_batch"`         // events in a batch, at the most
	MaxInFlight      int           `yaml:"max_in_flight"`     // batches of a shard under way, at the most: the back-pressure
	BufferBytes      int           `yaml:"buffer_bytes"`      // fetched records that wait, in bytes
	Heartbeat        time.Duration `yaml:"heartbeat"`         // idle shards report time this often
	IdleAfter        time.Duration `yaml:"idle_after"`        // wall time without events after which a partition counts as idle
	StateInterval    time.Duration `yaml:"state_interval"`    // how often changed state leaves for ClickHouse
	Trust            string        `yaml:"trust"`             // whether userIds of records count that no collector has judged, since others write to the topic: verified or public; none: they do not, and health says when there are some
	Rekey            string        `yaml:"rekey"`             // whether the records are copied by device into topic <events>-keyed, which the job then reads: auto (where the topic is not keyed by device when the first job begins, or got partitions since), on or off; see docs/operations.md
	SnapshotInterval time.Duration `yaml:"snapshot_interval"` // how often the whole state goes to the changelog: a restart applies again what came since
}

// Sink tunes writing to ClickHouse.
type Sink struct {
	Linger     time.Duration `yaml:"linger"`            // wait for so long to fill an insert; 0: one at the end of each bundle
	MaxRows    int           `yaml:"max_rows"`          // rows of one insert, at the most
	MaxPending int           `yaml:"max_pending_bytes"` // rows that wait in memory, in bytes; at half of it they are spilled
	SpillAfter time.Duration `yaml:"spill_after"`       // an insert that fails for so long is spilled to the log
}

// Storage guards the data folders of "up" and "demo", which hold the embedded log
// and ClickHouse; see docs/operations.md.
type Storage struct {
	MinFree int `yaml:"min_free_bytes"` // with less free, the log takes nothing; with less than twice that, ClickHouse takes nothing; 0: unguarded
}

// Health holds the limits beyond which an alert is raised.
type Health struct {
	RefreshLatency time.Duration `yaml:"refresh_latency"`   // average time from the log to the decision
	SignalWeight   float64       `yaml:"signal_weight"`     // of the site; below it visitors have gone quiet
	WatermarkLag   time.Duration `yaml:"watermark_lag"`     // event time behind the newest event
	SinkLag        time.Duration `yaml:"sink_lag"`          // time from a decision to its row in ClickHouse, 99th percentile
	DeadShare      float64       `yaml:"dead_letter_share"` // dead letters of all events read
	Silence        time.Duration `yaml:"silence"`           // since the job last wrote to ClickHouse
	Window         time.Duration `yaml:"window"`            // wall clock that latencies, budgets and the share of dead letters are judged over, by minutes
	Budgets        Budgets       `yaml:"budgets"`
}

// Budgets are how long each part of an event's way may take, 95th percentile of health.window; fewer than 20 events are not judged.
type Budgets struct {
	Ingest  time.Duration `yaml:"ingest"`  // from the client's send to the log
	Compute time.Duration `yaml:"compute"` // from the log to the decision, waiting included
	Deliver time.Duration `yaml:"deliver"` // from the decision to the memory of a serving node
	Whole   time.Duration `yaml:"whole"`   // from the client's send to the memory of a serving node
}
