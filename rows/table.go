package rows

import "github.com/apache/arrow/go/v15/arrow"

// Column is one column of a table.
type Column struct {
	Name     string
	Type     arrow.DataType
	Nullable bool
	Key      bool // part of the row's identity (the table's ORDER BY)
	Edition  int  // of the table in which the column came; 0: it was always there
}

// Table describes a table: what its batches carry and what identifies a row.
type Table struct {
	Name    string
	Columns []Column
	// State tables hold one living row per key, of which the highest version
	// counts: older versions within one insert can be left out.
	State bool
}

// Schema is the Arrow schema of the table's batches.
func (t Table) Schema() *arrow.Schema { return t.schema(t.Edition()) }

// Edition is the table's newest. Batches of earlier ones lack the columns that
// came since: they wait in changelogs and spills while a job is upgraded.
func (t Table) Edition() (newest int) {
	for _, c := range t.Columns {
		newest = max(newest, c.Edition)
	}
	return newest
}

// Editions are the schemas of all editions, the newest first.
func (t Table) Editions() (out []*arrow.Schema) {
	for n := t.Edition(); n >= 0; n-- {
		out = append(out, t.schema(n))
	}
	return out
}

func (t Table) schema(edition int) *arrow.Schema {
	var fields []arrow.Field
	for _, c := range t.Columns {
		if c.Edition <= edition {
			fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type, Nullable: c.Nullable})
		}
	}
	return arrow.NewSchema(fields, nil)
}

// Column returns the index of the named column, -1 when there is none.
func (t Table) Column(name string) int {
	for i, c := range t.Columns {
		if c.Name == name {
			return i
		}
	}
	return -1
}

// Keys are the indexes of the key columns, in the table's order.
func (t Table) Keys() []int {
	var ks []int
	for i, c := range t.Columns {
		if c.Key {
			ks = append(ks, i)
		}
	}
	return ks
}

// Names of the tables.
const (
	TableSessions      = "sessions"
	TableSegmentState  = "segment_state"
	TableSegmentEvents = "segment_events"
	TableAudience      = "audience"
	TableReevaluations = "reevaluations"
	TableLatency       = "latency"
	TableDeadLetters   = "dead_letters"
	TableReplayed      = "dead_letter_replays"
	TableEventWarnings = "event_warnings"
	TableAlerts        = "alerts"
	TableProgress      = "progress"
)

// Tables lists every table; progress, which is written after all others, last.
var Tables = []Table{
	state(describe(TableSessions, sessionColumns)),
	state(describe(TableSegmentState, segmentStateColumns)),
	describe(TableSegmentEvents, segmentEventColumns),
	state(describe(TableAudience, audienceColumns)),
	state(describe(TableReevaluations, reevaluationColumns)),
	state(describe(TableLatency, latencyColumns)),
	describe(TableDeadLetters, deadLetterColumns),
	state(describe(TableReplayed, replayedColumns)),
	describe(TableEventWarnings, eventWarningColumns),
	describe(TableAlerts, alertColumns),
	state(describe(TableProgress, progressColumns)),
}

// ByName finds a table.
func ByName(name string) (Table, bool) {
	for _, t := range Tables {
		if t.Name == name {
			return t, true
		}
	}
	return Table{}, false
}

func state(t Table) Table {
	t.State = true
	return t
}

// keys are the identities of the rows, besides site.
var keys = map[string][]string{
	TableSessions:      {"device", "epoch", "start"},
	TableSegmentState:  {"person"},
	TableSegmentEvents: {"person", "at", "offset", "transition", "node", "action"},
	TableAudience:      {"path", "minute"},
	TableReevaluations: {"path", "minute"},
	TableLatency:       {"stage", "minute", "job", "shard", "bucket"},
	TableDeadLetters:   {"partition", "offset"},
	TableReplayed:      {"partition", "offset"},
	TableEventWarnings: {"partition", "offset", "property", "reason"},
	TableAlerts:        {"kind", "subject", "at", "state"},
	TableProgress:      {"stage", "partition"},
}

func describe[R any](name string, cols []column[R]) Table {
	t := Table{Name: name}
	for _, c := range cols {
		d := c.desc()
		d.Key = d.Name == "site"
		for _, k := range keys[name] {
			d.Key = d.Key || d.Name == k
		}
		t.Columns = append(t.Columns, d)
	}
	return t
}
