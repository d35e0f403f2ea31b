package clients

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/prometheus/client_golang/prometheus"
)

// TestLibrariesMeetALimit: a limit that a library meets all the time costs it time and nothing
// else: each event arrives once. The limits are real and small; a flood of what a page sends in
// a minute comes at once.
func TestLibrariesMeetALimit(t *testing.T) {
	t.Parallel()
	dir := modules(t)
	const n = 50
	for library, kinds := range map[string][]string{
		"segment":     {"track", "page", "screen", "identify", "group", "alias"},
		"rudderstack": {"track", "page", "screen", "identify", "group", "alias"},
		"mixpanel":    {"track", "import", "people", "alias", "track_batch", "import_batch"},
	} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			counts := prometheus.NewRegistry()
			log, h := collecting(t, collect.Config{WriteKeys: []string{"demo"}, Metrics: counts,
				Limits: collect.Limits{Address: throttle.Rate{PerSecond: 100, Burst: 50}}})
			srv := httptest.NewServer(h)
			t.Cleanup(srv.Close)
			sends(t, dir, library, srv.URL, "demo", n)
			marks, ids := read(t, log, n*len(kinds))
			for _, kind := range kinds {
				for i := range n {
					if m := fmt.Sprintf("%s-%s-%d", library, kind, i); marks[m] != 1 {
						t.Errorf("%s arrived %d times", m, marks[m])
					}
				}
			}
			if len(ids) != n*len(kinds) {
				t.Errorf("%d different ids of %d events", len(ids), n*len(kinds))
			}
			if refused := throttled(t, counts); refused == 0 {
				t.Error("the library met no limit, so this shows nothing")
			} else {
				t.Logf("refused %v times", refused)
			}
		})
	}
}

// TestServerOfManyUsers: a shop's server sends, with its secret key and Segment's library, for
// 5,000 users from one address at once, and meets no limit of those that are shipped; with the
// public key, as shops have it today, it does not, either.
func TestServerOfManyUsers(t *testing.T) {
	t.Parallel()
	dir := modules(t)
	l := config.Default().Collector.Limits
	rate := func(perSecond, burst int) throttle.Rate {
		return throttle.Rate{PerSecond: float64(perSecond), Burst: float64(burst)}
	}
	secret := strings.Repeat("s", 40)
	for _, key := range []string{secret, "demo"} {
		counts := prometheus.NewRegistry()
		_, h := collecting(t, collect.Config{WriteKeys: []string{"demo"}, ServerKeys: []string{secret}, Metrics: counts,
			Limits: collect.Limits{Address: rate(l.AddressRate, l.AddressBurst), Device: rate(l.DeviceRate, l.DeviceBurst), ServerKey: rate(l.ServerRate, l.ServerBurst)}})
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		sends(t, dir, "users", srv.URL, key, 5000)
		if refused := throttled(t, counts); refused > 0 {
			t.Errorf("with key %.4s… refused %v times", key, refused)
		}
	}
}

// sends runs a library until it has sent what it was given.
func sends(t *testing.T, modules, library, url, key string, n int) {
	t.Helper()
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "send.cjs", library, url, key, fmt.Sprint(n), fmt.Sprint(patience.Milliseconds()))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "HTTP_PROXY=", "HTTPS_PROXY=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// throttled is how often a collector has refused somebody for doing too much.
func throttled(t *testing.T, counts prometheus.Gatherer) (refused float64) {
	t.Helper()
	families, err := counts.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "microseg_throttled_total" {
			for _, m := range f.GetMetric() {
				refused += m.GetCounter().GetValue()
			}
		}
	}
	return refused
}
