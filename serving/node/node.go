// Package node puts a serving node together from a configuration: the
// collector, the store of segments, and what answers from it.
package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/adminkey"
	"github.com/microseg/microseg/serving/api"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/httpserver"
	"github.com/microseg/microseg/serving/proof"
	"github.com/microseg/microseg/serving/routes"
	"github.com/microseg/microseg/serving/store"
	"github.com/microseg/microseg/serving/throttle"
	"github.com/microseg/microseg/serving/token"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are what a configuration file does not say.
type Options struct {
	Brokers  []string
	Events   string // topic of events that the job reads
	Inbox    string // topic that is copied into Events (source.rekey); the same, or empty: none is
	Segments string // topic of segments
	Site     string
	Secrets  Secrets
	Metrics  prometheus.Registerer
	Now      func() time.Time // of the answers; nil: event/clock
	// Undecided is what the job of this process has to decide yet (collect.Config); nil: it runs elsewhere.
	Undecided func(ends map[int32]int64) int
}

// Secrets are what a node must not tell.
type Secrets struct {
	TokenKeys string // token.ParseKeys
	AdminKey  string // one, or two separated by a comma; empty: nobody is admin
	// ServerKeys are those of the site's own servers, and IdentityKeys those that user
	// proofs are made with, each separated by commas; empty: none.
	ServerKeys, IdentityKeys string
}

// Environment variables of the secrets.
const (
	EnvTokenKeys = "MICROSEG_TOKEN_KEYS"
	EnvAdminKey  = adminkey.EnvKey

	EnvServerKeys   = "MICROSEG_SERVER_KEYS"
	EnvIdentityKeys = "MICROSEG_IDENTITY_KEYS"
)

func fromEnv() Secrets {
	return Secrets{os.Getenv(EnvTokenKeys), os.Getenv(EnvAdminKey), os.Getenv(EnvServerKeys), os.Getenv(EnvIdentityKeys)}
}

// SecretsFromEnv reads the secrets from the environment. Nodes and edges that
// verify each other's tokens share the keys, so none are made up.
func SecretsFromEnv() (Secrets, error) {
	s := fromEnv()
	if s.TokenKeys == "" {
		return s, fmt.Errorf("%s is not set: all nodes and edges share it; make one with `echo k1:$(openssl rand -hex 32)`", EnvTokenKeys)
	}
	return s, nil
}

// LocalSecrets are those of the environment, else those that a folder keeps;
// they are made when it has none.
func LocalSecrets(dir string) (Secrets, error) {
	s := fromEnv()
	for name, value := range map[string]*string{"token.keys": &s.TokenKeys, "admin.key": &s.AdminKey} {
		if *value != "" {
			continue
		}
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			key := make([]byte, 32)
			rand.Read(key)
			b = []byte(hex.EncodeToString(key))
			if name == "token.keys" {
				b = append([]byte("local:"), b...)
			}
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			return s, fmt.Errorf("keeping the node's secrets: %w", err)
		}
		*value = strings.TrimSpace(string(b))
	}
	return s, nil
}

// Node is a running node.
type Node struct {
	Store     *store.Store
	Collector *collect.Collector

	options Options
	started *config.Config // with this one
	tree    *segment.Tree
	keys    *keys
	answers atomic.Pointer[answers]
}

// answers is what answers by the rules of a configuration.
type answers struct {
	*api.Server
	routes *http.ServeMux
}

func answering(s *api.Server) *answers {
	a := &answers{s, http.NewServeMux()}
	s.Register(a.routes)
	return a
}

// Open starts a node: it collects at once, and is Ready once it knows the
// segments. It does not end with the context.
func Open(ctx context.Context, cfg *config.Config, o Options) (*Node, error) {
	tree, err := cfg.SegmentTree()
	if err != nil {
		return nil, err
	}
	k, err := readKeys(cfg, &o.Secrets)
	if err != nil {
		return nil, err
	}
	n := &Node{options: o, started: cfg, tree: tree, keys: k}
	opts := store.Config{Brokers: o.Brokers, Topic: o.Segments, MaxProfiles: cfg.Serving.MaxProfiles, Tree: tree, Activation: cfg.Activation(tree)}
	if n.Store, err = store.Open(ctx, opts); err != nil {
		return nil, err
	}
	server, err := newAPI(cfg, o, tree, k, n.Store)
	if err != nil {
		n.Store.Close()
		return nil, err
	}
	n.answers.Store(answering(server))
	c, l := &cfg.Collector, &cfg.Collector.Limits
	n.Collector, err = collect.New(collect.Config{Brokers: o.Brokers, Topic: o.Events, WriteKeys: c.WriteKeys, ServerKeys: k.servers, Proofs: k.proofs, Unchecked: cfg.Unchecked(),
		Origins: c.Origins, Event: cfg.EventConfig(), MaxEventBytes: cfg.MaxBytes, MaxBatchBytes: c.MaxBatch, MaxInFlight: int64(c.MaxInFlight), ProduceTimeout: c.AckTimeout,
		IgnoreGPC: !c.Consent.RespectGPC, PublicURL: c.PublicURL, Keys: k.tokens, Site: o.Site, Metrics: o.Metrics, Clients: k.clients, AddressShare: cfg.Serving.AddressShare, Undecided: o.Undecided, Limits: collect.Limits{
			Address:   throttle.Rate{PerSecond: float64(l.AddressRate), Burst: float64(l.AddressBurst)},
			Device:    throttle.Rate{PerSecond: float64(l.DeviceRate), Burst: float64(l.DeviceBurst)},
			ServerKey: throttle.Rate{PerSecond: float64(l.ServerRate), Burst: float64(l.ServerBurst)}}})
	if err != nil {
		n.Store.Close()
		return nil, err
	}
	return n, nil
}

