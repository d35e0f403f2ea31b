// Package proof judges whether who sends a userId may: by an HMAC of it that the
// site's server has made, as chat widgets have it, or by a JWT.
package proof

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MinKey is the shortest key that is taken, in bytes of its text.
const MinKey = 32

// maxProof bounds what is looked at, in bytes.
const maxProof = 4096

// Config says which proofs are taken.
type Config struct {
	Keys      string // secrets, separated by commas, the newest first; empty: no HMAC, and no JWT of HS256
	Algorithm string // of JWTs: HS256, RS256, ES256 or EdDSA; empty: none are taken
	Audience  string // that a JWT must be for
	KeyFile   string // PEM with the public keys of RS256, ES256 and EdDSA, the newest first
}

// Errors of Verify. They say why a proof is none.
var (
	ErrForm    = errors.New("the proof is neither an HMAC-SHA256 in hex nor a JWT that is configured")
	ErrWrong   = errors.New("the proof is not of this userId, or was made with another key")
	ErrExpired = errors.New("the proof has expired")
)

// Verifier verifies proofs. It is safe for concurrent use; nil verifies none.
type Verifier struct {
	secrets [][]byte
	options []jwt.ParserOption // nil: no JWT is taken
	keys    []any
}

// New reads the keys; a verifier that takes no proof at all is nil.
func New(c Config) (*Verifier, error) {
	secrets, err := ParseKeys(c.Keys)
	if err != nil {
		return nil, fmt.Errorf("reading MICROSEG_IDENTITY_KEYS: %w", err)
	}
	v := &Verifier{secrets: secrets}
	if c.Algorithm != "" {
		if err := v.takeJWT(&c); err != nil {
			return nil, err
		}
	}
	if len(v.secrets) == 0 && v.options == nil {
		return nil, nil
	}
	return v, nil
}

// ParseKeys are secrets separated by commas: one, or two while one takes the other's place.
func ParseKeys(text string) (keys [][]byte, err error) {
	for key := range strings.SplitSeq(text, ",") {
		key = strings.TrimSpace(key)
		if key == "" {
			continue
		}
		if len(key) < MinKey {
			return nil, fmt.Errorf("a key has %d characters, at least %d are needed (make one with `openssl rand -hex 32`); a comma separates two keys, so a key has none", len(key), MinKey)
		}
		keys = append(keys, []byte(key))
	}
	if len(keys) > 2 {
		return nil, fmt.Errorf("%d keys: name one, or two while one takes the other's place", len(keys))
	}
	return keys, nil
}

func (v *Verifier) takeJWT(c *Config) error {
	if c.Audience == "" {
		return errors.New("reading identity.jwt: no audience; a token that was made for something else would be a proof")
	}
	v.options = []jwt.ParserOption{jwt.WithValidMethods([]string{c.Algorithm}), jwt.WithAudience(c.Audience), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway)}
	if c.Algorithm == "HS256" {
		for _, s := range v.secrets {
			v.keys = append(v.keys, s)
		}
		if len(v.keys) == 0 {
			return errors.New("reading identity.jwt: HS256 needs the keys of user proofs (MICROSEG_IDENTITY_KEYS)")
		}
		return nil
	}
	pem, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return fmt.Errorf("reading identity.jwt.key_file: %w", err)
	}
	if v.keys, err = publicKeys(c.Algorithm, pem); err != nil {
		return fmt.Errorf("reading identity.jwt.key_file %s: %w", c.KeyFile, err)
	}
	return nil
}

// publicKeys are the keys of the PEM blocks.
func publicKeys(algorithm string, text []byte) (keys []any, err error) {
	const begin = "-----BEGIN"
	for block := range strings.SplitSeq(string(text), begin) {
		if strings.TrimSpace(block) == "" {
			continue
		}
		var key any
		switch b := []byte(begin + block); algorithm {
		case "RS256":
			key, err = jwt.ParseRSAPublicKeyFromPEM(b)
		case "ES256":
			key, err = jwt.ParseECPublicKeyFromPEM(b)
		case "EdDSA":
			key, err = jwt.ParseEdPublicKeyFromPEM(b)
		default:
			return nil, fmt.Errorf("the algorithm %q is not known; choose HS256, RS256, ES256 or EdDSA", algorithm)
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > 2 {
		return nil, fmt.Errorf("it has %d public keys; put in one, or two while one takes the other's place", len(keys))
	}
	return keys, nil
}

// Verify returns nil if the proof is one of the user, and when it ends; the zero time
// is never. An HMAC has no end: it proves until its key is taken away.
func (v *Verifier) Verify(user, proof string, now time.Time) (until time.Time, err error) {
	switch {
	case v == nil || user == "" || len(proof) > maxProof:
		return until, ErrForm
	case strings.Count(proof, ".") == 2:
		return v.token(user, proof, now)
	case len(proof) != hex.EncodedLen(sha256.Size):
		return until, ErrForm
	}
	sum, err := hex.DecodeString(proof)
	if err != nil {
		return until, ErrForm
	}
	for _, secret := range v.secrets {
		if hmac.Equal(sum, Hash(secret, user)) {
			return until, nil
		}
	}
	return until, ErrWrong
}

// Hash is the HMAC-SHA256 of a userId.
func Hash(secret []byte, user string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(user))
	return h.Sum(nil)
}

// leeway is how much the clocks of the site's server and of this one may differ.
const leeway = time.Minute

func (v *Verifier) token(user, proof string, now time.Time) (until time.Time, err error) {
	if v.options == nil {
		return until, ErrForm
	}
	parser := jwt.NewParser(append(slices.Clip(v.options), jwt.WithSubject(user), jwt.WithTimeFunc(func() time.Time { return now }))...)
	err = ErrWrong
	for _, key := range v.keys {
		var claims jwt.RegisteredClaims
		_, failed := parser.ParseWithClaims(proof, &claims, func(*jwt.Token) (any, error) { return key, nil })
		switch {
		case failed == nil:
			return claims.ExpiresAt.Time, nil
		case errors.Is(failed, jwt.ErrTokenExpired):
			err = ErrExpired // of a good signature: it is judged first
		}
	}
	return until, err
}
