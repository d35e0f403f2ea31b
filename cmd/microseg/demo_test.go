package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/microseg/microseg/sinks/clickhouseio/query"
)

// TestDemosReportHasTheWholeAudience: the report was made as soon as all records were recorded.
// Behind a replay at full speed time comes seconds later, so it told the audience of some minute
// in the middle of the data, another one each time, and that time is hours behind.
func TestDemosReportHasTheWholeAudience(t *testing.T) {
	t.Parallel()
	c := program(t, "demo", "--dir", t.TempDir(), "--json")
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	var r query.ReportData
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	for _, a := range r.Health.Alerts {
		if a.Kind == "watermark_lag" {
			t.Error(a.Message)
		}
	}
	// The simulated hour is the end of the data; in it 785 of its 900 visitors count.
	for _, s := range r.Segments {
		if s.Path == "everyone" && (s.Members < 700 || s.Members > 900) {
			t.Errorf("everyone has %d members", s.Members)
		}
	}
	if len(r.Segments) == 0 {
		t.Error("no segments")
	}
}
