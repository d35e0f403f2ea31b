// Package config holds microseg's configuration: plain structs, their defaults,
// strict YAML, and validation that says what to do.
package config

import "time"

// Config is the whole of a configuration file.
type Config struct {
	Site       string        `yaml:"site"`
	HalfLives  HalfLives     `yaml:"half_lives"`
	Intent     Intent        `yaml:"intent"`
	Session    Session       `yaml:"session"`
	Lateness   time.Duration `yaml:"allowed_lateness"`
	Future     time.Duration `yaml:"future_tolerance"`
	MaxBytes   int           `yaml:"max_event_bytes"`
	Refresh    time.Duration `yaml:"refresh_interval"`
	Retention  time.Duration `yaml:"retention"`
	Audience   Audience      `yaml:"audience"`
	Pages      []Page        `yaml:"pages"`
	HighTicket HighTicket    `yaml:"high_ticket"`
	Elements   []string      `yaml:"elements"`
	Signals    []Signal      `yaml:"signals"`
	Segments   []Segment     `yaml:"segments"`
	Source     Source        `yaml:"source"`
	Sink       Sink          `yaml:"sink"`
	Health     Health        `yaml:"health"`

	marks map[string]mark // where values stand in their files, by path
}

// HalfLives are the global half-lives of the decayed sums.
type HalfLives struct {
	Live time.Duration `yaml:"live"`
	Long time.Duration `yaml:"long"`
}

// Intent scales the intent score 1 − 2^(−live/kappa).
type Intent struct {
	Kappa float64 `yaml:"kappa"`
}

// Session bounds sessions and dwell.
type Session struct {
	Gap      time.Duration `yaml:"gap"`
	DwellCap time.Duration `yaml:"dwell_cap"`
}

// Audience is the pruning rule of segments.
type Audience struct {
	Window     time.Duration `yaml:"window"`
	Activate   float64       `yaml:"activate"`
	Hysteresis float64       `yaml:"hysteresis"`
	MinSample  int           `yaml:"min_sample"`
	StaleShare float64       `yaml:"stale_share"`
}

// Page maps URL paths and page names to a page type. The first match wins.
type Page struct {
	Type string `yaml:"type"`
	Path string `yaml:"path"` // glob on the URL path: * within a segment, ** across
	Name string `yaml:"name"` // exact page name or category of the page call
}

// HighTicket says which products are expensive.
type HighTicket struct {
	Categories []string `yaml:"categories"` // category prefixes, e.g. "electronics"
	MinPrice   float64  `yaml:"min_price"`
}

// Signal gives events a weight.
type Signal struct {
	Name   string      `yaml:"name"`
	Match  SignalMatch `yaml:"match"`
	Weight float64     `yaml:"weight"`
}

// SignalMatch says which events a signal is about.
type SignalMatch struct {
	Event    string   `yaml:"event"`     // Segment event name, or "page"
	PageType []string `yaml:"page_type"` // empty: any
	Depth    Bound    `yaml:"depth"`     // scroll depth, 0..1
	Duration Bound    `yaml:"duration"`  // hover and focus, ms
	Price    Bound    `yaml:"price"`     // product events
}

// Bound is an open interval; unset ends are open. Durations are in ms.
type Bound struct {
	Above *float64 `yaml:"above"`
	Below *float64 `yaml:"below"`
}

// Segment is a node of the segment tree.
type Segment struct {
	Name        string    `yaml:"name"`
	Title       string    `yaml:"title"`
	When        string    `yaml:"when"` // CEL over the feature catalogue
	MinAudience *float64  `yaml:"min_audience"`
	Children    []Segment `yaml:"children"`
}

// Source tunes the reading side.
type Source struct {
	Shards        int           `yaml:"shards"` // 0: one per core
	Linger        time.Duration `yaml:"linger"`
	MaxBatch      int           `yaml:"max_batch"`     // events
	MaxInFlight   int           `yaml:"max_in_flight"` // batches a shard
	BufferBytes   int           `yaml:"buffer_bytes"`
	Heartbeat     time.Duration `yaml:"heartbeat"`      // idle shards report time this often
	IdleAfter     time.Duration `yaml:"idle_after"`     // wall time without events before a partition counts as idle
	StateInterval time.Duration `yaml:"state_interval"` // how often changed state rows leave for ClickHouse
}

// Sink tunes the writing side.
type Sink struct {
	Linger     time.Duration `yaml:"linger"` // 0: flush at the end of each bundle
	MaxRows    int           `yaml:"max_rows"`
	MaxPending int           `yaml:"max_pending_bytes"`
}

// Health holds the alert thresholds.
type Health struct {
	RefreshLatency time.Duration `yaml:"refresh_latency"` // average log → decided
	SignalWeight   float64       `yaml:"signal_weight"`
	WatermarkLag   time.Duration `yaml:"watermark_lag"`
	SinkLag        time.Duration `yaml:"sink_lag"`
	DeadShare      float64       `yaml:"dead_letter_share"`
}
