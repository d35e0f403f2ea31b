// Package migrations brings a ClickHouse database to the schema that this
// binary knows: embedded, numbered SQL files, each applied once and recorded
// with its checksum in schema_migrations.
package migrations

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	secure "github.com/microseg/microseg/clients/clickhouse"
)

//go:embed *.sql
var files embed.FS

// ErrNewerSchema is returned when the database has migrations that this binary
// does not know: an older binary must not write into a newer schema.
var ErrNewerSchema = errors.New("the database's schema is newer than this binary")

// ErrEdited is returned when an applied migration is not the embedded one.
var ErrEdited = errors.New("an applied migration differs from this binary's (another build made this database: give a new one in the DSN, or remove .microseg/clickhouse for the embedded server's)")

// migration is one file.
type migration struct {
	version    uint32
	name       string // without .sql
	checksum   string // SHA-256 of the file, hex
	statements []string
}

// Up makes the DSN's database (microseg when the DSN names none) if it does not
// exist and applies the migrations that it lacks, in order. Several processes
// may call it at once. Errors: ErrNewerSchema, ErrEdited, ClickHouse's own.
func Up(ctx context.Context, dsn string) error {
	opts, err := secure.ParseDSN(dsn)
	if err != nil {
		return err
	}
	ms, err := load(files)
	if err != nil {
		return err
	}
	conn, err := open(ctx, opts)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := up(ctx, conn, ms); err != nil {
		return fmt.Errorf("migrating the database %s: %w", opts.Auth.Database, err)
	}
	return nil
}

// open connects to the DSN's database after making sure that it exists: the
// server refuses a connection to one that does not.
func open(ctx context.Context, opts *clickhouse.Options) (driver.Conn, error) {
	if opts.Auth.Database == "" {
		opts.Auth.Database = "microseg"
	}
	bare := *opts
	bare.Auth.Database = "default"
	conn, err := secure.Open(&bare)
	if err != nil {
		return nil, fmt.Errorf("connecting to ClickHouse: %w", err)
	}
	defer conn.Close()
	var there bool // an admin has made it, who need not let us make others
	err = conn.QueryRow(ctx, "SELECT count() > 0 FROM system.databases WHERE name = ?", opts.Auth.Database).Scan(&there)
	if err == nil && !there {
		err = conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quote(opts.Auth.Database))
	}
	if err != nil {
		return nil, fmt.Errorf("making the database %s: %w", opts.Auth.Database, err)
	}
	return secure.Open(opts)
}

func quote(id string) string { return "`" + strings.ReplaceAll(id, "`", "``") + "`" }

func up(ctx context.Context, conn driver.Conn, ms []migration) error {
	todo, err := missing(ctx, conn, ms)
	if err != nil || len(todo) == 0 {
		return err
	}
	unlock, err := lock(ctx, conn)
	if err != nil {
		return err
	}
	defer unlock()
	// Someone else may have applied them while we waited.
	if todo, err = missing(ctx, conn, ms); err != nil {
		return err
	}
	for _, m := range todo {
		if err := m.apply(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

// apply runs the statements, each of which may be repeated after a crash, and
// records the migration.
func (m migration) apply(ctx context.Context, conn driver.Conn) error {
	for _, s := range m.statements {
		if err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("applying %s: %w", m.name, err)
		}
	}
	err := conn.Exec(ctx, "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)", m.version, m.name, m.checksum)
	if err != nil {
		return fmt.Errorf("recording %s: %w", m.name, err)
	}
	return nil
}

const recordTable = `CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32 COMMENT 'number of the migration',
    name       String COMMENT 'file name without .sql',
    checksum   String COMMENT 'SHA-256 of the file, hex',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when it was applied; wall clock, ms, UTC'
)
ENGINE = ReplacingMergeTree(applied_at) ORDER BY version
COMMENT 'Migrations applied to this database'`

// missing returns the migrations that the database lacks.
func missing(ctx context.Context, conn driver.Conn, ms []migration) ([]migration, error) {
	if err := conn.Exec(ctx, recordTable); err != nil {
		return nil, fmt.Errorf("making schema_migrations: %w", err)
	}
	rows, err := conn.Query(ctx, "SELECT version, name, checksum FROM schema_migrations ORDER BY version, applied_at")
	if err != nil {
		return nil, fmt.Errorf("reading schema_migrations: %w", err)
	}
	defer rows.Close()
	todo := slices.Clone(ms)
	for rows.Next() {
		var done migration
		if err := rows.Scan(&done.version, &done.name, &done.checksum); err != nil {
			return nil, fmt.Errorf("reading schema_migrations: %w", err)
		}
		known := slices.IndexFunc(ms, func(m migration) bool { return m.version == done.version })
		switch {
		case known < 0:
			return nil, fmt.Errorf("%w: it has %s, this binary ends with %s; use the newer binary or another database", ErrNewerSchema, done.name, ms[len(ms)-1].name)
		case ms[known].checksum != done.checksum:
			return nil, fmt.Errorf("%w: %s was applied as %.12s, here it is %.12s", ErrEdited, done.name, done.checksum, ms[known].checksum)
		}
		todo = slices.DeleteFunc(todo, func(m migration) bool { return m.version == done.version })
	}
	return todo, rows.Err()
}

// load reads the files NNNN_name.sql in order. Statements end with a semicolon
// at the end of a line.
func load(fsys fs.ReadDirFS) ([]migration, error) {
	entries, err := fsys.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	var ms []migration
	for _, e := range entries {
		text, err := fs.ReadFile(fsys, e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the migrations: %w", err)
		}
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil || int(version) != len(ms)+1 {
			return nil, fmt.Errorf("reading the migrations: %s is not number %04d", e.Name(), len(ms)+1)
		}
		sum := sha256.Sum256(text)
		m := migration{version: uint32(version), name: strings.TrimSuffix(e.Name(), ".sql"), checksum: hex.EncodeToString(sum[:])}
		for s := range strings.SplitSeq(string(text), ";\n") {
			if s = strings.TrimSpace(s); s != "" {
				m.statements = append(m.statements, s)
			}
		}
		ms = append(ms, m)
	}
	return ms, nil
}
