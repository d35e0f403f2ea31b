package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/microseg/microseg/serving/token"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func post(path, body string) events.APIGatewayV2HTTPRequest {
	e := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: path, Body: body, Headers: map[string]string{"content-type": "application/json", "user-agent": "Mozilla/5.0 (X11; Linux x86_64)"}}
	e.RequestContext.HTTP.Method, e.RequestContext.DomainName, e.RequestContext.HTTP.SourceIP = "POST", "api.example.com", "192.0.2.1"
	return e
}

// TestHandler: events become requests, and answers theirs.
func TestHandler(t *testing.T) {
	t.Parallel()
	echo := Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Add("Vary", "Origin")
		w.Header().Add("Vary", "Accept")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s %s cookie=%q type=%q %s", r.Method, r.Host, r.URL.RequestURI(), r.Header.Get("Cookie"), r.Header.Get("Content-Type"), body)
	}))
	e := post("/prod/api/personalize", base64.StdEncoding.EncodeToString([]byte("hello")))
	e.IsBase64Encoded, e.RequestContext.Stage, e.RawQueryString, e.Cookies = true, "prod", "a=b%20c", []string{"x=1", "y=2"}
	got, err := echo(context.Background(), e)
	check(t, err)
	if want := `POST api.example.com /api/personalize?a=b%20c cookie="x=1; y=2" type="application/json" hello`; got.Body != want || got.StatusCode != 202 || got.IsBase64Encoded {
		t.Errorf("%+v, want %s", got, want)
	}
	if len(got.Cookies) != 2 || got.Headers["Vary"] != "Origin, Accept" {
		t.Errorf("cookies %q, headers %v", got.Cookies, got.Headers)
	}
	e.Body = "%%"
	if got, err := echo(context.Background(), e); err != nil || got.StatusCode != http.StatusBadRequest {
		t.Errorf("a body that is not base64: %+v, %v", got, err)
	}
	if got, err := echo(context.Background(), events.APIGatewayV2HTTPRequest{}); err != nil || got.StatusCode != http.StatusBadRequest || !strings.Contains(got.Body, "2.0") {
		t.Errorf("an event of another kind: %+v, %v", got, err)
	}
	binary, err := Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0xfe}) }))(context.Background(), post("/", ""))
	if err != nil || !binary.IsBase64Encoded || binary.Body != "//4=" {
		t.Errorf("bytes that are no text: %+v, %v", binary, err)
	}
}

// TestNodeFirst: the node's answer counts; without one the function's own.
func TestNodeFirst(t *testing.T) {
	t.Parallel()
	status, wait := http.StatusOK, time.Duration(0)
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the server sees that the client has gone only then
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "node %s", body)
	}))
	h, err := NodeFirst(node.URL, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "own %s", body)
	}))
	check(t, err)
	ask := func() string {
		got, err := Handler(h)(context.Background(), post("/api/personalize", "q"))
		check(t, err)
		return got.Body
	}
	if got := ask(); got != "node q" {
		t.Error(got)
	}
	status = http.StatusBadGateway
	if got := ask(); got != "own q" {
		t.Error(got)
	}
	status, wait = http.StatusOK, time.Minute
	if got := ask(); got != "own q" {
		t.Error(got)
	}
	node.CloseClientConnections()
	node.Close()
	if got := ask(); got != "own q" {
		t.Error(got)
	}
	if _, err := NodeFirst("node", nil); err == nil {
		t.Error("an address without a scheme was taken")
	}
}

const testKeys = "k1:000102030405060708090a0b0c0d0e0f"

// TestFunction runs the real program against the protocol of Lambda's runtime:
// it takes an invocation, decides from a token, and sends its answer.
func TestFunction(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-o", program, "github.com/microseg/microseg/cmd/microseg-lambda")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the function: %v\n%s", err, out)
	}
	keys, err := token.ParseKeys(testKeys)
	check(t, err)
	now := time.Now().Unix()
	visitor := keys.Sign(token.Claims{Audience: token.Segment, Site: "demo", Path: "everyone/high_intent/cart_abandoner", Issued: now, Expires: now + 60})
	answers := invoke(t, program, []string{
		fmt.Sprintf(`{"segment":"everyone","event":"/","token":%q}`, visitor),
		`{"segment":"everyone/high_intent/cart_abandoner","event":"/"}`,
		`{`,
	})
	var first struct {
		Segment, Proof string
		Actions        []struct{ Slot, Rule, HTML string }
	}
	check(t, json.Unmarshal([]byte(answers[0].Body), &first))
	if first.Proof != "signed" || first.Segment != "everyone/high_intent/cart_abandoner" || len(first.Actions) == 0 || first.Actions[0].Rule != "cart_banner" {
		t.Errorf("with a token: %s", answers[0].Body)
	}
	if strings.Contains(answers[1].Body, "cart_banner") || !strings.Contains(answers[1].Body, `"claimed"`) {
		t.Errorf("a segment that is only claimed: %s", answers[1].Body)
	}
	if answers[2].StatusCode != http.StatusBadRequest {
		t.Errorf("a body that is no JSON: %+v", answers[2])
	}
}

// invoke gives the program invocations one after the other, as Lambda does.
func invoke(t *testing.T, program string, bodies []string) []events.APIGatewayV2HTTPResponse {
	t.Helper()
	next, done := make(chan string, len(bodies)), make(chan events.APIGatewayV2HTTPResponse)
	for _, b := range bodies {
		event, err := json.Marshal(post("/api/personalize", b))
		check(t, err)
		next <- string(event)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case event := <-next:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			io.WriteString(w, event)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		var answer events.APIGatewayV2HTTPResponse
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
		done <- answer
	})
	runtime := httptest.NewServer(mux)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+runtime.Listener.Addr().String(), "MICROSEG_TOKEN_KEYS="+testKeys)
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		runtime.CloseClientConnections()
		runtime.Close()
	})
	var out []events.APIGatewayV2HTTPResponse
	for range bodies {
		select {
		case a := <-done:
			out = append(out, a)
		case <-time.After(time.Minute):
			t.Fatal("the function does not answer")
		}
	}
	return out
}
