package event

import "github.com/go-faster/jx"

// stamp fills Time and Ingest and returns when the event was received: by
// receivedAt, else by the log; 0 or less when neither is known.
//
// Client clocks are wrong. Where both sentAt and receivedAt are there, the
// event time is receivedAt − (sentAt − original), Segment's own correction:
// sentAt and the original timestamp come from the same wrong clock, so that
// their difference is right.
func (r *record) stamp(e *Event) (receipt int64, err error) {
	timestamp, ok1 := r.time(fTimestamp)
	original, ok2 := r.time(fOriginal)
	sent, ok3 := r.time(fSentAt)
	received, ok4 := r.time(fReceivedAt)
	switch {
	case !ok1 || !ok2 || !ok3 || !ok4:
		return 0, malformed("timestamp, originalTimestamp, sentAt or receivedAt is not a time from 1970 to 2299 with a zone")
	case timestamp < 0 && original < 0:
		return 0, malformed("no timestamp")
	case timestamp < 0:
		timestamp = original
	case original < 0:
		original = timestamp
	}
	e.Time = timestamp
	if sent >= 0 && received >= 0 {
		e.Time = received - (sent - original)
		if e.Time < 0 || e.Time > maxTime {
			e.Time = timestamp
			return 0, malformed("the event time corrected for clock skew is not from 1970 to 2299")
		}
	}
	// A negative or long way to the log tells of a wrong clock or a replay.
	if sent >= 0 && e.Append > 0 && sent <= e.Append && e.Append-sent <= maxIngest {
		e.Ingest = e.Append - sent
	}
	if received < 0 {
		received = e.Append
	}
	return received, nil
}

// time is a stamp in ms, -1 when it is not stated; ok is false for garbage.
func (r *record) time(f field) (int64, bool) {
	if !r.stated(f) {
		return -1, true
	}
	v := &r.vals[f]
	switch {
	case v.typ == jx.String && len(v.b) == 0:
		return -1, true
	case v.typ == jx.String:
		return parseTime(v.b)
	case v.typ == jx.Number:
		return parseEpoch(v.b)
	}
	return 0, false
}
