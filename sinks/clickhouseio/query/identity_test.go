package query

import (
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/session"
)

// TestLimits: one line a person or device, of its last day, however often the row
// was written; what concerns the job is not among them, and the other way round.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	day := t0 / session.DayMS * session.DayMS
	alert := func(site, kind, subject string, at int64, value float64) rows.Alert {
		return rows.Alert{Site: site, Kind: kind, Subject: subject, At: at, State: rows.Raised, Value: value, Threshold: 5, Version: uint64(value)}
	}
	for _, a := range []rows.Alert{
		alert("a", rows.AlertDevicePersons, "d:kiosk", day, 7), alert("a", rows.AlertDevicePersons, "d:kiosk", day, 6), alert("a", rows.AlertDevicePersons, "d:kiosk", day, 9),
		alert("a", rows.AlertDevicePersons, "d:kiosk", day-session.DayMS, 30), alert("a", rows.AlertPersonDevices, "u:demo", day, 26), alert("b", rows.AlertPersonDevices, "u:demo", day, 26),
		alert("a", rows.AlertStaleSegment, "everyone", day, 1),
	} {
		put(r, rows.NewAlertBuilder(), a)
		r.flush()
	}
	got, err := Limits(t.Context(), r.conn, "a")
	if err != nil {
		t.Fatal(err)
	}
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	want := []Limit{
		{Kind: rows.AlertPersonDevices, ID: "u:demo", Since: at(day), Last: at(day), Days: 1, Count: 26, Limit: 5, Advice: advice[rows.AlertPersonDevices]},
		{Kind: rows.AlertDevicePersons, ID: "d:kiosk", Since: at(day - session.DayMS), Last: at(day), Days: 2, Count: 9, Limit: 5, Advice: advice[rows.AlertDevicePersons]},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		got[i].Since, got[i].Last = got[i].Since.UTC(), got[i].Last.UTC()
		if got[i] != want[i] || want[i].Advice == "" {
			t.Errorf("%+v, not %+v", got[i], want[i])
		}
	}
	if text := LimitsText("a", got); !strings.Contains(text, "d:kiosk") || strings.Count(text, "\n") < 5 {
		t.Errorf("%s", text)
	}
	if text := LimitsText("c", nil); !strings.Contains(text, "nobody") {
		t.Errorf("%s", text)
	}
	if raised := r.lines("SELECT kind FROM alerts_current WHERE site = 'a'"); len(raised) != 1 || raised[0] != rows.AlertStaleSegment {
		t.Errorf("raised are %v", raised)
	}
}
