package api

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/segment"
	userproof "github.com/microseg/microseg/serving/proof"
)

const identityKey = "identity-key-identity-key-identity"

func hashOf(user string) string { return hex.EncodeToString(userproof.Hash([]byte(identityKey), user)) }

func verifiedSite(t testing.TB) *site {
	v, err := userproof.New(userproof.Config{Keys: identityKey})
	check(t, err)
	s := newSite(t, func(_ *config.Config, c *Config) { c.Verified, c.Proofs = true, v })
	ann := s.record(cartPath)
	ann.Linked = true
	s.put("u:ann", ann)
	s.put("d:phone", segment.Record{User: "ann", Evaluated: s.clock.Load()})
	s.put("d:tablet", s.record(comparerPath))
	return s
}

const cartPath, comparerPath = "everyone/high_intent/cart_abandoner", "everyone/price_sensitive_analyzer"

type provenAnswer struct {
	Known, Linked bool
	ProofNeeded   bool   `json:"proof_needed"`
	TokenError    string `json:"token_error"`
	Path, Token   string
	Expires       int64
}

// TestPlantedDevice: whoever had planted an anonymousId in somebody's browser, or heard of
// one, read what she did after her log-in. It tells of what the device did while it was
// nobody's, and the user's state is for who has a proof.
func TestPlantedDevice(t *testing.T) {
	s := verifiedSite(t)
	ask := func(body string) (out provenAnswer) {
		t.Helper()
		s.read(&out, "POST", "/api/segment", body)
		return out
	}
	if got := ask(`{"anonymousId":"phone"}`); got.Known || !got.Linked || !got.ProofNeeded || got.Path != "everyone" || got.Token != "" {
		t.Errorf("without proof: %+v", got)
	}
	if got := ask(`{"anonymousId":"tablet"}`); !got.Known || got.ProofNeeded || got.Path != comparerPath {
		t.Errorf("of a device that is nobody's: %+v", got)
	}
	if r := s.ask("POST", "/api/personalize", `{"anonymousId":"phone"}`).Body.String(); strings.Contains(r, "cart") || strings.Contains(r, `"known"`) {
		t.Errorf("personalized without proof: %s", r)
	}
	if r := s.ask("GET", "/api/segment/explain?anonymousId=phone", ""); r.Code != 404 {
		t.Errorf("explained without proof: %d %s", r.Code, r.Body)
	}
	proven := ask(`{"anonymousId":"phone","userId":"ann","proof":"` + hashOf("ann") + `"}`)
	if !proven.Known || !proven.Linked || proven.Path != cartPath || proven.Token == "" {
		t.Fatalf("with proof: %+v", proven)
	}
	if got := ask(`{"anonymousId":"phone","token":"` + proven.Token + `"}`); got.Path != cartPath {
		t.Errorf("with the token: %+v", got)
	}
	if got := ask(`{"anonymousId":"tablet","token":"` + proven.Token + `"}`); got.Path != comparerPath {
		t.Errorf("the token of another device: %+v", got)
	}
	if got := ask(`{"anonymousId":"tablet","userId":"ann","proof":"` + hashOf("ann") + `"}`); got.Path != cartPath {
		t.Errorf("before the link is decided: %+v", got)
	}
	var admin provenAnswer
	s.read(&admin, "GET", "/api/segment?anonymousId=phone", "", "Authorization", "Bearer "+testAdmin)
	if admin.Path != cartPath {
		t.Errorf("for the admin: %+v", admin)
	}
}

// TestOldTokenOfALinkedDevice: a token of the time when the device was nobody's is none of
// the user that it is now.
func TestOldTokenOfALinkedDevice(t *testing.T) {
	s := verifiedSite(t)
	var before, after provenAnswer
	s.read(&before, "GET", "/api/segment?anonymousId=tablet", "")
	s.put("d:tablet", segment.Record{User: "ann", Evaluated: s.clock.Load()})
	s.read(&after, "GET", "/api/segment?anonymousId=tablet&token="+before.Token, "")
	if after.Known || after.Path != comparerPath || !after.ProofNeeded {
		t.Errorf("%+v", after)
	}
}

// TestProofsOfReads: what is no proof is an error that says so, and nobody's name is a device.
func TestProofsOfReads(t *testing.T) {
	s := verifiedSite(t)
	var ended provenAnswer
	s.read(&ended, "POST", "/api/segment", `{"anonymousId":"phone","userId":"ann","proof":"`+hashOf("bob")+`"}`)
	if ended.Known || !ended.ProofNeeded || !strings.Contains(ended.TokenError, "not of this userId") {
		t.Errorf("a wrong proof with a device: %+v", ended)
	}
	for body, want := range map[string]string{
		`{"anonymousId":"phone","userId":"ann"}`:           "proof",
		`{"userId":"ann","proof":"` + hashOf("bob") + `"}`: "not of this userId",
		`{"userId":"ann","proof":"x"}`:                     "neither",
		`{"anonymousId":"user:ann"}`:                       "begins with user:",
	} {
		r := s.ask("POST", "/api/segment", body)
		if r.Code != 403 || !strings.Contains(r.Body.String(), want) {
			t.Errorf("%s: %d %s, want %q", body, r.Code, r.Body, want)
		}
	}
	for _, path := range []string{"/api/segment", "/api/segment/explain", "/api/stream"} {
		if r := s.ask("GET", path+"?anonymousId=user:ann", ""); r.Code != 403 {
			t.Errorf("%s: %d", path, r.Code)
		}
	}
}

// TestProofEnds: tokens are renewed by lookups, and so would prove for ever.
func TestProofEnds(t *testing.T) {
	s := verifiedSite(t)
	var a provenAnswer
	s.read(&a, "POST", "/api/segment", `{"anonymousId":"phone","userId":"ann","proof":"`+hashOf("ann")+`"}`)
	end := s.clock.Load()/1000 + int64(proofLife/time.Second)
	for a.Known {
		s.clock.Store((a.Expires - 1) * 1000)
		body, err := json.Marshal(map[string]string{"anonymousId": "phone", "token": a.Token})
		check(t, err)
		a = provenAnswer{}
		s.read(&a, "POST", "/api/segment", string(body))
		if a.Known && a.Expires > end {
			t.Fatalf("a token that is good until %d, the proof until %d", a.Expires, end)
		}
		if a.Expires == end {
			break
		}
	}
	s.clock.Store(end * 1000)
	last := a.Token
	a = provenAnswer{}
	s.read(&a, "POST", "/api/segment", `{"anonymousId":"phone","token":"`+last+`"}`)
	if a.Known || !a.ProofNeeded {
		t.Errorf("after the proof's end: %+v", a)
	}
}

// read reads what this test looks at of an answer.
func (s *site) read(into any, method, target, body string, header ...string) {
	s.t.Helper()
	w := s.ask(method, target, body, header...)
	if w.Code != 200 {
		s.t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	check(s.t, json.Unmarshal(w.Body.Bytes(), into))
}
