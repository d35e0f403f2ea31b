package event

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
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

// modelPercent is a depth, which may be stated in percent.
func modelPercent(v any, currency string) float64 {
	s, _ := v.(string)
	s, percent := strings.CutSuffix(s, "%")
	if percent {
		v = strings.TrimSpace(s)
	}
	f, _ := modelAmount(v, currency)
	if f > 1 || percent {
		f /= 100
	}
	return math.Abs(math.Min(1, math.Max(0, f)))
}

func modelMeasure(cfg Config, name any, props object, e *Event) {
	for i, name := range cfg.Elements {
		if props["element"] == name {
			e.Element = uint8(i + 1)
		}
	}
	e.Item = modelProduct(props)
	currency, _ := props["currency"].(string)
	signed := func(key string) (float64, bool) { return modelAmount(props[key], currency) }
	get := func(key string) (float64, bool) {
		v, ok := signed(key)
		if v < 0 {
			return 0, false
		}
		return math.Abs(v), ok // -0 is 0
	}
	switch e.Kind {
	case KindPing:
		e.X, _ = get("seconds")
		if modelYes(props["visible"]) {
			e.Flags |= FlagVisible
		}
	case KindScroll:
		e.X = modelPercent(props["depth"], currency)
		e.Y, _ = signed("velocity")
		e.Y = math.Abs(e.Y)
		e.Z, _ = get("seconds_to_half")
	case KindHover, KindFocus:
		e.X, _ = get("duration_ms")
	case KindVideoStart, KindVideoPause, KindVideoComplete:
		e.X, _ = get("position")
		if id, ok := modelID(props["session_id"]); ok && id != "" {
			e.Item = modelHash(id)
		} else if id := modelAsset(props); id != "" {
			e.Item = modelHash(id)
		}
		if name == "Video Content Started" || name == "Video Content Completed" {
			e.Flags |= FlagContent
		}
	case KindProductView:
		e.X, _ = get("price")
	case KindCartAdd, KindCartRemove:
		priced := false
		if props["price"] == nil && props["quantity"] == nil && e.Item == 0 {
			if value, items, all, listed := modelProducts(props); listed && items > 0 {
				if e.Y = items; all {
					e.X = value / items
					e.Flags |= FlagPriced
				}
				return
			}
		}
		if e.X, priced = get("price"); priced {
			e.Flags |= FlagPriced
		}
		stated := false
		if e.Y, stated = signed("quantity"); !stated {
			e.Y = 1
		}
	case KindCartView, KindCheckout:
		value, items, priced, listed := modelProducts(props)
		if listed {
			e.X, e.Y = value, items
			e.Flags |= FlagCart
			if priced {
				e.Flags |= FlagPriced
			}
		}
		for _, key := range []string{"value", "revenue", "total", "subtotal"} {
			if v, ok := get(key); ok && (key == "value" || !listed) {
				e.X = v
				e.Flags |= FlagPriced
				break
			}
		}
	case KindOrder, KindRefund:
		for _, key := range []string{"total", "revenue", "value", "subtotal"} {
			v, ok := signed(key)
			if e.Kind == KindRefund {
				v = math.Abs(v)
			}
			if ok && v >= 0 {
				e.X = math.Abs(v)
				return
			}
		}
		if value, _, _, listed := modelProducts(props); listed {
			e.X = value
		}
	}
}

// modelAsset is the id of the video under the last of its three names in the record,
// which random records do not have twice.
func modelAsset(props object) string {
	for _, key := range []string{"content_asset_ids", "content_asset_id", "asset_id"} {
		list := []any{props[key]}
		switch v := props[key].(type) {
		case []any:
			list = v
		case object:
			return ""
		}
		for _, v := range list {
			if v == nil {
				continue
			}
			if s, isText := v.(string); isText || len(fmt.Sprint(v)) > 0 {
				if _, isNumber := v.(json.Number); isNumber {
					s = fmt.Sprint(v)
				} else if !isText {
					continue
				}
				if len(s) > 512 {
					return ""
				}
				return s
			}
		}
	}
	return ""
}

