package event

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expectations of testdata/cases.json")

const casesFile = "testdata/cases.json"

// caseFile is testdata/cases.json: records and what they mean, in a form that
// decoders in other languages can run.
type caseFile struct {
	Doc    []string    `json:"doc"`
	Config caseConfig  `json:"config"`
	Cases  []eventCase `json:"cases"`
}

type caseConfig struct {
	Pages                []casePage `json:"pages"`
	HighTicketCategories []string   `json:"high_ticket_categories"`
	HighTicketMinPrice   float64    `json:"high_ticket_min_price"`
	Elements             []string   `json:"elements"`
	Custom               []string   `json:"custom"`
	MaxBytes             int        `json:"max_bytes"`
	FutureMS             int64      `json:"future_ms"`
}

type casePage struct {
	Type string `json:"type"`
	Path string `json:"path,omitempty"`
	Name string `json:"name,omitempty"`
}

// eventCase is one record: as an object (input) or as text (raw).
type eventCase struct {
	Name   string          `json:"name"`
	Append int64           `json:"append"`
	Input  json.RawMessage `json:"input,omitempty"`
	Raw    string          `json:"raw,omitempty"`
	Want   *narrow         `json:"want,omitempty"`
	Reason Reason          `json:"reason,omitempty"`
	Warn   []string        `json:"warn,omitempty"` // property, reason and example of each warning
}

// narrow is an Event in words; members that are zero are left out.
type narrow struct {
	Device   string   `json:"device"`
	User     string   `json:"user,omitempty"`
	Time     int64    `json:"time"`
	Ingest   int64    `json:"ingest"`
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	Page     string   `json:"page,omitempty"`
	PageType string   `json:"page_type,omitempty"`
	Item     string   `json:"item,omitempty"`
	X        float64  `json:"x,omitempty"`
	Y        float64  `json:"y,omitempty"`
	Z        float64  `json:"z,omitempty"`
	Element  uint8    `json:"element,omitempty"`
	Type     string   `json:"device_type,omitempty"`
	OS       string   `json:"os,omitempty"`
	Network  string   `json:"network,omitempty"`
	Width    uint16   `json:"width,omitempty"`
	Height   uint16   `json:"height,omitempty"`
	Flags    []string `json:"flags,omitempty"`
}

func narrowed(e *Event) *narrow {
	known := func(code uint8, names []string) string {
		if code == 0 {
			return ""
		}
		return names[code]
	}
	hex := func(h uint64) string {
		if h == 0 {
			return ""
		}
		return fmt.Sprintf("%016x", h)
	}
	n := &narrow{Device: e.Device, User: e.User, Time: e.Time, Ingest: e.Ingest, ID: hex(e.ID), Kind: e.Kind.String(),
		Page: hex(e.Page), PageType: known(uint8(e.PageType), PageTypes[:]), Item: hex(e.Item), X: e.X, Y: e.Y, Z: e.Z, Element: e.Element,
		Type: known(uint8(e.DeviceType), DeviceTypes[:]), OS: known(uint8(e.OS), OSes[:]), Network: known(uint8(e.Network), Networks[:]),
		Width: e.Width, Height: e.Height}
	for i, name := range []string{"high_ticket", "bot", "visible", "cart", "priced", "content"} {
		if e.Flags&(1<<i) != 0 {
			n.Flags = append(n.Flags, name)
		}
	}
	return n
}

func (c *eventCase) record() []byte {
	if c.Raw != "" {
		return []byte(c.Raw)
	}
	return c.Input
}

func readCases(t testing.TB) *caseFile {
	t.Helper()
	text, err := os.ReadFile(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	var f caseFile
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return &f
}

func (c *caseConfig) config() Config {
	out := Config{HighTicketCategories: c.HighTicketCategories, HighTicketMinPrice: c.HighTicketMinPrice,
		Elements: c.Elements, Custom: c.Custom, MaxBytes: c.MaxBytes, FutureMS: c.FutureMS}
	for _, p := range c.Pages {
		out.Pages = append(out.Pages, PageRule{Type: pageTypeOf([]byte(p.Type)), Path: p.Path, Name: p.Name})
	}
	return out
}

// TestCases runs the shared cases. With -update it writes what the decoder
// says into the file, for review.
func TestCases(t *testing.T) {
	t.Parallel()
	f := readCases(t)
	d, err := NewDecoder(f.Config.config())
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Cases {
		c := &f.Cases[i]
		reason := agree(t, d, c.record(), c.Append)
		e, _ := outcome(t, d, c.record(), c.Append)
		var got *narrow
		var warned []string
		if reason == "" {
			got = narrowed(&e)
			for _, w := range d.Warnings() {
				warned = append(warned, w.Property+" "+string(w.Why)+" "+w.Example)
			}
		}
		if *update {
			c.Want, c.Reason, c.Warn = got, reason, warned
		} else if reason != c.Reason || !reflect.DeepEqual(got, c.Want) || !reflect.DeepEqual(warned, c.Warn) {
			t.Errorf("%s:\n got %q %+v %q\nwant %q %+v %q", c.Name, reason, got, warned, c.Reason, c.Want, c.Warn)
		}
	}
	if *update {
		writeCases(t, f)
	}
}

// TestEveryKindHasACase keeps the shared file complete.
func TestEveryKindHasACase(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range readCases(t).Cases {
		var call struct{ Type, Event string }
		if json.Unmarshal(c.record(), &call) == nil && c.Want != nil {
			seen[call.Type], seen[call.Event] = true, true
			if want, ok := KindOf(call.Event); ok && c.Want.Kind != want.String() {
				t.Errorf("%s: kind %s, KindOf says %s", c.Name, c.Want.Kind, want)
			}
		}
	}
	for _, name := range allNames {
		if !seen[name] {
			t.Errorf("no case for %q", name)
		}
	}
}

// writeCases writes a case on three lines: name, record, expectation; warnings have a
// line of their own.
func writeCases(t *testing.T, f *caseFile) {
	t.Helper()
	text := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var b bytes.Buffer
	b.WriteString("{\n  \"doc\": [")
	for i, line := range f.Doc {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		b.Write(text(line))
	}
	fmt.Fprintf(&b, "\n  ],\n  \"config\": %s,\n  \"cases\": [\n", text(f.Config))
	for i, c := range f.Cases {
		fmt.Fprintf(&b, "    {\"name\": %s, \"append\": %d,\n", text(c.Name), c.Append)
		if c.Raw != "" {
			fmt.Fprintf(&b, "     \"raw\": %s,\n", text(c.Raw))
		} else {
			fmt.Fprintf(&b, "     \"input\": %s,\n", c.Input)
		}
		if len(c.Warn) > 0 {
			fmt.Fprintf(&b, "     \"warn\": %s,\n", text(c.Warn))
		}
		if c.Reason != "" {
			fmt.Fprintf(&b, "     \"reason\": %s}", text(c.Reason))
		} else {
			fmt.Fprintf(&b, "     \"want\": %s}", text(c.Want))
		}
		if i < len(f.Cases)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("  ]\n}\n")
	if err := os.WriteFile(casesFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
