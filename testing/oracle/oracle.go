// Package oracle is the obviously right version of the whole job: it holds all
// events in memory, sorts them, and folds each device once, in one thread. It
// knows no shards, no lateness list, no wake-ups and no versions; and no
// retention of devices of several events, no deletions, no limits of identity and no end of
// legacy links: logs for it stay below them.
package oracle

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/session"
)

// Session is a session as the oracle sees it; times are ms.
type Session struct {
	Device            string
	Epoch             int64 // offset of the record that opened it; 0: the device's first
	Start, End        int64
	Events, PageViews uint32
}

// Record is one record of the log.
type Record struct {
	Partition int32
	Offset    int64
	Appended  int64 // ms
	Value     []byte
	Trust     event.Trust
}

// Letter is a record that is a dead letter.
type Letter struct {
	Partition int32
	Offset    int64
	Reason    event.Reason
}

// Result is what the job must have recorded in the end.
type Result struct {
	Good, Duplicate, Dead int
	Sessions              []Session // by device, epoch and start
	Letters               []Letter  // in the order in which they were taken
	cfg                   *config.Config
	tree                  *segment.Tree
	schema                *segment.Schema
	devices               map[string][]*epoch
	users                 map[string][]*epoch // the epochs linked to each user
}

// epoch is what a device did as one user, or as none so far.
type epoch struct {
	device    string
	number    int64
	partition int32
	name      string // of the user whom it names
	user      string // the same, if that is proven in the end
	left      string // whose it was until an unlink, while nobody else is named
	events    []event.Event
	late      []event.Event // too late for a session
	visits    []visit       // in the order of the log
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

// pair is a device and a user, of which there is a proof that they belong together.
type pair struct{ device, user string }

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
	return &Oracle{decoder: d, seen: map[uint64]map[string]bool{}, clocks: map[int32]*clock{}, bounds: map[string]*bound{}, proven: map[pair]bool{}, rooms: map[int32]*room{},
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

// accept takes an event into its epoch: a userId names a device that names nobody,
// with all that it did before but for a link by a token, and another user's opens a new epoch. Whether the
// epoch is that user's is seen in the end, by whether there ever was a proof.
func (o *Oracle) accept(e *event.Event, late bool) {
	last := o.present(e)
	o.hear(e, e.Time)
	switch {
	case e.User == "" || e.User == last.name:
	case last.name == "" && (e.Trust != event.Linked || len(last.events)+len(last.late) == 0):
		last.name, last.left = e.User, ""
	default:
		last = o.open(e)
		last.name = e.User
	}
	if e.User != "" && e.Trust.Verified() {
		o.proven[pair{e.Device, e.User}] = true
	}
	last.visited(e)
	if late {
		last.late = append(last.late, *e)
		return
	}
	last.events = append(last.events, *e)
}

// present is the present epoch of a device, which is made when there is none.
func (o *Oracle) present(e *event.Event) *epoch {
	es := o.res.devices[e.Device]
	if len(es) == 0 {
		o.comes(e)
		es = []*epoch{{device: e.Device, partition: e.Partition}}
		o.res.devices[e.Device] = es
	}
	return es[len(es)-1]
}

// open begins a new epoch of the device, which is nobody's.
func (o *Oracle) open(e *event.Event) *epoch {
	n := &epoch{device: e.Device, partition: e.Partition, number: e.Offset}
	o.res.devices[e.Device] = append(o.res.devices[e.Device], n)
	return n
}

// merges reports whether an alias would merge two users, or link what is not known.
func (o *Oracle) merges(e *event.Event) bool {
	es := o.res.devices[e.Device]
	if len(es) == 0 {
		return true
	}
	last := es[len(es)-1]
	return last.name != "" && last.name != e.User
}

// reset is a log-out: what follows is nobody's yet.
func (o *Oracle) reset(e *event.Event) {
	known := len(o.res.devices[e.Device]) > 0
	if !known {
		o.comes(e)
	}
	if !known || o.present(e).name != "" {
		o.open(e)
		o.hear(e, o.nowOf(e))
	}
	s := o.room(e.Partition).places[e.Device]
	s.resets = append(s.resets, e.ID)
}

// unlink takes the device from the user, in all of its epochs.
func (o *Oracle) unlink(e *event.Event) {
	o.res.Good++
	for _, p := range o.res.devices[e.Device] {
		if p.name == e.User && o.proven[pair{e.Device, e.User}] {
			p.left = e.User
		}
	}
	delete(o.proven, pair{e.Device, e.User})
	o.unname(e)
}

// deleteUser takes the user's epochs of the device away, and the name where it is only
// claimed. Where the present one goes a new one begins, nobody's.
func (o *Oracle) deleteUser(e *event.Event) {
	es := o.res.devices[e.Device]
	theirs := func(p *epoch) bool {
		return p.left == e.User || p.name == e.User && o.proven[pair{e.Device, e.User}]
	}
	present := len(es) > 0 && theirs(es[len(es)-1])
	if es = slices.DeleteFunc(es, theirs); present {
		es = append(es, &epoch{device: e.Device, partition: e.Partition, number: e.Offset})
	}
	if len(es) > 0 {
		o.res.devices[e.Device] = es
	}
	delete(o.proven, pair{e.Device, e.User})
	o.unname(e)
}

// unname lets no epoch of the device name the user.
func (o *Oracle) unname(e *event.Event) {
	for _, p := range o.res.devices[e.Device] {
		if p.name == e.User {
			p.name = ""
		}
	}
}

// Result is what must have been recorded of what was taken so far. It ends the oracle.
func (o *Oracle) Result() *Result {
	r := o.res
	for _, device := range slices.Sorted(maps.Keys(r.devices)) {
		for _, e := range r.devices[device] {
			r.sessions(e)
			if o.proven[pair{device, e.name}] {
				e.user = e.name
				r.users[e.user] = append(r.users[e.user], e)
			}
		}
	}
	for _, e := range o.gone {
		r.sessions(e)
	}
	if len(o.gone) > 0 {
		slices.SortFunc(r.Sessions, func(a, b Session) int {
			return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Start, b.Start))
		})
	}
	return r
}

