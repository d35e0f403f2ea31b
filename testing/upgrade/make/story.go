package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/samples/simulate"
	"github.com/microseg/microseg/samples/spec"
	"github.com/microseg/microseg/testing/upgrade"
)

// Of the story: visitors and how long each of its parts takes.
const (
	seed     = 12
	visitors = 26
	part     = 40 * time.Minute
)

var begin = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// story makes the events of three parts of one afternoon: before the first end
// of the program, before the second, and after it. The third has nothing of which
// a newer program has another opinion: no carts, no orders, nothing late.
func story() (first, second, third []upgrade.Record) {
	r := rand.New(rand.NewPCG(seed, 1))
	n := 0
	err := simulate.Run(simulate.Options{Seed: seed, Start: begin, Duration: 2 * part, Visitors: visitors}, func(line []byte) error {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339, e["timestamp"].(string))
		if err != nil {
			return err
		}
		n++
		e["messageId"] = fmt.Sprint("m", n)
		to := &first
		if at.Sub(begin) >= part {
			to = &second
		}
		*to = append(*to, around(r, e, at)...)
		return nil
	})
	if err != nil {
		panic(err)
	}
	for _, of := range []*[]upgrade.Record{&first, &second} {
		slices.SortStableFunc(*of, func(a, b upgrade.Record) int { return int(a.At - b.At) })
		*of = append(*of, clocks((*of)[len(*of)-1].At)...)
	}
	return first, second, continuation(second[len(second)-1].At)
}

// around is an event with what happens beside it: people sign in, log out, are
// unlinked and deleted, and clients send twice and late.
func around(r *rand.Rand, e map[string]any, at time.Time) (out []upgrade.Record) {
	device := e["anonymousId"].(string)
	var i int
	fmt.Sscanf(device[strings.LastIndexByte(device, '-')+1:], "%d", &i)
	user := fmt.Sprint("u", i/2)
	if i%3 != 0 && at.Minute()%20 > 4 {
		e["userId"] = user
	}
	if i%5 == 4 { // the server speaks of orders, too
		if e["event"] == "Order Completed" {
			e["anonymousId"], e["userId"] = "", user
		}
	}
	body, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	key := device
	if e["anonymousId"] == "" {
		delete(e, "anonymousId")
		key = user
	}
	appended := at.UnixMilli() + 200
	x := r.Float64()
	if x < 0.02 {
		appended += 12 * time.Minute.Milliseconds() // late
	} else if x < 0.06 {
		appended += r.Int64N(8 * time.Minute.Milliseconds())
	}
	out = append(out, upgrade.Record{Key: key, Value: string(body), At: appended})
	if x > 0.97 {
		out = append(out, upgrade.Record{Key: key, Value: string(body), At: appended + r.Int64N(60_000)})
	}
	receipt := fmt.Sprint("r", at.UnixMilli())
	switch y := r.IntN(400); {
	case y == 0:
		out = append(out, upgrade.Record{Key: device, Value: fmt.Sprintf(`{"type":"reset","anonymousId":%q}`, device), At: appended + 1})
	case y == 1:
		u := event.Unlinked{Device: device, User: user, Receipt: receipt}
		out = append(out, upgrade.Record{Key: device, Value: string(u.Append(nil, spec.Time(at))), At: appended + 1})
	case y == 2 && i%4 == 0:
		d := event.Deleted{Device: device, User: user, Receipt: receipt}
		out = append(out, upgrade.Record{Key: device, Value: string(d.Append(nil, spec.Time(at))), At: appended + 1})
	case y == 3:
		out = append(out, upgrade.Record{Key: device, Value: `{"type":"page","timestamp":"yesterday","anonymousId":"` + device + `"}`, At: appended + 1})
	}
	return out
}

// clocks are visitors in all partitions, by whom time passes in each.
func clocks(at int64) (out []upgrade.Record) {
	for i := range 16 {
		out = append(out, page(fmt.Sprint("clock-", i), fmt.Sprintf("c%d-%d", i, at), "/", at+int64(i), ""))
	}
	return out
}

func page(device, id, path string, at int64, user string) upgrade.Record {
	if user != "" {
		user = fmt.Sprintf(`"userId":%q,`, user)
	}
	value := fmt.Sprintf(`{"type":"page","anonymousId":%q,%s"messageId":%q,"timestamp":%q,"properties":{"path":%q}}`,
		device, user, id, spec.Time(time.UnixMilli(at)), path)
	return upgrade.Record{Key: device, Value: value, At: at + 200}
}

// continuation are page views and hovers of old and of new visitors.
func continuation(after int64) (out []upgrade.Record) {
	r := rand.New(rand.NewPCG(seed, 2))
	at := after
	for i := range 700 {
		at += 1000 + r.Int64N(4000)
		n := 2 * r.IntN(visitors) // one of the two devices of a user: between two, order is a matter of luck
		device, user := fmt.Sprintf("sim-%x-%d", seed, n), ""
		if n%3 == 1 {
			user = fmt.Sprint("u", n/2)
		}
		path := []string{"/", "/category/laptops", "/compare", "/blog/how-to"}[r.IntN(4)]
		if i%7 == 0 {
			value := fmt.Sprintf(`{"type":"track","event":"Element Hovered","anonymousId":%q,"messageId":"h%d","timestamp":%q,"properties":{"path":"/compare","element":"price","duration_ms":1500}}`,
				device, i, spec.Time(time.UnixMilli(at)))
			out = append(out, upgrade.Record{Key: device, Value: value, At: at + 200})
			continue
		}
		out = append(out, page(device, fmt.Sprint("n", i), path, at, user))
	}
	return append(out, clocks(at+1000)...)
}
