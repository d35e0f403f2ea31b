package erasure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-faster/jx"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/session"
)

// where is a condition and what its question marks stand for.
type where struct {
	text string
	args []any
}

func (w *where) or(text string, args ...any) {
	if w.text != "" {
		w.text += " OR "
	}
	w.text += "(" + text + ")"
	w.args = append(w.args, args...)
}

// offsetOf is the offset in a session row's version, identity.RowVersion.
const offsetOf = "bitAnd(bitShiftRight(version, 13), 17592186044415)"

// Erase deletes the person's rows from before the tombstones and waits until
// ClickHouse has done it. It returns the number of rows deleted by table; the
// dead letters are those of Letters.
func (s *Store) Erase(ctx context.Context, p *identity.ErasedPerson, letters []identity.Erasure) (map[string]uint64, error) {
	bounds, err := s.bounds(ctx, p)
	if err != nil {
		return nil, err
	}
	own, err := s.epochs(ctx, &p.Person)
	if err != nil {
		return nil, err
	}
	deleted := map[string]uint64{}
	for table, w := range map[string]where{rows.TableSessions: sessions(p, own), rows.TableSegmentEvents: s.moves(p, bounds, own), rows.TableSegmentState: s.states(p), rows.TableAlerts: alerts(p)} {
		if deleted[table], err = s.delete(ctx, table, w); err != nil {
			return nil, err
		}
	}
	deleted[rows.TableDeadLetters] = 0
	for chunk := range slices.Chunk(letters, 1000) {
		var w where
		for _, l := range chunk {
			w.or("partition = ? AND offset = ?", l.Partition, l.Offset)
		}
		n, err := s.delete(ctx, rows.TableDeadLetters, w)
		if err != nil {
			return nil, err
		}
		deleted[rows.TableDeadLetters] += n
	}
	return deleted, nil
}

// Disclaim takes the user's name from rows of devices that only claimed to be the user's,
// or were until an unlink, from before they stopped, and waits until ClickHouse has done it.
func (s *Store) Disclaim(ctx context.Context, p *identity.ErasedPerson) (n uint64, err error) {
	user := session.PersonID("", p.User)
	var w where
	for device, at := range p.Disclaimed {
		w.or("device = ? AND (claimed_user = ? OR person = ?) AND "+offsetOf+" < ?", device, p.User, user, end(at))
	}
	if w.text == "" {
		return 0, nil
	}
	args := append([]any{s.site}, w.args...)
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM sessions WHERE site = ? AND ("+w.text+")", args...).Scan(&n); err != nil || n == 0 {
		return 0, err
	}
	if err := s.conn.Exec(ctx, "ALTER TABLE sessions UPDATE claimed_user = if(claimed_user = ?, '', claimed_user), person = if(person = ?, concat('d:', device), person) WHERE site = ? AND ("+
		w.text+") SETTINGS mutations_sync = 2", append([]any{p.User, user}, args...)...); err != nil {
		return 0, fmt.Errorf("taking a user's name from rows of sessions: %w", err)
	}
	return n, nil
}

func (s *Store) delete(ctx context.Context, table string, w where) (n uint64, err error) {
	args := append([]any{s.site}, w.args...)
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM "+table+" WHERE site = ? AND ("+w.text+")", args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting a person's rows in %s: %w", table, err)
	}
	if n == 0 {
		return 0, nil
	}
	if err := s.conn.Exec(ctx, "ALTER TABLE "+table+" DELETE WHERE site = ? AND ("+w.text+") SETTINGS mutations_sync = 2", args...); err != nil {
		return 0, fmt.Errorf("deleting a person's rows from %s: %w", table, err)
	}
	return n, nil
}

// sessions are those that began before a device's tombstone, the user's epochs of shared
// devices, and what is left of a user's on devices that nobody knew of.
func sessions(p *identity.ErasedPerson, own []epoch) (w where) {
	if own = before(own, p); len(own) > 0 {
		w = sessionsOf(own, &p.Person)
	}
	for _, d := range p.Devices {
		w.or("device = ? AND "+offsetOf+" < ?", d, end(p.Tombstones[d]))
	}
	if p.User != "" {
		w.or("person = ? AND device NOT IN (?)", session.PersonID("", p.User), slices.Concat(p.Devices, p.Shared))
	}
	return w
}

