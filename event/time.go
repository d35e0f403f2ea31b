package event

import (
	"math"
	"strconv"
	"strings"
)

// maxTime is 2299-12-31T23:59:59.999Z, the end of ClickHouse's DateTime64; a
// time beyond it is garbage.
const maxTime = 10_413_791_999_999

// minTime is 1973-03-03T09:46:40Z, 1e11 ms: what is before it is a clock that was
// never set, or a program's zero, and no event's time.
const minTime = 100_000_000_000

// parseTime reads an RFC 3339 time as milliseconds since the epoch; fractions are
// cut to the millisecond. A time without a zone is refused: it could mean any of
// 26 hours. Times from 1970 on are ok; whether one can be an event's is another
// question.
func parseTime(s []byte) (ms int64, ok bool) {
	if ms, ok = parseCanonical(s); ok {
		return ms, true
	}
	if ms, ok = parseVariant(s); ok || len(s) < minOther || len(s) > maxOther {
		return ms, ok
	}
	return parseVariant([]byte(canonical(string(s))))
}

// parseCanonical reads 2006-01-02T15:04:05[.fraction](Z|±hh:mm|±hhmm).
func parseCanonical(s []byte) (ms int64, ok bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	year := digits2(s[0:])*100 + digits2(s[2:])
	month, day := digits2(s[5:]), digits2(s[8:])
	hour, minute, sec := digits2(s[11:]), digits2(s[14:]), digits2(s[17:])
	// digits2 gives a large negative number for anything but two digits.
	if year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		uint(hour) > 23 || uint(minute) > 59 || uint(sec) > 59 {
		return 0, false
	}
	frac, rest := fraction(s[19:])
	zone, ok := zoneMinutes(rest)
	if !ok {
		return 0, false
	}
	ms = ((int64(daysSinceEpoch(year, month, day))*24+int64(hour))*60+int64(minute-zone))*60_000 + int64(sec)*1000 + int64(frac)
	return ms, ms >= 0 && ms <= maxTime
}

const msPerDay = 24 * 3_600_000

// parseVariant reads what RFC 3339 and ISO 8601 allow besides: t and z, a space or an
// underscore for the T, a comma before the fraction, offsets of hours alone, a minus
// sign that is none of ASCII, "UTC", a leap second and the end of a day at 24:00:00.
func parseVariant(b []byte) (ms int64, ok bool) {
	s := strings.TrimSpace(string(b))
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > 64 || !strings.ContainsRune("Tt _", rune(s[10])) {
		return 0, false
	}
	end := 19
	if s[end] == '.' || s[end] == ',' {
		for end++; end < len(s) && s[end]-'0' <= 9; end++ {
		}
	}
	clock, frac := s[11:19], strings.Replace(s[19:end], ",", ".", 1)
	zone := strings.ToUpper(strings.TrimSpace(s[end:]))
	zone = strings.Replace(zone, "\u2212", "-", 1)
	if offset, utc := strings.CutSuffix(zone, "UTC"); utc || zone == "GMT" {
		if zone = strings.TrimSpace(offset); !utc || zone == "" {
			zone = "Z"
		}
	}
	if zone == "" || !strings.ContainsRune("Z+-", rune(zone[0])) {
		return 0, false
	}
	if len(zone) == len("+01") {
		zone += ":00"
	}
	leap := clock[6:] == "60"
	if leap {
		clock = clock[:6] + "59"
	}
	midnight := clock == "24:00:00" && strings.Trim(frac, ".0") == ""
	if midnight {
		clock = "00:00:00"
	}
	ms, ok = parseCanonical([]byte(s[:10] + "T" + clock + frac + zone))
	switch {
	case !ok:
		return 0, false
	case leap: // only ever at the end of a day of UTC; it is the next day's first second
		ms += 1000
		return ms, ms%msPerDay < 1000 && ms <= maxTime
	case midnight:
		ms += msPerDay
	}
	return ms, ms <= maxTime
}

