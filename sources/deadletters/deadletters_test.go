package deadletters

import (
	"slices"
	"testing"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/identity"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestHistoriesKeepTrust: a replay read the log without the collector's verdict of who
// had sent a record. In the device that it made anew a page's claim of a user was a
// proof: either the log did not explain the device, and nothing was replayed, or with
// --cut somebody else's name was linked to it.
func TestHistoriesKeepTrust(t *testing.T) {
	t.Parallel()
	const topic = "trusts"
	log, err := kafkalog.Start(kafkalog.Options{Dir: t.TempDir(), Partitions: 1})
	check(t, err)
	defer log.Close()
	check(t, kafkalog.CreateTopic(t.Context(), log.Brokers(), topic, 1))
	cl, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers()...), kgo.DefaultProduceTopic(topic))
	check(t, err)
	defer cl.Close()
	page := `{"type":"page","anonymousId":"d","userId":"u","messageId":"m","timestamp":"2026-03-01T10:00:00Z"}`
	sent := []event.Trust{event.Public, event.Proven, event.Server, event.Unchecked, event.Unstated}
	for _, trust := range sent {
		r := &kgo.Record{Key: []byte("d"), Value: []byte(page)}
		if trust != event.Unstated {
			r.Headers = []kgo.RecordHeader{{Key: event.TrustHeader, Value: []byte(trust.String())}}
		}
		check(t, cl.ProduceSync(t.Context(), r).FirstErr())
	}
	cfg := config.Demo()
	letter := Letter{identity.Place{Offset: 1}, identity.Letter{Reason: event.Poison}}
	r, err := New(t.Context(), Options{Brokers: log.Brokers(), Topic: topic, Event: cfg.EventConfig(), Letters: []Letter{letter}})
	check(t, err)
	defer r.Close()
	plan, err := r.Send(t.Context())
	if check(t, err); plan.Sent != 1 {
		t.Fatalf("%+v", plan)
	}
	var got []event.Trust
	for i, past := range historyAt(t, r, int64(len(sent))).Records {
		if got = append(got, past.Trust); past.Letter != (i == 1) {
			t.Errorf("record %d is a letter: %v", i, past.Letter)
		}
	}
	if !slices.Equal(got, sent) {
		t.Errorf("the history has the trusts %v, the log %v", got, sent)
	}
}

// historyAt reads the record that brings a device's history.
func historyAt(t *testing.T, r *Replay, offset int64) (h *identity.History) {
	t.Helper()
	check(t, r.scan.read(t.Context(), map[int32]int64{0: offset}, map[int32]int64{0: offset + 1}, func(rec *identity.Record) error {
		var e event.Event
		check(t, r.decoder.Decode(rec.Value, rec.Trust, rec.Append, &e))
		p, err := identity.ReadPart(e.Raw)
		check(t, err)
		h, err = identity.ReadHistory(0, []identity.Part{p})
		return err
	}))
	return h
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
