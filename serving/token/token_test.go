package token

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var now = time.Unix(1_800_000_000, 0)

func keys(t *testing.T, text string) *Keys {
	t.Helper()
	k, err := ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func claims() Claims {
	return Claims{Audience: Segment, Site: "demo", Subject: Subject("d:1"), Path: "everyone/high_intent", Issued: now.Unix(), Expires: now.Unix() + 60}
}

const (
	oldKey = "a:000102030405060708090a0b0c0d0e0f"
	newKey = "b:101112131415161718191a1b1c1d1e1f"
)

func TestVerify(t *testing.T) {
	k := keys(t, newKey+","+oldKey)
	good := k.Sign(claims())
	if c, err := k.Verify(good, Segment, "demo", now); err != nil || c.Path != "everyone/high_intent" || c.Key != "b" {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := k.Verify(keys(t, oldKey).Sign(claims()), Segment, "demo", now); err != nil {
		t.Errorf("a token of the key before: %v", err)
	}
	swapped := claims()
	swapped.Path = "everyone/vip"
	other := k.Sign(swapped)
	cut := strings.LastIndexByte(good, '.')
	for name, c := range map[string]struct {
		token, audience, site string
		at                    time.Time
		want                  error
	}{
		"empty":            {"", Segment, "demo", now, ErrForm},
		"another form":     {"v2" + good[2:], Segment, "demo", now, ErrForm},
		"too long":         {good + strings.Repeat("A", maxLength), Segment, "demo", now, ErrForm},
		"not base64":       {good[:cut] + ".!!", Segment, "demo", now, ErrForm},
		"no mac":           {good[:cut], Segment, "demo", now, ErrForm},
		"empty mac":        {good[:cut] + ".", Segment, "demo", now, ErrForged},
		"payload of other": {other[:strings.LastIndexByte(other, '.')] + good[cut:], Segment, "demo", now, ErrForged},
		"key of others":    {keys(t, "b:ffffffffffffffffffffffffffffffff").Sign(claims()), Segment, "demo", now, ErrForged},
		"unknown key":      {keys(t, "c:ffffffffffffffffffffffffffffffff").Sign(claims()), Segment, "demo", now, ErrKey},
		"other purpose":    {good, Claim, "demo", now, ErrPurpose},
		"other site":       {good, Segment, "shop", now, ErrPurpose},
		"expired":          {good, Segment, "demo", now.Add(time.Minute), ErrExpired},
	} {
		if _, err := k.Verify(c.token, c.audience, c.site, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestParseKeys(t *testing.T) {
	for _, text := range []string{"", "a", "a:", ":00", "a:zz", "a:00", oldKey + ","} {
		if _, err := ParseKeys(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// FuzzVerify: nothing that was not signed here is believed.
func FuzzVerify(f *testing.F) {
	k, _ := ParseKeys(oldKey)
	f.Add(k.Sign(claims()))
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := k.Verify(token, Segment, "demo", now); err == nil && k.Sign(c) != token {
			t.Errorf("%q was believed", token)
		}
	})
}
