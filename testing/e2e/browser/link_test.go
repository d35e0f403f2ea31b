package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// watchLink notes what the page sends, and what becomes of a link.
const watchLink = `(() => {
  const send = fetch.bind(window);
  window.__bodies = [];
  window.fetch = (url, o) => { __bodies.push(url + " " + (o && o.body)); return send(url, o); };
  document.addEventListener("microseg:link", (e) => { window.__link = e.detail; });
})();`

// admin asks as the site's own servers do.
func (s *shop) admin(t *testing.T, path string, body any, into any) {
	t.Helper()
	b, err := json.Marshal(body)
	check(t, err)
	r, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(b))
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+s.secrets.AdminKey)
	resp, err := http.DefaultClient.Do(r)
	check(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode >= 300 {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
	}
	check(t, json.Unmarshal(text, into))
}

// TestSignedLink: who is known on one device opens a link, as a QR code has it, on
// another, says that it is theirs, and both see the same segment; the token is in no address, no page view
// and no event. Unlinked, the second device has its own segment again, and the
// first one keeps what it had.
func TestSignedLink(t *testing.T) {
	site.seed(t, "everyone/high_intent", abandoner)
	user := fmt.Sprintf("linda-%d", nowMS())
	laptop := site.visit(t)
	site.open1(laptop, "/")
	laptop.Eval(fmt.Sprintf(`microseg.identify(%q)`, user), nil)
	site.fillCart(laptop)
	site.stay(95e9, laptop)
	laptop.Click("header .brand")
	arrive(laptop, "/")
	waitServed(t, laptop, abandoner)

	var minted struct{ Token, Parameter string }
	site.admin(t, "/v1/identity/token", map[string]any{"userId": user}, &minted)
	phone := site.visit(t)
	phone.Phone()
	phone.Before(watchLink)
	site.open1(phone, "/blog/buying-a-laptop?utm_source=qr&"+minted.Parameter+"#top")
	phone.ClickIn("ms-link", "[part=yes]")
	phone.Wait(`window.__link && __link.ok`)
	if got := phone.Text(`location.pathname + location.search + location.hash`); got != "/blog/buying-a-laptop?utm_source=qr#top" {
		t.Errorf("the address is %s", got)
	}
	waitServed(t, phone, abandoner)
	phone.Eval(`microseg.flush()`, nil)
	phone.Wait(`__bodies.some((b) => b.includes("/v1/batch"))`)
	for _, body := range strings.Split(phone.Text(`__bodies.filter((b) => !b.includes("/v1/identity/link")).join("\n")`), "\n") {
		if strings.Contains(body, minted.Token[:60]) {
			t.Errorf("the token is in what the page sends: %.300s", body)
		}
	}
	if got := phone.Problems(); len(got) > 0 {
		t.Errorf("the browser complains: %q", got)
	}

	var receipt struct{ Offset *int64 }
	site.admin(t, "/v1/identity/unlink", map[string]any{"anonymousId": phone.Text(`microseg.anonymousId()`), "userId": user}, &receipt)
	waitServed(t, phone, "everyone")
	waitServed(t, laptop, abandoner)
}

// TestRefusedLinks: a token that is no good links nothing, and the page hears why.
func TestRefusedLinks(t *testing.T) {
	var minted struct{ Token string }
	site.admin(t, "/v1/identity/token", map[string]any{"userId": "ann", "ttl_s": 1}, &minted)
	forged := minted.Token[:len(minted.Token)-4] + "AAAA"
	site.advance(2e9, 0)
	for token, code := range map[string]string{forged: "token_forged", minted.Token: "token_expired", "x": "token_form"} {
		p := site.visit(t)
		p.Before(watchLink)
		site.open1(p, "/?ms_link="+token)
		if code != "token_form" { // of that one nobody is asked
			p.ClickIn("ms-link", "[part=yes]")
		}
		p.Wait(`window.__link`)
		if got := p.Text(`__link.ok + " " + __link.code + " " + location.search`); got != "false "+code+" " {
			t.Errorf("%s: %s", code, got)
		}
		p.Close()
	}
}
