// Package upgrade holds what an older program has left, and what that program
// makes of it: a newer one has to go on from there with no difference. make
// says how the fixture was made.
package upgrade

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topic is that of the fixture's events, and its site.
const Topic = "events"

// Record is an event to be sent.
type Record struct {
	Key, Value string
	At         int64 // append, ms
}

// Rows are what a job has written about visitors, by question.
type Rows map[string][]string

// Made is what the older program makes of one of its changelogs in an empty
// database.
type Made struct {
	Again     Rows // when it has applied again what was behind the snapshots
	Continued Rows // and when the records of the continuation have come
}

// questions are what is compared: by name, a query whose rows are lines. What
// depends on when somebody looked is left out: decayed sums as of the last
// evaluation, versions of rows that wait for a time, texts for people.
var questions = map[string]string{
	"moves": `SELECT person, transition, node, action, from_path, to_path, cause, toUnixTimestamp64Milli(at), partition, offset
		FROM segment_events_dedup WHERE site = {site:String} AND cause != 'stale' ORDER BY ALL`,
	"versions of moves": `SELECT person, transition, node, action, toUnixTimestamp64Milli(at), version
		FROM segment_events_dedup WHERE site = {site:String} AND cause != 'stale' ORDER BY ALL`,
	"sessions": `SELECT * EXCEPT (site, version, half_scroll_s, claimed_user) FROM sessions_current WHERE site = {site:String} ORDER BY ALL`,
	"persons": `SELECT person, path, toUnixTimestamp64Milli(since), toUnixTimestamp64Milli(last_event), cart_value, devices, transitions
		FROM persons_current WHERE site = {site:String} ORDER BY ALL`,
	"dead letters": `SELECT partition, offset, reason, toUnixTimestamp64Milli(event_time), toUnixTimestamp64Milli(appended), device, payload
		FROM (SELECT * FROM dead_letters ORDER BY version DESC LIMIT 1 BY partition, offset) WHERE site = {site:String} ORDER BY ALL`,
	"progress": `SELECT stage, partition, max(offset), argMax(good, version), argMax(duplicate, version), argMax(dead, version)
		FROM progress WHERE site = {site:String} GROUP BY ALL ORDER BY ALL`,
}

// Ask reads the rows of a site.
func Ask(ctx context.Context, dsn, site string) (Rows, error) {
	conn, err := clickhouseio.Dial(dsn)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	out := Rows{}
	for name, q := range questions {
		if out[name], err = lines(ctx, conn, q, site); err != nil {
			return nil, fmt.Errorf("asking for %s: %w", name, err)
		}
	}
	return out, nil
}

// Lines asks one question of a site's rows.
func Lines(ctx context.Context, dsn, q, site string) ([]string, error) {
	conn, err := clickhouseio.Dial(dsn)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return lines(ctx, conn, q, site)
}

func lines(ctx context.Context, conn driver.Conn, q, site string) (out []string, err error) {
	q = strings.ReplaceAll(q, "{site:String}", "'"+site+"'")
	rows, err := conn.Query(ctx, "SELECT arrayStringConcat(arrayMap(x -> toString(x), [toJSONString(tuple(*))]), '') FROM ("+q+")")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, rows.Err()
}

// Send sends records with the append times that they state, as one whom nobody checks.
func Send(ctx context.Context, brokers []string, records []Record) error {
	return SendAs(ctx, brokers, event.Unchecked, records)
}

// SendAs sends them with the trust that a collector found.
func SendAs(ctx context.Context, brokers []string, trust event.Trust, records []Record) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(Topic))
	if err != nil {
		return fmt.Errorf("connecting to the log: %w", err)
	}
	defer cl.Close()
	for _, r := range records {
		rec := &kgo.Record{Key: []byte(r.Key), Value: []byte(r.Value), Timestamp: time.UnixMilli(r.At),
			Headers: []kgo.RecordHeader{{Key: event.TrustHeader, Value: []byte(trust.String())}}}
		if err := cl.ProduceSync(ctx, rec).FirstErr(); err != nil {
			return fmt.Errorf("sending an event: %w", err)
		}
	}
	return nil
}

// WriteJSON writes a value as compressed JSON.
func WriteJSON(path string, v any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
	return errors.Join(json.NewEncoder(z).Encode(v), z.Close(), f.Close())
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return json.NewDecoder(z).Decode(v)
}

// Pack writes a folder into a compressed archive.
func Pack(dir, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
	w := tar.NewWriter(z)
	return errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), z.Close(), f.Close())
}

// Unpack is the other way round.
func Unpack(path, dir string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if err := unpack(r, h, dir); err != nil {
			return err
		}
	}
}

func unpack(r io.Reader, h *tar.Header, dir string) error {
	if !filepath.IsLocal(h.Name) {
		return fmt.Errorf("unpacking: %q leads out of the folder", h.Name)
	}
	to := filepath.Join(dir, h.Name)
	if h.FileInfo().IsDir() {
		return os.MkdirAll(to, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
