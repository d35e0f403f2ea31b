package pipelines

import (
	"fmt"

	"github.com/microseg/microseg/transforms"
)

// Partitioning says what is wrong with how the events are keyed or copied, or with the
// records themselves; empty: nothing is.
func (j *Job) Partitioning() string {
	if j.Rekeyer != nil {
		if s := j.Rekeyer.Stats(); s.Err != nil {
			return fmt.Sprintf("the events are not copied by device at present, %d records wait: %v", s.Lag, s.Err)
		}
	}
	if n := j.Poisoned(); n > 0 {
		return fmt.Sprintf("%d records are left out because a stage of this program cannot take them: dead letters of reason poison; update microseg and replay them (docs/operations.md)", n)
	}
	if n := transforms.StatsOf(j.Engine()).Stray; n > 0 {
		return fmt.Sprintf("%d records were in other partitions than their devices: dead letters of reason stray; key by anonymousId, else userId, or set source.rekey: on (docs/operations.md)", n)
	}
	return ""
}
