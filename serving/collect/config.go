// Package collect takes events over HTTP from pages, apps and servers and puts
// them on the log: Segment's tracking API, so that Segment's and RudderStack's
// libraries work by changing their host, and Mixpanel's. docs/collector.md has
// the formats, answers and limits.
//
// A request is answered with success only when the log has acknowledged every
// event of it; one bad event of a batch goes to the log as a refusal
// (event.Rejected), so that it becomes a dead letter and costs no other event.
package collect

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/proof"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/microseg/microseg/serving/token"
	"github.com/prometheus/client_golang/prometheus"
)

// Config says what is taken and where it goes. Zero numbers mean the default.
type Config struct {
	Brokers []string // of the log
	Topic   string   // default "events"

	// WriteKeys may write events, and nothing else. They are in every page.
	WriteKeys []string

	// ServerKeys are secret: what comes with one is the site's own servers', whose userIds
	// are believed. At most two, of at least proof.MinKey bytes.
	ServerKeys []string

	// Proofs verify what an event's context has as a proof of its userId; nil: none is one.
	Proofs *proof.Verifier

	// Unchecked believes every userId (identity.verification: off).
	Unchecked bool

	// Origins are those whose pages may send, such as https://shop.example; empty: any.
	Origins []string

	Event          event.Config  // how the job reads events: verdicts and consent; MaxBytes does not matter here
	MaxEventBytes  int           // of an event as it was sent; longer: a dead letter. Default 32 KiB
	MaxBatchBytes  int           // of a body when unpacked; longer: 413. Default 500 KiB
	MaxBatchEvents int           // default 2500; more: 413
	MaxInFlight    int64         // bytes of bodies under way; more: 429. Default 64 MiB
	ProduceTimeout time.Duration // until the log has acknowledged; then 503. Default 5 s

	AddressShare float64 // of MaxInFlight, that one address may have; default 0.25

	Limits  Limits            // zero: none
	Clients *throttle.Clients // tells whose a request is; nil: whose the connection is

	// Undecided is how many records up to these offsets, behind the last one of each
	// partition, the job has not decided; nil: the job runs elsewhere, and nobody here knows.
	Undecided func(ends map[int32]int64) int

	// IgnoreGPC keeps events of browsers that send Sec-GPC: 1, the Global
	// Privacy Control; by default they are acknowledged and dropped.
	IgnoreGPC bool

	// PublicURL is the address that Segment's browser library is told to send
	// to; by default the one that it asked.
	PublicURL string

	// Keys verify the tokens that link a device to a user of Site; nil: there are none.
	Keys *token.Keys
	Site string

	Metrics prometheus.Registerer // default: none
}

// maxDepth bounds how deep an event's JSON may nest.
const maxDepth = 64

func (c *Config) setDefaults() {
	if c.Topic == "" {
		c.Topic = "events"
	}
	setDefault(&c.MaxEventBytes, 32<<10)
	setDefault(&c.MaxBatchBytes, 500<<10)
	setDefault(&c.MaxBatchEvents, 2500)
	setDefault(&c.MaxInFlight, 64<<20)
	setDefault(&c.AddressShare, 0.25)
	setDefault(&c.ProduceTimeout, 5*time.Second)
}

func setDefault[T int | int64 | float64 | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

func (c *Config) validate() error {
	switch {
	case len(c.Brokers) == 0:
		return errors.New("configuring the collector: no brokers; name the log's addresses")
	case len(c.WriteKeys) == 0:
		return errors.New("configuring the collector: no write keys; nobody could write, name at least one")
	case c.MaxEventBytes < 256 || c.MaxBatchBytes < c.MaxEventBytes:
		return fmt.Errorf("configuring the collector: events of %d bytes in batches of %d; choose at least 256, and batches that an event fits in", c.MaxEventBytes, c.MaxBatchBytes)
	case c.MaxInFlight < int64(c.MaxBatchBytes):
		return fmt.Errorf("configuring the collector: %d bytes in flight cannot hold one batch of %d", c.MaxInFlight, c.MaxBatchBytes)
	case c.MaxBatchEvents < 1 || c.ProduceTimeout < 0:
		return errors.New("configuring the collector: a batch needs room for an event, and the log some time")
	}
	for _, k := range c.WriteKeys {
		if slices.Contains(c.ServerKeys, k) {
			return errors.New("configuring the collector: a server key is also a write key, which is in every page; make another one")
		}
		if k == "" {
			return errors.New("configuring the collector: a write key is empty")
		}
	}
	return nil
}
