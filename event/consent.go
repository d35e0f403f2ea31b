package event

import (
	"bytes"
	"fmt"
	"math/bits"
	"strings"

	"github.com/go-faster/jx"
)

// Consent says which events make a profile. Read are Segment's consent context
// (context.consent.categoryPreferences: category → yes or no) and RudderStack's
// (context.consentManagement: the ids that are allowed, and those that are denied).
type Consent struct {
	// Categories that must not be denied, in any case; none: Analytics. That one goes
	// by all names that consent platforms have for it. Other categories are about
	// other uses of the data.
	Categories []string `setting:"categories"`
	// Required refuses events that do not grant every one of the categories.
	Required bool `setting:"required"`
}

// DefaultConsentCategory is the category of a Consent that names none.
const DefaultConsentCategory = "analytics"

// analytics are the names of that category: OneTrust's group of performance
// cookies, Cookiebot's, and Google's consent mode.
var analytics = []string{DefaultConsentCategory, "C0002", "statistics", "performance", "analytics_storage"}

const maxCategories = 32

// consent holds what a record says of the configured categories, a bit each.
type consent struct{ granted, denied uint32 }

func (c *consent) says(bit uint32, yes bool) {
	if yes {
		c.granted |= bit
	} else {
		c.denied |= bit
	}
}

// consents reads what records say; names are those of each category.
type consents struct {
	names    [][]string
	required bool
}

func newConsents(c Consent) (*consents, error) {
	cs := &consents{required: c.Required}
	if len(c.Categories) == 0 {
		cs.names = [][]string{analytics}
	}
	if len(c.Categories) > maxCategories {
		return nil, fmt.Errorf("reading consent categories: %d names, at most %d can be told apart",
			len(c.Categories), maxCategories)
	}
	for i, name := range c.Categories {
		if name == "" {
			return nil, fmt.Errorf("reading consent categories: the name number %d is empty", i+1)
		}
		if strings.EqualFold(name, DefaultConsentCategory) {
			cs.names = append(cs.names, analytics)
		} else {
			cs.names = append(cs.names, []string{name})
		}
	}
	return cs, nil
}

// of is the set of the categories that have that name, a bit each.
func (cs *consents) of(name []byte) (set uint32) {
	name = bytes.TrimSpace(name)
	for i, names := range cs.names {
		for _, n := range names {
			if strings.EqualFold(string(name), n) {
				set |= 1 << i
			}
		}
	}
	return set
}

func (cs *consents) all() uint32 { return uint32(1)<<len(cs.names) - 1 }

// given reports whether the record may make a profile. What is stated and cannot be
// read is a no: nobody may be taken for granted by a spelling.
func (cs *consents) given(r *record) bool {
	var c consent
	if r.stated(cConsent) {
		cs.segment(&r.vals[cConsent], &c)
	}
	if r.stated(cManagement) {
		cs.rudderstack(&r.vals[cManagement], &c)
	}
	return c.denied == 0 && (!cs.required || bits.OnesCount32(c.granted) == len(cs.names))
}

// segment reads context.consent: an object with categoryPreferences, or one word
// for everything.
func (cs *consents) segment(v *value, c *consent) {
	if v.typ != jx.Object {
		if !v.empty() {
			c.says(cs.all(), v.yes())
		}
		return
	}
	found := false
	eachMember(v.b, func(key []byte, v *value) {
		if squeezed(key) != preferencesWord {
			return
		}
		found = true
		*c = consent{} // the last of equal keys counts
		switch {
		case v.typ == jx.Null || v.empty():
		case v.typ == jx.Object:
			cs.preferences(v.b, c)
		case v.typ == jx.Array:
			cs.allowed(v, c)
		default:
			c.says(cs.all(), v.yes())
		}
	})
	if !found {
		cs.plain(v.b, c)
	}
}

var preferencesWord = word("categoryPreferences")

// plain reads an object that has the categories themselves ({"analytics_storage":
// "denied"}, as in Google's consent mode), one word for everything ({"granted": false}),
// or something that nobody can read, such as the text of IAB's framework. That of another
// category is about another use, and what says which platform it was says nothing.
func (cs *consents) plain(raw []byte, c *consent) {
	cs.preferences(raw, c)
	eachMember(raw, func(key []byte, v *value) {
		if !v.stated() || v.empty() || cs.of(key) != 0 {
			return
		}
		switch about := squeezed(key); {
		case everything[about]:
			c.says(cs.all(), v.yes())
		case platform[about]:
		case !v.answer():
			c.says(cs.all(), false)
		}
	})
}

