package browser

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/serving/proof"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/testing/harness/chromium"
	"github.com/microseg/microseg/testing/oracle"
	"github.com/microseg/microseg/web"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const identityKey = "identity-key-of-the-browser-tests"

// hashOf is the proof of a userId that the shop's own server would make.
func hashOf(user string) string { return hex.EncodeToString(proof.Hash([]byte(identityKey), user)) }

// signed is the address of another node of the site, which asks for proofs.
func (s *shop) signed(t *testing.T) string {
	t.Helper()
	if s.proving != "" {
		return s.proving
	}
	cfg := config.Demo()
	cfg.Identity.Verification = "signed"
	secrets := s.secrets
	secrets.IdentityKeys = identityKey
	n, err := node.Open(context.Background(), cfg, node.Options{Brokers: s.brokers, Events: eventsTopic, Segments: s.job.Segments.Topic, Site: s.cfg.Site, Secrets: secrets})
	check(t, err)
	mux := http.NewServeMux()
	n.Register(mux)
	web.Register(mux)
	mux.HandleFunc("GET /test/ahead", ahead)
	snippetPages(mux)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	run, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpserver.Run(run, httpserver.New(mux, httpserver.Limits{}), ln, 5*time.Second) }()
	s.close = append(s.close, func() {
		n.EndStreams()
		stop()
		<-done
		n.Close(context.Background())
	})
	s.proving = "http://" + ln.Addr().String()
	return s.proving
}

// state is what the node tells of somebody.
type state struct {
	Known, Linked bool
	ProofNeeded   bool `json:"proof_needed"`
	Path          string
	Features      map[string]any
}

func (s *state) items() string { return fmt.Sprint(s.Features["cart.items"]) }

// ofUser asks as the site's own server does.
func (s *shop) ofUser(t *testing.T, user string) (out state) {
	t.Helper()
	s.admin(t, "/api/segment", map[string]any{"userId": user}, &out)
	return out
}

// ofDevice asks as whoever has the id, and may be a proof, does.
func ofDevice(t *testing.T, url string, body map[string]any) (out state) {
	t.Helper()
	b, err := json.Marshal(body)
	check(t, err)
	resp, err := http.Post(url+"/api/segment", "application/json", bytes.NewReader(b))
	check(t, err)
	defer resp.Body.Close()
	check(t, json.NewDecoder(resp.Body).Decode(&out))
	return out
}

// truth is what the oracle makes of the log as it is now.
func (s *shop) truth(t *testing.T) *oracle.Result {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(eventsTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), eventsTopic)
	check(t, err)
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	o, err := oracle.New(s.cfg)
	check(t, err)
	for left > 0 {
		fetches := cl.PollFetches(t.Context())
		check(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			check(t, o.Take(&oracle.Record{Partition: r.Partition, Offset: r.Offset, Appended: r.Timestamp.UnixMilli(), Value: r.Value, Trust: kafkaio.TrustOf(r)}))
		})
	}
	return o.Result()
}

// added puts a product into the page's visitor's cart.
func added(p *chromium.Page, price int) {
	p.Eval(fmt.Sprintf(`(microseg.track("Product Added", {product_id: "p%[1]d", price: %[1]d, quantity: 1}), microseg.flush())`, price), nil)
}

// TestStrangersLink: an attacker sends a victim a page of the shop with a link to the
// attacker's own account. Whoever opened it showed the attacker her cart, and was shown the
// attacker's. Whoever says no, ignores the question or goes on is in nobody's account, sees
// her own cart and nobody else's; who says yes gives what she does from then on, and nothing
// of before. Where proofs are asked for, she is not shown the attacker's state even then.
// What the job decided is what the oracle makes of the log.
func TestStrangersLink(t *testing.T) {
	for name, url := range map[string]string{"off": site.url, "signed": site.signed(t)} {
		mallory := fmt.Sprintf("mallory-%s-%d", name, nowMS())
		attacker := site.visit(t)
		attacker.Goto(url + "/")
		attacker.Eval(fmt.Sprintf(`microseg.identify(%q, {}, {proof: %q})`, mallory, hashOf(mallory)), nil)
		added(attacker, 50)
		added(attacker, 51)
		items := func(want string) {
			t.Helper()
			eventually(t, name+": the attacker reads "+want+" items", func() bool {
				got := ofDevice(t, url, map[string]any{"anonymousId": attacker.Text(`microseg.anonymousId()`), "userId": mallory, "proof": hashOf(mallory)})
				return got.items() == want
			})
		}
		items("2")
		var minted struct{ Parameter string }
		site.admin(t, "/v1/identity/token", map[string]any{"userId": mallory}, &minted)

		victims := map[string]*chromium.Page{}
		for answer := range map[string]bool{"no": true, "Escape": true, "ignored": true, "yes": true} {
			p := site.visit(t)
			victims[answer] = p
			p.Phone()
			p.Before(watchLink)
			p.Goto(url + "/product/aero-14")
			added(p, 899)
			id := p.Text(`microseg.anonymousId()`)
			eventually(t, name+": the victim's cart is known", func() bool { got := ofDevice(t, url, map[string]any{"anonymousId": id}); return got.items() == "1" })
			p.Goto(url + "/product/aero-14?" + minted.Parameter)
			p.Wait(`document.querySelector("ms-link")`)
			switch answer {
			case "no", "yes":
				p.ClickIn("ms-link", "[part="+answer+"]")
				p.Wait(fmt.Sprintf(`window.__link && __link.ok === %v`, answer == "yes"))
			case "Escape":
				p.Press("\x1b")
				p.Wait(`window.__link && __link.code === "declined"`)
			case "ignored":
				p.Goto(url + "/category/laptops")
				p.Wait(`window.microseg`)
			}
			added(p, 100)
			if answer == "yes" {
				continue
			}
			eventually(t, name+", "+answer+": her own cart, and nobody else's", func() bool {
				got := ofDevice(t, url, map[string]any{"anonymousId": id})
				return got.items() == "2" && !got.Linked
			})
		}
		items("3") // what who said yes has done since
		yes := ofDevice(t, url, map[string]any{"anonymousId": victims["yes"].Text(`microseg.anonymousId()`)})
		if name == "signed" && (yes.Known || !yes.ProofNeeded || yes.items() != "<nil>") || !yes.Linked {
			t.Errorf("%s: who said yes reads %+v", name, yes)
		}
		truth := site.truth(t)
		of, err := truth.Person("u:" + mallory)
		check(t, err)
		if got := of.CartValue(nowMS()); got != 50+51+100 || of.Devices != 2 {
			t.Errorf("%s: by the oracle the attacker's cart is worth %v, of %d devices", name, got, of.Devices)
		}
		eventually(t, name+": the job and the oracle agree", func() bool { got := site.ofUser(t, mallory); return got.Path == of.Path(nowMS()) })
		for answer, p := range victims {
			her, err := truth.Person("d:" + p.Text(`microseg.anonymousId()`))
			check(t, err)
			if answer == "yes" != (her == nil) || her != nil && her.CartValue(nowMS()) != 899+100 {
				t.Errorf("%s, %s: by the oracle she is %+v", name, answer, her)
			}
			p.Close()
		}
		attacker.Close()
	}
}

// eventually waits for what the job has yet to decide.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
