package web_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// pieces are what hostile HTML is made of, some of it broken on purpose.
var pieces = []string{
	"<script>hit()</script>", "<script", "</script>", "<svg>", "</svg>", "<math>", "</math>", "<mtext>", "<foreignObject>", "<style>", "</style>", "<!--", "-->", "<![CDATA[", "]]>",
	"<img src=x onerror=hit()>", "<p onclick=hit()>", "</p>", "<a href=javascript:hit()>", "<a href='java\tscript:hit()'>", "<a href='\x01javascript:hit()'>", "<a href=//x/y>", "</a>", "<table>", "<td>", "</table>",
	"<iframe srcdoc='<script>parent.hit()</script>'>", "</iframe>", "<template>", "</template>", "<noscript>", "</noscript>", "<title>", "</title>", "<textarea>", "</textarea>", "<xmp>", "<plaintext>",
	"<details open ontoggle=hit()>", "<body onload=hit()>", "<html onclick=hit()>", "<form id=x action=javascript:hit()>", "<input name=y autofocus onfocus=hit()>", "<button formaction=javascript:hit()>", "<select>", "<option>",
	"<img src='data:image/svg+xml,<svg onload=hit()>'>", "<a title=\"</p><img src=x onerror=hit()>\">", "<b style=color:red id=z>", "<div data-x='\"><script>hit()</script>'>", "text", "&lt;script&gt;hit()&lt;/script&gt;", "&#60;img src=x onerror=hit()&#62;", "\x00", "\"", "'", "<", ">", "=",
}

// TestSoup: of random sequences of such pieces nothing is left but what is
// harmless, whatever the parser makes of them.
func TestSoup(t *testing.T) {
	t.Parallel()
	b, p := newBackend(t), visit(t)
	b.loose = true // the script must do without the policy's help
	p.Before("window.hits = 0; window.hit = () => window.hits++")
	const n = 400
	random := rand.New(rand.NewPCG(5, 7))
	var soups []string
	for i := range n {
		var s strings.Builder
		for range 1 + random.IntN(12) {
			s.WriteString(pieces[random.IntN(len(pieces))])
		}
		soups = append(soups, s.String())
		b.actions = append(b.actions, fill(fmt.Sprint("soup", i), "r", soups[i]))
	}
	p.Goto(b.url + "/blog/buying-a-laptop")
	p.Eval(fmt.Sprintf(`for (let i = 0; i < %d; i++) {
		const d = document.createElement("div"); d.dataset.msSlot = "soup" + i; document.querySelector("main").append(d) }`, n), nil)
	var bad []struct {
		I    int
		Left string
	}
	p.Eval(`personalizeContent("everyone").then(async () => {
		const slots = [...document.querySelectorAll("[data-ms-slot^=soup]")];
		slots.forEach((s) => s.querySelectorAll("a,p,b,button").forEach((e) => { e.addEventListener("click", (c) => { if (e.protocol !== "javascript:") c.preventDefault() }); e.click() }));
		await new Promise((r) => setTimeout(r, 300));
		const harmful = (e) => /^(script|style|svg|math|iframe|object|embed|link|meta|base|form|input|select|textarea|template|noscript|title|video|details)$/.test(e.localName) ||
			[...e.attributes].some((a) => /^(on|style$|id$|name$|form|srcdoc)/.test(a.name)) || ["href", "src"].some((a) => e.hasAttribute(a) && !/^https?:/.test(e[a]));
		return slots.map((s, i) => ({ I: i, Left: s.innerHTML, bad: [...s.querySelectorAll("*")].some(harmful) })).filter((x) => x.bad || window.hits > 0);
	})`, &bad)
	for _, x := range bad[:min(len(bad), 5)] {
		t.Errorf("of %q is left %q", soups[x.I], x.Left)
	}
	if len(bad) > 0 {
		t.Errorf("%d of %d, %s scripts ran", len(bad), n, p.Text("window.hits"))
	}
	if got := p.Text(`[...document.querySelectorAll("[data-ms-slot^=soup]")].filter((e) => e.dataset.msRule).length`); got != fmt.Sprint(n) {
		t.Errorf("%s of %d slots are filled", got, n)
	}
}
