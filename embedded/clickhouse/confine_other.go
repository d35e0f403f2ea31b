//go:build !linux

package clickhouse

// exposed is never asked for: the embedded library exists for Linux alone.
func exposed() string { return "" }
