package event

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/go-faster/jx"
)

// Consent says which events make a profile. Segment's consent context is read:
// context.consent.categoryPreferences, an object of category → true or false.
type Consent struct {
	// Categories that must not be denied, in any case; none: Analytics. Other
	// categories are about other uses of the data.
	Categories []string
	// Required refuses events that do not grant every one of the categories.
	Required bool
}

// DefaultConsentCategory is the category of a Consent that names none.
const DefaultConsentCategory = "analytics"

const maxCategories = 32

// consent holds what a record says of the configured categories, a bit each.
type consent struct{ granted, denied uint32 }

func (c Consent) categories() ([]string, error) {
	if len(c.Categories) == 0 {
		return []string{DefaultConsentCategory}, nil
	}
	if len(c.Categories) > maxCategories {
		return nil, fmt.Errorf("reading consent categories: %d names, at most %d can be told apart", len(c.Categories), maxCategories)
	}
	for i, name := range c.Categories {
		if name == "" {
			return nil, fmt.Errorf("reading consent categories: the name number %d is empty", i+1)
		}
	}
	return c.Categories, nil
}

// given reports whether the record may make a profile.
func (c Consent) given(r *record) bool {
	if r.set>>cPreferences&1 == 0 || !r.isObject(cPreferences) {
		return !c.Required
	}
	if r.consent.denied != 0 {
		return false
	}
	return !c.Required || bits.OnesCount32(r.consent.granted) == max(1, len(c.Categories))
}

// readPreferences reads context.consent.categoryPreferences. What is neither
// true nor null is a no: nobody may be taken for granted by a spelling.
func (p *parser) readPreferences() error {
	p.rec.consent = consent{}
	it, err := p.jd.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		var bit uint32
		for i, name := range p.categories {
			if strings.EqualFold(string(it.Key()), name) {
				bit |= 1 << i
			}
		}
		p.rec.consent.granted &^= bit // the last of equal keys counts
		p.rec.consent.denied &^= bit
		switch p.jd.Next() {
		case jx.Null:
			err = p.jd.Skip()
		case jx.Bool:
			var yes bool
			if yes, err = p.jd.Bool(); yes {
				p.rec.consent.granted |= bit
			} else {
				p.rec.consent.denied |= bit
			}
		default:
			p.rec.consent.denied |= bit
			err = p.jd.Skip()
		}
		if err != nil {
			return err
		}
	}
	return it.Err()
}