// digits2 is the value of two decimal digits, or a number so negative that no
// sum of two such values reaches zero.
func digits2(s []byte) int {
	a, b := s[0]-'0', s[1]-'0'
	if a > 9 || b > 9 {
		return -100_000
	}
	return int(a)*10 + int(b)
}

// fraction reads ".ddd…" as milliseconds and returns what follows.
func fraction(s []byte) (ms int, rest []byte) {
	if len(s) < 2 || s[0] != '.' || s[1]-'0' > 9 {
		return 0, s // a lone '.' then fails as a zone
	}
	scale := 100
	i := 1
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		ms += int(s[i]-'0') * scale
		scale /= 10
	}
	return ms, s[i:]
}

// zoneMinutes reads Z, ±hh:mm or ±hhmm as minutes east of UTC.
func zoneMinutes(s []byte) (int, bool) {
	if len(s) == 1 && s[0] == 'Z' {
		return 0, true
	}
	if len(s) == 6 && s[3] == ':' {
		s = append(append(make([]byte, 0, 5), s[:3]...), s[4:]...)
	}
	if len(s) != 5 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	h, m := digits2(s[1:]), digits2(s[3:])
	if uint(h) > 23 || uint(m) > 59 {
		return 0, false
	}
	if s[0] == '-' {
		return -(h*60 + m), true
	}
	return h*60 + m, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSinceEpoch counts days from 1970-01-01 in the proleptic Gregorian
// calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
// days_from_civil), for years 0 to 9999.
func daysSinceEpoch(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	era := (year + 400) / 400 // the shift keeps the division away from negative years
	yoe := year + 400 - era*400
	doy := (153*(month-3)+2)/5 + day - 1
	return (era-1)*146_097 + yoe*365 + yoe/4 - yoe/100 + doy - 719_468
}

// parseEpoch reads a number of seconds, milliseconds, microseconds or nanoseconds
// since the epoch. From minTime to maxTime no number can be two of them: which it is
// follows from how many digits it has.
func parseEpoch(s []byte) (int64, bool) {
	f, ok := parseNumber(s)
	switch {
	case !ok || !(f >= 1e8) || f >= 1e20:
		return 0, false
	case f < 1e11:
		f = math.Round(f * 1000)
	case f < 1e14:
	case f < 1e17:
		f /= 1000
	default:
		f /= 1e6
	}
	return int64(f), f <= maxTime
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseNumber reads the text of a JSON number; anything else, and what
// overflows a float64, is not ok. Up to 15 digits it is one exact division,
// the rest is strconv's.
func parseNumber(s []byte) (float64, bool) {
	i, neg := 0, false
	if len(s) > 0 && s[0] == '-' {
		i, neg = 1, true
	}
	var mant uint64
	first, dot := i, -1
	for ; i < len(s) && i-first < 16; i++ {
		c := s[i]
		if c == '.' && dot < 0 && i > first {
			dot = i
		} else if c -= '0'; c <= 9 {
			mant = mant*10 + uint64(c)
		} else {
			break
		}
	}
	leadingZero := len(s) > first+1 && s[first] == '0' && s[first+1] != '.'
	if i < len(s) || i == first || dot == i-1 || leadingZero || i-first > 15 {
		return parseNumberSlow(s)
	}
	f := float64(mant)
	if dot >= 0 {
		f /= pow10[i-1-dot]
	}
	if neg {
		f = -f
	}
	return f, true
}

func parseNumberSlow(s []byte) (float64, bool) {
	if !isNumber(s) {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(s), 64)
	return f, err == nil
}

// isNumber reports whether s is a JSON number (RFC 8259, section 6).
func isNumber(s []byte) bool {
	run := func() bool {
		n := 0
		for n < len(s) && s[n]-'0' <= 9 {
			n++
		}
		s = s[n:]
		return n > 0
	}
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	if len(s) > 1 && s[0] == '0' && s[1]-'0' <= 9 || !run() {
		return false
	}
	if len(s) > 0 && s[0] == '.' {
		if s = s[1:]; !run() {
			return false
		}
	}
	if len(s) > 0 && s[0]|0x20 == 'e' {
		if s = s[1:]; len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !run() {
			return false
		}
	}
	return len(s) == 0
}
