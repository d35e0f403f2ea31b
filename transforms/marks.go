package transforms

import "github.com/microseg/microseg/rows"

// mark is what progress could be reported when a batch was applied: its effects
// are in the record once those of its state rows that wait have left, too.
type mark struct {
	at   int64 // wall clock of the batch, µs
	rows []rows.Progress
}

// marks are those that wait, oldest first.
type marks []mark

// add notes the progress of a batch emitted at.
func (m *marks) add(at int64, progress []rows.Progress) { *m = append(*m, mark{at, progress}) }

// reached returns the newest progress that all rows up to due (µs) complete, and
// forgets it and what is older.
func (m *marks) reached(due int64) (out []rows.Progress) {
	n := 0
	for ; n < len(*m) && (*m)[n].at <= due; n++ {
		out = (*m)[n].rows
	}
	*m = (*m)[n:]
	return out
}
