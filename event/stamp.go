package event

import "github.com/go-faster/jx"

// How far sentAt may lie before receivedAt and tell nothing of the client's clock.
const (
	// maxDelay: a slow request, a retry whose body still has the first attempt's
	// sentAt, or a clock that is a little behind. Correcting it would put the event
	// behind those that the visitor made later and that arrived at once.
	maxDelay = 10 * 60_000
	// MaxBehind: beyond it the event's sentAt is its own, of another transport (an
	// import, an export that is sent again), and nobody's clock.
	MaxBehind = msPerDay
)

// times are the stamps of a record, ms; -1: not stated, or not a time.
type times struct{ timestamp, original, sent, received int64 }

// stamp fills Time and Ingest and returns when the event was received: by
// receivedAt, else by the log; 0 or less when neither is known. Of timestamp and
// originalTimestamp one that can be read is enough, and what else cannot be read
// costs nothing.
func (r *record) stamp(e *Event) (receipt int64, err error) {
	t := times{r.time(fTimestamp), r.time(fOriginal), r.time(fSentAt), r.time(fReceivedAt)}
	if t.received < minTime {
		t.received = -1
	}
	if e.Time, err = t.event(); err != nil {
		if r.stated(fTimestamp) || r.stated(fOriginal) {
			err = malformed("timestamp: " + r.why(fTimestamp) + "; originalTimestamp: " + r.why(fOriginal))
		}
		return 0, err
	}
	// A negative or long way to the log tells of a wrong clock or a replay.
	if t.sent >= minTime && e.Append > 0 && t.sent <= e.Append && e.Append-t.sent <= maxIngest {
		e.Ingest = e.Append - t.sent
	}
	if t.received < 0 {
		return e.Append, nil
	}
	e.Receipt = t.received
	return t.received, nil
}

var errNoTime = malformed("timestamp: not stated")

// event is the event's time. Client clocks are wrong: sentAt and the original
// timestamp come from one clock, so that their difference is right, and receivedAt −
// (sentAt − original) is Segment's own correction. It is made where the clock is
// certainly ahead, where it is further behind than requests take, and where it was
// never set.
func (t times) event() (int64, error) {
	timestamp, original := t.timestamp, t.original
	if timestamp < minTime && original < minTime {
		return t.unset()
	}
	if timestamp < minTime {
		timestamp = original
	} else if original < minTime {
		original = timestamp
	}
	if t.sent < minTime || t.received < 0 || t.sent < original-maxIngest {
		return timestamp, nil
	}
	behind := t.received - t.sent
	if behind >= 0 && behind <= maxDelay || behind > MaxBehind {
		return timestamp, nil
	}
	if corrected := original + behind; corrected >= minTime && corrected <= maxTime {
		return corrected, nil
	}
	return timestamp, nil
}

// unset is the time of an event of a clock that began at 1970 and was never set,
// where sentAt is of the same clock. A zero is no clock's.
func (t times) unset() (int64, error) {
	original := max(t.timestamp, t.original)
	if t.original >= 0 {
		original = t.original
	}
	way := t.sent - original
	if original <= 0 || t.sent <= 0 || t.sent >= minTime || t.received < 0 || way < 0 || way > MaxBehind {
		return 0, errNoTime
	}
	return t.received - way, nil
}

// time is a stamp in ms, -1 when it is not stated or not a time, which is a warning.
func (r *record) time(f field) int64 {
	if !r.stated(f) {
		return -1
	}
	v := &r.vals[f]
	if v.typ == jx.String && len(v.b) == 0 {
		return -1
	}
	ms, ok := v.time()
	if !ok {
		r.warn(f, Unreadable, v)
		return -1
	}
	if ms < minTime {
		r.warn(f, OutOfRange, v)
	}
	return ms
}

// time is a text or a number as a time in ms.
func (v *value) time() (ms int64, ok bool) {
	switch v.typ {
	case jx.String:
		if ms, ok = parseTime(v.b); !ok {
			ms, ok = parseEpoch(v.b)
		}
	case jx.Number:
		ms, ok = parseEpoch(v.b)
	}
	return ms, ok
}

// why says what is wrong with a stamp.
func (r *record) why(f field) string {
	switch ms := r.time(f); {
	case !r.stated(f) || len(r.vals[f].b) == 0 && r.vals[f].typ == jx.String:
		return "not stated"
	case ms >= 0:
		return "before 1973, which is a clock that was not set"
	}
	return "not a time from 1973 to 2299 with a zone (RFC 3339, or seconds to nanoseconds since 1970)"
}

// Time reads a JSON value as the decoder reads stamps: ms since the epoch; ok is
// false for what is no event's time.
func Time(json []byte) (ms int64, ok bool) {
	v, err := readValue(jx.DecodeBytes(json))
	if err != nil {
		return 0, false
	}
	ms, ok = v.time()
	return ms, ok && ms >= minTime
}
