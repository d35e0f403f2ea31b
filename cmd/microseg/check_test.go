package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckSaysEverythingAtOnce: `check` stopped at the first unknown key, then at
// the first wrong type, then told of values, then of segments, then of rules, on
// two streams; a file with a dozen mistakes took a dozen rounds.
func TestCheckSaysEverythingAtOnce(t *testing.T) {
	t.Parallel()
	const file = `site: shop
sesion: {gap: 30m}
min_sample: 5
session: {dwell_cap: 30 seconds}
audience:
  activate: 12%
  hysteresis: 12
storage: {min_free_bytes: 64MiB}
collector: {consent: {required: yes}}
high_ticket: {min_price: $500}
elements: price
segments:
  - {name: keen, when: intent > 75 and linked}
  - {name: slow, when: device.network == "3gg"}
  - {name: deep, when: scroll.depth > 60}
  - name: left
    when: hover.prcie > 0 || idle_s > 2m
rules:
  - name: one
    source: {segments: [kean], pages: [prodct]}
    actions:
      - {slot: baner, priority: 1, template: banner, data: {headline: Hello}}
      - {slot: hero, priority: 1, template: heroo}
      - {slot: overlay, template: overlay, ttl: 30, data: {headlin: Hello, text: There}}
`
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := check(&out, path); err != exitCode(1) {
		t.Errorf("check ended with %v", err)
	}
	for _, want := range []string{
		`:2:1: unknown key "sesion"; did you mean session?`,
		`:3:1: unknown key "min_sample"; it belongs below audience`,
		`:4:22: session.dwell_cap: this is not a duration; write a number with its unit, like 400ms, 30s, 10m, 2h or 30d: 30s for 30 seconds`,
		`:6:13: audience.activate: this is not a number: 0.12, not 12%`,
		`:7:15: audience.hysteresis: 12 is not a share; choose from 0 to 1: 12 % is 0.12`,
		`:8:27: storage.min_free_bytes: this is not a whole number; write one without quotes or a fraction: 67108864, not 64MiB`,
		`:9:33: collector.consent.required: write true, not yes`,
		`:10:26: high_ticket.min_price: this is not a number: 500, not $500`,
		`:11:11: elements: this is a list; write [price]`,
		`segments[0].when: column 13 of the condition: write && for and`,
		`segments[1].when: column 19 of the condition: device.network is never "3gg"; it is one of`,
		`did you mean 3g?`,
		`segments[2].when: scroll.depth > 60.0: scroll.depth goes from 0 to 1; write 60 % as 0.6`,
		`segments[3].when: column 1 of the condition: there is no feature hover.prcie; did you mean hover.price?`,
		`segments[3].when: column 29 of the condition: write 120, not 2m: times are in seconds`,
		`rules[0].source.segments[0]: there is no segment "kean"`,
		`rules[0].source.pages[0]: `,
		`did you mean product?`,
		`rules[0].actions[0].slot: there is no slot "baner"; it is one of`,
		`did you mean banner?`,
		`rules[0].actions[1].template: there is no template "heroo"; it is one of`,
		`rules[0].actions[2].ttl: this is not a duration`,
		`rules[0].actions[2].data: template overlay shows .Data.headline, which is missing here; add it, or put {{with .Data.headline}} around it in the template; did you mean headlin?`,
		`to mend`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log("\n" + out.String())
	}
	for _, words := range []string{"Syntax error", "mismatched input", "cannot unmarshal", "undeclared"} {
		if strings.Contains(out.String(), words) {
			t.Errorf("%q is in\n%s", words, out.String())
		}
	}
}

// TestCheckNotes: a segment that no rule names is no mistake, and is said.
func TestCheckNotes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "site.yaml")
	text := "segments:\n  - {name: seen, when: intent > 0.5}\n  - {name: unseen, when: intent > 0.1}\n" +
		"rules:\n  - name: one\n    source: {segments: [seen]}\n    actions:\n      - {slot: hero, template: hero, data: {headline: Hello, text: There}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := check(&out, path); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	expect(t, out.String(), "note: "+path+":3:12: segments[1].name: no rule names unseen or a segment above it")
	expect(t, out.String(), "is fine")
}

// TestCheckTellsOfLogins: what is wrong with TLS and logins is told by `check`,
// once and without a secret, and not by the first connection.
func TestCheckTellsOfLogins(t *testing.T) {
	t.Setenv("MICROSEG_KAFKA_SASL", "KERBEROS")
	t.Setenv("MICROSEG_CLICKHOUSE_CA_FILE", filepath.Join(t.TempDir(), "none.pem"))
	t.Setenv("MICROSEG_REDIS_PASSWORD", "hunter2")
	var out strings.Builder
	if err := check(&out, ""); err == nil {
		t.Error("no error")
	}
	for _, want := range []string{"choose PLAIN", "MICROSEG_CLICKHOUSE_CA_FILE", "MICROSEG_REDIS_PASSWORD"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a secret:\n%s", out.String())
	}
}
