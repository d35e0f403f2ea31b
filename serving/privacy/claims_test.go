package privacy_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/privacy"
	"github.com/twmb/franz-go/pkg/kgo"
)

// rowsOf is a ClickHouse in which devices claimed to be a user's.
type rowsOf struct {
	privacy.Record // what is not asked here
	devices        []string
	claimers       []string
	shared         []string
	epochs         []identity.Erasure
	waited         map[int32]int64
	disclaimed     map[string]map[int32]int64
}

func (r *rowsOf) Devices(context.Context, string) ([]string, error)     { return r.devices, nil }
func (r *rowsOf) Claimers(context.Context, string) ([]string, error)    { return r.claimers, nil }
func (r *rowsOf) Now(context.Context) (time.Time, error)                { return time.Now(), nil }
func (r *rowsOf) Settled(context.Context, time.Time) (bool, error)      { return true, nil }
func (r *rowsOf) Load(context.Context, string, string) ([]byte, error)  { return nil, nil }
func (r *rowsOf) Known(context.Context, string) (bool, error)           { return false, nil }
func (r *rowsOf) Users(context.Context, string) (out []string, e error) { return out, nil }

func (r *rowsOf) Save(context.Context, string, string, time.Time, time.Time, []byte) error {
	return nil
}

func (r *rowsOf) Shared(context.Context, string, []string) ([]string, error) { return r.shared, nil }

// Epochs are one, whatever the device.
func (r *rowsOf) Epochs(_ context.Context, p *identity.ErasedPerson) ([]identity.Erasure, error) {
	for device, at := range p.Tombstones {
		for partition, offset := range at {
			if slices.Contains(p.Shared, device) {
				r.epochs = append(r.epochs, identity.Erasure{Partition: partition, Offset: offset, Device: identity.HashDevice(device), User: identity.HashDevice(p.User), To: offset})
			}
		}
	}
	return r.epochs, nil
}

func (r *rowsOf) Recorded(_ context.Context, ends map[int32]int64) (bool, error) {
	r.waited = ends
	return true, nil
}

func (r *rowsOf) Letters(context.Context, *identity.ErasedPerson) ([]identity.Erasure, error) {
	return nil, nil
}

func (r *rowsOf) Erase(context.Context, *identity.ErasedPerson, []identity.Erasure) (map[string]uint64, error) {
	return map[string]uint64{}, nil
}

func (r *rowsOf) Disclaim(_ context.Context, p *identity.ErasedPerson) (uint64, error) {
	r.disclaimed = p.Disclaimed
	return 3, nil
}

// TestClaimsAreForgotten: a user who was deleted was still named by devices that had only
// claimed to be the user's. They stop, by a record in the log for each, which the deletion
// waits for; the user's own devices go as a whole and need none. What is written says that
// the site's server wrote it.
func TestClaimsAreForgotten(t *testing.T) {
	t.Parallel()
	record := &rowsOf{claimers: []string{"kiosk", "phone", "tv"}}
	s := open(t, "-1", func(c *privacy.Config) { c.Record, c.Patience = record, 20*time.Second })
	s.job()
	s.publish("d:phone", &segment.Record{Version: 1, User: "ann"})
	s.publish("u:ann", &segment.Record{Version: 1, Path: "everyone/a", Linked: true, Devices: 1})
	s.known("u:ann")
	code, body := s.ask("DELETE", "/v1/profiles/u:ann?wait=1", bearer)
	var r privacy.Receipt
	check(t, json.Unmarshal([]byte(body), &r))
	if code != http.StatusOK || !r.Complete || r.Disclaimed != 2 || len(record.disclaimed) != 2 {
		t.Fatalf("%d %s, %v", code, body, record.disclaimed)
	}
	for device, at := range record.disclaimed {
		for partition, offset := range at {
			if record.waited[partition] <= offset {
				t.Errorf("nobody waited for %s at %d/%d: %v", device, partition, offset, record.waited)
			}
		}
	}
	for device, at := range record.disclaimed {
		for partition, offset := range at { // the log read again is read without the name
			s.erased(identity.Erasure{Partition: partition, Offset: offset, Device: identity.HashDevice(device), User: identity.HashDevice("ann")}, device)
		}
	}
	for device, e := range s.controls() {
		at := record.disclaimed[device]
		if offset, ok := at[e.Partition]; e.Kind == event.KindDisclaim && (!ok || offset != e.Offset || e.User != "ann") {
			t.Errorf("%s: %+v, not at %v", device, e, at)
		}
		if (e.Kind == event.KindDisclaim) != (device == "kiosk" || device == "tv") {
			t.Errorf("%s has a record of kind %v", device, e.Kind)
		}
	}
}

