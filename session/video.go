package session

import (
	"slices"

	"github.com/microseg/microseg/event"
)

// play is one play of a video in the session. Segment's video spec tells of a
// play by "Video Playback Started" and "Completed", of its parts between ads by
// "Video Content Started" and "Completed"; players send one kind or both, and
// one session_id for all of a play or none.
type play struct {
	id   uint64 // its session_id, 0: not stated
	fact playFact
}

type playFact uint8

const (
	playWhole   playFact = 1 << iota // an event of the play as a whole began it
	playRunning                      // a part of it runs
	playParted                       // a part of it has run to its end
	playDropped                      // left by a page view or by another start; it may still complete
	playDone                         // completed
	playEnded                        // and as a whole: another start with its id is another play
)

func (p *play) is(f playFact) bool { return p.fact&f != 0 }

// maxPlays is how many plays of a session are told apart.
const maxPlays = 8

// video counts plays.
func (f *Fold) video(e *item) {
	switch e.Kind {
	case event.KindVideoStart:
		f.started(e)
	case event.KindVideoComplete:
		f.completed(e)
	}
}

// started counts a play once, however many events tell of its start.
func (f *Fold) started(e *item) {
	if e.Flags&event.FlagContent != 0 {
		if p := f.partOf(e); p != nil {
			f.resumed(p) // the next part: the play goes on
			p.fact = p.fact&^playParted | playRunning
			return
		}
		f.start(e.Item, playRunning)
		return
	}
	if p := f.same(e.Item); p != nil {
		f.resumed(p)
		p.fact |= playWhole
		return
	}
	f.start(e.Item, playWhole)
}

// partOf is the play that a part belongs to, nil for a play of its own.
func (f *Fold) partOf(e *item) *play {
	p := f.play(e.Item, func(p *play) bool { return !p.is(playEnded) })
	if p == nil || e.Item != 0 && p.id == e.Item {
		return p
	}
	// Without an id, a further part is one of the same play only within a playback.
	if p.is(playRunning|playDropped) || p.is(playParted) && !p.is(playWhole) {
		return nil
	}
	p.id = max(p.id, e.Item)
	return p
}

// same is the play that a start as a whole tells of once more.
func (f *Fold) same(id uint64) *play {
	p := f.play(id, func(p *play) bool { return !p.is(playEnded) && (!p.is(playWhole) || !p.is(playDone)) })
	if p == nil || id != 0 && p.id == id {
		return p
	}
	if !p.is(playRunning) || p.is(playWhole|playDropped) {
		return nil // there is nothing by which it is the same
	}
	p.id = max(p.id, id)
	return p
}

// play finds the newest play of an id; an event without one is of the newest
// play, and so is one with an id where that play has none yet.
func (f *Fold) play(id uint64, ok func(*play) bool) *play {
	for i := len(f.plays) - 1; i >= 0; i-- {
		if p := &f.plays[i]; (id == 0 || p.id == id) && ok(p) {
			return p
		}
	}
	if n := len(f.plays) - 1; n >= 0 && f.plays[n].id == 0 && !f.plays[n].is(playEnded|playDone) && ok(&f.plays[n]) {
		return &f.plays[n]
	}
	return nil
}

func (f *Fold) start(id uint64, fact playFact) {
	f.leave()
	if len(f.plays) == maxPlays {
		f.plays = slices.Delete(f.plays, 0, 1)
	}
	f.VideoStarts++
	f.plays = append(f.plays, play{id, fact})
}

// leave drops the plays that run: by a page view, or since another one starts.
func (f *Fold) leave() {
	for i := range f.plays {
		if p := &f.plays[i]; !p.is(playDone | playDropped) {
			p.fact |= playDropped
			f.VideoDrops++
		}
	}
}

// resumed takes back that the play was left, or that it was complete.
func (f *Fold) resumed(p *play) {
	if p.is(playDropped) {
		f.VideoDrops--
	}
	if p.is(playDone) {
		f.VideoDone--
	}
	p.fact &^= playDropped | playDone
}

// completed counts a play once, however many events tell of its end.
func (f *Fold) completed(e *item) {
	content := e.Flags&event.FlagContent != 0
	ended := func(p *play) bool { return !p.is(playEnded) }
	p := f.play(e.Item, func(p *play) bool { return content && p.is(playRunning) || !content && ended(p) })
	if p == nil && (content || e.Item != 0) {
		p = f.play(e.Item, func(p *play) bool { return e.Item != 0 || ended(p) && !p.is(playDone) })
	}
	if p == nil { // it began in another session
		if len(f.plays) == maxPlays {
			f.plays = slices.Delete(f.plays, 0, 1)
		}
		f.plays = append(f.plays, play{id: e.Item, fact: playDropped})
		p = &f.plays[len(f.plays)-1]
		f.VideoDrops++
	}
	if content {
		p.fact = p.fact&^playRunning | playParted
	} else {
		p.fact |= playEnded
	}
	if p.is(playDone) {
		return
	}
	if p.is(playDropped) { // another player was started meanwhile
		p.fact &^= playDropped
		f.VideoDrops--
	}
	p.fact |= playDone
	f.VideoDone++
}
