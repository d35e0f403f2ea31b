package event

import (
	"fmt"
	"regexp"
	"strings"
)

// Times of other forms that programs write, with a zone, are this long.
const (
	minOther = len("20261120T100000Z")
	maxOther = 96
)

var (
	// Java's ZonedDateTime names the zone behind its offset, and leaves out seconds of 0.
	zoneName  = regexp.MustCompile(`\[[A-Za-z0-9_/+-]+\]$`)
	noSeconds = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)([Zz]|[+-]\d\d:?\d\d)$`)
	// ISO 8601's basic form.
	basicTime = regexp.MustCompile(`^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)$`)
	// RFC 1123 and JavaScript's toUTCString; and its toString.
	mailTime   = regexp.MustCompile(`^(?:[A-Z][a-z]{2}, )?(\d\d?) ([A-Z][a-z]{2}) (\d{4}) (\d\d:\d\d:\d\d) (GMT|UTC|[+-]\d{4})$`)
	scriptTime = regexp.MustCompile(`^[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d{4}) (\d\d:\d\d:\d\d) GMT([+-]\d{4})(?: \(.*\))?$`)
)

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// canonical is a time of another form as RFC 3339 has it; anything else stays as it is.
// Dates whose day and month could be mistaken, and times without a zone, are no times.
func canonical(s string) string {
	s = zoneName.ReplaceAllString(strings.TrimSpace(s), "")
	if m := noSeconds.FindStringSubmatch(s); m != nil {
		return m[1] + "T" + m[2] + ":00" + m[3]
	}
	if m := basicTime.FindStringSubmatch(s); m != nil {
		return m[1] + "-" + m[2] + "-" + m[3] + "T" + m[4] + ":" + m[5] + ":" + m[6] + m[7] + m[8]
	}
	day, month, year, clock, zone := "", "", "", "", ""
	if m := mailTime.FindStringSubmatch(s); m != nil {
		day, month, year, clock, zone = m[1], m[2], m[3], m[4], m[5]
	} else if m := scriptTime.FindStringSubmatch(s); m != nil {
		month, day, year, clock, zone = m[1], m[2], m[3], m[4], m[5]
	} else {
		return s
	}
	at := strings.Index(months, month)
	if at < 0 || at%3 != 0 {
		return s
	}
	return fmt.Sprintf("%s-%02d-%02sT%s%s", year, at/3+1, day, clock, zone)
}
