package collect

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"net/http"
	"regexp"
	"sync/atomic"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/proof"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Errors of a server key that is not where it may be.
var (
	errLeaked = &refusal{status: http.StatusForbidden, message: "a server key came from a web page, where everybody can read it: take it out of the page, make a new one, " +
		"and use a write key there"}
	errKeyPlace = &refusal{status: http.StatusUnauthorized, message: "a server key was sent in the body or the address, where logs keep it: send it as the user name of Basic authentication"}
)

// Identified counts the events that said who somebody is, by what that was worth.
type Identified struct{ Server, Proven, Claimed, Refused uint64 }

type identified struct{ server, proven, claimed, refused atomic.Uint64 }

// Identified is what has come since the collector began.
func (c *Collector) Identified() Identified {
	i := &c.identified
	return Identified{i.server.Load(), i.proven.Load(), i.claimed.Load(), i.refused.Load()}
}

// isServerKey compares with all keys in a time that tells nothing of them.
func (c *Collector) isServerKey(key string) bool {
	is := 0
	for _, k := range c.cfg.ServerKeys {
		is |= subtle.ConstantTimeCompare([]byte(k), []byte(key))
	}
	return is == 1
}

// recognise notes whether the request comes from one of the site's own servers.
func (q *request) recognise() error {
	q.server = q.c.isServerKey(basicKey(q.r))
	if q.server && (q.r.Header.Get("Origin") != "" || q.r.Header.Get("Sec-Fetch-Site") != "") {
		return errLeaked
	}
	return nil
}

// judge is the trust of an event that was decoded, with the proof that came with it.
func (q *request) judge(e *event.Event, with string) event.Trust {
	c := &q.c.identified
	if q.server {
		if e.User != "" {
			c.server.Add(1)
		}
		return event.Server
	}
	if e.User == "" {
		return q.unproven()
	}
	if with != "" {
		_, err := q.c.cfg.Proofs.Verify(e.User, with, q.now)
		if err == nil {
			c.proven.Add(1)
			q.c.metrics.proof("good")
			return event.Proven
		}
		c.refused.Add(1)
		q.c.metrics.proof(verdictOf(err))
	}
	c.claimed.Add(1)
	return q.unproven()
}

func (q *request) unproven() event.Trust {
	if q.c.cfg.Unchecked {
		return event.Unchecked
	}
	return event.Public
}

// verdictOf is a label of the metric of proofs.
func verdictOf(err error) string {
	switch {
	case errors.Is(err, proof.ErrExpired):
		return "expired"
	case errors.Is(err, proof.ErrWrong):
		return "wrong"
	}
	return "form"
}

// decodeFrom reads a record as the job will, and judges who has sent it.
func (q *request) decodeFrom(value []byte, with string, e *event.Event) (event.Trust, error) {
	err := q.decoder.Decode(value, event.Unstated, q.now.UnixMilli(), e)
	trust := q.judge(e, with)
	if event.IsUserDevice(e.Device) { // then the trust decides whether it is an event
		err = q.decoder.Decode(value, trust, q.now.UnixMilli(), e)
	}
	return trust, err
}

// record is a record of the log about a device, with the verdict beside it.
func record(device string, value []byte, trust event.Trust) *kgo.Record {
	return &kgo.Record{Key: []byte(event.Key(device)), Value: value, Headers: []kgo.RecordHeader{{Key: event.TrustHeader, Value: []byte(trust.String())}}}
}

// proofKey is the member of an event's context that has the proof.
const proofKey = "proof"

var proofQuoted = []byte(`"` + proofKey + `"`)

// proofText finds a proof in what is no JSON.
var proofText = regexp.MustCompile(`("(?:proof|microseg_proof)"\s*:\s*)"[^"]*"?`)

// taken takes the proof out of a context: it is for the collector alone, and the log
// keeps what it holds.
func taken(context []byte) (rest []byte, with string) {
	if !isObject(context) || !bytes.Contains(context, proofQuoted) && !bytes.Contains(context, backslash) {
		return context, ""
	}
	members(context, func(key, value []byte) {
		if unquote(key) == proofKey {
			with = text(value)
		}
	})
	return merged(nil, context, func(key string) bool { return key == proofKey }), with
}
