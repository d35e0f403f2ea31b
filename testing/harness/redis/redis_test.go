package redis

import (
	"testing"
)

// TestStart: a server answers, ends, and comes back at its address.
func TestStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if s.answers(t.Context()) {
		t.Error("a stopped server answers")
	}
	again, err := StartAt(t.Context(), dir, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Kill)
	again.Kill()
	if again.answers(t.Context()) {
		t.Error("a killed server answers")
	}
}
