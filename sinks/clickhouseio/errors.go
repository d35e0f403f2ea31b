package clickhouseio

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/microseg/microseg/clients"
)

// ErrClosed is returned by calls on a closed writer.
var ErrClosed = errors.New("the ClickHouse writer is closed")

// InsertError says which insert could not be done. It is not retryable any
// more: the writer has retried what could be.
type InsertError struct {
	Table    string
	Rows     int
	Attempts int
	Err      error
}

func (e *InsertError) Error() string {
	return fmt.Sprintf("inserting %d rows into %s (%d attempts): %v", e.Rows, e.Table, e.Attempts, e.Err)
}

func (e *InsertError) Unwrap() error { return e.Err }

// retryableCodes are ClickHouse's errors that pass: overload, a server that
// starts or stops, replication that catches up, a disk that is full.
var retryableCodes = map[int32]string{
	3:   "UNEXPECTED_END_OF_FILE",
	32:  "ATTEMPT_TO_READ_AFTER_EOF",
	75:  "CANNOT_WRITE_TO_FILE_DESCRIPTOR", // a disk that is full
	159: "TIMEOUT_EXCEEDED",
	198: "DNS_ERROR",
	202: "TOO_MANY_SIMULTANEOUS_QUERIES",
	203: "NO_FREE_CONNECTION",
	209: "SOCKET_TIMEOUT",
	210: "NETWORK_ERROR",
	236: "ABORTED",
	241: "MEMORY_LIMIT_EXCEEDED",
	242: "TABLE_IS_READ_ONLY",
	243: "NOT_ENOUGH_SPACE",
	252: "TOO_MANY_PARTS",
	285: "TOO_FEW_LIVE_REPLICAS",
	319: "UNKNOWN_STATUS_OF_INSERT",
	394: "QUERY_WAS_CANCELLED",
	439: "CANNOT_SCHEDULE_TASK",
	999: "KEEPER_EXCEPTION",
}

// Retryable reports whether the same insert may succeed later: network errors
// and ClickHouse's passing conditions, not errors of schema, data or access.
func Retryable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var ex *clickhouse.Exception
	if errors.As(err, &ex) {
		_, ok := retryableCodes[ex.Code]
		return ok
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, clickhouse.ErrAcquireConnTimeout)
}

// lockedOut reports whether the server and this process do not believe each other's
// certificates. Where that happens while rows come, somebody has forgotten to renew one, and
// will: files are read anew at each connection, and the rows wait for that. A login that is
// refused ends the job, since its password is read at a start.
func lockedOut(err error) bool {
	var refused *clients.RefusedError
	return errors.As(err, &refused)
}
