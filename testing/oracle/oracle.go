// Package oracle is the obviously right version of the whole job: it holds all
// events in memory, sorts them, and folds each device once, in one thread. It
// knows no shards, no lateness list, no wake-ups and no versions; and no
// retention of devices of several events, no deletions of devices, no limits of identity
// and no end of legacy links: logs for it stay below them.
package oracle

import (
	"bufio"
	"errors"
	"io"
	"slices"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
)

// Record is one record of the log.
type Record struct {
	Partition int32
	Offset    int64
	Appended  int64 // ms
	Value     []byte
	Trust     event.Trust
}

// Oracle takes the log, record by record.
type Oracle struct {
	Partitions int // of the log: they share state.max_devices; 0: one
	decoder    *event.Decoder
	seen       map[uint64]map[string]bool // devices by event
	clocks     map[int32]*clock
	bounds     map[string]*bound
	proven     map[pair]bool
	rooms      map[int32]*room
	gone       []*epoch // of devices that were let go
	res        *Result
}

// New returns an oracle that has seen nothing.
func New(cfg *config.Config) (*Oracle, error) {
	d, err := event.NewDecoder(cfg.EventConfig())
	if err != nil {
		return nil, err
	}
	schema := segment.NewSchema(cfg.Elements)
	tree, err := segment.NewTree(segment.NewCompiler(schema, cfg.SegmentParams()), cfg.SegmentSpecs())
	if err != nil {
		return nil, err
	}
	return &Oracle{decoder: d, seen: map[uint64]map[string]bool{}, clocks: map[int32]*clock{},
		bounds: map[string]*bound{}, proven: map[pair]bool{}, rooms: map[int32]*room{},
		res: &Result{cfg: cfg, tree: tree, schema: schema, devices: map[string][]*epoch{}, users: map[string][]*epoch{}}}, nil
}

// Run reads Segment-spec JSONL in log order: the order decides what is late and
// what is a duplicate, nothing else. append is the time of the append, ms.
func Run(cfg *config.Config, in io.Reader, appended int64) (*Result, error) {
	o, err := New(cfg)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for offset := int64(0); lines.Scan(); offset++ {
		if err := o.Take(&Record{Offset: offset, Appended: appended, Value: lines.Bytes()}); err != nil {
			return nil, err
		}
	}
	return o.Result(), lines.Err()
}

// Take judges the next record of its partition; the order of the partitions
// among each other does not matter. It fails only where the decoder says
// nothing of a reason.
func (o *Oracle) Take(r *Record) error {
	var e event.Event
	if err := o.decoder.Decode(r.Value, r.Trust, r.Appended, &e); err != nil {
		var refused *event.Error
		if !errors.As(err, &refused) {
			return err
		}
		o.dead(r, refused.Reason)
		return nil
	}
	e.Offset, e.Partition = r.Offset, r.Partition
	now := o.now(r.Partition)
	o.expire(&e)
	switch {
	case e.Kind == event.KindUnlink:
		o.unlink(&e)
		return nil
	case e.Kind == event.KindDisclaim:
		o.res.Good++
		if !o.proven[pair{e.Device, e.User}] {
			o.unname(&e)
		}
		return nil
	case e.Kind == event.KindDeleteUser:
		o.res.Good++
		o.deleteUser(&e)
		return nil
	case e.Kind == event.KindRebuild: // what reads now is good from the beginning here
		o.res.Good++
		return nil
	case e.Kind != event.KindReset && now > 0 && e.Time < now-o.allowed(e.Kind):
		o.dead(r, event.Late)
		return nil
	case e.Kind != event.KindReset && o.unknowable(&e):
		o.dead(r, event.Late)
		return nil
	case o.seen[e.ID][e.Device] && !o.forgotten(&e), o.wasOf(&e):
		o.res.Duplicate++
		return nil
	case e.Kind != event.KindReset && o.forgotten(&e):
		o.dead(r, event.TooMany)
		return nil
	}
	if e.Kind != event.KindReset { // a log-out has no time
		o.clocks[r.Partition].take(&e)
	}
	if e.Kind == event.KindAlias && o.merges(&e) {
		o.dead(r, event.Identity)
		return nil
	}
	if o.seen[e.ID] == nil {
		o.seen[e.ID] = map[string]bool{}
	}
	o.seen[e.ID][e.Device] = true
	o.res.Good++
	if e.Kind == event.KindReset {
		o.reset(&e)
		return nil
	}
	o.accept(&e, o.keep(&e, now > 0 && e.Time < now-o.res.cfg.Lateness.Short.Milliseconds()))
	return nil
}

// allowed is how late (ms) an event of the kind may be.
func (o *Oracle) allowed(k event.Kind) int64 {
	l := o.res.cfg.Lateness
	switch k {
	case event.KindOrder, event.KindRefund, event.KindIdentify, event.KindAlias:
		return max(l.Short, min(l.Long, o.res.cfg.Retention)).Milliseconds()
	}
	if slices.Contains(o.res.cfg.Patient(), k) {
		return max(l.Short, min(l.Long, o.res.cfg.Retention)).Milliseconds()
	}
	return l.Short.Milliseconds()
}

func (o *Oracle) dead(r *Record, why event.Reason) {
	o.res.Dead++
	o.res.Letters = append(o.res.Letters, Letter{r.Partition, r.Offset, why})
}
