package collect

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/clock"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/twmb/franz-go/pkg/kgo"
)

// refusal is a request that is refused as a whole.
type refusal struct {
	status  int
	message string
	retry   time.Duration // Retry-After; 0: none
	code    string        // for programs; "" where the status says it all
}

func (r *refusal) Error() string { return r.message }

var (
	errBusy    = &refusal{status: http.StatusTooManyRequests, message: "too many events are under way; try again", retry: time.Second}
	errLog     = &refusal{status: http.StatusServiceUnavailable, message: "the log has not acknowledged the events; try again", retry: 2 * time.Second}
	errNoKey   = &refusal{status: http.StatusUnauthorized, message: "no write key: send it as the user name of Basic authentication or as writeKey"}
	errBadKey  = &refusal{status: http.StatusUnauthorized, message: "the write key is unknown"}
	errOrigin  = &refusal{status: http.StatusForbidden, message: "pages of this origin may not send: it is not among collector.origins"}
	errTooLong = &refusal{status: http.StatusRequestEntityTooLarge, message: "the body is too long"}
)

// answers is how a protocol answers.
type answers struct {
	ok   func(w http.ResponseWriter, q *request)
	fail func(w http.ResponseWriter, q *request, why *refusal)
}

// request is one request on its way through the collector.
type request struct {
	c       *Collector
	r       *http.Request
	body    []byte
	env     envelope
	server  bool // it came with a server key
	sender  sender
	dropped bool // by the browser's Global Privacy Control
	form    form // of Mixpanel's requests
	events  int
	records []*kgo.Record
	decoder *event.Decoder
	now     time.Time
}

// handle reads a request, lets read turn it into records, and answers when
// the log has them.
func (c *Collector) handle(route string, a answers, read func(*request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		q := &request{c: c, r: r, now: clock.Now()}
		status := http.StatusOK
		var err error = errOrigin
		if c.allow(w, r) {
			err = q.serve(w, read)
		}
		if err != nil {
			why := asRefusal(err)
			status = why.status
			if why.retry > 0 {
				w.Header().Set("Retry-After", throttle.RetryAfter(why.retry))
			}
			a.fail(w, q, why)
		} else {
			a.ok(w, q)
		}
		c.metrics.request(route, status, time.Since(begun))
	}
}

func asRefusal(err error) *refusal {
	var why *refusal
	if errors.As(err, &why) {
		return why
	}
	return &refusal{status: http.StatusBadRequest, message: err.Error()}
}

func (q *request) serve(w http.ResponseWriter, read func(*request) error) error {
	if err := q.admit(); err != nil {
		return err
	}
	release, err := q.readBody(w)
	defer release()
	if err != nil {
		return err
	}
	q.sender.read(len(q.body))
	q.env.receivedAt = q.now.UTC().Format(timeForm)
	q.env.userAgent = visitor(q.r.UserAgent())
	q.env.retried = retried(q.r)
	q.dropped = q.r.Header.Get("Sec-GPC") == "1" && !q.c.cfg.IgnoreGPC
	turn, err := q.c.lane.enter(q.r.Context(), &q.sender, len(q.body))
	if err != nil {
		return err
	}
	defer turn.leave()
	if err := q.decode(read); err != nil {
		return err
	}
	return q.c.produce(q.records, turn)
}

// admit lets a request in by its head alone: who sends it, and whether that one still may.
func (q *request) admit() error {
	if err := q.recognise(); err != nil {
		return err
	}
	clients, key := q.c.cfg.Clients, ""
	if q.server {
		key = basicKey(q.r)
	}
	q.sender = q.c.senders.sender(clients.Of(q.r), key, time.Now())
	err := q.sender.arrive()
	q.c.senders.notice(clients, q.r, err != nil)
	return err
}

// retried reports whether the client says that it has sent the request before. Bodies of
// such requests may still have the first attempt's sentAt, hours old, which would pass for
// a clock that is behind.
func retried(r *http.Request) bool {
	for _, name := range [...]string{"X-Retry-Count", "Rsa-Retry-Attempt"} {
		if n, err := strconv.Atoi(r.Header.Get(name)); err == nil && n > 0 {
			return true
		}
	}
	return false
}

// timeForm is RFC 3339 with the milliseconds that events have.
const timeForm = "2006-01-02T15:04:05.000Z"

// decode runs read with a decoder at hand.
func (q *request) decode(read func(*request) error) error {
	q.decoder = <-q.c.decoders
	defer func() { q.c.decoders <- q.decoder }()
	if err := read(q); err != nil {
		return err
	}
	return q.sender.payDevices(q.records)
}

// authorise checks the write key of the header, else the one that the body
// states, else that of the query (beacons can send no header).
func (q *request) authorise(stated string) error {
	return q.known(cmp.Or(basicKey(q.r), stated, q.r.URL.Query().Get("writeKey")))
}

func (q *request) known(key string) error {
	switch {
	case q.server:
		return nil
	case key == "":
		return errNoKey
	case q.c.isServerKey(key):
		return errKeyPlace
	case !q.c.keys[key]:
		return errBadKey
	}
	return nil
}

// basicKey is the user name of Basic authentication, also of a client that
// forgets the colon behind it.
func basicKey(r *http.Request) string {
	if key, _, ok := r.BasicAuth(); ok {
		return key
	}
	scheme, coded, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(coded))
	if !strings.EqualFold(scheme, "Basic") || err != nil {
		return ""
	}
	return string(key)
}

// produce hands the records to the log, which ends the turn if there is one, and waits
// until all are acknowledged. A client that hangs up meanwhile does not call them back.
func (c *Collector) produce(records []*kgo.Record, turn *turn) error {
	if len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.ProduceTimeout)
	defer cancel()
	done := make(chan error, len(records)) // nobody may wait for it any more
	for part := range slices.Chunk(records, slice) {
		turn.room()
		c.lane.on(len(part))
		for _, r := range part {
			c.client.TryProduce(ctx, r, func(r *kgo.Record, err error) {
				c.lane.back(r, err)
				done <- err
			})
		}
	}
	turn.leave()
	for range records {
		select {
		case err := <-done:
			if err != nil {
				c.log.failed(err)
				return errLog
			}
		case <-ctx.Done():
			c.log.failed(ctx.Err())
			return errLog
		}
	}
	return nil
}
