//go:build !linux

package clickhouse

import (
	"errors"
	"os"
)

// terminal is never asked for: the embedded library exists for Linux alone.
func terminal() (input, other *os.File, err error) {
	return nil, nil, errors.New("there is no terminal for the embedded ClickHouse")
}
