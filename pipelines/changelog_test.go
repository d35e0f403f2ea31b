package pipelines

import (
	"slices"
	"testing"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/transforms"
)

// TestErasuresOfAJobThatGoesOn: a job that goes on leaves out what was deleted after it had
// begun, since it read that itself. An epoch that was deleted was judged by where it ended:
// it was over before the job began, so its records were left out of batches that had them,
// those to the persons were numbered otherwise, and the rest of them waited for ever.
func TestErasuresOfAJobThatGoesOn(t *testing.T) {
	t.Parallel()
	known := []identity.Erasure{{Offset: 90, Device: "d"}, {Offset: 99, Device: "d", User: "u", From: 10, To: 20}, {Offset: 99, Device: "d", User: "u"}}
	later := []identity.Erasure{{Offset: 120, Device: "e"}, {Offset: 120, Device: "d", User: "v", From: 30, To: 40}, {Offset: 120, Device: "d", User: "v"}, {Partition: 1, Offset: 5, Device: "f"}}
	j, b := &Job{}, &transforms.Built{}
	j.Spec.Erased = slices.Concat(known, later)
	j.goOn(b, &changelogio.Manifest{Begun: map[int32]int64{0: 100}})
	if !slices.Equal(j.Spec.Erased, known) || !slices.Equal(b.Spec.Erased, known) {
		t.Errorf("left are %v", j.Spec.Erased)
	}
	back, err := identity.ReadErasure(later[1].Record())
	if err != nil || back != later[1] {
		t.Errorf("an epoch is read as %+v (%v)", back, err)
	}
}
