// Package token signs what a visitor or an edge may prove later without a
// lookup: "this segment was served", about a person or about nobody.
//
// A token is "v1.<payload>.<mac>", both base64url without padding. The payload
// is JSON, the mac HMAC-SHA256(key, "v1." + payload). serving/edge/worker.js
// verifies the same form.
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
	"time"
)

// Audiences: a token is good for one purpose only.
const (
	Segment = "segment" // which segment a person was served
	Claim   = "claim"   // the same about nobody, for caches
	Link    = "link"    // carries an identity to another device
	Grant   = "offer"   // an offer that was granted to a device, and what became of it
)

// Claims are what a token says.
type Claims struct {
	Key      string `json:"k"`           // id of the key that signed it
	Audience string `json:"a"`           // what it is for
	Site     string `json:"s"`           // the site that it is good for
	Subject  string `json:"u,omitempty"` // Subject of the person; empty: about nobody
	Path     string `json:"p,omitempty"` // the served segment
	User     string `json:"d,omitempty"` // the userId that a Link carries: whoever has the token can read it
	Issued   int64  `json:"i"`           // seconds since the epoch
	Expires  int64  `json:"e"`           // likewise; not good from then on
	Offer    *Offer `json:"o,omitempty"` // of a Grant
	Proven   string `json:"q,omitempty"` // of a Segment: Subject of the user whose proof the request brought
	Until    int64  `json:"w,omitempty"` // seconds since the epoch: the proof holds so long, however often the token is renewed
}

// Offer is what was granted: its slot keeps the content until the deadline,
// whatever the rules are by then.
type Offer struct {
	Name     string `json:"n"`
	Rule     string `json:"r"` // that granted it
	Slot     string `json:"l"`
	Granted  int64  `json:"g"`           // ms since the epoch
	Deadline int64  `json:"t,omitempty"` // likewise; 0: as long as its rule holds
	TTL      int64  `json:"v,omitempty"` // s
	State    State  `json:"x,omitempty"`
	Orders   int64  `json:"b,omitempty"` // 1 + the orders that were known of the person; 0: nobody has looked
	Person   string `json:"w,omitempty"` // Subject of that person, where it is a user and not the device itself
	Content  []byte `json:"c,omitempty"` // what fills the slot, packed
}

// State is what became of an offer. It only rises.
type State uint8

// States of offers.
const (
	Open State = iota
	Dismissed
	Redeemed
)

// Errors of Verify.
var (
	ErrForm    = errors.New("it is not a token of this server's form")
	ErrKey     = errors.New("it was signed with a key that this server does not know")
	ErrForged  = errors.New("its signature is wrong")
	ErrPurpose = errors.New("it was issued for another purpose or site")
	ErrExpired = errors.New("it has expired")
)

// maxLength bounds what Verify looks at, in bytes, and MaxGrant that of a Grant,
// which has content.
const (
	maxLength = 1024
	MaxGrant  = 4096
)

const version = "v1."

var encoding = base64.RawURLEncoding.Strict()

// Keys sign and verify. The first one signs.
type Keys struct {
	ids  []string
	macs []*sync.Pool // of hash.Hash, by key: making one costs more than using it
}

// minKey is the shortest key that is taken, in bytes.
const minKey = 16

// ParseKeys reads "id:hex[,id:hex ...]", the newest key first; keys have at
// least 16 bytes.
func ParseKeys(text string) (*Keys, error) {
	k := &Keys{}
	for part := range strings.SplitSeq(text, ",") {
		id, secret, ok := strings.Cut(strings.TrimSpace(part), ":")
		b, err := hex.DecodeString(secret)
		if !ok || id == "" || err != nil || len(b) < minKey {
			return nil, fmt.Errorf("reading token keys: write them as id:hex, separated by commas, each of at least %d bytes (make one with `openssl rand -hex 32`)", minKey)
		}
		k.ids = append(k.ids, id)
		k.macs = append(k.macs, &sync.Pool{New: func() any { return hmac.New(sha256.New, b) }})
	}
	return k, nil
}

// Subject is how a token names a person without telling who it is.
func Subject(person string) string {
	sum := sha256.Sum256([]byte(person))
	return encoding.EncodeToString(sum[:12])
}

// maxUser bounds the userId of a link, in bytes of JSON, so that Verify takes
// the token.
const maxUser = 400

// LinkTo makes a token that links devices to a user of a site for so long.
func (k *Keys) LinkTo(user, site string, now time.Time, ttl time.Duration) (string, error) {
	text, err := json.Marshal(user)
	if err != nil {
		return "", fmt.Errorf("encoding a userId: %w", err)
	}
	if len(text)-2 > maxUser {
		return "", fmt.Errorf("the userId is longer than %d bytes, too long for a link", maxUser)
	}
	return k.Sign(Claims{Audience: Link, Site: site, User: user, Issued: now.Unix(), Expires: now.Add(ttl).Unix()}), nil
}

// Sign makes a token with the first key.
func (k *Keys) Sign(c Claims) string {
	c.Key = k.ids[0]
	payload, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("token: encoding strings and numbers: %v", err))
	}
	signed := version + encoding.EncodeToString(payload)
	return signed + "." + encoding.EncodeToString(mac(k.macs[0], signed))
}

func mac(pool *sync.Pool, signed string) []byte {
	h := pool.Get().(hash.Hash)
	defer pool.Put(h)
	h.Reset()
	h.Write([]byte(signed))
	return h.Sum(nil)
}

// Verify returns what the token says if it was signed here, for that purpose
// and site, and has not expired; else one of the errors above.
func (k *Keys) Verify(token, audience, site string, now time.Time) (Claims, error) {
	var c Claims
	i := strings.LastIndexByte(token, '.')
	most := maxLength
	if audience == Grant {
		most = MaxGrant
	}
	if len(token) > most || !strings.HasPrefix(token, version) || i < len(version) {
		return c, ErrForm
	}
	signed := token[:i]
	sum, err := encoding.DecodeString(token[i+1:])
	if err != nil {
		return c, ErrForm
	}
	payload, err := encoding.DecodeString(signed[len(version):])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return Claims{}, ErrForm
	}
	switch key := k.key(c.Key); {
	case key == nil:
		return Claims{}, ErrKey
	case !hmac.Equal(sum, mac(key, signed)):
		return Claims{}, ErrForged
	case c.Audience != audience || c.Site != site:
		return Claims{}, ErrPurpose
	case now.Unix() >= c.Expires:
		return Claims{}, ErrExpired
	}
	return c, nil
}

func (k *Keys) key(id string) *sync.Pool {
	for i := range k.ids {
		if k.ids[i] == id {
			return k.macs[i]
		}
	}
	return nil
}
