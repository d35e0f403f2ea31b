// Package erasure tells what ClickHouse holds of a person, and deletes it. It is
// what serving/privacy asks, which may not know of ClickHouse.
package erasure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/session"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/clickhouseio/migrations"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
)

// Store is one site's record. It is safe for concurrent use.
type Store struct {
	conn driver.Conn
	site string
}

// Open brings the DSN's database to this binary's schema and connects.
func Open(ctx context.Context, dsn, site string) (*Store, error) {
	if err := migrations.Up(ctx, dsn); err != nil {
		return nil, err
	}
	conn, err := clickhouseio.Dial(dsn)
	if err != nil {
		return nil, err
	}
	return &Store{conn, site}, nil
}

// Close disconnects.
func (s *Store) Close() error { return s.conn.Close() }

// Devices are those whose sessions were a user's.
func (s *Store) Devices(ctx context.Context, user string) ([]string, error) {
	return s.strings(ctx, "SELECT DISTINCT device FROM sessions WHERE site = ? AND person = ? ORDER BY device", s.site, session.PersonID("", user))
}

// Claimers are those that named a user without a proof.
func (s *Store) Claimers(ctx context.Context, user string) ([]string, error) {
	return s.strings(ctx, "SELECT DISTINCT device FROM sessions WHERE site = ? AND claimed_user = ? AND claimed_user != '' ORDER BY device", s.site, user)
}

// Shared are those of a user's devices that somebody else was on, or said to be.
func (s *Store) Shared(ctx context.Context, user string, devices []string) ([]string, error) {
	return s.strings(ctx, `SELECT DISTINCT device FROM sessions WHERE site = ? AND device IN (?)
		AND (startsWith(person, 'u:') AND person != ? OR claimed_user NOT IN ('', ?)) ORDER BY device`, s.site, devices, session.PersonID("", user), user)
}

// Users are those whose sessions were on a device.
func (s *Store) Users(ctx context.Context, device string) ([]string, error) {
	return s.strings(ctx, "SELECT DISTINCT substring(person, 3) FROM sessions WHERE site = ? AND device = ? AND startsWith(person, 'u:') ORDER BY 1", s.site, device)
}

// Known reports whether there is a row of a person ("u:…" or "d:…").
func (s *Store) Known(ctx context.Context, person string) (bool, error) {
	found, err := s.strings(ctx, `SELECT person FROM segment_state WHERE site = ? AND person = ? LIMIT 1
		UNION ALL SELECT person FROM sessions WHERE site = ? AND person = ? LIMIT 1`, s.site, person, s.site, person)
	return len(found) > 0, err
}

func (s *Store) strings(ctx context.Context, q string, args ...any) (out []string, err error) {
	rows, err := s.conn.Query(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("looking a person up in ClickHouse: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, fmt.Errorf("looking a person up in ClickHouse: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// Recorded reports whether both stages have recorded every offset below ends.
func (s *Store) Recorded(ctx context.Context, ends map[int32]int64) (bool, error) {
	return query.Recorded(ctx, s.conn, s.site, ends)
}

// Now is the server's clock.
func (s *Store) Now(ctx context.Context) (t time.Time, err error) {
	if err := s.conn.QueryRow(ctx, "SELECT now64(3, 'UTC')").Scan(&t); err != nil {
		return t, fmt.Errorf("asking ClickHouse for its time: %w", err)
	}
	return t, nil
}

// Settled reports whether every shard has recorded its progress since t, and so
// every row that it had made before.
func (s *Store) Settled(ctx context.Context, t time.Time) (ok bool, err error) {
	err = s.conn.QueryRow(ctx, `SELECT count() > 0 AND min(at) > ? FROM
		(SELECT max(recorded_at) AS at FROM progress WHERE site = ? GROUP BY stage, partition)`, t.UTC().Format(stamp), s.site).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("reading the job's progress: %w", err)
	}
	return ok, nil
}

// stamp is how ClickHouse reads a time with milliseconds.
const stamp = "2006-01-02 15:04:05.000"

// Save keeps a receipt; the last one saved counts. done is zero while it is under way.
func (s *Store) Save(ctx context.Context, receipt, subject string, asked, done time.Time, document []byte) error {
	var end *time.Time
	if !done.IsZero() {
		end = &done
	}
	b, err := s.conn.PrepareBatch(ctx, "INSERT INTO erasures")
	if err == nil {
		defer b.Close()
		if err = b.Append(s.site, receipt, subject, asked, end, string(document), uint64(time.Now().UnixMicro())); err == nil {
			err = b.Send()
		}
	}
	if err != nil {
		return fmt.Errorf("keeping a receipt: %w", err)
	}
	return nil
}

// Load finds a receipt; nil when there is none.
func (s *Store) Load(ctx context.Context, receipt, subject string) ([]byte, error) {
	var document string
	err := s.conn.QueryRow(ctx, "SELECT document FROM erasures WHERE site = ? AND receipt = ? AND subject = ? ORDER BY version DESC LIMIT 1", s.site, receipt, subject).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking a receipt up: %w", err)
	}
	return []byte(document), nil
}
