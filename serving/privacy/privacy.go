// Package privacy does what only the site's own servers may do with persons: it
// exports and deletes what is kept of one (docs/privacy.md has what a deletion does
// and what its receipt says), takes a device from one, and signs links that bring
// another device to one (docs/identity.md).
package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/adminkey"
	"github.com/microseg/microseg/serving/store"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/microseg/microseg/serving/token"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is ClickHouse (sinks/clickhouseio/erasure).
type Record interface {
	// Devices are those that a user was seen on, Users those that were seen on a
	// device; Known reports whether there are rows of a person id.
	Devices(ctx context.Context, user string) ([]string, error)
	Users(ctx context.Context, device string) ([]string, error)
	Known(ctx context.Context, person string) (bool, error)
	// Claimers are devices that said they were a user's and never proved it. Disclaim takes
	// the user's name from their rows from before the offsets, and tells from how many.
	Claimers(ctx context.Context, user string) ([]string, error)
	Disclaim(ctx context.Context, p *identity.ErasedPerson) (uint64, error)
	// Shared are those of a user's devices that somebody else was on, or said to be; Epochs
	// are the records of the user's epochs of these.
	Shared(ctx context.Context, user string, devices []string) ([]string, error)
	Epochs(ctx context.Context, p *identity.ErasedPerson) ([]identity.Erasure, error)
	// Export is every row of a person, by table.
	Export(ctx context.Context, p *identity.Person) (map[string][]map[string]any, error)
	// Recorded reports whether the job has recorded all offsets below ends, Settled
	// whether every shard has recorded what it had made before t of Now's clock.
	Recorded(ctx context.Context, ends map[int32]int64) (bool, error)
	Now(ctx context.Context) (time.Time, error)
	Settled(ctx context.Context, t time.Time) (bool, error)
	// Letters are the dead letters that name the person, Erase deletes them and the
	// rows of the other tables and tells how many of each.
	Letters(ctx context.Context, p *identity.ErasedPerson) ([]identity.Erasure, error)
	Erase(ctx context.Context, p *identity.ErasedPerson, letters []identity.Erasure) (map[string]uint64, error)
	// Save and Load keep receipts; done is zero while a deletion is under way.
	Save(ctx context.Context, receipt, subject string, asked, done time.Time, document []byte) error
	Load(ctx context.Context, receipt, subject string) ([]byte, error)
}

// Cache is a copy of the segments elsewhere, such as Redis: keys are person ids.
type Cache interface {
	Forget(ctx context.Context, keys ...string) error
}

// Config is what a node deletes with.
type Config struct {
	Brokers          []string
	Events, Segments string // topics
	Inbox            string // topic that is copied into Events (source.rekey); the same, or empty: none is
	Store            *store.Store
	Tree             *segment.Tree
	Schema           *segment.Schema
	Params           segment.Params
	Retention        time.Duration // after which a silent device is forgotten
	Record           Record        // nil: ClickHouse cannot be reached from this node
	Redis            Cache         // nil: there is none
	// Copied waits until what is in a topic that is copied into Events is there, so
	// that a tombstone is behind it; nil: there is none.
	Copied func(context.Context) error
	// Covered are the last offsets of Events whose effects a restarted job does not
	// make again; ok is false for one that keeps no changelog. It may be nil.
	Covered   func(ctx context.Context) (offsets map[int32]int64, ok bool, err error)
	AdminKey  string            // one, or two separated by a comma; empty: nobody may
	Clients   *throttle.Clients // whose a request is; nil: that of the connection
	Keys      *token.Keys       // sign links to users of Site; nil: this node signs none
	Site      string
	WriteKeys []string
	Patience  time.Duration // for which a deletion waits for the job; 0: an hour
	// Explain makes an error say what to do about it, as which right the log refuses; nil: it stays as it is.
	Explain func(context.Context, error) error
}

const (
	defaultPatience = time.Hour
	maxWait         = 30 * time.Second // of ?wait=1
	maxID           = 512              // bytes
	maxUnderWay     = 16               // deletions at a time; others wait
)

// Server answers. Close it after its HTTP server.
type Server struct {
	Config
	admins *adminkey.Keys
	cl     *kgo.Client
	ctx    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup
	room   chan struct{}

	mu      sync.Mutex
	running map[string]*deletion // by receipt, those of this process
}

// New connects to the log and makes the topic of erasures if it is missing.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.Explain == nil {
		c.Explain = func(_ context.Context, err error) error { return err }
	}
	s := &Server{Config: c, running: map[string]*deletion{}, room: make(chan struct{}, maxUnderWay)}
	var err error
	if s.admins, err = adminkey.New(c.AdminKey, c.WriteKeys, c.Clients); err != nil {
		return nil, err
	}
	s.cl, err = kafka.New(c.Brokers, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(maxWait),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))) // as the collector's
	if err != nil {
		return nil, err
	}
	if err := s.createTopic(ctx); err != nil {
		s.cl.Close()
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// Close interrupts the deletions under way; their receipts say so.
func (s *Server) Close() {
	s.stop()
	s.work.Wait()
	s.cl.Close()
}

// Register adds the routes.
func (s *Server) Register(mux *http.ServeMux) {
	for pattern, h := range map[string]handler{"GET /v1/profiles/{id}": s.export, "DELETE /v1/profiles/{id}": s.erase, "GET /v1/profiles/{id}/deletion": s.receipt} {
		mux.HandleFunc(pattern, s.handle(func(w http.ResponseWriter, r *http.Request) error {
			if n := len(r.PathValue("id")); n == 0 || n > maxID+len("u:") {
				return &Error{http.StatusBadRequest, "the id is longer than 512 bytes"}
			}
			return h(w, r)
		}))
	}
	mux.HandleFunc("POST /v1/identity/unlink", s.handle(s.unlink))
	mux.HandleFunc("POST /v1/identity/token", s.handle(s.token))
}

// Error is an answer that says what is wrong with a request.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

type handler func(http.ResponseWriter, *http.Request) error

// handle lets the admin through and nobody else. There are no CORS headers: pages
// have no business here.
func (s *Server) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		err := s.authorise(r)
		if err == nil {
			err = h(w, r)
		}
		if err == nil {
			return
		}
		var e *Error
		if no := (*adminkey.Refusal)(nil); errors.As(err, &no) {
			e = &Error{no.Status, no.Message}
			if no.Wait > 0 {
				w.Header().Set("Retry-After", throttle.RetryAfter(no.Wait))
			}
		} else if !errors.As(err, &e) {
			err = s.Explain(r.Context(), err)
			slog.Error("answering for a person", "method", r.Method, "err", err)
			e = &Error{http.StatusServiceUnavailable, err.Error()}
		}
		if e.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		answer(w, e.Status, map[string]string{"error": e.Message})
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// authorise refuses everybody but the admin; write keys, which are in every
// page, with a status of their own.
func (s *Server) authorise(r *http.Request) error {
	_, _, basic := r.BasicAuth()
	if basic || r.URL.Query().Has("writeKey") {
		return &Error{http.StatusForbidden, "write keys can only write; what is about persons needs the admin key as a bearer"}
	}
	if no := s.admins.Check(r); no != nil {
		return no
	}
	return nil
}
