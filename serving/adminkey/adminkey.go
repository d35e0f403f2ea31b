// Package adminkey tells whether a request comes from the site's own servers: whether it has
// an admin key as a bearer.
package adminkey

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/microseg/microseg/serving/proof"
	"github.com/microseg/microseg/serving/throttle"
)

// EnvKey is where a node has its admin keys from: one, or two while one takes the other's
// place, separated by a comma.
const EnvKey = "MICROSEG_ADMIN_KEY"

// Who has guessed wrong so often waits, with a right key, too, or he would know it.
var (
	guessRate  = throttle.Rate{PerSecond: 1, Burst: 10}
	guessTable = 4096 // addresses that are remembered
)

// Keys are the admin's. Nil is nobody's.
type Keys struct {
	sums    [][sha256.Size]byte
	write   map[string]bool
	clients *throttle.Clients
	guesses *throttle.Buckets
}

// New reads the keys of a node whose clients send their events with the write keys; no
// text is no admin.
func New(text string, writeKeys []string, clients *throttle.Clients) (*Keys, error) {
	keys, err := proof.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", EnvKey, err)
	}
	k := &Keys{write: map[string]bool{}, clients: clients, guesses: throttle.New(guessRate, guessTable)}
	for _, key := range keys {
		k.sums = append(k.sums, sha256.Sum256(key))
	}
	for _, key := range writeKeys {
		k.write[key] = true
	}
	return k, nil
}

// First is the key to ask with, of a text that may name two.
func First(text string) string {
	first, _, _ := strings.Cut(text, ",")
	return strings.TrimSpace(first)
}

// Refusal says why a request is not the admin's.
type Refusal struct {
	Status  int
	Message string
	Wait    time.Duration // of a 429: before this address may try again
}

func (r *Refusal) Error() string { return r.Message }

// Check is nil if the request has an admin key. One without Authorization is refused like
// one with a wrong key; Asks tells them apart.
func (k *Keys) Check(r *http.Request) *Refusal {
	given, ok := bearer(r)
	if !ok {
		return &Refusal{Status: http.StatusUnauthorized, Message: "this needs the admin key: Authorization: Bearer <key>"}
	}
	if k == nil || len(k.sums) == 0 {
		return &Refusal{Status: http.StatusUnauthorized, Message: "the admin key is wrong, or this node has none"}
	}
	if k.write[given] {
		return &Refusal{Status: http.StatusForbidden, Message: "write keys can only write; this needs the admin key"}
	}
	client, now := throttle.KeyOf(k.clients.Of(r), ""), time.Now()
	if wait := k.guesses.Wait(client, 1, now); wait > 0 {
		return &Refusal{Status: http.StatusTooManyRequests, Message: "too many wrong admin keys from this address", Wait: wait}
	}
	sum, right := sha256.Sum256([]byte(given)), 0
	for i := range k.sums {
		right |= subtle.ConstantTimeCompare(sum[:], k.sums[i][:])
	}
	if right == 1 {
		return nil
	}
	k.guesses.Spend(client, 1, now)
	return &Refusal{Status: http.StatusUnauthorized, Message: "the admin key is wrong, or this node has none"}
}

// Asks reports whether a request says that it is the admin's.
func Asks(r *http.Request) bool { return r.Header.Get("Authorization") != "" }

// bearer is the key of the header. The word before it is the same in any case (RFC 9110).
func bearer(r *http.Request) (string, bool) {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key), ok && strings.EqualFold(scheme, "Bearer")
}
