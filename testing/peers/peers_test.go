package peers

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/testing/harness/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestEqual: the Flink job and the plain loop write the same updates of each visitor, in
// the same order, byte for byte; else a benchmark of the two compares different work.
func TestEqual(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	flink, err := PrepareFlink(ctx, os.Stderr)
	check(t, err)
	broker, err := kafka.Start(ctx, t.TempDir())
	check(t, err)
	t.Cleanup(broker.Kill)
	for _, topic := range []string{"events", "by-loop", "by-flink"} {
		check(t, kafkalog.CreateTopic(ctx, broker.Brokers(), topic, 4))
	}
	n := write(ctx, t, broker.Brokers(), stories(rand.New(rand.NewPCG(14, 9)), 6000))
	o := Options{Brokers: broker.Brokers(), Events: "events", Updates: "by-flink", Bounded: true}
	job, err := flink.Start(t.TempDir(), o, 2, n)
	check(t, err)
	t.Cleanup(job.Kill)
	o.Updates = "by-loop"
	check(t, Loop(ctx, o))
	select {
	case <-job.Exited():
	case <-ctx.Done():
		t.Fatalf("the Flink job did not end:\n%s", job.Log())
	}
	loop, other := updates(ctx, t, o, "by-loop"), updates(ctx, t, o, "by-flink")
	covers(t, loop)
	if len(other) != len(loop) {
		t.Errorf("the loop wrote updates of %d visitors, Flink of %d:\n%s", len(loop), len(other), job.Log())
	}
	for visitor, want := range loop {
		if got := other[visitor]; !slices.Equal(got, want) {
			t.Fatalf("visitor %s:\nloop\n%s\nFlink\n%s\nits log:\n%s", visitor, strings.Join(want, "\n"), strings.Join(got, "\n"), job.Log())
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// covers makes sure that the comparison is of something.
func covers(t *testing.T, of map[string][]string) {
	t.Helper()
	seen, forgotten, ended := map[string]bool{}, 0, 0
	for _, all := range of {
		for _, u := range all {
			path, rest, _ := strings.Cut(strings.TrimPrefix(u, `{"path":"`), `"`)
			seen[path] = true
			if u == "" {
				forgotten++
			}
			if strings.Contains(rest, `"session":0,`) {
				ended++
			}
		}
	}
	for _, p := range paths {
		if !seen[p] {
			t.Errorf("no visitor was ever in %s", p)
		}
	}
	if forgotten < 20 || ended < 100 {
		t.Errorf("%d visitors were forgotten and %d sessions ended: too few to compare", forgotten, ended)
	}
}

// record is one of the topic of events.
type record struct {
	visitor string
	value   []byte
}

// stories are events of 90 visitors over two days, a little out of order, some twice,
// with records that are none. Time passes in bursts, so that sessions end, carts are
// left and visitors are forgotten.
func stories(r *rand.Rand, n int) (out []record) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixMilli()
	for i := range n {
		switch x := r.IntN(1000); {
		case x == 0:
			at += 26 * 60 * 60_000
		case x < 5:
			at += 31 * 60_000
		case x < 15:
			at += 70_000
		default:
			at += r.Int64N(600)
		}
		group := i / 500 * 10 // most come and go
		v := fmt.Sprintf("visitor-%d", group%60+r.IntN(30))
		if r.IntN(50) == 0 {
			v = "visitor-é\\u00e9-" + v // what is escaped
		}
		value := []byte(story(r, v, at-r.Int64N(4000)))
		switch r.IntN(100) {
		case 0:
			value = value[:r.IntN(len(value))]
		case 1:
			value = []byte(`[{"no":"event"}]`)
		case 2:
			out = append(out, record{v, value})
		}
		out = append(out, record{v, value})
	}
	return append(out, persistent(at)...)
}

// persistent are two visitors whom chance does not make: one compares at length and does
// nothing that has weight, one stays with an expensive product, fills the cart and leaves.
func persistent(at int64) (out []record) {
	tell := func(visitor, event, properties string) {
		kind := "track"
		if event == "" {
			kind = "page"
		}
		at += 25_000
		out = append(out, record{visitor, fmt.Appendf(nil, `{"type":%q,"event":%q,"anonymousId":%q,"timestamp":%q,"properties":{%s}}`, kind, event, visitor,
			time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z"), properties)})
	}
	tell("compares", "", `"page_type":"comparison"`)
	for range 6 {
		tell("compares", "Element Hovered", `"element":"price","duration_ms":300`)
		tell("compares", "Element Hovered", `"element":"features","duration_ms":300`)
	}
	tell("leaves", "", `"page_type":"product"`)
	tell("leaves", "Product Viewed", `"category":"computers","price":1299.5`)
	tell("leaves", "Product Added", `"price":1299.5`)
	for range 20 {
		tell("leaves", "Page Pinged", "")
	}
	tell("leaves", "", `"page_type":"home"`)
	return out
}

func story(r *rand.Rand, visitor string, at int64) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	stamp := time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z")
	device, network := pick("mobile", "desktop", "mobile"), pick("4g", "3g", "")
	head := fmt.Sprintf(`"anonymousId":"%s","timestamp":%q,"context":{"device":{"type":%q,"x":[1,{"y":2}]},"network":{"effectiveType":%q},"page":{"path":"/"}}`, visitor, stamp, device, network)
	switch x := r.IntN(20); {
	case x < 7:
		return fmt.Sprintf(`{"type":"page",%s,"properties":{"page_type":%q}}`, head, pick("comparison", "comparison", "product", "home", "list", "cart", "custom", "content"))
	case x < 9:
		return fmt.Sprintf(`{%s,"type":"track","event":"Element Hovered","properties":{"element":%q,"duration_ms":%v}}`, head, pick("price", "features", "reviews"), r.Float64()*1200)
	case x < 11:
		return fmt.Sprintf(`{"type":"track","event":"Product Viewed","properties":{"category":%q,"price":%v},%s}`, pick("electronics/audio", "electronics", "electronicsx", "books"), 300+r.Float64()*500, head)
	case x < 12:
		return fmt.Sprintf(`{"type":"track","event":%q,"properties":{"price":%v,"quantity":%s},%s}`, pick("Product Added", "Product Removed"), r.Float64()*90, pick("1", "2", "1.7", `"3"`, "-1", "1e40", "null"), head)
	case x < 15:
		return fmt.Sprintf(`{"type":"track","event":"Page Scrolled","properties":{"page_type":%q,"depth":%v},%s}`, pick("product", "list"), r.Float64(), head)
	}
	return fmt.Sprintf(`{"type":%q,"event":%q,%s,"properties":[]}`, pick("track", "track", "track", "identify", ""), pick("Page Pinged", "Page Pinged", "Page Pinged", "Cart Viewed", "Order Completed",
		"Order Completed", "Checkout Started", "Form Submitted", "Video Completed", "Form Started", "Of the shop"), head)
}

// write puts the records, and one in each partition so late that all timers before it
// fire, and counts them.
func write(ctx context.Context, t *testing.T, brokers []string, records []record) int64 {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("events"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	check(t, err)
	defer cl.Close()
	put := func(p int32, value []byte) {
		cl.Produce(ctx, &kgo.Record{Partition: p, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	for _, r := range records {
		h := fnv.New32()
		h.Write([]byte(r.visitor))
		put(int32(h.Sum32()%4), r.value)
	}
	for p := range int32(4) {
		put(p, fmt.Appendf(nil, `{"type":"page","anonymousId":"last-%d","timestamp":"2026-12-01T00:00:00.000Z"}`, p))
	}
	check(t, cl.Flush(ctx))
	return int64(len(records) + 4)
}

// updates are the values of a topic by key, in their order; of a tombstone "".
func updates(ctx context.Context, t *testing.T, o Options, topic string) map[string][]string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.Brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	check(t, err)
	left := int64(0)
	ends.Each(func(e kadm.ListedOffset) { left += e.Offset })
	out := map[string][]string{}
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		check(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			out[string(r.Key)] = append(out[string(r.Key)], string(r.Value))
			left--
		})
	}
	return out
}

// TestHalf: the power that both languages compute to the same bit is one.
func TestHalf(t *testing.T) {
	t.Parallel()
	for x := 0.0; x < 1100; x += 0.37 {
		if want := math.Exp2(-x); math.Abs(half(x)-want) > 1e-12*want+1e-290 {
			t.Fatalf("2^-%v is %v, got %v", x, want, half(x))
		}
	}
}

// TestMillis: times are those of the library, and what has another form is none.
func TestMillis(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		at := time.UnixMilli(r.Int64N(250_000_000_000_000))
		if at.Year() > 9999 {
			continue
		}
		text := at.UTC().Format("2006-01-02T15:04:05.000Z")
		if got, ok := millis([]byte(text)); !ok || got != at.UnixMilli() {
			t.Fatalf("%s is %d, got %d", text, at.UnixMilli(), got)
		}
	}
	for _, text := range []string{"", "2026-01-01T00:00:00Z", "2026-13-01T00:00:00.000Z", "2026-01-01 00:00:00.000Z", "2026-01-01T24:00:00.000Z"} {
		if _, ok := millis([]byte(text)); ok {
			t.Errorf("%q is read", text)
		}
	}
}
