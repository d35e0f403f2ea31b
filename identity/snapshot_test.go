package identity

import (
	"bytes"
	"testing"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// TestSnapshotOfHeldDevice: a device that waits for the shard's time, since another
// partition is behind, is in a snapshot as it was when that began, although it is
// let go before its turn.
func TestSnapshotOfHeldDevice(t *testing.T) {
	t.Parallel()
	b := newBench(0)
	next := map[int32]int64{}
	apply := func(partition int32, device string, at int64) {
		o := next[partition]
		next[partition]++
		e := event.Event{Device: device, Partition: partition, Offset: o, ID: uint64(o + 1), Kind: event.KindPage, Time: at}
		if err := b.Apply(&Batch{Ranges: []Range{{Partition: partition, Prev: o - 1, First: o, Last: o}}, Events: []event.Event{received(e)}}, &b.out); err != nil {
			t.Fatal(err)
		}
	}
	apply(1, "behind", noon)
	apply(0, "silent", noon)
	late := noon + b.p.Retention
	apply(1, "behind", late-1)
	apply(0, "other", late+1)
	if d := b.devices["silent"]; d == nil || !d.is(markHeld) {
		t.Fatalf("it does not wait: %+v", d)
	}
	var want, got codec.Writer
	b.devices["silent"].appendTo(&want)
	b.Save(&got)
	apply(1, "behind", late+2)
	if b.devices["silent"] != nil {
		t.Fatal("it waits still")
	}
	for b.SaveSome(&got, 1) {
	}
	if !bytes.Contains(got.B, want.B) {
		t.Error("the snapshot has it as it was later, or not at all")
	}
}
