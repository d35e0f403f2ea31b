package event

import (
	"strings"
	"unicode"
)

// currencies are the codes of ISO 4217 and the short names that people write.
var currencies = func() map[string]bool {
	m := map[string]bool{}
	for _, c := range strings.Fields(`
		AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF CLP
		CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR
		ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP
		MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG
		SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST
		XAF XCD XOF XPF YER ZAR ZMW ZWL
		EURO EUROS DOLLAR DOLLARS KR ZŁ ZL KČ KC FT LEI LEU ЛВ LV РУБ Р ГРН RS RM RP DIN TL SFR FR DH DHS SR KD QR BHT RMB YUAN YEN WON`) {
		m[c] = true
	}
	return m
}()

// thousandths are the currencies of three decimals.
var thousandths = map[string]bool{"BHD": true, "IQD": true, "JOD": true, "KWD": true, "LYD": true, "OMR": true, "TND": true, "KD": true}

// undivided are the currencies without decimals in which a full stop groups thousands.
var undivided = map[string]bool{"IDR": true, "RP": true, "RP.": true, "VND": true, "₫": true, "Đ": true, "KRW": true, "₩": true, "CLP": true, "PYG": true,
	"ISK": true, "JPY": true}

// isCurrency reports whether a word or a sign is a currency: EUR, €, US$, Rs.
func isCurrency(token string) bool {
	sign := false
	letters := strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Sc, c) {
			sign = true
			return -1
		}
		if c == '.' {
			return -1
		}
		return unicode.ToUpper(c)
	}, token)
	return currencies[letters] || sign && len(letters) <= 3
}

// isSymbol reports whether a currency is a sign, which several currencies share.
func isSymbol(token string) bool {
	return strings.ContainsFunc(token, func(c rune) bool { return unicode.Is(unicode.Sc, c) })
}
