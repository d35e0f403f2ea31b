package segment

import (
	"fmt"
	"math"
	"slices"
)

// holdMinutes is how far a jump looks back, and how long it holds activations.
const holdMinutes = 10

// Jumps holds activations for some minutes when the active visitors become many times as
// many within minutes: a flood of visitors that nobody is would empty every segment. What
// came with a jump and went again leaves no trace. All of it is decided by event time,
// minute by minute, from the counts.
type Jumps struct {
	Factor float64       `json:"-"` // beyond which a rise is a jump; 0: none is
	Window int64         `json:"-"` // minutes for which a visitor is active
	Totals []MinuteTotal `json:",omitempty"`
	Free   int64         `json:",omitempty"` // last minute with less than a sample in those before it
	Until  int64         `json:",omitempty"` // minute at which the hold ends; 0: none is on
	Since  int64         `json:",omitempty"` // minute of the jump that Before is of
	Base   int           `json:",omitempty"` // active visitors before it
	Peak   int           `json:",omitempty"` // and in its minute
	Before []bool        `json:",omitempty"` // which nodes were active then; nil: that is forgotten
}

// MinuteTotal is how many visitors are active from a minute on.
type MinuteTotal struct {
	Minute int64
	Total  int
}

// Turn is what a minute has changed.
type Turn int

// Turns.
const (
	Unturned Turn = iota
	Held          // a hold has begun
	Released      // a hold is over
)

// Decide takes one minute's counts, in the order of the minutes: the activation decides
// them, unless it is held.
func (j *Jumps) Decide(minute int64, counts []int, a *Activation) (flips []Flip, turn Turn) {
	before, total := slices.Clone(a.Active), counts[0]
	base := j.base(minute, a.sample())
	j.note(minute, total)
	if j.Until > 0 && minute >= j.Until {
		j.Until, turn = 0, Released
	}
	if j.Until == 0 && base > 0 && j.beyond(total, base) {
		j.hold(minute, total, base, a)
		turn = Held
	}
	if a.Held = j.why(); j.Until > 0 {
		return nil, turn
	}
	j.settle(minute, total, a)
	a.Decide(counts, total)
	for n := range before {
		if a.Active[n] != before[n] {
			flips = append(flips, Flip{n, a.Active[n]})
		}
	}
	return flips, turn
}

func (j *Jumps) beyond(total, base int) bool {
	return j.Factor > 0 && float64(total) > j.Factor*float64(base)
}

// base is what a rise is measured by: the least total in the minutes before; 0 where none
// is known, or it was below a sample. What rose from there has risen, and is no jump when
// those minutes are out of sight.
func (j *Jumps) base(minute int64, sample int) int {
	if j.lowest(minute-holdMinutes) < sample {
		j.Free = minute
		return 0
	}
	return j.lowest(max(minute-holdMinutes, j.Free))
}

// lowest is the least total from a minute on, as far as totals are known; 0 where none is.
func (j *Jumps) lowest(from int64) int {
	if len(j.Totals) == 0 {
		return 0
	}
	low := math.MaxInt
	for i, t := range j.Totals {
		// A total holds until the next one.
		if last := i+1 == len(j.Totals); last || j.Totals[i+1].Minute > from {
			low = min(low, t.Total)
		}
	}
	return low
}

func (j *Jumps) note(minute int64, total int) {
	for len(j.Totals) > 1 && j.Totals[1].Minute <= minute-holdMinutes {
		j.Totals = j.Totals[1:]
	}
	j.Totals = append(slices.Clip(j.Totals), MinuteTotal{minute, total})
}

// hold begins a hold. One jump upon another is one: what was before the first counts.
func (j *Jumps) hold(minute int64, total, base int, a *Activation) {
	j.Until = minute + holdMinutes
	if j.Before == nil {
		j.Before, j.Base = slices.Clone(a.Active), base
	}
	j.Since, j.Peak = minute, total
}

// settle brings back what was active before a jump once the visitors are gone who came
// with it: below the minimum sample it would else stay as the flood has left it. Who is
// still there after the hold and the window has come to stay.
func (j *Jumps) settle(minute int64, total int, a *Activation) {
	stays := j.Since + 2*holdMinutes + j.Window
	switch {
	case j.Before == nil:
		return
	case minute <= stays && !j.beyond(total, j.Base):
		copy(a.Active, j.Before)
	case minute < stays:
		return
	}
	j.Before = nil
}

// why says in words that activations are held; empty while they are not.
func (j *Jumps) why() string {
	if j.Until == 0 {
		return ""
	}
	return fmt.Sprintf("held until %s UTC: from %d to %d active visitors within %d minutes", clockTime(j.Until), j.Base, j.Peak, holdMinutes)
}

// clockTime is the time of day of a minute since the epoch.
func clockTime(minute int64) string {
	const day = 24 * 60
	return fmt.Sprintf("%02d:%02d", minute%day/60, minute%60)
}
