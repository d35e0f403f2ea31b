package transforms

import (
	"slices"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms/wire"
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

// TestWarningsTravel: what could not be read of a good event is said with where the event
// is, on the way through the log again, too; of a dead letter and of an erased event
// nothing is.
func TestWarningsTravel(t *testing.T) {
	records := []identity.Record{
		{Partition: 1, Offset: 5, Append: 1_772_627_700_000, Value: []byte(`{"type":"track","event":"Product Added","anonymousId":"a","timestamp":"2026-03-04T12:34:56Z","properties":{"price":"N/A"}}`)},
		{Partition: 1, Offset: 6, Append: 1_772_627_700_000, Value: []byte(`{"type":"track","anonymousId":"a","timestamp":"2026-03-04T12:34:56Z","sentAt":"x"}`)},
		{Partition: 1, Offset: 7, Append: 1_772_627_700_000, Value: []byte(`{"type":"track","event":"Product Added","anonymousId":"b","timestamp":"2026-03-04T12:34:56Z","properties":{"price":"N/A"}}`)},
	}
	d, err := NewBatchDecoder(&Spec{Erased: []identity.Erasure{{Partition: 1, Offset: 9, Device: identity.HashDevice("b")}}})
	if err != nil {
		t.Fatal(err)
	}
	h, b := d.Decode(&identity.RawBatch{Chunks: [][]identity.Record{records}, Ranges: []identity.Range{{Partition: 1, First: 5, Last: 7}}})
	want := []identity.Warning{{Partition: 1, Offset: 5, Append: 1_772_627_700_000, Warning: event.Warning{Property: "price", Why: event.Unreadable, Example: "N/A"}}}
	if !slices.Equal(b.Warnings, want) {
		t.Fatalf("%+v", b.Warnings)
	}
	encoded, err := wire.NewEventWriter().Encode(&h, b)
	if err != nil {
		t.Fatal(err)
	}
	var again identity.Batch
	if _, err := wire.ReadEvents(encoded, &again); err != nil || !slices.Equal(again.Warnings, want) {
		t.Fatalf("%+v, %v", again.Warnings, err)
	}
	read := logEvents{events: map[int32][]event.Event{}, dead: map[int32][]identity.DeadLetter{}, warnings: map[int32][]identity.Warning{1: want}}
	if cut := read.cut(&h); !slices.Equal(cut.Warnings, want) {
		t.Fatalf("%+v", cut.Warnings)
	}
}

// TestTokensOfLinksBefore: the trust of a link's token was not known before semantics 6,
// and so was not trusted. What was decided then is decided so again.
func TestTokensOfLinksBefore(t *testing.T) {
	t.Parallel()
	d, err := NewBatchDecoder(&Spec{})
	if err != nil {
		t.Fatal(err)
	}
	link := identity.Record{Value: []byte(`{"type":"identify","anonymousId":"a","userId":"ann","timestamp":"2026-03-04T12:34:56Z"}`), Trust: event.Linked}
	for semantics, want := range map[event.Semantics]event.Trust{2: event.Unstated, 5: event.Public, 6: event.Linked} {
		_, got := d.Decode(&identity.RawBatch{Semantics: semantics, Chunks: [][]identity.Record{{link}}})
		if len(got.Events) != 1 || got.Events[0].Trust != want {
			t.Errorf("semantics %d: %+v, want the trust %s", semantics, got.Events, want)
		}
	}
}