// modelElements are the elements of the products, however they are stated.
func modelElements(props object) (list []any, listed bool) {
	v := props["products"]
	for _, key := range []string{"items", "line_items"} {
		if list, ok := props[key].([]any); ok && v == nil {
			v = list
		}
	}
	if text, ok := v.(string); ok && (strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")) {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var in any
		if dec.Decode(&in) != nil {
			return nil, false
		}
		if _, err := dec.Token(); err != io.EOF {
			return nil, false
		}
		v = in
	}
	switch v := v.(type) {
	case []any:
		list = v
	case object:
		for _, key := range []string{"items", "products", "line_items"} {
			if list, ok := v[key].([]any); ok {
				return list, true
			}
		}
		objects, product := false, false
		for key, member := range v {
			_, isObject := member.(object)
			objects = objects || isObject
			product = product || slices.Contains([]string{"price", "quantity", "product_id", "sku", "name", "category", "item_id", "product"}, key)
		}
		if objects && !product {
			for _, key := range slices.Sorted(maps.Keys(v)) {
				list = append(list, v[key])
			}
		} else if len(v) > 0 {
			list = []any{v}
		}
	default:
		return nil, false
	}
	return list, true
}

func modelProducts(props object) (value, items float64, priced, listed bool) {
	list, ok := modelElements(props)
	if !ok {
		return 0, 0, false, false
	}
	priced = true
	for _, p := range list {
		if text, ok := p.(string); ok && strings.HasPrefix(text, "{") {
			if o, ok := modelJSON([]byte(text)); ok {
				p = o
			}
		}
		product, isObject := p.(object)
		if inner, ok := product["product"].(object); ok {
			outer := product
			product = maps.Clone(inner)
			maps.Copy(product, outer)
		}
		switch p.(type) {
		case nil:
			continue
		case string, json.Number:
			items++
		}
		if !isObject {
			priced = false
			continue
		}
		price, ok := modelAmount(product["price"], "")
		if !ok || price < 0 {
			priced, price = false, 0
		}
		quantity, ok := modelAmount(product["quantity"], "")
		if !ok || quantity < 0 {
			quantity = 1
		}
		value += math.Abs(price) * math.Abs(quantity)
		items += math.Abs(quantity)
	}
	return value, items, priced, value <= 1e12 && items <= 1e12
}

// modelHighTicket says what the documentation says: expensive products, lists of
// which half of the priced products are expensive, and else category pages.
func modelHighTicket(cfg Config, top, props object, path string, e *Event) bool {
	in := func(category any) bool {
		text, _ := category.(string)
		for _, p := range cfg.HighTicketCategories {
			if regexp.MustCompile(`(?is)^` + regexp.QuoteMeta(p) + `($|[./])`).MatchString(text) {
				return true
			}
		}
		return false
	}
	byPath := false
	for at := path; strings.Contains(at, "/"); byPath = byPath || in(at) {
		_, at, _ = strings.Cut(at, "/")
	}
	currency, _ := props["currency"].(string)
	switch {
	case e.Kind == KindListView:
		priced, expensive := 0, 0
		list, _ := modelElements(props)
		for _, p := range list {
			product, _ := p.(object)
			price, ok := modelAmount(product["price"], "")
			if !ok || price < 0 || product["price"] == nil {
				continue
			}
			category := product["category"]
			if text, _ := category.(string); text == "" {
				category = props["category"]
			}
			if priced++; price >= cfg.HighTicketMinPrice && in(category) {
				expensive++
			}
		}
		if priced > 0 {
			return expensive > 0 && 2*expensive >= priced
		}
		return in(props["category"]) || byPath
	case e.Kind == KindPage && e.PageType == PageList && props["price"] == nil:
		return in(props["category"]) || in(top["category"]) || byPath
	}
	price, ok := modelAmount(props["price"], currency)
	return in(props["category"]) && price >= cfg.HighTicketMinPrice && (ok || props["price"] == nil)
}
