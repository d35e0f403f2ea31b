package chromium

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPage: pages load, run scripts, take clicks and text, keep their storage
// apart, share it between tabs, and tell of their problems; afterwards no
// process is left.
func TestPage(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<!doctype html><title>t</title><link rel=icon href="data:,"><input id=i><button id=b onclick="this.textContent = i.value">go</button>`))
	}))
	defer srv.Close()
	var pid int
	t.Run("browser", func(t *testing.T) {
		b := Start(t)
		pid = b.cmd.Process.Pid
		p := b.Page(t)
		p.Goto(srv.URL)
		p.Type("#i", "hello")
		p.Click("#b")
		p.Wait(`b.textContent === "hello"`)
		p.Eval(`localStorage.setItem("k", "v")`, nil)
		tab := p.Tab()
		tab.Goto(srv.URL)
		if got := tab.Text(`localStorage.getItem("k")`); got != "v" {
			t.Errorf("a tab beside reads %q, want v", got)
		}
		other := b.Page(t)
		other.Goto(srv.URL)
		if got := other.Text(`localStorage.getItem("k")`); got != "null" {
			t.Errorf("another visitor reads %q, want nothing", got)
		}
		if got := p.Problems(); len(got) > 0 {
			t.Errorf("problems %q, want none", got)
		}
		p.Eval(`setTimeout(() => { throw new Error("on purpose") })`, nil)
		for range 100 {
			if len(p.Problems()) > 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if got := strings.Join(p.Problems(), "\n"); !strings.Contains(got, "on purpose") {
			t.Errorf("problems %q, want the exception", got)
		}
	})
	if left := group(t, pid); len(left) > 0 {
		t.Errorf("processes %v are left of the browser's group", left)
	}
}

// group lists the living processes of a process group.
func group(t *testing.T, pgid int) (out []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{strconv.Itoa(pgid)}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// After the name, which may hold anything: state, parent, group.
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if f[0] != "Z" && slices.Contains(want, f[2]) {
			out = append(out, path)
		}
	}
	return out
}

func TestToInstall(t *testing.T) {
	t.Parallel()
	got := toInstall("Reading package lists...\nInst libogg0 (1.3.5-3 Debian:12 [amd64])\nInst chromium (1 x)\nConf libogg0 (1)\nInst\n")
	if !slices.Equal(got, []string{"libogg0", "chromium"}) {
		t.Errorf("%v", got)
	}
}

// TestMissing: a CHROMIUM that does not run is said to be one, with advice.
func TestMissing(t *testing.T) {
	t.Setenv("CHROMIUM", filepath.Join(t.TempDir(), "absent"))
	_, err := find(t.Context(), t.TempDir(), os.Stderr)
	missing, ok := err.(*MissingError)
	if !ok || !strings.Contains(missing.Error(), "CHROMIUM") {
		t.Errorf("error %v, want a *MissingError that names CHROMIUM", err)
	}
}
