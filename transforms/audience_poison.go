package transforms

import (
	"fmt"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
)

// place names the counts where records are named.
func (c *shardCounts) place() identity.Place {
	return identity.Place{Partition: int32(c.Reporter), Offset: c.Seq}
}

// pass applies counts that are left out: their time passes, with an alert the first
// time, and nothing else.
func (a *AudienceState) pass(c *shardCounts, b *Built, out func(rows.Batch), publish func([]byte)) error {
	if s := a.Shards[c.Reporter]; s == nil || c.Seq > s.Seq {
		alert := rows.NewAlertBuilder()
		alert.Append(&rows.Alert{Site: b.Spec.Site, Kind: rows.AlertPoison, Subject: fmt.Sprint("audience reporter ", c.Reporter),
			At: c.UpTo * 60_000 / hourMS * hourMS, State: rows.Raised, Value: 1, Version: uint64(c.Seq),
			Message: "the audience stage cannot take what a shard told it: a fault of this program; that is left out, " +
				"and what the shard tells next is whole again; update microseg, its log has the details"})
		if err := emitRows(alert, 0, out); err != nil {
			return err
		}
	}
	return a.Apply(&shardCounts{Reporter: c.Reporter, Seq: c.Seq, UpTo: c.UpTo, Idle: c.Idle}, b, out, publish)
}