// movesOf are those of a device's own person that are of an epoch, up to an offset: a
// record of it caused them, or time did between two that records caused.
func (s *Store) movesOf(w *where, e *epoch, to int64) {
	const these = "site = ? AND person = ? AND offset >= ? AND offset < ?"
	args := []any{s.site, session.PersonID(e.device, ""), e.from, to}
	w.or("("+these+") OR site = ? AND person = ? AND offset < 0 AND at >= (SELECT min(at) FROM segment_events WHERE "+these+
		") AND at <= (SELECT max(at) FROM segment_events WHERE "+these+")", slices.Concat(args, args[:2], args, args)...)
}

// end is the last of a device's tombstones: its partitions share no offsets, and
// all but one hold nothing of it.
func end(tombstones map[int32]int64) (offset int64) {
	for _, o := range tombstones {
		offset = max(offset, o)
	}
	return offset
}

// bounds are the times at which the job decided that persons are gone, by person
// id; of those that it did not know there is none.
func (s *Store) bounds(ctx context.Context, p *identity.ErasedPerson) (map[string]time.Time, error) {
	rs, err := s.conn.Query(ctx, "SELECT person, max(decided_at) FROM segment_events WHERE site = ? AND person IN (?) AND cause = 'erased' GROUP BY person", s.site, p.Names())
	if err != nil {
		return nil, fmt.Errorf("reading when a person was erased: %w", err)
	}
	defer rs.Close()
	out := map[string]time.Time{}
	for rs.Next() {
		var person string
		var at time.Time
		if err := rs.Scan(&person, &at); err != nil {
			return nil, fmt.Errorf("reading when a person was erased: %w", err)
		}
		out[person] = at
	}
	return out, rs.Err()
}

// moves are those of the person's names, and of shared devices those that records of the
// user's own epochs caused while these were nobody's yet.
func (s *Store) moves(p *identity.ErasedPerson, bounds map[string]time.Time, own []epoch) (w where) {
	for _, e := range before(own, p) {
		s.movesOf(&w, &e, min(e.to, end(p.Tombstones[e.device])))
	}
	for _, name := range p.Names() {
		at, ok := bounds[name]
		if !ok {
			at = time.UnixMilli(p.Applied)
		}
		w.or("person = ? AND decided_at <= ?", name, at.UTC().Format(stamp))
	}
	return w
}

// states are all of a person's but the newest of who is back.
func (s *Store) states(p *identity.ErasedPerson) (w where) {
	for _, name := range p.Names() {
		if p.Back[name] {
			w.or("person = ? AND version < (SELECT max(version) FROM segment_state WHERE site = ? AND person = ?)", name, s.site, name)
		} else {
			w.or("person = ?", name)
		}
	}
	return w
}

// alerts are those about the person: that it, or a device of it, went beyond a
// limit of identity.
func alerts(p *identity.ErasedPerson) (w where) {
	w.or("kind IN (?) AND subject IN (?)", []string{rows.AlertPersonDevices, rows.AlertDevicePersons}, p.Names())
	return w
}

// Letters are the dead letters that are the person's, or whose text names it:
// records that are to be erased, too.
func (s *Store) Letters(ctx context.Context, p *identity.ErasedPerson) (out []identity.Erasure, err error) {
	ids := slices.Clone(p.Devices)
	if p.User != "" {
		ids = append(ids, p.User)
	}
	own, err := s.epochs(ctx, &p.Person)
	if err != nil {
		return nil, err
	}
	w := lettersOf(own, &p.Person)
	for _, id := range ids {
		e := jx.Encoder{}
		e.Str(id)
		w.or("device = ? OR position(payload, ?) > 0", strings.ToValidUTF8(id, "?"), e.String())
	}
	rs, err := s.conn.Query(ctx, "SELECT DISTINCT partition, offset FROM dead_letters WHERE site = ? AND ("+w.text+")", append([]any{s.site}, w.args...)...)
	if err != nil {
		return nil, fmt.Errorf("looking for a person's dead letters: %w", err)
	}
	defer rs.Close()
	for rs.Next() {
		var e identity.Erasure
		if err := rs.Scan(&e.Partition, &e.Offset); err != nil {
			return nil, fmt.Errorf("looking for a person's dead letters: %w", err)
		}
		if p.Before(e.Partition, e.Offset) {
			out = append(out, e)
		}
	}
	return out, rs.Err()
}
