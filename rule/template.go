package rule

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// TemplateData is what a template sees. html/template escapes each value for
// where it stands.
type TemplateData struct {
	Data       map[string]string // of the action
	Segment    string            // path served
	Page       string            // page type
	Device     string            // device type
	DeadlineMS int64             // end of the countdown, ms since the epoch; 0: impersonal, or none
	CountdownS int64             // length of the countdown, s; 0: none
	Category   string            // of the visitor's event; anybody's text
	Product    string            // likewise
}

// Templates are compiled templates by name. They are safe for concurrent use.
type Templates struct{ byName map[string]*template.Template }

// TemplateError says which template was refused.
type TemplateError struct {
	Name string
	Err  error
}

func (e *TemplateError) Error() string { return fmt.Sprintf("template %s: %v", e.Name, e.Err) }

// Unwrap returns what is wrong.
func (e *TemplateError) Unwrap() error { return e.Err }

// NewTemplates compiles html/template texts and tries each with and without
// data, since html/template looks at the context of values only then. Pages
// have a strict content security policy: texts with scripts, styles or event
// handlers in them are refused, and so is what an edge would include. Besides
// html/template's functions there is clock, which writes seconds as 14:05.
// Errors are joined *TemplateError, by name.
func NewTemplates(texts map[string]string) (*Templates, error) {
	t := &Templates{byName: map[string]*template.Template{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if err := t.add(name, texts[name]); err != nil {
			errs = append(errs, &TemplateError{name, err})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

var notInert = regexp.MustCompile(`(?i)</?\s*(script|style|iframe|object|embed|base|link|meta)\b|<\s*/?\s*esi:|<!--|<[^>]*[\s"'/](on[a-z]+|style|srcdoc)\s*=|javascript:`)

func (t *Templates) add(name, text string) error {
	if m := notInert.FindString(text); m != "" {
		return fmt.Errorf("%q does not work under the pages' content security policy; leave scripts, styles, handlers, comments and includes to the page", m)
	}
	one, err := template.New(name).Option("missingkey=zero").Funcs(template.FuncMap{"clock": clock}).Parse(text)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	full := TemplateData{Data: map[string]string{"x": "x"}, Segment: "everyone", Page: "home", Device: "mobile", DeadlineMS: 1, CountdownS: 1, Category: "a", Product: "b"}
	for _, d := range []TemplateData{{}, full} {
		if err := one.Execute(io.Discard, d); err != nil {
			return fmt.Errorf("trying it out: %w", templateMistake(err))
		}
	}
	t.byName[name] = one
	return nil
}

// Has reports whether there is a template of that name.
func (t *Templates) Has(name string) bool { return t.byName[name] != nil }

// Render is the template's HTML.
func (t *Templates) Render(name string, d TemplateData) (string, error) {
	one := t.byName[name]
	if one == nil {
		return "", fmt.Errorf("rendering: there is no template %q", name)
	}
	var b strings.Builder
	if err := one.Execute(&b, d); err != nil {
		return "", fmt.Errorf("rendering template %s: %w", name, err)
	}
	return b.String(), nil
}

// clock writes seconds as 5:00 or 1:05:00.
func clock(s int64) string {
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
