package session

import (
	"hash/fnv"
	"slices"

	"github.com/microseg/microseg/event/codec"
)

// DayMS is a day of event time; days begin at midnight UTC.
const DayMS = 86_400_000

// maxDay bounds the ids that a Day tells apart.
const maxDay = 1000

// Day is which ids were seen in a day of event time, in the order in which they
// came: what limits count. It holds their hashes, and those of one day only.
// The zero Day has seen nothing.
type Day struct {
	day int64
	ids []uint64
}

// Add notes that id was seen at t (ms). It returns how many of the day came
// before it did first, and whether that is now. Behind 1,000 of them nobody is
// told apart any more.
func (d *Day) Add(t int64, id string) (before int, fresh bool) {
	if day := t / DayMS; day > d.day {
		d.day, d.ids = day, nil
	}
	x := hashOf(id)
	if i := slices.Index(d.ids, x); i >= 0 {
		return i, false
	}
	if len(d.ids) == maxDay {
		return maxDay, false
	}
	d.ids = append(d.ids, x)
	return len(d.ids) - 1, true
}

// Full reports whether Add would find so many of the day before id.
func (d *Day) Full(t int64, id string, limit int) bool {
	if t/DayMS > d.day {
		return limit <= 0
	}
	before := slices.Index(d.ids, hashOf(id))
	if before < 0 {
		before = len(d.ids)
	}
	return before >= limit
}

func hashOf(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}

// Start is the beginning of the day in ms.
func (d *Day) Start() int64 { return d.day * DayMS }

// AppendTo writes the day.
func (d *Day) AppendTo(w *codec.Writer) {
	w.Int(d.day)
	w.Uint(uint64(len(d.ids)))
	for _, id := range d.ids {
		w.Fixed(id)
	}
}

// ReadDay reads what AppendTo wrote.
func ReadDay(r *codec.Reader) Day {
	d := Day{day: r.Int()}
	for range r.Len() {
		d.ids = append(d.ids, r.Fixed())
	}
	return d
}

// Excess says that on a day more came together in one person, or on one device,
// than a limit allows.
type Excess struct {
	Subject string // PersonID: of the user with too many devices, or of the device with too many users
	Start   int64  // of the day, ms
	Count   int    // devices or users that day, those within the limit included
	Limit   int
}
