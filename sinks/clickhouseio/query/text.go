package query

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteText prints the report for people. The error is the writer's.
func WriteText(w io.Writer, r *ReportData) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Site %s, as recorded in ClickHouse\n\n", r.Site)
	writeCounts(&b, r)
	writeSegments(&b, r.Segments)
	writeWhy(&b, r.Segments)
	writeLatencies(&b, r.LatencyMS)
	writeVerdict(&b, r.Health)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeCounts(b *strings.Builder, r *ReportData) {
	sign := "="
	if !r.Events.Balanced() {
		sign = "≠"
	}
	fmt.Fprintf(b, "  events       %s read %s %s good + %s duplicate + %s dead%s\n", count(r.Events.Read), sign,
		count(r.Events.Good), count(r.Events.Duplicate), count(r.Events.Dead), reasons(r.DeadLetters))
	if len(r.Warnings) > 0 {
		fmt.Fprintf(b, "  warnings     %s (event_warnings)\n", warned(r.Warnings))
	}
	fmt.Fprintf(b, "  sessions     %s (%s still open at the end of the data)\n", count(r.Sessions), count(r.SessionsOpen))
	fmt.Fprintf(b, "  persons      %s\n", count(r.Persons))
	fmt.Fprintf(b, "  memberships  %s entered, %s left\n\n", count(r.Memberships.Entered), count(r.Memberships.Left))
}

// warned says what could not be read most often.
func warned(warnings []EventWarning) string {
	const most = 5
	var parts []string
	for i, w := range warnings {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more kinds", len(warnings)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %s in %s records, e.g. %q", w.Property, w.Reason, count(w.Records), w.Example))
	}
	return strings.Join(parts, "; ")
}

func reasons(m map[string]uint64) string {
	if len(m) == 0 {
		return ""
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+" "+count(m[k]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func writeSegments(b *strings.Builder, segments []Segment) {
	rows := [][]string{{"segment", "members", "share", "verdict", "stale share", "signal weight", "all persons"}}
	for i, s := range segments {
		verdict := "pruned"
		switch {
		case s.Exempt && s.Depth() > 0:
			verdict = "active (exempt)"
		case s.Active:
			verdict = "active"
		}
		stale := share(s.StaleShare)
		if s.Stale {
			stale += " !"
		}
		rows = append(rows, []string{branch(segments, i) + s.Path[strings.LastIndex(s.Path, "/")+1:], count(s.Members), share(&s.Share),
			verdict, stale, number(s.SignalWeight), count(s.Persons)})
	}
	table(b, rows, "lrrlrrr")
}

// writeWhy says why nodes are not served, and why some need no audience.
func writeWhy(b *strings.Builder, segments []Segment) {
	var rows [][]string
	for _, s := range segments {
		if s.Depth() > 0 && (!s.Active || s.Exempt) {
			rows = append(rows, []string{s.Path[strings.IndexByte(s.Path, '/')+1:], s.Why})
		}
	}
	if len(rows) > 0 {
		table(b, append([][]string{{"pruned or exempt", "why"}}, rows...), "ll")
	}
}

// branch draws the lines in front of node i of a tree in depth-first order.
func branch(segments []Segment, i int) string {
	out := ""
	for d := 1; d <= segments[i].Depth(); d++ {
		more := false // does the node's ancestor at depth d have a younger sibling?
		for _, s := range segments[i+1:] {
			if s.Depth() <= d {
				more = s.Depth() == d
				break
			}
		}
		switch last := d == segments[i].Depth(); {
		case last && more:
			out += "├─ "
		case last:
			out += "└─ "
		case more:
			out += "│  "
		default:
			out += "   "
		}
	}
	return out
}

func writeLatencies(b *strings.Builder, stages map[string]Quantiles) {
	rows := [][]string{{"latency, ms", "p50", "p95", "p99", "mean", "events"}}
	for _, stage := range Stages {
		q, ok := stages[stage]
		if !ok {
			rows = append(rows, []string{stage, "–", "–", "–", "–", "0"})
			continue
		}
		rows = append(rows, []string{stage, ms(q.P50), ms(q.P95), ms(q.P99), ms(q.Mean), count(q.Events)})
	}
	table(b, rows, "lrrrrr")
}

func writeVerdict(b *strings.Builder, v Verdict) {
	if v.OK {
		b.WriteString("  health       ok\n")
	} else {
		b.WriteString("  health       NOT OK\n")
	}
	for _, a := range v.Alerts {
		subject := a.Kind
		if a.Subject != "" {
			subject += " " + a.Subject
		}
		fmt.Fprintf(b, "    ! %s: %s\n", subject, a.Message)
	}
}

// table writes rows with a header; align has l or r per column.
func table(b *strings.Builder, rows [][]string, align string) {
	width := make([]int, len(align))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		line := " "
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if align[i] == 'r' {
				cell, pad = pad+cell, ""
			}
			line += " " + cell + pad + " "
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		if n == 0 {
			rule := 0
			for _, w := range width {
				rule += w + 2
			}
			b.WriteString("  " + strings.Repeat("─", rule-2) + "\n")
		}
	}
	b.WriteString("\n")
}

// count groups thousands.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func share(v *float64) string {
	if v == nil {
		return "–"
	}
	return strconv.FormatFloat(*v*100, 'f', 1, 64) + " %"
}

func number(v *float64) string {
	if v == nil {
		return "–"
	}
	return strconv.FormatFloat(*v, 'f', 2, 64)
}

// ms shows three digits or so.
func ms(v float64) string {
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return count(uint64(v + 0.5))
}
