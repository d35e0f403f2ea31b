package identity

import (
	"fmt"
	"testing"

	"github.com/microseg/microseg/event"
)

// TestOneDeviceInTwoPartitions: a server sent {userId: "ann0"} and a stranger
// {anonymousId: "user:ann0"}, each to the partition of its own key. The second one
// moved the device in the agenda of a partition in which it was not, and the job
// ended of it, again at each restart; where it did not, it counted two clocks as one.
// The record is a dead letter now, which moves nothing, also behind a snapshot, and
// where the device is in none of its shard's partitions.
func TestOneDeviceInTwoPartitions(t *testing.T) {
	t.Parallel()
	for _, reload := range []bool{false, true} {
		b := newBench(0)
		next := map[int32]int64{}
		take := func(partition int32, device string, kind event.Kind, at int64) []DeadLetter {
			t.Helper()
			o := next[partition]
			next[partition]++
			b.out.Reset()
			e := event.Event{Device: device, Kind: kind, Time: at, Partition: partition, Offset: o, ID: uint64(at)}
			if err := b.Apply(&Batch{Ranges: []Range{{Partition: partition, Prev: o - 1, First: o, Last: o}}, Events: []event.Event{received(e)}}, &b.out); err != nil {
				t.Fatal(err)
			}
			if reload {
				b.reload(t)
			}
			return b.out.Dead
		}
		for i := range int64(5) { // others in the agenda of the partition
			take(1, fmt.Sprint("f", i), event.KindPage, noon+1000*i)
		}
		take(0, "user:ann0", event.KindPage, noon+20_000)
		for i, kind := range []event.Kind{event.KindPage, event.KindReset, event.KindUnlink, event.KindRebuild, event.KindPage} {
			dead := take(1, "user:ann0", kind, noon+10_000+int64(i))
			if len(dead) != 1 || dead[0].Reason != event.Stray || dead[0].Offset != next[1]-1 {
				t.Fatalf("a record of kind %d in another partition: %+v", kind, dead)
			}
		}
		if q := b.Partition(1); q.Clock != noon+4000 || q.Counts != (Counts{Read: 10, Good: 5, Dead: 5, Stray: 5}) {
			t.Errorf("strays left %+v", q)
		}
		if d := take(0, "user:ann0", event.KindPage, noon+30_000); len(d) > 0 {
			t.Errorf("the device's own partition: %+v", d)
		}
		take(1, "user:ann0", event.KindDelete, noon) // of a deleted device nothing stays, wherever the tombstone is
		if b.Profile("user:ann0") != nil {
			t.Error("a deleted device is still there")
		}
		b.p.Partitions = 8
		home := event.Home("new", 8)
		if d := take(home^1, "new", event.KindPage, noon+40_000); len(d) != 1 || d[0].Reason != event.Stray {
			t.Errorf("a new device in a partition that is not its own: %+v", d)
		}
		if d := take(home, "new", event.KindPage, noon+40_000); len(d) > 0 {
			t.Errorf("a new device in its partition: %+v", d)
		}
	}
}
