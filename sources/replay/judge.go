package replay

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

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
	bad     []Bad // the first ones
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
		j.refuse(it.line, event.Malformed, it.broken)
		return ident{}
	}
	err := j.decoder.Decode(it.raw, nil, j.now().UnixMilli(), &e)
	switch {
	case err == nil || errors.As(err, &no) && no.Withheld():
		j.good++ // without consent it is read, and kept by nobody
	case no != nil:
		j.refuse(it.line, no.Reason, no.Detail)
	default:
		j.refuse(it.line, event.Malformed, err.Error())
	}
	return ident{key: event.Key(e.Device), at: max(0, e.Time)}
}

func (j *judge) refuse(line int, reason event.Reason, detail string) {
	if len(j.bad) < listed {
		j.bad = append(j.bad, Bad{line, reason, detail})
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
	fmt.Fprintf(to, "%d of %d records are no events (%s); what the log could take becomes dead letters (microseg deadletters)\n", n, n+j.good, counts(j.reasons))
}

// NothingReadError says that no record of an input is an event.
type NothingReadError struct {
	Name    string
	Records int64
	Reasons map[event.Reason]int64
	First   Bad
}

func (e *NothingReadError) Error() string {
	if e.Records == 0 {
		return fmt.Sprintf("reading %s: there is no record in it; it needs one JSON object a line", e.Name)
	}
	return fmt.Sprintf("reading %s: none of its %d records is an event (%s), the first one in line %d: %s", e.Name, e.Records, counts(e.Reasons), e.First.Line, e.First.Detail)
}

// verdict is an error when nothing was good.
func (j *judge) verdict(name string) error {
	if j.good > 0 {
		return nil
	}
	e := &NothingReadError{Name: name, Records: j.refused(), Reasons: j.reasons}
	if len(j.bad) > 0 {
		e.First = j.bad[0]
	}
	return e
}