// keys are what a node signs and verifies with, and knows proxies by. They are read once, so that what
// collects and what answers believe the same, also after a Reload.
type keys struct {
	tokens  *token.Keys
	servers []string
	proofs  *proof.Verifier
	clients *throttle.Clients
}

func readKeys(cfg *config.Config, s *Secrets) (k *keys, err error) {
	k = &keys{}
	if k.tokens, err = token.ParseKeys(s.TokenKeys); err != nil {
		return nil, err
	}
	if k.clients, err = throttle.NewClients(cfg.Serving.Proxies, cfg.Serving.ProxyHeader); err != nil {
		return nil, fmt.Errorf("reading serving.trusted_proxies: %w", err)
	}
	servers, err := proof.ParseKeys(s.ServerKeys)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", EnvServerKeys, err)
	}
	for _, key := range servers {
		k.servers = append(k.servers, string(key))
	}
	j := &cfg.Identity.JWT
	k.proofs, err = proof.New(proof.Config{Keys: s.IdentityKeys, Algorithm: j.Algorithm, Audience: j.Audience, KeyFile: j.KeyFile})
	return k, err
}

// API is what answers without a log: from tokens and claims alone.
func API(cfg *config.Config, o Options) (*api.Server, error) {
	tree, err := cfg.SegmentTree()
	if err != nil {
		return nil, err
	}
	k, err := readKeys(cfg, &o.Secrets)
	if err != nil {
		return nil, err
	}
	return newAPI(cfg, o, tree, k, nil)
}

func newAPI(cfg *config.Config, o Options, tree *segment.Tree, k *keys, st *store.Store) (*api.Server, error) {
	c, err := apiConfig(cfg, o, tree, k, st)
	if err != nil {
		return nil, err
	}
	return api.New(c)
}

func apiConfig(cfg *config.Config, o Options, tree *segment.Tree, k *keys, st *store.Store) (c api.Config, err error) {
	rules, err := cfg.RuleSet(tree)
	if err != nil {
		return c, err
	}
	templates, err := cfg.RuleTemplates()
	if err != nil {
		return c, err
	}
	pages, err := event.NewPages(cfg.EventConfig().Pages, cfg.HashRoutes)
	if err != nil {
		return c, fmt.Errorf("reading the page rules: %w", err)
	}
	s := &cfg.Serving
	return api.Config{Site: o.Site, Store: st, Tree: tree, Schema: segment.NewRuleSchema(cfg.Elements, tree), Params: cfg.SegmentParams(),
		StaleShare: cfg.Audience.StaleShare, Rules: rules, Templates: templates, Pages: pages, Keys: k.tokens, TokenTTL: s.TokenTTL, Verified: !cfg.Unchecked(), Proofs: k.proofs,
		AdminKey: o.Secrets.AdminKey, Clients: k.clients, WriteKeys: cfg.Collector.WriteKeys, Origins: s.Origins, MaxStreams: min(s.MaxStreams, httpserver.DefaultConnections()/2), Share: s.AddressShare, Thresholds: s.Thresholds, Metrics: o.Metrics, Now: o.Now}, nil
}

// Limits are those of a listener that everybody may reach.
func (n *Node) Limits() (httpserver.Limits, error) {
	refused, err := throttle.NewRefusals(n.options.Metrics)
	return httpserver.Limits{Clients: n.keys.clients, Share: n.started.Serving.AddressShare, Refused: refused}, err
}

// Register adds the routes that everybody may reach.
func (n *Node) Register(mux *http.ServeMux) {
	n.Collector.Register(mux)
	n.RegisterAnswers(mux)
	for _, r := range routes.Admin {
		mux.HandleFunc(r.Path, elsewhere)
	}
}

// elsewhere answers for a route of the admin listener.
func elsewhere(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintln(w, `{"error":"this is answered on the node's admin listener (--admin-http; docs/security.md)"}`)
}

// RegisterAnswers adds what answers about visitors, for pages and the site's own servers.
func (n *Node) RegisterAnswers(mux *http.ServeMux) {
	for _, prefix := range []string{"/api/", "/esi/", "/edge/"} {
		mux.HandleFunc(prefix, func(w http.ResponseWriter, r *http.Request) { n.answers.Load().routes.ServeHTTP(w, r) })
	}
}

// Clients tells whose a request is.
func (n *Node) Clients() *throttle.Clients { return n.keys.clients }

// EndStreams ends what would keep an HTTP server from stopping.
func (n *Node) EndStreams() { n.answers.Load().Close() }

// Reload makes the node answer by another configuration's rules, templates and
// titles. All else must be as the node was started with, and rules may read no
// feature that records do not have yet: Unfit says what is otherwise. Pages that
// listen come back by themselves.
func (n *Node) Reload(cfg *config.Config) error {
	tree, err := cfg.SegmentTree()
	if err != nil {
		return err
	}
	c, err := apiConfig(cfg, n.options, tree, n.keys, n.Store)
	if err != nil {
		return err
	}
	old := n.answers.Load()
	n.answers.Store(answering(old.Renewed(c)))
	old.Close()
	return nil
}

// Respond is the time from a request to its answer; it goes on over reloads.
func (n *Node) Respond() *latency.Minutes { return n.answers.Load().Respond() }

// Ready says what keeps the node from answering and collecting; nil if nothing does.
func (n *Node) Ready(ctx context.Context) error {
	if st := n.Store.Stats(); !st.Ready {
		return fmt.Errorf("the segments are being read: %d records to go", st.Lag)
	}
	return n.Collector.Ready(ctx)
}

// Close ends the node; stop its HTTP server before.
func (n *Node) Close(ctx context.Context) error {
	n.EndStreams()
	n.Store.Close()
	return n.Collector.Close(ctx)
}
