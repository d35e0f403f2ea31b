package proof_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/microseg/microseg/serving/proof"
)

const first, second = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func verifier(t testing.TB, c proof.Config) *proof.Verifier {
	t.Helper()
	v, err := proof.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func hash(key, user string) string { return hex.EncodeToString(proof.Hash([]byte(key), user)) }

// TestHash: a hash is of one userId and one key; both keys of a rotation hold.
func TestHash(t *testing.T) {
	v := verifier(t, proof.Config{Keys: second + ", " + first})
	for name, c := range map[string]struct {
		user, proof string
		want        error
	}{
		"newer key":      {"ann", hash(second, "ann"), nil},
		"older key":      {"ann", hash(first, "ann"), nil},
		"upper case":     {"ann", strings.ToUpper(hash(first, "ann")), nil},
		"another's":      {"bob", hash(first, "ann"), proof.ErrWrong},
		"another key":    {"ann", hash(strings.Repeat("x", 32), "ann"), proof.ErrWrong},
		"of nobody":      {"", hash(first, ""), proof.ErrForm},
		"no hex":         {"ann", strings.Repeat("z", 64), proof.ErrForm},
		"cut":            {"ann", hash(first, "ann")[:62], proof.ErrForm},
		"empty":          {"ann", "", proof.ErrForm},
		"bytes in front": {"ann", "x" + hash(first, "ann"), proof.ErrForm},
		"a JWT":          {"ann", "a.b.c", proof.ErrForm},
	} {
		if _, err := v.Verify(c.user, c.proof, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := (*proof.Verifier)(nil).Verify("ann", hash(first, "ann"), now); err == nil {
		t.Error("a verifier without keys verifies")
	}
}

func signed(t testing.TB, m jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(m, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestToken: algorithm, audience, end and subject of a JWT are all pinned.
func TestToken(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	file := filepath.Join(t.TempDir(), "public.pem")
	if err := os.WriteFile(file, public, 0o600); err != nil {
		t.Fatal(err)
	}
	secret := verifier(t, proof.Config{Keys: first, Algorithm: "HS256", Audience: "microseg"})
	asymmetric := verifier(t, proof.Config{Keys: first, Algorithm: "ES256", Audience: "microseg", KeyFile: file})
	good := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "ann", "aud": "microseg", "exp": now.Add(time.Hour).Unix()}
		if change != nil {
			change(c)
		}
		return c
	}
	for name, c := range map[string]struct {
		v     *proof.Verifier
		token string
		want  error
	}{
		"HS256":                  {secret, signed(t, jwt.SigningMethodHS256, []byte(first), good(nil)), nil},
		"ES256":                  {asymmetric, signed(t, jwt.SigningMethodES256, private, good(nil)), nil},
		"another algorithm":      {secret, signed(t, jwt.SigningMethodHS512, []byte(first), good(nil)), proof.ErrWrong},
		"none":                   {secret, signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good(nil)), proof.ErrWrong},
		"public key as a secret": {asymmetric, signed(t, jwt.SigningMethodHS256, public, good(nil)), proof.ErrWrong},
		"HMAC key for ES256":     {asymmetric, signed(t, jwt.SigningMethodHS256, []byte(first), good(nil)), proof.ErrWrong},
		"another audience":       {secret, signed(t, jwt.SigningMethodHS256, []byte(first), good(func(c jwt.MapClaims) { c["aud"] = "chat" })), proof.ErrWrong},
		"no audience":            {secret, signed(t, jwt.SigningMethodHS256, []byte(first), good(func(c jwt.MapClaims) { delete(c, "aud") })), proof.ErrWrong},
		"no end":                 {secret, signed(t, jwt.SigningMethodHS256, []byte(first), good(func(c jwt.MapClaims) { delete(c, "exp") })), proof.ErrWrong},
		"over":                   {secret, signed(t, jwt.SigningMethodHS256, []byte(first), good(func(c jwt.MapClaims) { c["exp"] = now.Add(-time.Hour).Unix() })), proof.ErrExpired},
		"another's":              {secret, signed(t, jwt.SigningMethodHS256, []byte(first), good(func(c jwt.MapClaims) { c["sub"] = "bob" })), proof.ErrWrong},
		"not yet":                {secret, signed(t, jwt.SigningMethodHS256, []byte(first), good(func(c jwt.MapClaims) { c["nbf"] = now.Add(time.Hour).Unix() })), proof.ErrWrong},
	} {
		until, err := c.v.Verify("ann", c.token, now)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err == nil && !until.Equal(now.Add(time.Hour)) {
			t.Errorf("%s: ends %v", name, until)
		}
	}
}

// TestKeys: what cannot be meant is refused, with what to do.
func TestKeys(t *testing.T) {
	for want, c := range map[string]proof.Config{
		"at least 32": {Keys: "short"},
		"3 keys":      {Keys: strings.Join([]string{first, second, first + "x"}, ",")},
		"no audience": {Keys: first, Algorithm: "HS256"},
		"HS256 needs": {Algorithm: "HS256", Audience: "a"},
		"key_file":    {Algorithm: "RS256", Audience: "a", KeyFile: "/nowhere"},
	} {
		if _, err := proof.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", c, err, want)
		}
	}
	if v, err := proof.New(proof.Config{}); v != nil || err != nil {
		t.Errorf("nothing configured: %v, %v", v, err)
	}
}

// FuzzVerify: what is neither the user's HMAC nor a token that the issuer has signed for
// the user is no proof, of anybody, and never takes the process down. The naive rule
// compares with the only proofs that were ever made.
func FuzzVerify(f *testing.F) {
	v := verifier(f, proof.Config{Keys: first, Algorithm: "HS256", Audience: "shop"})
	made := map[string]string{} // proof → user
	for _, user := range []string{"ann", "bob", "null", ""} {
		made[hash(first, user)] = user
		made[strings.ToUpper(hash(first, user))] = user
		made[signed(f, jwt.SigningMethodHS256, []byte(first), jwt.MapClaims{"sub": user, "aud": "shop", "exp": now.Add(time.Hour).Unix()})] = user
	}
	for p := range made {
		for _, user := range []string{"ann", "bob", "", "a\x00nn", strings.Repeat("x", 1<<16)} {
			f.Add(user, p)
		}
	}
	for _, p := range []string{"", "..", "e30.e30.", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.", strings.Repeat(".", 5000), strings.Repeat("0", 64)} {
		f.Add("ann", p)
	}
	f.Fuzz(func(t *testing.T, user, p string) {
		_, err := v.Verify(user, p, now)
		of, known := made[p]
		if good := known && of == user && user != ""; good != (err == nil) && !strings.EqualFold(p, hash(first, user)) {
			t.Errorf("%q of %q: %v", p, user, err)
		}
	})
}
