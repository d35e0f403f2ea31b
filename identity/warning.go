package identity

import "github.com/microseg/microseg/event"

// Warning is what could not be read of a record that is an event all the same.
type Warning struct {
	Partition int32
	Offset    int64
	Append    int64 // record timestamp, ms
	event.Warning
}
