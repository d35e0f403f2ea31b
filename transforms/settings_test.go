package transforms

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/microseg/microseg/segment"
)

// TestEveryFieldIsASetting: a field of Spec that nobody has named is neither part
// of the fingerprint nor known to be none: a job with another value of it would go
// on with states that are wrong. When the fingerprint was a hash of the structs, a
// new field discarded the state of every job instead.
func TestEveryFieldIsASetting(t *testing.T) {
	t.Parallel()
	names := map[string]string{}
	var walk func(typ reflect.Type, path, under string, depth int)
	walk = func(typ reflect.Type, path, under string, depth int) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || depth > 4 {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			tag, ok := f.Tag.Lookup(settingTag)
			o := readOption(tag)
			if !ok || o.name == "" {
				t.Errorf("%s.%s has no `setting` tag: name the setting, or \"-\" if it decides nothing (transforms/settings.go)", path, f.Name)
			}
			if !ok || o.name == "-" {
				continue
			}
			name := strings.TrimPrefix(under+"."+o.name, ".")
			if other, taken := names[name]; taken && depth < 4 {
				t.Errorf("%s.%s and %s are both %q", path, f.Name, other, name)
			}
			names[name] = path + "." + f.Name
			if o.name == "children" {
				continue
			}
			walk(f.Type, path+"."+f.Name, name, depth+1)
		}
	}
	walk(reflect.TypeFor[Spec](), "Spec", "", 0)
}

// TestSettings: what is stated is there under its name, what has its default is
// not, and one segment more changes itself and its neighbour.
func TestSettings(t *testing.T) {
	t.Parallel()
	none := 0.0
	spec := testSpec(t, "settings", 1, 3)
	spec.Segments = []segment.Spec{{Name: "a", Title: "A", When: "intent > 0.5"}, {Name: "b", When: "intent > 0.2", MinAudience: &none}}
	spec.GapMS = 1_800_000
	of := func(edit func(s *Spec)) map[string]string {
		s := spec
		s.Job = fmt.Sprintf("settings-%p", edit)
		s.Segments = slices.Clone(spec.Segments)
		edit(&s)
		b, err := s.Build()
		if err != nil {
			t.Fatal(err)
		}
		decides, _ := b.Settings()
		return decides
	}
	was := of(func(*Spec) {})
	for name, want := range map[string]string{"session.gap": "30m0s", "segments[b].min_audience": "0", "segments[b].after": "a", "segments[a].when": "intent > 0.5"} {
		if was[name] != want {
			t.Errorf("%s = %q, want %q", name, was[name], want)
		}
	}
	for name := range was {
		if strings.Contains(name, "min_audience") && !strings.Contains(name, "[b]") || strings.Contains(name, "title") {
			t.Errorf("%s is a setting", name)
		}
	}
	same := of(func(s *Spec) {
		s.Segments[0].Title, s.Shards, s.Partitions, s.Run, s.Erased, s.Slots, s.Rules = "B", 4, 9, 77, nil, nil, nil
		s.Rules = nil
	})
	delete(was, "features")
	delete(same, "features")
	if !maps.Equal(was, same) {
		t.Errorf("titles or shards decide: %v and %v", was, same)
	}
	more := of(func(s *Spec) {
		s.Segments = append([]segment.Spec{{Name: "new", When: "intent > 0.9"}}, s.Segments...)
	})
	for name := range more {
		if was[name] != more[name] && !strings.Contains(name, "[new]") && name != "segments[a].after" && name != "features" {
			t.Errorf("%s has changed from %q to %q", name, was[name], more[name])
		}
	}
}
