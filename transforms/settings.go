package transforms

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settingTag names a setting of Spec and of the types in it, and says more of it,
// behind commas:
//
//	setting:"session.gap,ms"
//	setting:"-"          decides nothing
//	setting:"name,key"   names the elements of its list
//	reading              only says which records are events
//	ms                   a duration in ms
//	default=15           left out where it has this value; else where it is 0
//	since=2              the version of fingerprints that first knew it
//
// A list of structs without a key has numbered elements.
const settingTag = "setting"

// Settings are what a configuration tells the job, as values with the names that
// they have for people, and apart those that only say which records are events:
// with other ones of these the states are still right. What has its default is
// left out, and so is any key that came later and is not stated: neither new keys
// nor their names and order in the program make another configuration.
func (b *Built) Settings() (decides, reading map[string]string) {
	w := settings{decides: map[string]string{}, reading: map[string]string{}}
	w.fields(reflect.ValueOf(b.Spec), "", false)
	catalogue := b.Segment.Schema.Stored()
	features := []string{}
	for _, s := range b.Segment.Slots {
		features = append(features, catalogue[s].Name)
	}
	slices.Sort(features) // vectors say themselves in which order they hold them
	w.decides["features"] = strings.Join(features, ", ")
	return w.decides, w.reading
}

type settings struct{ decides, reading map[string]string }

// option is what a tag says of a setting.
type option struct {
	name             string
	ms, key, reading bool
	standard         string
	since            string
}

func readOption(tag string) (o option) {
	o.name, tag, _ = strings.Cut(tag, ",")
	for _, word := range strings.Split(tag, ",") {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "ms":
			o.ms = true
		case "key":
			o.key = true
		case "reading":
			o.reading = true
		case "default":
			o.standard = value
		case "since":
			o.since = value
		}
	}
	return o
}

// fields writes those of a struct below a name.
func (w *settings) fields(v reflect.Value, under string, reading bool) {
	for i := range v.NumField() {
		o := readOption(v.Type().Field(i).Tag.Get(settingTag))
		if o.name == "-" || o.name == "" {
			continue
		}
		name := o.name
		if under != "" {
			name = under + "." + name
		}
		w.value(v.Field(i), name, &o, reading || o.reading)
	}
}

func (w *settings) value(v reflect.Value, name string, o *option, reading bool) {
	_, named := v.Interface().(fmt.Stringer)
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() { // what is stated counts, even where it is 0
			stated := *o
			stated.standard = "not stated"
			w.value(v.Elem(), name, &stated, reading)
		}
	case named:
		w.set(name, fmt.Sprint(v.Interface()), o, reading)
	case v.Kind() == reflect.Struct:
		w.fields(v, name, reading)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		w.list(v, name, reading)
	case v.Kind() == reflect.Slice:
		var words []string
		for i := range v.Len() {
			words = append(words, fmt.Sprint(v.Index(i).Interface()))
		}
		w.set(name, strings.Join(words, ", "), o, reading)
	case o.ms:
		w.set(name, (time.Duration(v.Int()) * time.Millisecond).String(), o, reading)
	case v.IsZero() && o.standard == "":
	default:
		w.set(name, fmt.Sprint(v.Interface()), o, reading)
	}
}

// set writes a value that is not the default.
func (w *settings) set(name, value string, o *option, reading bool) {
	if value == o.standard {
		return
	}
	if reading {
		w.reading[name] = value
	} else {
		w.decides[name] = value
	}
}

// list writes the elements of a list, each below its key and with the one that it
// follows: their order counts, and one that is put in changes only its neighbour.
func (w *settings) list(v reflect.Value, name string, reading bool) {
	after, seen := "", map[string]int{}
	for i := range v.Len() {
		key := keyOf(v.Index(i))
		if key == "" {
			key = strconv.Itoa(i + 1)
		} else if seen[key]++; seen[key] > 1 {
			key += "#" + strconv.Itoa(seen[key])
		}
		element := name + "[" + key + "]"
		w.set(element+".after", cmp.Or(after, "nothing"), &option{}, reading)
		w.fields(v.Index(i), element, reading)
		after = key
	}
}

func keyOf(v reflect.Value) string {
	for i := range v.NumField() {
		if o := readOption(v.Type().Field(i).Tag.Get(settingTag)); o.key {
			return fmt.Sprint(v.Field(i).Interface())
		}
	}
	return ""
}
