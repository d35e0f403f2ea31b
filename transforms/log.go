package transforms

import (
	"context"

	"github.com/microseg/microseg/identity"
)

// LogReader reads a range of the log again. Sources implement it; offsets are inclusive.
type LogReader interface {
	ReadRange(ctx context.Context, partition int32, first, last int64, f func(identity.Record) error) error
}

// logs are the readers of this process's jobs.
var logs = map[string]func(settings []byte) LogReader{}

// RegisterLog names a way to make a LogReader from its settings; call it in init.
func RegisterLog(name string, make func(settings []byte) LogReader) { logs[name] = make }

// LogSpec says how the stage finds the log of its job.
type LogSpec struct {
	Name     string // as in RegisterLog
	Settings []byte
}

// open makes the reader, nil where nobody has named a way to.
func (s *LogSpec) open() LogReader {
	if mk := logs[s.Name]; mk != nil {
		return mk(s.Settings)
	}
	return nil
}
