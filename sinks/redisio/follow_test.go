package redisio

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/sinks/segmentsio"
)

// TestFollow: what is on the topic of segments is in Redis, as text, and what
// is forgotten there is forgotten here.
func TestFollow(t *testing.T) {
	t.Parallel()
	log, err := kafkalog.Start(kafkalog.Options{})
	ok(t, err)
	t.Cleanup(log.Close)
	ok(t, segmentsio.CreateTopic(t.Context(), log.Brokers(), "segments", 2))
	out, err := segmentsio.Open(segmentsio.Config{Brokers: log.Brokers(), Topic: "segments"})
	ok(t, err)
	t.Cleanup(func() { out.Close(context.Background()) })
	put := func(key string, v interface{ AppendTo(*codec.Writer) }) {
		var value, batch codec.Writer
		if v != nil {
			v.AppendTo(&value)
		}
		segment.AppendKeyed(&batch, key, value.B)
		ok(t, out.Publish(t.Context(), batch.B))
	}
	schema := segment.NewSchema(nil)
	values := make([]float64, len(schema.Stored()))
	values[session.SlotCartItems], values[session.SlotDevice] = 2, 2
	put("d:1", &segment.Record{Version: 5, Path: "everyone/a", Evaluated: 1000, Last: 900, SessionEnd: 5000, Devices: 1, Values: values})
	put("d:2", &segment.Record{Version: 5, User: "ann", Evaluated: 1000})
	put("d:3", &segment.Record{Version: 5, Path: "everyone", Evaluated: 1000})
	put(segment.ActiveKey, &segment.Active{Version: 1, Minute: 7, Paths: []string{"everyone"}})
	put("d:3", nil)
	ok(t, out.Flush(t.Context()))

	s := server(t)
	w := open(t, Config{Addr: s.Addr()})
	src := Source{Brokers: log.Brokers(), Topic: "segments", Features: schema.Published([]session.Slot{session.SlotCartItems, session.SlotDevice}),
		Stored: len(schema.Stored()), Params: segment.Params{Kappa: 10}}
	f := NewFollower(src, w)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	c := reader(t, s)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if n, bad := f.Copied(); n == 5 && bad == 0 && w.Waiting() == 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%d records copied, %d unreadable, %d wait: %v", n, bad, w.Waiting(), w.Err())
		}
	}
	var p Profile
	ok(t, json.Unmarshal([]byte(get(t, c, "microseg:d:1")), &p))
	if p.Path != "everyone/a" || p.Features["cart.items"] != 2.0 || p.Features["device.type"] != "mobile" || p.Features["idle_s"] != 0.1 {
		t.Errorf("%+v", p)
	}
	// Who planted an anonymousId in her browser read there who she is, and then her cart.
	if got := get(t, c, "microseg:d:2"); got != `{"version":"100000000000000000000005","evaluated":1000,"linked":true}` {
		t.Errorf("a linked device is %s", got)
	}
	src.Pointers = true
	var linked codec.Writer
	(&segment.Record{Version: 5, User: "ann", Evaluated: 1000}).AppendTo(&linked)
	if r, err := NewFollower(src, w).record("d:2", linked.B); err != nil || string(r.Value) != `{"user":"ann","evaluated":1000}` {
		t.Errorf("where no proofs are asked for: %s, %v", r.Value, err)
	}
	if got := get(t, c, "microseg:a:"); got != `{"version":"700000000000000000001","minute":7,"active":["everyone"]}` {
		t.Errorf("the activation is %s", got)
	}
	if got := get(t, c, "microseg:d:3"); got != "" {
		t.Errorf("what was forgotten is %s", got)
	}
	stop()
	ok(t, <-done)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
