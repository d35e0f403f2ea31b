package kafkaio

import (
	"errors"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Temporary reports whether an error is an answer of the log, and one after which
// the same request may succeed later: a log that starts, or elects leaders. A
// topic that nobody has made stays missing.
func Temporary(err error) (temporary, ofTheLog bool) {
	if kafka.Stays(err) {
		return false, true
	}
	e := (*kerr.Error)(nil)
	if !errors.As(err, &e) {
		return false, false
	}
	return e.Retriable && !errors.Is(e, kerr.UnknownTopicOrPartition), true
}
