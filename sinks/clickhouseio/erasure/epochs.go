package erasure

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/session"
)

// epoch is one of a device that several persons used: the records from one offset on,
// below another. A device that was forgotten in between has two of the number 0, which
// times tell apart.
type epoch struct {
	device   string
	number   int64
	from, to int64 // offsets
	since    int64 // ms; rows of it start then or later, and before until
	until    int64
	last     int64 // offset of the last record of its sessions
	named    bool  // a session of it has the name of the user
	mine     bool  // the person's: it is the user's, or was until an unlink and nobody else came
}

// epochs are the person's own ones of shared devices, as far as they have sessions.
func (s *Store) epochs(ctx context.Context, p *identity.Person) ([]epoch, error) {
	all, err := s.allEpochs(ctx, p)
	return slices.DeleteFunc(all, func(e epoch) bool { return !e.mine }), err
}

// allEpochs are those of the person's shared devices.
func (s *Store) allEpochs(ctx context.Context, p *identity.Person) (all []epoch, err error) {
	if len(p.Shared) == 0 {
		return nil, nil
	}
	rs, err := s.conn.Query(ctx, `SELECT device, epoch, toUnixTimestamp64Milli(start), toUnixTimestamp64Milli(end), toInt64(`+offsetOf+`), person, claimed_user
		FROM sessions_current WHERE site = ? AND device IN (?) ORDER BY device, epoch, start`, s.site, p.Shared)
	if err != nil {
		return nil, fmt.Errorf("looking for a person's epochs: %w", err)
	}
	defer rs.Close()
	var ended int64 // when the session before ended
	for rs.Next() {
		var device, person, named string
		var number, start, end, offset int64
		if err := rs.Scan(&device, &number, &start, &end, &offset, &person, &named); err != nil {
			return nil, fmt.Errorf("looking for a person's epochs: %w", err)
		}
		n := len(all)
		same := n > 0 && all[n-1].device == device && all[n-1].number == number
		if !same || p.Forgotten > 0 && start >= ended+p.Forgotten {
			e := epoch{device: device, number: number, from: number, to: math.MaxInt64, until: math.MaxInt64}
			if same {
				e.from, e.since = all[n-1].last+1, start
				all[n-1].until = start
			}
			if n > 0 && all[n-1].device == device {
				all[n-1].to = e.from
			}
			all = append(all, e)
			ended = 0
		}
		e := &all[len(all)-1]
		e.is(person, named, session.PersonID("", p.User))
		e.last, ended = max(e.last, offset), max(ended, end)
	}
	return all, rs.Err()
}

// is takes in whose the epoch is as of its next session. Sessions that were over before
// a link, or an unlink, keep the name that they had.
func (e *epoch) is(person, named, user string) {
	switch {
	case person == user:
		e.mine, e.named = true, true
	case strings.HasPrefix(person, "u:") || named != "": // somebody else's, or claimed anew
		e.mine = false
	}
}

// sessionsOf are the sessions of the epochs.
func sessionsOf(own []epoch, p *identity.Person) (w where) {
	user := session.PersonID("", p.User)
	for _, e := range own {
		w.or("device = ? AND epoch = ? AND start >= ? AND start < ? AND person IN (?) AND claimed_user IN (?)", e.device, e.number,
			at(e.since), at(e.until), []string{user, session.PersonID(e.device, "")}, []string{"", p.User})
	}
	return w
}

// at is how ClickHouse reads a time of an epoch; its times end in 2299.
func at(ms int64) string {
	return time.UnixMilli(min(ms, 10_000_000_000_000)).UTC().Format(stamp)
}

// lettersOf are the dead letters of the epochs that name nobody else. What came into
// another partition than the device's is nobody's.
func lettersOf(own []epoch, p *identity.Person) (w where) {
	for _, e := range own {
		w.or("device = ? AND offset >= ? AND offset < ? AND reason != 'stray' AND trim(BOTH '\"' FROM JSONExtractRaw(payload, 'userId')) IN (?)",
			strings.ToValidUTF8(e.device, "?"), e.from, e.to, []string{"", "null", p.User})
	}
	return w
}

// Epochs are the records of the user's epochs of shared devices: a job that starts again
// from the log must not take them. Where somebody else came after an unlink it is the name.
func (s *Store) Epochs(ctx context.Context, p *identity.ErasedPerson) (out []identity.Erasure, err error) {
	all, err := s.allEpochs(ctx, &p.Person)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		for partition, end := range p.Tombstones[e.device] {
			x := identity.Erasure{Partition: partition, Offset: end, Device: identity.HashDevice(e.device), User: identity.HashDevice(p.User)}
			switch to := min(e.to, end); {
			case e.mine && to > e.from:
				x.From, x.To = e.from, to
				out = append(out, x)
			case !e.mine && e.named:
				out = append(out, x)
			}
		}
	}
	return out, nil
}

// before are those of a person's epochs that began before its tombstones.
func before(own []epoch, p *identity.ErasedPerson) []epoch {
	return slices.DeleteFunc(own, func(e epoch) bool { return e.from >= end(p.Tombstones[e.device]) })
}
