package event

// Semantics numbers what folding an event means: sessions, facts of persons,
// links, verdicts. It travels with every batch, and with its entry in the
// journal: what a process decided before it was replaced by a newer one is
// decided again as it was decided then (docs/adr/0013).
//
// In memory 0 stands for the newest, so that nobody folds as of old without
// having said so; what was written without a number is FirstSemantics.
type Semantics uint8

// FirstSemantics is that of entries and batches that have no number. From 2 on
// a person has facts of its own (carts, orders) beside those of its devices, and
// each kind of event has its lateness, the newest device says whether it is a
// crawler's, and a record in another partition than its device is a stray. From 3 on a
// record has the trust of who sent it. From 4 on what time changes of a user waits for
// the events of all of its devices. From 5 on what one sender can do has bounds: what a
// device keeps, how many devices there are, who counts in the audience, how far a
// clock that is ahead reaches. From 6 on a link by a token links what a device does
// from then on, and not what it did before, and a user is deleted from a device that
// others use, too. From 7 on records of transactions that were aborted are none,
// and a clock that is ahead moves only its own events.
const (
	FirstSemantics  Semantics = 1
	NewestSemantics Semantics = 7
)

// Has reports whether what came with number n holds.
func (s Semantics) Has(n Semantics) bool { return s.number() >= n }

func (s Semantics) number() Semantics {
	if s == 0 {
		return NewestSemantics
	}
	return s
}

// againBit is where WithFlag has its flag.
const againBit = 1

// WithFlag is one byte for the number and a flag. Without a number, as written
// before there was one, the byte was the flag alone.
func (s Semantics) WithFlag(flag bool) byte {
	b := byte(s.number()-FirstSemantics) << 1
	if flag {
		b |= againBit
	}
	return b
}

// ReadSemantics takes apart what WithFlag made.
func ReadSemantics(b byte) (s Semantics, flag bool) {
	return Semantics(b>>1) + FirstSemantics, b&againBit != 0
}
