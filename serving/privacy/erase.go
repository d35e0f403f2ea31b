package privacy

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/session"
)

// erase takes a deletion on: 202 with the receipt as it is, 200 when it was
// waited for and is complete.
func (s *Server) erase(w http.ResponseWriter, r *http.Request) error {
	if without := r.URL.Query().Get("without"); without != "" && without != "clickhouse" {
		return &Error{http.StatusBadRequest, "without=clickhouse is all that can be left out"}
	} else if s.Record == nil && without == "" {
		return &Error{http.StatusConflict, "ClickHouse cannot be reached from this node, and its rows would stay: ask a node with --dsn, or say ?without=clickhouse and delete them yourself"}
	}
	id := r.PathValue("id")
	p, err := s.person(r.Context(), id)
	if err != nil {
		return err
	}
	d := &deletion{s: s, subject: subject(id), person: identity.ErasedPerson{Person: *p}, keys: p.Names(), done: make(chan struct{}), receipt: *newReceipt()}
	for _, u := range p.Users {
		d.keys = append(d.keys, session.PersonID("", u))
	}
	d.receipt.Devices, d.receipt.Shared = len(p.Devices)+len(p.Shared), len(p.Shared)
	if err := d.save(r.Context()); err != nil {
		return err
	}
	s.start(d)
	if r.URL.Query().Get("wait") == "1" {
		if err := httpserver.Extend(w, maxWait+5*time.Second); err != nil {
			return err
		}
		select {
		case <-d.done:
		case <-r.Context().Done():
		case <-time.After(maxWait):
		}
	}
	out := d.copy()
	w.Header().Set("Location", r.URL.EscapedPath()+"/deletion?receipt="+out.ID)
	status := http.StatusAccepted
	if out.Complete {
		status = http.StatusOK
	}
	answer(w, status, out)
	return nil
}

// maxKept bounds the receipts in memory; ClickHouse has them all.
const maxKept = 1000

func (s *Server) start(d *deletion) {
	s.mu.Lock()
	for id, old := range s.running {
		if len(s.running) < maxKept {
			break
		}
		select {
		case <-old.done:
			delete(s.running, id)
		default:
		}
	}
	s.running[d.receipt.ID] = d
	s.mu.Unlock()
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		defer close(d.done)
		d.run(s.ctx)
	}()
}

// run does it all, or says in the receipt why it could not.
func (d *deletion) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.s.Patience)
	defer cancel()
	alive, stop := context.WithCancel(ctx)
	var beat sync.WaitGroup
	beat.Go(func() { d.beat(alive) })
	err := d.steps(ctx)
	if err != nil {
		err = d.s.Explain(ctx, err)
	}
	stop()
	beat.Wait()
	d.update(func(r *Receipt) {
		if r.Complete = err == nil; err != nil {
			r.Interrupted = err.Error() + "; DELETE the person again, which does no harm"
		}
	})
	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelEnd()
	if serr := d.save(end); serr != nil {
		slog.Error("a receipt could not be kept", "receipt", d.receipt.ID, "err", serr)
	}
	if err != nil {
		slog.Error("a deletion was interrupted", "receipt", d.receipt.ID, "err", err)
	}
}

// beat keeps the receipt fresh while its node works on it.
func (d *deletion) beat(ctx context.Context) {
	tick := time.NewTicker(maxQuiet / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d.update(func(*Receipt) {})
		if err := d.save(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("keeping a receipt", "receipt", d.receipt.ID, "err", err)
		}
	}
}

func (d *deletion) steps(ctx context.Context) error {
	select {
	case d.s.room <- struct{}{}:
		defer func() { <-d.s.room }()
	case <-ctx.Done():
		return ctx.Err()
	}
	w, err := d.s.watch(ctx, d.keys)
	if err != nil {
		return err
	}
	defer w.close()
	if err := d.bury(ctx); err != nil {
		return err
	}
	if err := d.forget(ctx, w); err != nil {
		return err
	}
	if err := d.covered(ctx); err != nil {
		return err
	}
	if err := d.applied(ctx); err != nil {
		return err
	}
	return d.rows(ctx)
}

// bury writes tombstones and erasures, and lets this node forget at once.
func (d *deletion) bury(ctx context.Context) error {
	s := d.s
	if s.Copied != nil {
		if err := s.Copied(ctx); err != nil {
			return err
		}
	}
	at, list, err := s.bury(ctx, &d.person.Person, d.receipt.ID)
	if err != nil {
		return err
	}
	d.person.Tombstones = at
	if d.person.Disclaimed, err = s.disclaim(ctx, &d.person, d.receipt.ID); err != nil {
		return err
	}
	kept, err := s.retention(ctx)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	d.update(func(r *Receipt) {
		r.Tombstones, r.Disclaimed = list, len(d.person.Disclaimed)-len(d.person.Shared)
		r.store(storeTombstone).DoneAt = &now
		raw := r.store(storeRaw)
		if raw.Note = kept.says(); kept.limited {
			by := now.Add(kept.within)
			raw.By = &by
		}
	})
	var erasures []identity.Erasure
	for _, device := range d.person.Devices {
		for p, offset := range at[device] {
			erasures = append(erasures, identity.Erasure{Partition: p, Offset: offset, Device: identity.HashDevice(device)})
		}
	}
	for device, parts := range d.person.Disclaimed {
		for p, offset := range parts {
			if !slices.Contains(d.person.Shared, device) { // of which it depends on the epoch
				erasures = append(erasures, identity.Erasure{Partition: p, Offset: offset, Device: identity.HashDevice(device), User: identity.HashDevice(d.person.User)})
			}
		}
	}
	if err := s.note(ctx, erasures); err != nil {
		return err
	}
	if len(d.person.Shared) == 0 { // else epochs of these follow
		d.mark(storeErased, nil, listed)
	}
	for _, k := range d.person.Names() {
		s.Store.Forget(k)
	}
	return nil
}