// everything are members that speak of all categories, platform those of what is no consent.
var (
	everything = table(map[string]bool{"granted given consent consented consentgiven hasconsent accepted allowed status state all optin default value": true}, strings.Fields)
	platform   = table(map[string]bool{"provider resolutionstrategy version source platform cmp updatedat timestamp method region country language": true}, strings.Fields)
)

// answer reports whether a value is a yes or a no of its category.
func (v *value) answer() bool {
	if v.typ == jx.Bool || v.yes() {
		return true
	}
	switch string(bytes.ToLower(bytes.TrimSpace(v.b))) {
	case "false", "0", "no", "denied", "disallowed", "deny", "rejected", "off", "opted_out", "unknown", "pending":
		return v.scalar()
	}
	return false
}

// preferences reads category → yes or no. Where a category has several names, each
// of them may deny it.
func (cs *consents) preferences(raw []byte, c *consent) {
	last := map[string]consent{} // of equal keys
	eachMember(raw, func(key []byte, v *value) {
		set := cs.of(key)
		if set == 0 {
			return
		}
		var says consent
		if v.typ != jx.Null {
			says.says(set, v.yes())
		}
		last[string(key)] = says
	})
	for _, says := range last {
		c.granted |= says.granted
		c.denied |= says.denied
	}
}

// rudderstack reads context.consentManagement. An id that is not among the allowed
// ones is not allowed, as for RudderStack's own destinations; without a list of
// allowed ones only those that are denied are.
func (cs *consents) rudderstack(v *value, c *consent) {
	if v.empty() {
		return
	}
	if v.typ != jx.Object {
		c.says(cs.all(), v.yes())
		return
	}
	var allowed, denied value
	found := false
	eachMember(v.b, func(key []byte, v *value) {
		switch squeezed(key) {
		case allowedWord:
			found, allowed = true, *v
		case deniedWord:
			found, denied = true, *v
		}
	})
	if !found {
		cs.plain(v.b, c)
		return
	}
	if allowed.stated() {
		cs.allowed(&allowed, c)
	}
	if !denied.stated() {
		return
	}
	if set, ok := cs.listed(&denied); ok {
		c.says(set, false)
	} else {
		c.says(cs.all(), false)
	}
}

var allowedWord, deniedWord = word("allowedConsentIds"), word("deniedConsentIds")

// allowed reads a list of what is allowed, which says no to all others.
func (cs *consents) allowed(v *value, c *consent) {
	set, ok := cs.listed(v)
	if !ok {
		set = 0
	}
	c.says(set, true)
	c.says(cs.all()&^set, false)
}

// listed is the set of the categories in a list of names: an array, a text with
// commas, or an object whose keys are ids and whose values are their names. ok is
// false for anything else.
func (cs *consents) listed(v *value) (set uint32, ok bool) {
	ok = true
	name := func(v *value) {
		switch v.typ {
		case jx.String, jx.Number:
			set |= cs.of(v.b)
		case jx.Null:
		default:
			ok = false
		}
	}
	switch v.typ {
	case jx.Array:
		ok = eachElement(v.b, name) && ok
	case jx.Object:
		eachMember(v.b, func(key []byte, v *value) {
			set |= cs.of(key)
			name(v)
		})
	case jx.String, jx.Number:
		for part := range bytes.SplitSeq(v.b, []byte(",")) {
			set |= cs.of(part)
		}
	default:
		return 0, false
	}
	return set, ok
}

// stated reports whether the value is there and not null.
func (v *value) stated() bool { return v.typ != jx.Invalid && v.typ != jx.Null }

// empty reports whether a value is a map or a list without anything in it: PHP
// cannot tell the two apart.
func (v *value) empty() bool {
	return (v.typ == jx.Object || v.typ == jx.Array) && len(bytes.Trim(v.b, "{}[] \t\r\n")) == 0
}

// yes reports whether a value is a clear yes; all else is a no.
func (v *value) yes() bool {
	if v.typ != jx.Bool && v.typ != jx.String && v.typ != jx.Number {
		return false
	}
	switch string(bytes.ToLower(bytes.TrimSpace(v.b))) {
	case "true", "1", "yes", "granted", "allowed", "allow", "on", "accepted", "opted_in":
		return true
	}
	return false
}
