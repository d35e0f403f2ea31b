package event

import (
	"encoding/json"
	"html"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// modelAmount is the amount that a value is, by expressions for each way of writing one;
// ok is false where it is none, or could be two.
func modelAmount(v any, currency string) (f float64, ok bool) {
	f, ok = modelMoney(v, currency)
	if !ok || math.Abs(f) > 1e12 {
		return 0, false
	}
	return f, true
}

func modelMoney(v any, currency string) (float64, bool) {
	if f, ok := modelNumber(v); ok {
		return f, true
	}
	switch v := v.(type) {
	case string:
		return modelText(v, currency)
	case []any:
		if len(v) != 1 {
			return 0, false
		}
		if _, list := v[0].([]any); list {
			return 0, false
		}
		return modelMoney(v[0], currency)
	case object:
		return modelMoneyObject(v, currency)
	}
	return 0, false
}

func modelMoneyObject(o object, currency string) (float64, bool) {
	at := map[string]any{}
	for key, v := range o {
		at[modelWord(key)] = v
	}
	for _, key := range []string{"currency", "currencycode", "currencyiso"} {
		if s, ok := at[key].(string); ok {
			currency = s
		}
	}
	for _, key := range []string{"amount", "value", "price"} {
		switch at[key].(type) {
		case string, json.Number:
			return modelMoney(at[key], currency)
		}
	}
	for _, key := range []string{"shopmoney", "amount", "value", "price"} {
		if inner, ok := at[key].(object); ok {
			return modelMoneyObject(inner, currency)
		}
	}
	for _, key := range []string{"micros", "amountmicros", "priceamountmicros"} {
		if f, ok := modelNumber(at[key]); ok {
			return f / 1e6, true
		}
	}
	units, ok1 := modelNumber(at["units"])
	nanos, ok2 := modelNumber(at["nanos"])
	if ok1 || ok2 {
		return units + nanos/1e9, true
	}
	cents, ok1 := modelNumber(at["centamount"])
	digits, ok2 := modelNumber(at["fractiondigits"])
	if ok1 && ok2 && digits >= 0 && digits <= 4 {
		return cents / math.Pow10(int(digits)), true
	}
	return 0, false
}

const (
	modelSymbols = `[\p{L}\p{Sc}][\p{L}\p{Sc}.]*|\p{Sc}`
	modelDigits  = `[0-9.,' _]*[0-9]`
)

var (
	modelShape = regexp.MustCompile(`^([-+]?) *(` + modelSymbols + `)? *([-+]?) *(` + modelDigits + `) *(` + modelSymbols + `)?$`)
	// The ways to write a number: groups, and which of "." and "," is what.
	modelWays = []*regexp.Regexp{
		regexp.MustCompile(`^()([0-9]+)$`),
		regexp.MustCompile(`^([0-9]*)\.([0-9]+)$`), regexp.MustCompile(`^([0-9]*),([0-9]+)$`),
		regexp.MustCompile(`^([1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3})(?:\.([0-9]+))?$`),
		regexp.MustCompile(`^([1-9][0-9]{0,2}(?:\.[0-9]{3})+|[1-9][0-9]?(?:\.[0-9]{2})+\.[0-9]{3})(?:,([0-9]+))?$`),
		regexp.MustCompile(`^([1-9][0-9]{0,2}(?: [0-9]{3})+|[1-9][0-9]?(?: [0-9]{2})+ [0-9]{3})(?:[.,]([0-9]+))?$`),
		regexp.MustCompile(`^([1-9][0-9]{0,2}(?:'[0-9]{3})+|[1-9][0-9]?(?:'[0-9]{2})+'[0-9]{3})(?:[.,]([0-9]+))?$`),
		regexp.MustCompile(`^([1-9][0-9]{0,2}(?:_[0-9]{3})+|[1-9][0-9]?(?:_[0-9]{2})+_[0-9]{3})(?:[.,]([0-9]+))?$`),
	}
	modelThousands = regexp.MustCompile(`^[1-9][0-9]{0,2},[0-9]{3}$`)
	modelPoints    = regexp.MustCompile(`^[1-9][0-9]{0,2}\.[0-9]{3}$`)
	modelGroups    = regexp.MustCompile(`[., '_]`)
)

func modelText(text, currency string) (float64, bool) {
	if len(text) > 64 {
		return 0, false
	}
	s := strings.TrimSpace(strings.Map(plainer, html.UnescapeString(text)))
	sign := 1.0
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") && len(s) > 1 {
		sign, s = -1, s[1:len(s)-1]
	}
	dashed := regexp.MustCompile(`[.,]--?$`).MatchString(s)
	s = regexp.MustCompile(`[.,]--?$`).ReplaceAllString(s, "")
	m := modelShape.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || m[1] != "" && m[3] != "" {
		return 0, false
	}
	if m[1] == "-" || m[3] == "-" {
		if sign < 0 {
			return 0, false
		}
		sign = -1
	}
	front, back := m[2], m[5]
	for _, name := range []string{front, back} {
		if name != "" && !isCurrency(name) {
			return 0, false
		}
	}
	if front != "" && back != "" && front != back && isSymbol(front) == isSymbol(back) {
		return 0, false
	}
	if front != "" && !isSymbol(front) {
		currency = front
	} else if back != "" {
		currency = back
	} else if front != "" {
		currency = front
	}
	readings := map[float64]bool{}
	for i, way := range modelWays {
		w := way.FindStringSubmatch(m[4])
		if w == nil || i == 2 && modelThousands.MatchString(m[4]) && isCurrency(currency) && !thousandths[strings.ToUpper(currency)] {
			continue
		}
		if i == 1 && modelPoints.MatchString(m[4]) && (dashed || undivided[strings.ToUpper(currency)]) {
			continue
		}
		whole, fraction := modelGroups.ReplaceAllString(w[1], ""), w[2]
		if i == 0 {
			whole, fraction = w[2], ""
		}
		f, err := strconv.ParseFloat("0"+whole+"."+fraction+"0", 64)
		if err != nil {
			return 0, false
		}
		readings[sign*f] = true
	}
	for f := range readings {
		return f, len(readings) == 1
	}
	return 0, false
}