// forget waits until the job has published that it has forgotten, and this node
// has read it; then nothing can bring the old record back.
func (d *deletion) forget(ctx context.Context, w *watch) error {
	if err := w.all(ctx); err != nil {
		return err
	}
	d.mark(storeSegments, nil, "readers forget at the null record; the records before it go when the log compacts (max.compaction.lag.ms of the topic)")
	for p, offset := range w.seen {
		if err := poll(ctx, func() (bool, error) { return d.s.Store.Next(p) > offset, nil }); err != nil {
			return err
		}
	}
	d.mark(storeCache, nil, "this node's memory; other nodes read the same topic")
	if d.s.Redis == nil {
		d.skip(storeRedis, "none is configured")
		return nil
	}
	if err := d.s.Redis.Forget(ctx, d.person.Names()...); err != nil {
		return err
	}
	d.mark(storeRedis, nil, "")
	return nil
}

// covered waits until the job's snapshots are from after the tombstones: until
// then a job that is killed and started again makes the person's rows again.
func (d *deletion) covered(ctx context.Context) error {
	if d.s.Covered == nil {
		d.skip(storeChangelog, "the job's runner keeps its state")
		return nil
	}
	kept := true
	err := poll(ctx, func() (bool, error) {
		at, ok, err := d.s.Covered(ctx)
		if err != nil || !ok {
			kept = ok
			return err == nil, err
		}
		for p, end := range d.ends() {
			if last, has := at[p]; !has || last < end-1 {
				return false, nil
			}
		}
		return true, nil
	})
	switch {
	case err != nil:
		return err
	case !kept:
		d.skip(storeChangelog, "there is none: the job's runner keeps its state")
	default:
		d.mark(storeChangelog, nil, "the job's snapshots are from after the tombstones; the log drops the earlier ones with their segments (64 MB)")
	}
	return nil
}

// applied waits until the job has recorded what came before the tombstones: what
// is deleted then does not arrive later.
func (d *deletion) applied(ctx context.Context) error {
	rec := d.s.Record
	if rec == nil {
		d.mark(storeState, nil, "the job has published that it applied the tombstones")
		return nil
	}
	ends := d.ends()
	now, err := rec.Now(ctx)
	if err != nil {
		return err
	}
	d.person.Applied = now.UnixMilli()
	if err := poll(ctx, func() (bool, error) { return rec.Recorded(ctx, ends) }); err != nil {
		return err
	}
	// A user may be in another shard than its device, whose progress says nothing of
	// it: all shards have to write once more, and then again, because the first of
	// these writings may have been on its way before the user's rows joined.
	for range 2 {
		if err := poll(ctx, func() (bool, error) { return rec.Settled(ctx, now) }); err != nil {
			return err
		}
		if now, err = rec.Now(ctx); err != nil {
			return err
		}
	}
	d.mark(storeState, nil, "the job has recorded the offsets of the tombstones")
	return nil
}

// ends are where the deletion's records are behind, by partition.
func (d *deletion) ends() map[int32]int64 {
	ends := map[int32]int64{}
	for _, of := range []map[string]map[int32]int64{d.person.Tombstones, d.person.Disclaimed} {
		for _, parts := range of {
			for p, offset := range parts {
				ends[p] = max(ends[p], offset+1)
			}
		}
	}
	return ends
}

// listed is what the receipt says of the list of erasures.
const listed = "a job that starts again from the log takes nothing from before the tombstones"

// rows deletes what ClickHouse has.
func (d *deletion) rows(ctx context.Context) error {
	rec := d.s.Record
	if rec == nil {
		d.skip(clickhouse[:len(clickhouse)-1], "left out as asked: this node cannot reach it, its rows stay")
		d.skip(storeDead, "left out with ClickHouse")
		if len(d.person.Shared) > 0 {
			d.mark(storeErased, nil, "the records in the log of events say it to a job that starts again from the log, once it has read as far")
		}
		return nil
	}
	if len(d.person.Shared) > 0 {
		epochs, err := rec.Epochs(ctx, &d.person)
		if err != nil {
			return err
		}
		if err := d.s.note(ctx, epochs); err != nil {
			return err
		}
		d.mark(storeErased, nil, listed)
	}
	letters, err := rec.Letters(ctx, &d.person)
	if err != nil {
		return err
	}
	if err := d.s.note(ctx, letters); err != nil {
		return err
	}
	d.person.Back = map[string]bool{}
	for _, name := range d.person.Names() {
		if d.person.Back[name], err = d.s.Store.Get(name, &segment.Record{}); err != nil {
			return err
		}
	}
	deleted, err := rec.Erase(ctx, &d.person, letters)
	if err != nil {
		return err
	}
	unnamed, err := rec.Disclaim(ctx, &d.person)
	if err != nil {
		return err
	}
	if d.person.User != "" {
		d.mark(storeClaims, &unnamed, "the user's name is gone from sessions of devices that only claimed to be the user's; what they did is theirs")
	}
	for _, table := range slices.Sorted(maps.Keys(deleted)) {
		n := deleted[table]
		name := clickhouse + table
		if table == storeDead {
			name = storeDead
		}
		d.mark(name, &n, "mutation finished")
	}
	return nil
}
