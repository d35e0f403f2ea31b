package pipelines

import (
	"errors"
	"testing"
	"time"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/transforms"
)

// TestTooMuchPoison: a hundred records within a minute are left out, the next one stops
// the job; so many in more time do not.
func TestTooMuchPoison(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	p := &transforms.PoisonError{Stage: "device", Places: []identity.Place{{Partition: 1, Offset: 2}}}
	var fast, slow Job
	for i := range 100 {
		if err := fast.poisoned(p, at.Add(time.Duration(i)*100*time.Millisecond)); err != nil {
			t.Fatalf("after %d records: %v", i+1, err)
		}
	}
	var over *TooMuchPoisonError
	if err := fast.poisoned(p, at.Add(11*time.Second)); !errors.As(err, &over) || over.Records != 101 {
		t.Errorf("after 101 records: %v", err)
	}
	for i := range 1000 {
		if err := slow.poisoned(p, at.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatalf("one a second: %v", err)
		}
	}
	if slow.Poisoned() != 1000 {
		t.Errorf("%d records are counted", slow.Poisoned())
	}
}
