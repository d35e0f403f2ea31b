package adminkey

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var older, newer, public = strings.Repeat("o", 32), strings.Repeat("n", 40), "demo"

func asked(authorization, address string) *http.Request {
	r := httptest.NewRequest("GET", "/v1/profiles/u:ann", nil)
	r.RemoteAddr = address + ":1"
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func status(k *Keys, authorization, address string) int {
	if no := k.Check(asked(authorization, address)); no != nil {
		return no.Status
	}
	return http.StatusOK
}

// TestKeys: `bearer` in small letters was no key, though the word has no case; a key of
// three letters was one; and a change of keys was an outage of all that use the older one.
func TestKeys(t *testing.T) {
	t.Parallel()
	k, err := New(newer+", "+older, []string{public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for authorization, want := range map[string]int{
		"Bearer " + newer: 200, "Bearer " + older: 200, "bearer " + newer: 200, "BEARER  " + newer + " ": 200,
		"": 401, "Bearer": 401, "Bearer ": 401, newer: 401, "Basic " + newer: 401, "Bearer " + newer + "x": 401, "Bearer " + newer[1:]: 401,
		"Bearer " + newer + "," + older: 401, "Bearer " + newer + ", " + older: 401, "Bearer ,": 401, "Bearer " + public: 403,
	} {
		if got := status(k, authorization, "192.0.2.1"); got != want {
			t.Errorf("%q: %d, want %d", authorization, got, want)
		}
	}
	for _, text := range []string{"short", newer + ",short", strings.Repeat("x", 31), newer + "," + older + "," + older + "2"} {
		if _, err := New(text, nil, nil); err == nil || !strings.Contains(err.Error(), EnvKey) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, none := range []string{"", ",", " "} {
		k, err := New(none, nil, nil)
		if err != nil || status(k, "Bearer ", "192.0.2.1") != 401 || status(k, "Bearer x", "192.0.2.1") != 401 || status(nil, "Bearer x", "192.0.2.1") != 401 {
			t.Errorf("%q makes an admin: %v", none, err)
		}
	}
}

// TestGuesses: who guesses waits, and learns nothing by the right key meanwhile; others do
// not wait, and the site's own server, which makes no mistakes, never does.
func TestGuesses(t *testing.T) {
	t.Parallel()
	k, err := New(newer, []string{public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if got := status(k, "Bearer "+newer, "192.0.2.7"); got != 200 {
			t.Fatalf("the right key, again and again: %d", got)
		}
		status(k, "", "192.0.2.7") // who says nothing guesses nothing
		status(k, "Bearer "+public, "192.0.2.7")
	}
	wrong := 0
	for range 100 {
		if status(k, "Bearer "+older, "192.0.2.66") == 401 {
			wrong++
		}
	}
	if wrong < 10 || wrong > 40 { // ten, and one for each second that this takes
		t.Errorf("%d of 100 guesses were answered", wrong)
	}
	no := k.Check(asked("Bearer "+newer, "192.0.2.66"))
	if no != nil && (no.Status != http.StatusTooManyRequests || no.Wait <= 0) {
		t.Errorf("%+v", no)
	}
	if got := status(k, "Bearer "+newer, "192.0.2.7"); got != 200 {
		t.Errorf("another address: %d", got)
	}
}
