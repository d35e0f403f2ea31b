package erasure

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/go-faster/jx"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/session"
)

// Export is all that ClickHouse holds of a person, as columns by name, by table. Of a user
// it is what the user's own epochs hold: on a tablet that Ann and Ben share, Ann's export
// had Ben's order.
func (s *Store) Export(ctx context.Context, p *identity.Person) (map[string][]map[string]any, error) {
	out := map[string][]map[string]any{}
	queries := s.ofDevices(p)
	if p.User != "" {
		own, err := s.epochs(ctx, p)
		if err != nil {
			return nil, err
		}
		queries = s.ofUser(p, own)
	}
	for _, q := range queries {
		var err error
		if out[q.table], err = s.table(ctx, "SELECT * FROM "+q.text, q.args...); err != nil {
			return nil, fmt.Errorf("exporting a person's rows of %s: %w", q.table, err)
		}
	}
	return out, nil
}

// exported is a query of an export.
type exported struct {
	table, text string
	args        []any
}

// ofDevices are the rows of a person that is its devices.
func (s *Store) ofDevices(p *identity.Person) []exported {
	return append(s.ofNames(p.Names()),
		exported{rows.TableSessions, "sessions_current WHERE site = ? AND device IN (?) ORDER BY start, device", []any{s.site, p.Devices}},
		exported{rows.TableDeadLetters, "dead_letters_dedup WHERE site = ? AND device IN (?) ORDER BY partition, offset", []any{s.site, p.Devices}})
}

// ofUser are the rows of the user's epochs, and of the devices that nobody shares; of
// shared devices also those dead letters whose text names the user.
func (s *Store) ofUser(p *identity.Person, own []epoch) []exported {
	mine := append(slices.Clone(p.Devices), "user:"+p.User)
	sessions := sessionsOf(own, p)
	sessions.or("person = ? OR startsWith(person, 'd:') AND claimed_user IN (?) AND device IN (?)", session.PersonID("", p.User), []string{"", p.User}, mine)
	// The last two are the keys of events that state only a userId.
	letters := lettersOf(own, p)
	letters.or("device IN (?)", append(slices.Clone(p.Devices), p.User, "user:"+p.User))
	if len(p.Shared) > 0 {
		e := jx.Encoder{}
		e.Str(p.User)
		letters.or("device IN (?) AND position(payload, ?) > 0", p.Shared, e.String())
	}
	names := s.ofNames(p.Names())
	for i := range names {
		if q := &names[i]; q.table == rows.TableSegmentEvents && len(own) > 0 {
			var w where
			w.or("person IN (?)", p.Names())
			for _, e := range own {
				s.movesOf(&w, &e, e.to)
			}
			q.text, q.args = "segment_events_dedup WHERE site = ? AND ("+w.text+") ORDER BY at, person, transition, action DESC", append([]any{s.site}, w.args...)
		}
	}
	return append(names,
		exported{rows.TableDeadLetters, "dead_letters_dedup WHERE site = ? AND (" + letters.text + ") ORDER BY partition, offset", append([]any{s.site}, letters.args...)},
		exported{rows.TableSessions, "sessions_current WHERE site = ? AND (" + sessions.text + ") ORDER BY start, device", append([]any{s.site}, sessions.args...)})
}

// ofNames are the rows that are under person ids.
func (s *Store) ofNames(names []string) []exported {
	return []exported{
		{rows.TableSegmentState, "persons_current WHERE site = ? AND person IN (?) ORDER BY person", []any{s.site, names}},
		{rows.TableSegmentEvents, "segment_events_dedup WHERE site = ? AND person IN (?) ORDER BY at, person, transition, action DESC", []any{s.site, names}},
		{rows.TableAlerts, "alerts WHERE site = ? AND kind IN (?) AND subject IN (?) ORDER BY at, subject, version DESC LIMIT 1 BY at, kind, subject",
			[]any{s.site, []string{rows.AlertPersonDevices, rows.AlertDevicePersons}, names}},
	}
}

// table reads any query's rows.
func (s *Store) table(ctx context.Context, query string, args ...any) ([]map[string]any, error) {
	rs, err := s.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	out := []map[string]any{}
	types := rs.ColumnTypes()
	for rs.Next() {
		values := make([]any, len(types))
		for i, t := range types {
			values[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rs.Scan(values...); err != nil {
			return nil, err
		}
		row := map[string]any{}
		for i, t := range types {
			row[t.Name()] = reflect.ValueOf(values[i]).Elem().Interface()
		}
		out = append(out, row)
	}
	return out, rs.Err()
}
