package erasure

import (
	"context"
	"fmt"
	"reflect"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/transforms/rows"
)

// Export is all that ClickHouse holds of a person, as columns by name, by table.
func (s *Store) Export(ctx context.Context, p *identity.Person) (map[string][]map[string]any, error) {
	out := map[string][]map[string]any{}
	user := ""
	if p.User != "" {
		user = session.PersonID("", p.User)
	}
	letters := append([]string{}, p.Devices...)
	if p.User != "" {
		letters = append(letters, p.User) // the key of events that state only a userId
	}
	for _, q := range []struct {
		table, query string
		args         []any
	}{
		{rows.TableSessions, "sessions_now WHERE site = ? AND (device IN (?) OR person = ?) ORDER BY start, device", []any{s.site, p.Devices, user}},
		{rows.TableSegmentState, "persons_now WHERE site = ? AND person IN (?) ORDER BY person", []any{s.site, p.Names()}},
		{rows.TableSegmentEvents, "segment_events_once WHERE site = ? AND person IN (?) ORDER BY at, person, transition, action DESC", []any{s.site, p.Names()}},
		{rows.TableAlerts, "alerts WHERE site = ? AND kind IN (?) AND subject IN (?) ORDER BY at, subject, version DESC LIMIT 1 BY at, kind, subject",
			[]any{s.site, []string{rows.AlertPersonDevices, rows.AlertDevicePersons}, p.Names()}},
		{rows.TableDeadLetters, "dead_letters_once WHERE site = ? AND device IN (?) ORDER BY partition, offset", []any{s.site, letters}},
	} {
		var err error
		if out[q.table], err = s.table(ctx, "SELECT * FROM "+q.query, q.args...); err != nil {
			return nil, fmt.Errorf("exporting a person's rows of %s: %w", q.table, err)
		}
	}
	return out, nil
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