// TestSharedDeviceIsDeletedByEpochs: a tablet that Bob used, too, was deleted whole with Ann.
// It gets a record that she is deleted, which the deletion waits for, and her epochs are
// noted for a job that reads the log again; nobody waits for the tablet to be forgotten.
func TestSharedDeviceIsDeletedByEpochs(t *testing.T) {
	t.Parallel()
	record := &rowsOf{shared: []string{"screen"}, claimers: []string{"tablet", "kiosk"}}
	s := open(t, "-1", func(c *privacy.Config) { c.Record, c.Patience = record, 20*time.Second })
	s.job()
	record.devices = []string{"phone", "tablet", "screen"}
	s.publish("d:tablet", &segment.Record{Version: 1, User: "bob"}) // of which ClickHouse has no row yet
	s.publish("u:ann", &segment.Record{Version: 1, Path: "everyone/a", Linked: true, Devices: 1})
	s.publish("u:bob", &segment.Record{Version: 1, Path: "everyone/a", Linked: true, Devices: 1})
	s.known("u:ann")
	s.known("u:bob")
	s.known("d:tablet")
	code, body := s.ask("DELETE", "/v1/profiles/u:ann?wait=1", bearer)
	var r privacy.Receipt
	check(t, json.Unmarshal([]byte(body), &r))
	if code != http.StatusOK || !r.Complete || r.Devices != 4 || r.Shared != 2 || r.Disclaimed != 1 || len(r.Tombstones) != 5 || len(record.epochs) != 2 {
		t.Fatalf("%d %s, %v", code, body, record.epochs)
	}
	for i, e := range record.epochs {
		s.erased(e, "tablet")
		if record.waited[e.Partition] <= e.Offset {
			t.Errorf("nobody waited for %d: %v", i, record.waited)
		}
	}
	for device, e := range s.controlsOf(5) {
		want := map[string]event.Kind{"phone": event.KindDelete, "user:ann": event.KindDelete, "tablet": event.KindDeleteUser, "screen": event.KindDeleteUser, "kiosk": event.KindDisclaim}
		if e.Kind != want[device] || e.User != "ann" {
			t.Errorf("%s has %+v", device, e)
		}
	}
}

// controls are the last records of the log of events, by device; all are the server's.
func (s *site) controls() map[string]event.Event { return s.controlsOf(4) } // kiosk, tv, phone and user:ann

// controlsOf waits for so many devices.
func (s *site) controlsOf(n int) map[string]event.Event {
	s.t.Helper()
	d, err := event.NewDecoder(event.Config{})
	check(s.t, err)
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(s.t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	out := map[string]event.Event{}
	for len(out) < n && ctx.Err() == nil {
		for it := cl.PollFetches(ctx).RecordIter(); !it.Done(); {
			r := it.Next()
			if len(r.Headers) != 1 || r.Headers[0].Key != event.TrustHeader || event.ReadTrust(r.Headers[0].Value) != event.Server {
				s.t.Errorf("%s has headers %v", r.Value, r.Headers)
			}
			var e event.Event
			check(s.t, d.Decode(r.Value, event.Server, 0, &e))
			e.Partition, e.Offset = r.Partition, r.Offset
			out[string(append([]byte(nil), e.Device...))] = e
		}
	}
	if len(out) != n {
		s.t.Errorf("the log has records of %d devices, want %d", len(out), n)
	}
	return out
}
