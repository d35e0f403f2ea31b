package replay

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-faster/jx"
	"github.com/microseg/microseg/event"
)

// ident is what a replay has to know of a record.
type ident struct {
	key string // event.Key of its device; "" where it has none
	at  int64  // event time, corrected as the job does, in ms since the epoch; 0 where it has none
}

// Bad is a record that is no event.
type Bad struct {
	Line   int // where it begins
	Reason event.Reason
	Detail string
}

// listed is how many bad records are named one by one.
const listed = 5

// judge reads records as the job does.
type judge struct {
	decoder *event.Decoder
	now     func() time.Time
	good    int64
	bad     []Bad  // the first ones
	hint    string // of the first one
	reasons map[event.Reason]int64
}

func newJudge(cfg event.Config) (*judge, error) {
	d, err := event.NewDecoder(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	return &judge{decoder: d, now: time.Now, reasons: map[event.Reason]int64{}}, nil
}

// look judges a record. What is no event has an ident as far as it can be read:
// the job, too, wants to know whose it was.
func (j *judge) look(it item) ident {
	var e event.Event
	var no *event.Error
	if it.broken != "" {
		j.refuse(it, event.Malformed, it.broken)
		return ident{}
	}
	err := j.decoder.Decode(it.raw, event.Unstated, j.now().UnixMilli(), &e)
	switch {
	case err == nil || errors.As(err, &no) && no.Withheld():
		j.good++ // without consent it is read, and kept by nobody
	case no != nil:
		j.refuse(it, no.Reason, no.Detail)
	default:
		j.refuse(it, event.Malformed, err.Error())
	}
	return ident{key: event.Key(e.Device), at: max(0, e.Time)}
}

func (j *judge) refuse(it item, reason event.Reason, detail string) {
	if len(j.bad) == 0 {
		j.hint = dialect(it.raw)
	}
	if len(j.bad) < listed {
		j.bad = append(j.bad, Bad{it.line, reason, detail})
	}
	j.reasons[reason]++
}

func (j *judge) refused() (n int64) {
	for _, k := range j.reasons {
		n += k
	}
	return n
}

// counts are the numbers by reason, as people read them.
func counts(reasons map[event.Reason]int64) string {
	var out []string
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		out = append(out, fmt.Sprintf("%d %s", reasons[r], r))
	}
	return strings.Join(out, ", ")
}

// report says what was no event.
func (j *judge) report(to io.Writer, name string) {
	if to == nil || len(j.bad) == 0 {
		return
	}
	for _, b := range j.bad {
		fmt.Fprintf(to, "%s:%d: %s: %s\n", name, b.Line, b.Reason, b.Detail)
	}
	n := j.refused()
	if more := n - int64(len(j.bad)); more > 0 {
		fmt.Fprintf(to, "%s: and %d more\n", name, more)
	}
	fmt.Fprintf(to, "%d of %d records are no events (%s); what the log could take becomes dead letters "+
		"(microseg deadletters)\n", n, n+j.good, counts(j.reasons))
}

// NothingReadError says that no record of an input is an event.
type NothingReadError struct {
	Name    string
	Records int64
	Reasons map[event.Reason]int64
	First   Bad
	Hint    string // what the first record looks like, and what to do; "" where nothing is known
}

func (e *NothingReadError) Error() string {
	if e.Records == 0 {
		return fmt.Sprintf("reading %s: there is no record in it; it needs one JSON object a line", e.Name)
	}
	return fmt.Sprintf("reading %s: none of its %d records is an event (%s), the first one in line %d: %s%s",
		e.Name, e.Records, counts(e.Reasons), e.First.Line, e.First.Detail, e.Hint)
}

// verdict is an error when nothing was good.
func (j *judge) verdict(name string) error {
	if j.good > 0 {
		return nil
	}
	e := &NothingReadError{Name: name, Records: j.refused(), Reasons: j.reasons, Hint: j.hint}
	if len(j.bad) > 0 {
		e.First = j.bad[0]
	}
	return e
}

// dialects are the events of others by members that only they have.
var dialects = []struct {
	members []string
	what    string
}{
	{[]string{"event", "properties"}, "Mixpanel's export: send it to a node, 2,000 lines at a time, " +
		"`split -l 2000 --filter='curl -u WRITE_KEY: --data-binary @- http://NODE/import'`"},
	{[]string{"event_type", "device_id"}, "Amplitude's export"},
	{[]string{"event_name", "user_pseudo_id"}, "Google Analytics' export"},
	{[]string{"collector_tstamp"}, "Snowplow's enriched events: samples/convert makes events of them"},
}

// dialect says whose event a record looks like.
func dialect(raw []byte) string {
	has := map[string]bool{}
	err := jx.DecodeBytes(raw).ObjBytes(func(d *jx.Decoder, key []byte) error {
		has[string(key)] = true
		return d.Skip()
	})
	if err != nil {
		return ""
	}
	if has["type"] {
		return "" // Segment's form, or meant to be
	}
	for _, d := range dialects {
		if !slices.ContainsFunc(d.members, func(m string) bool { return !has[m] }) {
			return "; it looks like " + d.what
		}
	}
	return ""
}
