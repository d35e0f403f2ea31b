package transforms

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/microseg/microseg/transforms/logstate"
)

// beamCells are cells as Beam has them.
type beamCells struct {
	p    state.Provider
	head state.Value[[]byte]
	log  state.Bag[[]byte]
}

// Head implements Cells.
func (c *beamCells) Head() ([]byte, error) {
	b, _, err := c.head.Read(c.p)
	if err != nil {
		return nil, fmt.Errorf("reading the head: %w", err)
	}
	return b, nil
}

// Log implements Cells.
func (c *beamCells) Log() ([][]byte, error) {
	b, _, err := c.log.Read(c.p)
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	return b, nil
}

// Write implements Cells.
func (c *beamCells) Write(change logstate.Change) error {
	if change.Clear {
		if err := c.log.Clear(c.p); err != nil {
			return fmt.Errorf("clearing the log: %w", err)
		}
	}
	for _, e := range change.Entries {
		if err := c.log.Add(c.p, e); err != nil {
			return fmt.Errorf("appending to the log: %w", err)
		}
	}
	if err := c.head.Write(c.p, change.Head); err != nil {
		return fmt.Errorf("writing the head: %w", err)
	}
	return nil
}
