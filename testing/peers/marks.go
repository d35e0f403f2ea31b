package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Mark says how far a job was at a time. Jobs write one as a line of JSON when the first
// record, half of them and all have been folded.
type Mark struct {
	Records int64 `json:"records"`
	At      int64 `json:"at"`     // wall clock, ms
	CPU     int64 `json:"cpu_ms"` // of the process, until then
}

// Marks returns what to give Options.Progress, so that the marks of expect records go to w.
func Marks(w io.Writer, expect int64) func(int64) {
	told := make(chan int64, 1)
	told <- 0
	return func(n int64) {
		before := <-told
		for _, mark := range []int64{1, (expect + 1) / 2, expect} {
			if before < mark && n >= mark {
				line, err := json.Marshal(Mark{n, time.Now().UnixMilli(), cpu().Milliseconds()})
				if err == nil { // numbers always have a form
					fmt.Fprintf(w, "%s\n", line)
				}
			}
		}
		told <- max(before, n)
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ReadMarks are the marks in a job's log: at the first record, at half of them, at all.
func ReadMarks(log string) (m [3]Mark, err error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return m, err
	}
	n := 0
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(`{"records":`)) && n < len(m) && json.Unmarshal(line, &m[n]) == nil {
			n++
		}
	}
	if n < len(m) {
		return m, fmt.Errorf("the job did not read all of its records; the end of %s:\n%s", log, text[max(0, len(text)-2000):])
	}
	return m, nil
}
