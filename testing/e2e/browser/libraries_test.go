package browser

import (
	"context"
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/downloads"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/testing/harness/clients"
	"github.com/twmb/franz-go/pkg/kgo"
)

// library serves Segment's browser library as npm has it.
func library(mux *http.ServeMux) error {
	dir, err := downloads.Dir()
	if err != nil {
		return err
	}
	modules, err := clients.Install(context.Background(), dir, os.Stderr)
	if err != nil {
		return err
	}
	mux.Handle("GET /analytics-next/", http.StripPrefix("/analytics-next/", http.FileServer(http.Dir(filepath.Join(modules, clients.Browser)))))
	pages, err := fs.ReadFile(clients.Pages, "browser.html")
	mux.HandleFunc("GET /browser.html", func(w http.ResponseWriter, _ *http.Request) { w.Write(pages) })
	return err
}

// TestSegmentInTheBrowser: Segment's own library, unmodified, sends to the
// collector, and every event arrives exactly once and is read by the job.
func TestSegmentInTheBrowser(t *testing.T) {
	p := site.browser.Page(t)
	p.Goto(site.url + "/browser.html?key=demo")
	p.Wait(`document.title !== "sending"`)
	if title := p.Text(`document.title`); title != "sent" {
		t.Fatalf("the page says %q", title)
	}
	want := map[string]int{"page": 1, "identify": 1}
	for seq := range 10 {
		want["Product Viewed "+strconv.Itoa(seq)] = 1
	}
	got := arrived(t, "analytics.js", len(want))
	if !maps.Equal(got, want) {
		t.Errorf("arrived: %v", got)
	}
}

// arrived reads the topic until n different events of a library have come and
// nothing more does, and counts them by name and number.
func arrived(t *testing.T, name string, n int) map[string]int {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(site.brokers...), kgo.ConsumeTopics(eventsTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(t, err)
	defer cl.Close()
	d, err := event.NewDecoder(site.cfg.EventConfig())
	check(t, err)
	got := map[string]int{}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		fetches := cl.PollFetches(ctx)
		cancel()
		if fetches.Empty() && len(got) >= n {
			return got
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var e event.Event
			key, ok := ofLibrary(t, r.Value, name)
			if !ok {
				return
			}
			check(t, d.Decode(r.Value, event.Unstated, r.Timestamp.UnixMilli(), &e))
			got[key]++
		})
	}
	return got
}

// ofLibrary names an event of the library, with its number if it has one.
func ofLibrary(t *testing.T, record []byte, library string) (key string, ok bool) {
	t.Helper()
	var e struct {
		Type, Event string
		Properties  struct{ Seq *int }
		Context     struct{ Library struct{ Name string } }
	}
	check(t, json.Unmarshal(record, &e))
	key = e.Type
	if e.Event != "" {
		key = e.Event
	}
	if e.Properties.Seq != nil {
		key += " " + strconv.Itoa(*e.Properties.Seq)
	}
	return key, e.Context.Library.Name == library
}
