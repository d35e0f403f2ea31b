package replay

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far the replay is: a bar on a terminal, else a line every
// two seconds. It knows the share done from the bytes read of a file.
type progress struct {
	out   io.Writer
	size  int64
	read  func() int64
	bar   *progressbar.ProgressBar
	n     int64
	start time.Time
	shown time.Time
}

func newProgress(out io.Writer, size int64, read func() int64) *progress {
	now := time.Now()
	p := &progress{out: out, size: size, read: read, start: now, shown: now}
	file, ok := out.(*os.File)
	if ok && term.IsTerminal(int(file.Fd())) {
		if size == 0 {
			size = -1 // a spinner
		}
		p.bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(out), progressbar.OptionSetDescription("replaying"),
			progressbar.OptionSetWidth(30), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
	}
	return p
}

// add counts an event. It looks at the clock for one event in 64 only.
func (p *progress) add() {
	p.n++
	if p.out == nil || p.n%64 != 0 {
		return
	}
	every := 2 * time.Second
	if p.bar != nil {
		every = 100 * time.Millisecond
	}
	now := time.Now()
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("replaying: %d events", p.n))
		_ = p.bar.Set64(p.read()) // a bar that cannot be drawn must not stop the replay
		return
	}
	if p.size > 0 {
		fmt.Fprintf(p.out, "replaying: %d events, %d %% of the file\n", p.n, 100*p.read()/p.size)
		return
	}
	fmt.Fprintf(p.out, "replaying: %d events\n", p.n)
}

// say writes a line.
func (p *progress) say(text string) {
	if p.out == nil {
		return
	}
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintln(p.out, text)
}

// finish says what was acknowledged.
func (p *progress) finish(records int64) {
	if p.out == nil {
		return
	}
	if p.bar != nil {
		_ = p.bar.Finish()
	}
	took := time.Since(p.start)
	fmt.Fprintf(p.out, "replayed: %d events in %.1f s (%.0f events/s)\n", records, took.Seconds(), float64(records)/max(took.Seconds(), 1e-3))
}
