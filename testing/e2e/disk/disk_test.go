package disk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/downloads"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/testing/harness/child"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	size    = 400 << 20
	minFree = 48 << 20
)

// stack is `microseg up` in a room.
type stack struct {
	t            *testing.T
	room         *room
	bin, dir     string // dir is outside of the room
	lib          string
	p            *child.Process
	http, kafka  string
	admin        string
	dsn          string
	acked, tried map[string]bool // messageIds
}

func (s *stack) start() {
	s.t.Helper()
	cmd := s.room.command(s.dir, s.bin, "-c", filepath.Join(s.dir, "microseg.yaml"), "up", "--visitors", "0", "--dir", filepath.Join(s.room.dir, "up"))
	cmd.Env = append(os.Environ(), clickhouse.LibEnv+"="+s.lib)
	var err error
	if s.p, err = child.Start(cmd, filepath.Join(s.dir, "up.log")); err != nil {
		s.t.Fatal(err)
	}
	p := s.p
	s.t.Cleanup(p.Kill)
	at := regexp.MustCompile(`(?s)shop +(http://[^/]+)/.*health, metrics +(http://[^/]+)/.*kafka +(\S+) .*clickhouse native +(\S+)\n`)
	err = p.Wait(s.t.Context(), time.Minute, func(context.Context) bool {
		m := at.FindStringSubmatch(p.Log())
		if m != nil {
			s.http, s.admin, s.kafka = m[1], m[2], m[3]
			password, err := os.ReadFile(s.room.path(filepath.Join("up", "clickhouse.password")))
			if err != nil {
				s.t.Fatal(err)
			}
			s.dsn = "clickhouse://" + clickhouse.User + ":" + strings.TrimSpace(string(password)) + "@" + m[4] + "/microseg"
		}
		return m != nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// post sends n events in one batch and returns the answer.
func (s *stack) post(n int) (code int, retry string) {
	s.t.Helper()
	var ids []string
	var batch []map[string]any
	for range n {
		id := fmt.Sprint("m", len(s.tried))
		s.tried[id] = true
		ids = append(ids, id)
		batch = append(batch, map[string]any{"type": "track", "event": "Product Viewed", "messageId": id, "anonymousId": fmt.Sprint("visitor-", len(s.tried)%40),
			"properties": map[string]any{"pad": strings.Repeat("x", 500)}})
	}
	body, err := json.Marshal(map[string]any{"batch": batch, "writeKey": "demo"})
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.Post(s.http+"/v1/batch", "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		for _, id := range ids {
			s.acked[id] = true
		}
	}
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

func (s *stack) ready() (int, string) {
	resp, err := http.Get(s.admin + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

func (s *stack) until(what string, ok func() bool) {
	s.t.Helper()
	for range 900 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	code, text := s.ready()
	s.t.Fatalf("%s did not happen within 90 s; ready: %d %s; the end of the log:\n%s", what, code, text, s.p.Log())
}

// logged counts the events on the log, by messageId.
func (s *stack) logged() map[string]int {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	out := map[string]int{}
	for {
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		f := client.PollFetches(ctx)
		cancel()
		if f.NumRecords() == 0 {
			return out
		}
		for _, r := range f.Records() {
			var e struct{ MessageID string }
			if err := json.Unmarshal(r.Value, &e); err != nil {
				s.t.Errorf("%v: %q", err, r.Value)
			}
			out[e.MessageID]++
		}
	}
}

// recorded is how many events ClickHouse says were good.
func (s *stack) recorded() (n uint64) {
	conn, err := clickhouseio.Dial(s.dsn)
	if err != nil {
		return 0
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	if conn.QueryRow(ctx, "SELECT sum(good) FROM progress_current WHERE stage = 'device'").Scan(&n) != nil {
		return 0
	}
	return n
}

func begin(t *testing.T) *stack {
	t.Helper()
	cache, err := downloads.Dir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := clickhouse.Find(filepath.Join(cache, "clickhouse"))
	if err != nil {
		t.Fatal(err)
	}
	if found.Lib == "" {
		t.Fatalf("this test fills the disk of the embedded ClickHouse: unset %s, and take others from the PATH", clickhouse.DSNEnv)
	}
	s := &stack{t: t, dir: t.TempDir(), lib: found.Lib, acked: map[string]bool{}, tried: map[string]bool{}}
	s.bin = filepath.Join(s.dir, "microseg")
	build := exec.Command("go", "build", "-o", s.bin, "github.com/microseg/microseg/cmd/microseg")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	conf := fmt.Sprintf("storage: {min_free_bytes: %d}\ncollector: {acknowledge_within: 1s}\nsink: {spill_after: 500ms, linger: 200ms}\n", minFree)
	if err := os.WriteFile(filepath.Join(s.dir, "microseg.yaml"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	if s.room, err = newRoom(t.Context(), inside, size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.room.close)
	s.start()
	return s
}

// TestDiskFull: a disk that fills up, then to the last byte, makes the node not
// ready with an error that names the folder, and the collector tells clients to
// come back; with room again it goes on, and after a kill on the full disk
// everything acknowledged is there, once.
func TestDiskFull(t *testing.T) {
	s := begin(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	isReady := func() bool { code, _ := s.ready(); return code == http.StatusOK }
	isLow := func() bool {
		code, text := s.ready()
		return code == http.StatusServiceUnavailable && strings.Contains(text, s.room.dir) && strings.Contains(text, "make room")
	}
	accepted := func() {
		t.Helper()
		s.until("an acknowledgement", func() bool { code, _ := s.post(20); return code == http.StatusOK })
	}
	refused := func() {
		t.Helper()
		if code, retry := s.post(20); code != http.StatusServiceUnavailable || retry == "" {
			t.Errorf("with a full disk: %d, Retry-After %q", code, retry)
		}
	}
	s.until("readiness", isReady)
	for range 20 {
		accepted()
	}
	must(s.room.fill(minFree - 8<<20))
	s.until("the refusal", isLow)
	refused()
	must(s.room.fill(0))
	for range 3 {
		refused()
	}
	must(s.room.clear())
	s.until("readiness with room again", isReady)
	for range 20 {
		accepted()
	}
	must(s.room.fill(0))
	s.until("the second refusal", isLow)
	refused()
	s.p.Kill()
	must(s.room.clear())
	s.start()
	s.until("readiness after the kill", isReady)
	accepted()
	logged := s.logged()
	for id := range s.acked {
		if logged[id] == 0 {
			t.Errorf("%s was acknowledged and is not on the log", id)
		}
	}
	for id := range logged {
		if !s.tried[id] {
			t.Errorf("%q was never sent", id)
		}
	}
	s.until("the record of every event", func() bool { return s.recorded() == uint64(len(logged)) })
	t.Logf("%d events sent, %d acknowledged, %d on the log, %d recorded", len(s.tried), len(s.acked), len(logged), s.recorded())
}
