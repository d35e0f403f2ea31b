package kafkaio

import "time"

// due says which changes are due as rows: all of them when nothing has come for
// a while, else those that have waited for the interval, a few at a time so that
// no batch has to make all rows of a second.
func (rd *reader) due(now time.Time, emitted int64, empty bool, interval time.Duration) int64 {
	if empty {
		rd.flushed, rd.changed = now, false
		return emitted
	}
	if now.Sub(rd.flushed) < interval/flushSteps {
		return 0
	}
	rd.flushed = now
	if rd.f.pending() > 0 {
		interval *= backlogFlush
	}
	return emitted - interval.Microseconds()
}

const (
	quietFlush   = 4  // without records for so small a part of an interval, everything is due
	flushSteps   = 10 // times an interval that rows are made
	backlogFlush = 5  // times longer that the rows of a backlog wait: most are overwritten soon
)
