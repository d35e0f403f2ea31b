package workerd

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestStart: a module answers, and nothing of it is left when it is killed.
func TestStart(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), t.TempDir(), `export default { fetch(_, env) { return new Response("hello " + env.NAME) } }`, map[string]string{"NAME": "edge"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	r, err := http.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "hello edge" {
		t.Errorf("%q, %v", body, err)
	}
	s.Kill()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.Get(s.URL())
		if err != nil {
			return // nobody listens any more
		}
		r.Body.Close()
		if time.Now().After(deadline) {
			t.Fatal("the runtime has outlived its runner")
		}
	}
}

// TestBroken: a module that does not load is an error that says why.
func TestBroken(t *testing.T) {
	t.Parallel()
	if _, err := Start(t.Context(), t.TempDir(), `export default {`, nil); err == nil || !strings.Contains(err.Error(), "Unexpected") {
		t.Errorf("error %v", err)
	}
}
