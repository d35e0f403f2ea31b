package event

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// modelNumber is the value of a number or of a string that spells one.
func modelNumber(v any) (float64, bool) {
	s := ""
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && jsonNumber.MatchString(s)
}

func modelMeasure(cfg Config, name any, props object, e *Event) bool {
	for i, name := range cfg.Elements {
		if props["element"] == name {
			e.Element = uint8(i + 1)
		}
	}
	e.Item = modelProduct(props)
	ok := true
	// get is a measurement, 0 when not stated; it clears ok when it is wrong.
	get := func(o object, key string) float64 {
		if o[key] == nil {
			return 0
		}
		v, good := modelNumber(o[key])
		if !good || v < 0 || v > 1e12 {
			ok = false
			return 0
		}
		return math.Abs(v) // -0 is 0
	}
	category, _ := props["category"].(string)
	for _, p := range cfg.HighTicketCategories {
		if category == p || strings.HasPrefix(category, p+".") || strings.HasPrefix(category, p+"/") {
			if get(props, "price") >= cfg.HighTicketMinPrice && ok {
				e.Flags |= FlagHighTicket
			}
			ok = true
		}
	}
	switch e.Kind {
	case KindPing:
		e.X = get(props, "seconds")
		if props["visible"] == true {
			e.Flags |= FlagVisible
		}
	case KindScroll:
		if props["depth"] != nil {
			if e.X, ok = modelNumber(props["depth"]); !ok {
				return false
			}
			if e.X > 1 {
				e.X /= 100
			}
			e.X = math.Abs(math.Min(1, math.Max(0, e.X)))
		}
		if props["velocity"] != nil {
			if e.Y, ok = modelNumber(props["velocity"]); !ok {
				return false
			}
			e.Y = math.Abs(e.Y)
		}
		e.Z = get(props, "seconds_to_half")
	case KindHover, KindFocus:
		e.X = get(props, "duration_ms")
	case KindVideoStart, KindVideoPause, KindVideoComplete:
		e.X = get(props, "position")
		if id, ok := modelID(props["session_id"]); ok && id != "" {
			e.Item = modelHash(id)
		}
		if name == "Video Content Started" || name == "Video Content Completed" {
			e.Flags |= FlagContent
		}
	case KindProductView:
		e.X = get(props, "price")
	case KindCartAdd, KindCartRemove:
		e.X, e.Y = get(props, "price"), 1
		if props["price"] != nil {
			e.Flags |= FlagPriced
		}
		if props["quantity"] != nil {
			q, isNumber := modelNumber(props["quantity"])
			e.Y, ok = q, ok && isNumber && math.Abs(q) <= 1e12
		}
	case KindCartView, KindCheckout:
		e.X, e.Y = modelProducts(props, &ok, get)
		if props["products"] != nil {
			e.Flags |= FlagCart | FlagPriced
			list, _ := props["products"].([]any)
			for _, v := range list {
				if p, _ := v.(object); p["price"] == nil {
					e.Flags &^= FlagPriced
				}
			}
		}
		if props["value"] != nil {
			e.X = get(props, "value")
			e.Flags |= FlagPriced
		}
	case KindOrder, KindRefund:
		if props["total"] != nil {
			e.X = get(props, "total")
		} else if props["revenue"] != nil {
			e.X = get(props, "revenue")
		} else if props["value"] != nil {
			e.X = get(props, "value")
		} else {
			e.X, _ = modelProducts(props, &ok, get)
		}
	}
	return ok && e.X <= 1e12 && e.Y <= 1e12
}

func modelProducts(props object, ok *bool, get func(object, string) float64) (value, items float64) {
	if props["products"] == nil {
		return 0, 0
	}
	list, isList := props["products"].([]any)
	if !isList {
		*ok = false
	}
	for _, v := range list {
		p, isObject := v.(object)
		if !isObject {
			*ok = false
			continue
		}
		quantity := 1.0
		if p["quantity"] != nil {
			quantity = get(p, "quantity")
		}
		value += get(p, "price") * quantity
		items += quantity
	}
	return value, items
}
