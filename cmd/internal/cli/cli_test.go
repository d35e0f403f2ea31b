package cli

import "testing"

// TestGiven: `path/to/run.sh --input events.jsonl` did not find the file in the
// folder in which it was called, since run.sh changes into the clone.
func TestGiven(t *testing.T) {
	for _, c := range []struct{ from, path, want string }{
		{"/srv/ann", "events.jsonl", "/srv/ann/events.jsonl"},
		{"/srv/ann", "../bob/e.jsonl", "/srv/bob/e.jsonl"},
		{"/srv/ann", "/data/e.jsonl", "/data/e.jsonl"},
		{"/srv/ann", "-", "-"},
		{"/srv/ann", "", ""},
		{"", "events.jsonl", "events.jsonl"}, // the binary itself was called
	} {
		t.Setenv(envCalledIn, c.from)
		if got := Given(c.path); got != c.want {
			t.Errorf("%s in %q is %s, want %s", c.path, c.from, got, c.want)
		}
	}
}
