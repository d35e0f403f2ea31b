package privacy

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/microseg/microseg/identity"
)

// Receipt says what a deletion has done, and when. It does not say of whom.
type Receipt struct {
	ID          string       `json:"receipt"`
	RequestedAt time.Time    `json:"requested_at"`
	UpdatedAt   time.Time    `json:"updated_at"`
	Complete    bool         `json:"complete"`
	Devices     int          `json:"devices"`
	Shared      int          `json:"shared,omitempty"` // of these, those that others used, too: the user's own epochs go
	Tombstones  []Tombstone  `json:"tombstones"`
	Disclaimed  int          `json:"disclaimed,omitempty"` // devices that only claimed to be the user's
	Stores      []StoreState `json:"stores"`
	Interrupted string       `json:"interrupted,omitempty"` // why nobody is at it any more
}

// Tombstone is where a device's tombstone is in the topic of events.
type Tombstone struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// StoreState is what became of one store.
type StoreState struct {
	Store  string     `json:"store"`
	DoneAt *time.Time `json:"done_at,omitempty"` // absent: not yet, or skipped
	Rows   *uint64    `json:"rows,omitempty"`    // deleted
	By     *time.Time `json:"by,omitempty"`      // when the log will have dropped what it holds, at the latest
	Note   string     `json:"note,omitempty"`
}

// Stores of a receipt, in the order in which they are done. Those of ClickHouse
// follow, "clickhouse.<table>".
const (
	storeTombstone = "tombstone"
	storeErased    = "erased_list"
	storeCache     = "cache"
	storeSegments  = "segments"
	storeRedis     = "redis"
	storeState     = "state"
	storeChangelog = "changelog"
	storeRaw       = "raw_events"
	storeDead      = "dead_letters"
	storeClaims    = "claims"
	clickhouse     = "clickhouse."
)

// maxQuiet is for how long a receipt under way may stay as it is before its node
// counts as gone. A node writes it every quarter of that.
const maxQuiet = time.Minute

func newReceipt() *Receipt {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return &Receipt{ID: rand.Text(), RequestedAt: now, UpdatedAt: now, Tombstones: []Tombstone{}}
}

// store is the entry of a store, made when missing.
func (r *Receipt) store(name string) *StoreState {
	i := slices.IndexFunc(r.Stores, func(s StoreState) bool { return s.Store == name })
	if i < 0 {
		r.Stores = append(r.Stores, StoreState{Store: name})
		i = len(r.Stores) - 1
	}
	return &r.Stores[i]
}

// subject is how receipts name a person.
func subject(id string) string { return identity.HashDevice(id) }

// receipt answers from this process or, of other nodes' deletions, from ClickHouse.
func (s *Server) receipt(w http.ResponseWriter, r *http.Request) error {
	id := r.URL.Query().Get("receipt")
	if id == "" {
		return &Error{http.StatusBadRequest, "say which deletion: ?receipt=… as DELETE answered"}
	}
	s.mu.Lock()
	d := s.running[id]
	s.mu.Unlock()
	if d != nil && d.subject == subject(r.PathValue("id")) {
		answer(w, http.StatusOK, d.copy())
		return nil
	}
	if s.Record == nil {
		return &Error{http.StatusNotFound, "this node does not know that receipt, and has no ClickHouse (--dsn) to look it up in"}
	}
	doc, err := s.Record.Load(r.Context(), id, subject(r.PathValue("id")))
	if err != nil {
		return err
	}
	if doc == nil {
		return &Error{http.StatusNotFound, "there is no such receipt of that id"}
	}
	var out Receipt
	if err := json.Unmarshal(doc, &out); err != nil {
		return err
	}
	if !out.Complete && out.Interrupted == "" && time.Since(out.UpdatedAt) > maxQuiet {
		out.Interrupted = "its node has gone: DELETE the person again, which does no harm"
	}
	answer(w, http.StatusOK, out)
	return nil
}
