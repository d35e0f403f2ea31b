package collect_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/proof"
)

const (
	serverKey   = "server-key-server-key-server-key-1"
	identityKey = "identity-key-identity-key-identity"
)

func verifying(t *testing.T) func(*collect.Config) {
	v, err := proof.New(proof.Config{Keys: identityKey})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *collect.Config) { c.ServerKeys, c.Proofs = []string{serverKey}, v }
}

func hashOf(user string) string {
	return hex.EncodeToString(proof.Hash([]byte(identityKey), user))
}

func server(r *http.Request) { r.SetBasicAuth(serverKey, "") }

// TestTrust: what came with the public key alone was believed, so that a stranger could
// be anybody. The verdict stands beside the record, and the proof nowhere.
func TestTrust(t *testing.T) {
	s := start(t, verifying(t))
	ann := hashOf("ann")
	for _, c := range []struct {
		name, path, body string
		as               option
		want             event.Trust
	}{
		{"alone", "/v1/track", `{"event":"x","anonymousId":"a","userId":"ann"}`, auth, event.Public},
		{"anonymous", "/v1/track", `{"event":"x","anonymousId":"a"}`, auth, event.Public},
		{"with proof", "/v1/identify", `{"anonymousId":"a","userId":"ann","context":{"proof":"` + ann + `"}}`, auth, event.Proven},
		{"escaped", "/v1/identify", `{"anonymousId":"a","userId":"ann","context":{"pr\u006fof":"` + ann + `"}}`, auth, event.Proven},
		{"of the batch", "/v1/batch", `{"context":{"proof":"` + ann + `"},"batch":[{"type":"page","anonymousId":"a","userId":"ann"}]}`, auth, event.Proven},
		{"another's proof", "/v1/identify", `{"anonymousId":"a","userId":"bob","context":{"proof":"` + ann + `"}}`, auth, event.Public},
		{"proof of nobody", "/v1/track", `{"event":"x","anonymousId":"a","context":{"proof":"` + ann + `"}}`, auth, event.Public},
		{"in properties", "/v1/track", `{"event":"x","anonymousId":"a","userId":"ann","properties":{"microseg-trust":"server"}}`, auth, event.Public},
		{"a server", "/v1/track", `{"event":"x","userId":"ann"}`, server, event.Server},
		{"a header", "/v1/track", `{"event":"x","anonymousId":"a","userId":"ann"}`, header("microseg-trust", "server"), event.Public},
		{"a number", "/v1/identify", `{"anonymousId":"a","userId":42,"context":{"proof":"` + hashOf("42") + `"}}`, auth, event.Proven},
		{"an alias", "/v1/alias", `{"previousId":"a","userId":"ann","context":{"proof":"` + ann + `"}}`, auth, event.Proven},
		{"a claim by alias", "/v1/alias", `{"previousId":"a","userId":"ann"}`, auth, event.Public},
		{"Mixpanel", "/track", `[{"event":"x","properties":{"token":"demo","$device_id":"a","distinct_id":"ann","microseg_proof":"` + ann + `"}}]`, nil, event.Proven},
	} {
		as := []option{auth}
		if c.as != nil {
			as = append(as, c.as)
		}
		if r := s.post(c.path, c.body, as...); r.code != 200 {
			t.Errorf("%s: %d %s", c.name, r.code, r.body)
			continue
		}
		r := s.records(1)[0]
		if len(r.Headers) != 1 || r.Headers[0].Key != event.TrustHeader || string(r.Headers[0].Value) != c.want.String() {
			t.Errorf("%s: headers %s, want %s", c.name, r.Headers, c.want)
		}
		if strings.Contains(string(r.Value), ann[:16]) {
			t.Errorf("%s: the log has the proof: %s", c.name, r.Value)
		}
		var e event.Event
		if err := decoder(t).Decode(r.Value, event.ReadTrust(r.Headers[0].Value), time.Now().UnixMilli(), &e); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if got := s.c.Identified(); got != (collect.Identified{Server: 1, Proven: 6, Claimed: 5, Refused: 1}) {
		t.Errorf("counted %+v", got)
	}
}

// TestUserAlone: a userId without a device, from everybody, is nobody's behaviour; and the
// names of users' own devices are no page's to say.
func TestUserAlone(t *testing.T) {
	s := start(t, verifying(t))
	for body, want := range map[string]event.Reason{
		`{"event":"x","userId":"victim"}`:                                                    event.Identity,
		`{"event":"x","anonymousId":"user:victim"}`:                                          event.Malformed,
		`{"event":"x","anonymousId":"user:victim","userId":"victim"}`:                        event.Malformed,
		`{"event":"x","userId":"ann","context":{"proof":"` + hashOf("ann") + `"}}`:           "",
		`{"event":"x","anonymousId":"user:ann","context":{"proof":"` + hashOf("ann") + `"}}`: event.Malformed,
	} {
		s.ok(s.post("/v1/track", body, auth))
		r := s.records(1)[0]
		var e event.Event
		err := decoder(t).Decode(r.Value, event.ReadTrust(r.Headers[0].Value), time.Now().UnixMilli(), &e)
		if got := reasonOf(err); got != want {
			t.Errorf("%s: %q (%v), want %q", body, got, err, want)
		}
	}
}

// TestServerKey: where a server key shows, it is none any more.
func TestServerKey(t *testing.T) {
	s := start(t, verifying(t))
	for want, r := range map[string]reply{
		"web page":    s.post("/v1/track", `{"event":"x","userId":"ann"}`, server, header("Origin", "https://shop.example")),
		"body or":     s.post("/v1/batch", fmt.Sprintf(`{"writeKey":%q,"batch":[{"type":"track","event":"x","userId":"ann"}]}`, serverKey)),
		"the address": s.post("/v1/track?writeKey="+serverKey, `{"event":"x","userId":"ann"}`),
		"is unknown":  s.post("/v1/track", `{"event":"x","userId":"ann"}`, func(r *http.Request) { r.SetBasicAuth(serverKey+"x", "") }),
	} {
		if r.code != 401 && r.code != 403 || !strings.Contains(r.body, want) {
			t.Errorf("%q: %d %s", want, r.code, r.body)
		}
	}
	if _, err := collect.New(collect.Config{Brokers: []string{"x"}, WriteKeys: []string{serverKey}, ServerKeys: []string{serverKey}}); err == nil {
		t.Error("a key may be public and secret")
	}
	s.nothing()
}

// TestUnchecked: with the verification off a userId counts, and the log says why.
func TestUnchecked(t *testing.T) {
	s := start(t, func(c *collect.Config) { c.Unchecked = true })
	s.ok(s.post("/v1/track", `{"event":"x","userId":"ann"}`, auth))
	if r := s.records(1)[0]; string(r.Headers[0].Value) != "unchecked" {
		t.Errorf("headers %s", r.Headers)
	}
}

// TestProofOfBrokenEvent: what is no JSON is kept for the dead letters, without the proof.
func TestProofOfBrokenEvent(t *testing.T) {
	s := start(t, verifying(t))
	ann := hashOf("ann")
	s.ok(s.post("/v1/batch", `{"batch":[{"type":"identify","userId":"ann","context":{"proof": "`+ann+`"},"x":01}]}`, auth))
	if r := s.records(1)[0]; strings.Contains(string(r.Value), ann[:16]) {
		t.Errorf("%s", r.Value)
	}
}

func decoder(t *testing.T) *event.Decoder {
	t.Helper()
	d, err := event.NewDecoder(event.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func reasonOf(err error) event.Reason {
	var judged *event.Error
	if errors.As(err, &judged) {
		return judged.Reason
	}
	return ""
}
