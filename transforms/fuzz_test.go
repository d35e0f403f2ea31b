package transforms

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rows"
)

// ids of the programs below: those that one device is stated by, or nobody, and bytes
// that no JSON holds as they are.
var fuzzIDs = []string{"", "d0", "d1", "user:u0", "u0", "null", "user:", "0000", "17", `\"`, `\u0000`, "é", strings.Repeat("x", 512), strings.Repeat("y", 513), "user:user:u0", " d0 "}

// fuzzEvents are the names of the program's track calls.
var fuzzEvents = []string{"Product Viewed", "Product Added", "Product Removed", "Cart Viewed", "Checkout Started", "Order Completed", "Order Refunded", "Cart Cleared",
	"Page Pinged", "Page Scrolled", "Element Hovered", "Element Focused", "Video Playback Started", "Video Playback Completed", "Form Started", "Form Submitted", "x"}

// fuzzLog makes a log of a program, eight bytes a record: into any partition, of any
// ids, of every type, the reserved ones included, at any time, whole, cut or garbage.
func fuzzLog(program []byte, parts int32) *testLog {
	l := &testLog{}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for n := 0; len(program) >= 8 && n < 300; n++ {
		p := program[:8]
		program = program[8:]
		partition := int32(p[0]) % parts
		anonymous, user := fuzzIDs[int(p[1])%len(fuzzIDs)], fuzzIDs[int(p[2])%len(fuzzIDs)]
		if p[0]&0x40 != 0 && anonymous != "" { // mostly where they belong, or little would be folded
			partition = event.Home(anonymous, parts)
		}
		at = at.Add(time.Duration(int8(p[3])) * []time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour}[p[4]%4])
		when := at
		if p[4]&0x80 != 0 {
			when = time.UnixMilli(int64(binary.LittleEndian.Uint32(p[4:])) * 1000)
		}
		l.put(partition, fuzzRecord(p, anonymous, user, when, n, program), event.Trust(p[0]>>3)%5)
	}
	return l
}

func fuzzRecord(p []byte, anonymous, user string, at time.Time, n int, rest []byte) string {
	number := []string{"1", "-1", "0.5", "1e300", `"2"`, "null", "[]", "0"}[p[6]%8]
	head := fmt.Sprintf(`"anonymousId":"%s","userId":"%s","messageId":"%d","timestamp":"%s"`, anonymous, user, n-int(p[5]%3), at.UTC().Format(time.RFC3339Nano))
	context := fmt.Sprintf(`"context":{"device":{"type":"%s"},"page":{"path":"/%d"}}`, []string{"mobile", "desktop", "bot", ""}[p[7]%4], p[7]%9)
	switch p[5] % 14 {
	case 0:
		return fmt.Sprintf(`{"type":"page",%s,%s}`, head, context)
	case 1:
		return fmt.Sprintf(`{"type":"identify",%s}`, head)
	case 2:
		return fmt.Sprintf(`{"type":"alias","previousId":"%s",%s}`, fuzzIDs[int(p[7])%len(fuzzIDs)], head)
	case 3:
		return fmt.Sprintf(`{"type":"reset",%s}`, head)
	case 4:
		return fmt.Sprintf(`{"type":"%s",%s}`, []string{event.TypeDelete, event.TypeUnlink, event.TypeDisclaim}[p[7]%3], head)
	case 5:
		return string((&event.Rebuild{Device: anonymous, Receipt: strconv.Itoa(n), Payload: rest[:min(len(rest), 40)]}).Append(nil))
	case 6:
		return string(rest[:min(len(rest), int(p[6]))]) // garbage
	case 7:
		whole := fmt.Sprintf(`{"type":"page",%s,%s}`, head, context)
		return whole[:len(whole)*int(p[6])/256]
	}
	return fmt.Sprintf(`{"type":"track","event":"%s",%s,%s,"properties":{"price":%s,"quantity":%s,"total":%s,"value":%s,"seconds":%s,"position":%s,"duration_ms":%s,"depth":%s,"element":"price","session_id":"s","products":[{"price":%s,"quantity":1}]}}`,
		fuzzEvents[int(p[7])%len(fuzzEvents)], head, context, number, number, number, number, number, number, number, number, number)
}

// anyLog applies a log by both stages and checks that each record has one verdict.
func anyLog(t *testing.T, name string, program []byte) {
	if len(program) < 2 {
		return
	}
	parts := 1 + int32(program[0]%5)
	spec := testSpec(t, name, 1+int(program[1])%int(parts), parts)
	defer forgetSpec(&spec)
	l := fuzzLog(program[2:], parts)
	got := runPlain(t, &spec, l, l.cut(t, &spec, rand.New(rand.NewPCG(uint64(program[0]), uint64(program[1])))))
	read, dead := 0, 0
	for _, row := range got[rows.TableProgress] {
		if row["stage"] != rows.StageDevice {
			continue
		}
		n := map[string]int{}
		for _, c := range []string{"read", "good", "duplicate", "dead"} {
			v, err := strconv.Atoi(row[c])
			check(t, err)
			n[c] = v
		}
		if read, dead = read+n["read"], dead+n["dead"]; n["read"] != n["good"]+n["duplicate"]+n["dead"] {
			t.Fatalf("%v", row)
		}
	}
	if read != len(l.arrival) || dead != len(got[rows.TableDeadLetters]) {
		t.Fatalf("%d records, %d read, %d dead with %d letters", len(l.arrival), read, dead, len(got[rows.TableDeadLetters]))
	}
}

// forgetSpec lets go of a job that nobody will run again.
func forgetSpec(s *Spec) {
	forgetBuilt(s.Job)
}

// TestAnyLog: no record of a topic stops a job, whatever its partition, ids, order,
// type and bytes; each has exactly one verdict.
func TestAnyLog(t *testing.T) {
	t.Parallel()
	for seed := range seeds(60) {
		r := rand.New(rand.NewPCG(seed, 77))
		program := make([]byte, 2+8*(20+r.IntN(120)))
		for i := range program {
			program[i] = byte(r.Uint32())
		}
		anyLog(t, fmt.Sprint("any-", seed), program)
	}
}

// FuzzAnyLog is TestAnyLog with programs that somebody looks for.
func FuzzAnyLog(f *testing.F) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 78))
		program := make([]byte, 2+8*30)
		for i := range program {
			program[i] = byte(r.Uint32())
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) { anyLog(t, fmt.Sprintf("fuzz-%x", rand.Uint64()), program) })
}

// TestWrongByACentury: the clock of whoever wrote a record is 80 years ahead. Time
// goes there from tick to tick, of which there are 21 million; the stage stood still
// at them, its batch was too large to be encoded, and so it was after each restart.
func TestWrongByACentury(t *testing.T) {
	t.Parallel()
	const parts = 3
	spec := testSpec(t, "century", 1, parts)
	defer forgetSpec(&spec)
	l := &testLog{}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 6 {
		for d := range 5 {
			when := at.Add(time.Duration(i) * time.Minute)
			if i == 5 && d == 0 || i == 4 && d == 1 {
				when = when.AddDate(80, 0, d)
			}
			l.add(home(d, parts), visit(r, fmt.Sprint("d", d), "u0", 10*i+d, when))
		}
	}
	got := runPlain(t, &spec, l, l.cut(t, &spec, r))
	minutes := map[string]bool{}
	for _, row := range got[rows.TableAudience] {
		minutes[row["minute"]] = true
	}
	if n := len(minutes); n == 0 || n > 50_000 {
		t.Errorf("%d minutes are decided", n)
	}
}
