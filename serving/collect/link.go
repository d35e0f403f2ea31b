package collect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/token"
)

// linkCodes are the codes of tokens that are refused, for programs.
var linkCodes = map[error]refusal{
	token.ErrForm:    {status: http.StatusBadRequest, code: "token_form"},
	token.ErrKey:     {status: http.StatusUnauthorized, code: "token_key"},
	token.ErrForged:  {status: http.StatusUnauthorized, code: "token_forged"},
	token.ErrPurpose: {status: http.StatusForbidden, code: "token_purpose"},
	token.ErrExpired: {status: http.StatusGone, code: "token_expired"},
}

var (
	errNoLinks   = &refusal{status: http.StatusNotFound, message: "this node signs nothing, so it can verify nothing", code: "no_links"}
	errAnonymous = &refusal{status: http.StatusBadRequest, message: "anonymousId is missing, stands for nobody, or is longer than 512 bytes", code: "anonymous_id"}
	errConsent   = &refusal{status: http.StatusForbidden, message: "the visitor has not consented: nothing is linked", code: "no_consent"}
)

// linkAnswers are those of the other routes, with a code where a link is refused.
var linkAnswers = answers{
	ok: segmentAnswers.ok,
	fail: func(w http.ResponseWriter, _ *request, why *refusal) {
		write(w, why.status, map[string]any{"success": false, "error": map[string]string{"message": why.message, "code": why.code}})
	},
}

// linking is a device that shows a token.
type linking struct {
	Token       string          `json:"token"`
	AnonymousID string          `json:"anonymousId"`
	MessageID   string          `json:"messageId"` // the same one is one link, however often it comes; may be missing
	Context     json.RawMessage `json:"context"`   // as of an event: it may tell of consent
	WriteKey    string          `json:"writeKey"`
}

// link reads a linking: the device is then identified as the user whom the token
// names, as of now. What it did before stays its own, whoever has sent the link.
func (q *request) link() error {
	var in linking
	if err := q.bounded(q.body); err != nil {
		return err
	}
	if err := json.Unmarshal(q.body, &in); err != nil {
		return fmt.Errorf("reading the link: %w", err)
	}
	if err := q.authorise(in.WriteKey); err != nil {
		return err
	}
	switch {
	case q.c.cfg.Keys == nil:
		return errNoLinks
	case q.dropped:
		return errConsent
	}
	claims, err := q.c.cfg.Keys.Verify(in.Token, token.Link, q.c.cfg.Site, q.now)
	if err != nil {
		why := linkCodes[err]
		why.message = "the token is not good: " + err.Error()
		return &why
	}
	return q.identify(&in, claims.User)
}

// identify makes the record that links the device.
func (q *request) identify(in *linking, user string) error {
	if event.Nobody(in.AnonymousID) || event.IsUserDevice(in.AnonymousID) {
		return errAnonymous
	}
	call := map[string]any{"anonymousId": in.AnonymousID, "userId": user, "messageId": in.MessageID}
	if in.Context != nil {
		call["context"] = in.Context
	}
	raw, err := json.Marshal(call)
	if err != nil {
		return fmt.Errorf("making the link's event: %w", err)
	}
	value, _, err := normalise(nil, raw, "identify", &q.env)
	if err != nil {
		return err
	}
	var e event.Event
	var judged *event.Error
	if err := q.decoder.Decode(value, event.Linked, q.now.UnixMilli(), &e); errors.As(err, &judged) {
		if judged.Reason == event.NoConsent {
			return errConsent
		}
		return &refusal{status: http.StatusBadRequest, message: judged.Detail, code: string(judged.Reason)}
	}
	if len(value) > q.c.cfg.MaxEventBytes {
		return errTooLong
	}
	q.events++
	q.c.metrics.event("identify", "accepted")
	q.records = append(q.records, record(e.Device, value, event.Linked)) // the token is the proof
	return nil
}
