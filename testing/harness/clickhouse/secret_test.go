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
	modes := map[string]os.FileMode{".": 0o700, secretName: 0o600, "config.xml": 0o600}
	for name, want := range modes {
		info, err := os.Stat(filepath.Join(dir, name))
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
	if err := os.WriteFile(filepath.Join(dir, secretName), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if last := start(t, Options{Dir: dir}); last.Password() == "" || last.Password() == s.Password() {
		t.Error("an empty file is no password")
	}
}

// TestThePasswordReachesNoFileAndNoNetwork: whoever has the password has the
// tables alone, no file of the machine, no address of the network and no way to
// give itself more.
func TestThePasswordReachesNoFileAndNoNetwork(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("treasure\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := map[string]string{
		"file": "'" + secretFile + "', 'LineAsString', 'a String'", "url": "'http://127.0.0.1:1/', 'LineAsString', 'a String'",
		"s3": "'http://127.0.0.1:1/bucket/k', 'LineAsString', 'a String'", "remote": "'127.0.0.1:1', system.one",
		"mysql": "'127.0.0.1:1', 'd', 't', 'u', 'p'", "postgresql": "'127.0.0.1:1', 'd', 't', 'u', 'p'",
		"remoteSecure": "'127.0.0.1:1', system.one",
		"sqlite":       "'" + secretFile + "', 't'", "mongodb": "'127.0.0.1:1', 'd', 'c', 'u', 'p', 'a String'",
		"redis": "'127.0.0.1:1', 'k', 'k String'", "hdfs": "'hdfs://127.0.0.1:1/x', 'TSV', 'a String'",
	}
	for f, a := range args {
		code, body := ask(t, s, User, s.Password(), "SELECT * FROM "+f+"("+a+")")
		if code == http.StatusOK || !strings.Contains(body, "ACCESS_DENIED") && !strings.Contains(body, "UNKNOWN_FUNCTION") {
			t.Errorf("%s: %d %.200s", f, code, body)
		}
	}
	for _, q := range []string{"CREATE USER u",
		"SYSTEM SHUTDOWN", "SYSTEM STOP LISTEN HTTP", "CREATE FUNCTION f AS x -> x", "GRANT ALL ON *.* TO microseg",
		"CREATE TABLE default.t (a String) ENGINE = URL('http://127.0.0.1:1/', 'TSV')",
		"CREATE TABLE default.t (a String) ENGINE = File('TSV', '" + secretFile + "')",
		"BACKUP DATABASE default TO File('x')", "CREATE DICTIONARY default.d (a String) PRIMARY KEY a SOURCE(FILE(path '/x' format 'TSV')) LAYOUT(FLAT()) LIFETIME(1)"} {
		if code, body := ask(t, s, User, s.Password(), q); code == http.StatusOK || strings.Contains(body, "treasure") {
			t.Errorf("%s: %d %.200s", q, code, body)
		}
	}
}
