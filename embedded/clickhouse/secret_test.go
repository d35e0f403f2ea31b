package clickhouse

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ask sends a query as a user and returns the answer, whatever it is.
func ask(t *testing.T, s *Server, user, password, q string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.HTTPAddr(), strings.NewReader(q))
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestNobodyEntersWithoutThePassword: the server had none, so that a page in a
// browser or another user of the machine read files by file() and sent them away
// by url(). A folder of that version is mended at the start, and the password
// stays the same from start to start.
func TestNobodyEntersWithoutThePassword(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Dir: dir})
	for _, who := range [][2]string{{}, {"default", ""}, {"default", s.Password()}, {User, ""}, {User, "wrong"}} {
		if code, body := ask(t, s, who[0], who[1], "SELECT 1 SETTINGS max_sessions_for_user = 0"); code == http.StatusOK {
			t.Errorf("%q got in: %s", who, body)
		}
	}
	if got := query(t, s, "SELECT currentUser()"); got != User {
		t.Errorf("the user is %s", got)
	}
	modes := map[string]os.FileMode{dir: 0o700, PasswordFile(dir, User): 0o600, PasswordFile(dir, Analyst): 0o600, filepath.Join(dir, "config.xml"): 0o600}
	for name, want := range modes {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, Options{Dir: dir})
	if again.Password() != s.Password() || query(t, again, "SELECT 1") != "1" {
		t.Error("another password after a restart")
	}
	if err := again.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(PasswordFile(dir, User), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if last := start(t, Options{Dir: dir}); last.Password() == "" || last.Password() == s.Password() {
		t.Error("an empty file is no password")
	}
}

// TestAPasswordInTheFolder is one of an earlier version: in the data folder the
// server reads it for whoever asks, so it moves.
func TestAPasswordInTheFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("earlier\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := secret(dir, User)
	if err != nil || got != "earlier" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "password")); err == nil {
		t.Error("it is still in the folder")
	}
	if info, err := os.Stat(PasswordFile(dir, User)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
