package rule

import (
	"errors"
	"strings"
	"testing"
)

func TestTemplatesRefuse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{{.Data.x":                        "parsing: ",
		"{{.Nothing}}":                     "trying it out: ",
		"{{if .DeadlineMS}}{{.No}}{{end}}": "trying it out: ",
		"<a href=\"{{if .Page}}\"{{end}}>": "trying it out: ",
		"<p>{{template \"other\"}}</p>":    "",
		"<script>alert(1)</script>":        `"<script" does not work`,
		"<p STYLE=\"color: red\">":         "content security policy",
		"<p\nonclick=\"go()\">":            "content security policy",
		"<p/onclick=\"go()\">":             "content security policy",
		"<a href=\"javascript:go()\">":     "content security policy",
		"<esi:include src=\"/a\"/>":        "content security policy",
		"<!--esi <p> -->":                  "content security policy",
		"<iframe srcdoc=\"a\">":            "content security policy",
	} {
		_, err := NewTemplates(map[string]string{"fine": "<p>{{.Page}}</p>", "one": text})
		if te := (*TemplateError)(nil); !errors.As(err, &te) || te.Name != "one" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// TestTemplatesEscape: what a visitor writes stays text, wherever it stands.
func TestTemplatesEscape(t *testing.T) {
	t.Parallel()
	ts, err := NewTemplates(map[string]string{
		"text":  `<p>{{.Category}} based on style = 3</p>`,
		"attr":  `<p title="{{.Category}}">`,
		"bare":  `<p title={{.Category}}>`,
		"url":   `<a href="{{.Category}}">`,
		"query": `<a href="/s?q={{.Category}}">`,
		"data":  `<p>{{.Data.a}}{{.Data.missing}}</p>`,
	})
	if err != nil {
		t.Fatal(err)
	}
	const evil = `"><script>x</script><esi:include src="/a"/> onload=x '`
	for _, name := range []string{"text", "attr", "bare", "url", "query", "data"} {
		got, err := ts.Render(name, TemplateData{Category: evil, Data: map[string]string{"a": evil}})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got, "<script") || strings.Contains(got, "<esi") || strings.Count(got, "<") > 2 || name == "bare" && strings.Contains(got, " onload") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got, _ := ts.Render("url", TemplateData{Category: "javascript:alert(1)"}); strings.Contains(got, "javascript") {
		t.Errorf("url: %s", got)
	}
	if got, _ := ts.Render("data", TemplateData{}); got != "<p></p>" {
		t.Errorf("missing data: %s", got)
	}
	if _, err := ts.Render("none", TemplateData{}); err == nil || ts.Has("none") || !ts.Has("data") {
		t.Error("a template that is not there")
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	for s, want := range map[int64]string{0: "0:00", 59: "0:59", 900: "15:00", 3600: "1:00:00", 90_061: "25:01:01"} {
		if got := clock(s); got != want {
			t.Errorf("%d: %s, want %s", s, got, want)
		}
	}
}

// FuzzRender: no text of a visitor makes a tag, whatever the context.
func FuzzRender(f *testing.F) {
	ts, err := NewTemplates(map[string]string{"one": `<p title="{{.Category}}" data-x={{.Product}}>{{.Category}}<a href="{{.Product}}">{{.Product}}</a></p>`})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("<script>", "javascript:x")
	f.Add(`" onload="`, "<esi:include src=/>")
	f.Fuzz(func(t *testing.T, category, product string) {
		got, err := ts.Render("one", TemplateData{Category: category, Product: product})
		if err != nil || strings.Count(got, "<") != 4 || strings.Count(got, ">") != 4 {
			t.Errorf("%s, %v", got, err)
		}
	})
}
