// Package rows builds the rows of ClickHouse's tables as Arrow record batches.
//
// It is the one place that knows both sides of a table: a typed struct per
// table, and the columns (names as in ClickHouse, see the migrations of
// sinks/clickhouseio) that its fields become. The stages append structs, the
// sink appends the columns as columns.
//
// Times are milliseconds since the Unix epoch, UTC, in the structs and
// timestamp[ms, UTC] in Arrow. Booleans travel as uint8, as ClickHouse has
// them.
package rows

// Batch is a number of rows of one table on its way to ClickHouse: the element
// of the sink's PCollection.
type Batch struct {
	Table string // name of the table, as in Tables
	Rows  int    // number of rows, >= 1
	// Decided is the wall clock time (ms) of the oldest decision among the rows;
	// 0 counts the recording latency from the sink's receipt instead.
	Decided int64
	Shard   int    // that made them: where rows are keyed, by this
	Data    []byte // Arrow IPC stream: schema and one record batch
}