func (r *Result) sessions(e *epoch) {
	slices.SortFunc(e.events, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
	})
	var v view // the present one, in the present session
	for i := range e.events {
		ev := &e.events[i]
		if i == 0 || ev.Time-e.events[i-1].Time >= r.cfg.Session.Gap.Milliseconds() {
			r.Sessions = append(r.Sessions, Session{Device: e.device, Epoch: e.number, Start: ev.Time})
			v = view{}
		}
		s := &r.Sessions[len(r.Sessions)-1]
		s.End = ev.Time
		s.Events++
		if v.opens(ev) {
			s.PageViews++
		}
	}
}

// view is a page view: a page or screen call, "Product Viewed" and the like, or
// one of each that came within ten seconds of each other and can be of one page.
type view struct {
	open, called, shown bool // shown: by an event that names the page otherwise than the call
	at                  int64
	keys                []uint64
	kind                event.PageType
}

// opens reports whether the event opens a view.
func (v *view) opens(e *event.Event) bool {
	call := e.Kind == event.KindPage
	if !call && !commerce(e.Kind) || !call && !v.open && e.Page == 0 && e.PageType == event.PageUnknown {
		return false
	}
	vague := func(t event.PageType) bool { return t == event.PageUnknown || t == event.PageOther }
	beside := v.open && e.Time-v.at <= 10_000 && (v.kind == e.PageType || vague(v.kind) || vague(e.PageType))
	joins := v.open && !call && (e.Page == 0 || slices.Contains(v.keys, e.Page))
	if call && !v.called && beside {
		joins, v.shown = true, v.shown || e.Page != 0 && v.keys[0] != 0 && !slices.Contains(v.keys, e.Page)
	}
	if !call && !joins && v.called && !v.shown && beside {
		joins, v.shown = true, true
	}
	if !joins {
		*v = view{open: true, called: call, at: e.Time, keys: []uint64{e.Page}, kind: e.PageType}
		return true
	}
	v.called = v.called || call
	if e.Page != 0 {
		v.keys = append(v.keys, e.Page)
	}
	if e.PageType != event.PageUnknown && vague(v.kind) {
		v.kind = e.PageType
	}
	return false
}

// Gap is the time (ms) without an event that ends a session.
func (r *Result) Gap() int64 { return r.cfg.Session.Gap.Milliseconds() }

// Devices are the devices with accepted events, sorted.
func (r *Result) Devices() []string { return slices.Sorted(maps.Keys(r.devices)) }

// Partition is that of a device's records; ok is false for a device without
// accepted events.
func (r *Result) Partition(device string) (p int32, ok bool) {
	es := r.devices[device]
	if len(es) == 0 {
		return 0, false
	}
	return es[0].partition, true
}

// User is whom a device is linked to in the end; empty: nobody.
func (r *Result) User(device string) string {
	es := r.devices[device]
	if len(es) == 0 {
		return ""
	}
	return es[len(es)-1].user
}

// Persons are the persons that exist in the end, "d:" device or "u:" user, sorted.
func (r *Result) Persons() []string {
	var out []string
	for device, es := range r.devices {
		if last := es[len(es)-1]; last.user == "" && len(last.events)+len(last.late) > 0 {
			out = append(out, session.PersonID(device, ""))
		}
	}
	for user := range r.users {
		out = append(out, session.PersonID("", user))
	}
	slices.Sort(out)
	return out
}

// Path is where an unlinked device's person stands at time t (ms), which is not
// before its last event.
func (r *Result) Path(device string, t int64) (string, error) {
	p, err := r.Person(session.PersonID(device, ""))
	if err != nil {
		return "", err
	}
	if p == nil {
		return "", fmt.Errorf("asking for the path of device %s: it is linked, or unknown", device)
	}
	return p.Path(t), nil
}
