package transforms

import (
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
)

// TestRefusedDeadLetters: what a dead letter keeps of a record that is no
// event: of a refusal what was refused, of a visitor without consent nothing.
func TestRefusedDeadLetters(t *testing.T) {
	t.Parallel()
	refused := event.Rejected{Reason: event.Oversized, Detail: "40000 bytes", AnonymousID: "a1", Raw: []byte(`{"type":`)}
	records := []identity.Record{
		{Value: refused.Append(nil, "2026-03-04T12:34:56.789Z"), Key: []byte("a1"), Offset: 1},
		{Value: []byte(`{"anonymousId":"secret","context":{"consent":{"categoryPreferences":{"Analytics":false}}}}`), Key: []byte("secret"), Offset: 2},
		{Value: []byte(`{"anonymousId":"a1"}`), Key: []byte("a1"), Offset: 3},
	}
	d, err := NewBatchDecoder(&Spec{})
	if err != nil {
		t.Fatal(err)
	}
	_, got := d.Decode(&identity.RawBatch{Chunks: [][]identity.Record{records}})
	if len(got.Events) != 0 || len(got.Dead) != 3 {
		t.Fatalf("%d events and %d dead letters", len(got.Events), len(got.Dead))
	}
	for i, want := range []struct {
		reason      event.Reason
		device, raw string
	}{{event.Oversized, "a1", `{"type":`}, {event.NoConsent, "", ""}, {event.Malformed, "a1", `{"anonymousId":"a1"}`}} {
		if l := got.Dead[i]; l.Reason != want.reason || l.Device != want.device || string(l.Raw) != want.raw {
			t.Errorf("%+v, not %+v", l, want)
		}
	}
}
