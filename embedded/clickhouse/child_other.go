//go:build !linux

package clickhouse

import "errors"

// HandleChild does nothing: the embedded library exists for Linux alone.
func HandleChild() {}

// Main always fails: the embedded library exists for Linux alone.
func Main(lib, config string) error {
	return errors.New("the embedded ClickHouse runs on Linux (amd64) only: put `clickhouse` on the PATH or set " + DSNEnv)
}
