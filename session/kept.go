package session

// Kept calls f for each event by whose id a duplicate is known, with its time; long says
// that it may come late for long.
func (q *Profile) Kept(f func(id uint64, t int64, long bool)) {
	if q.tail != nil {
		for it := range q.tail.all() {
			f(it.ID, it.Time, false)
		}
	}
	if q.facts != nil {
		for _, s := range q.facts.recent {
			f(s.id, s.time, false)
		}
		for _, s := range q.facts.ids {
			f(s.id, s.time, true)
		}
	}
}
