package collect

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// form is a Mixpanel request's form: the body's, else the query's.
type form struct{ body, query url.Values }

func (f form) get(key string) string {
	if v := f.body.Get(key); v != "" {
		return v
	}
	return f.query.Get(key)
}

// mixpanelAnswers are 1 and 0, or JSON where the client asks for it.
var mixpanelAnswers = answers{
	ok: func(w http.ResponseWriter, q *request) {
		if strings.HasPrefix(q.r.URL.Path, "/import") && q.form.get("strict") == "1" {
			write(w, http.StatusOK, map[string]any{"code": 200, "num_records_imported": q.events, "status": "OK"})
			return
		}
		q.verdict(w, http.StatusOK, 1, nil)
	},
	fail: func(w http.ResponseWriter, q *request, why *refusal) { q.verdict(w, why.status, 0, why.message) },
}

func (q *request) verdict(w http.ResponseWriter, code, status int, problem any) {
	if q.form.query == nil {
		q.form.query = q.r.URL.Query() // the body was not read
	}
	if q.form.get("verbose") == "1" {
		write(w, code, map[string]any{"status": status, "error": problem})
		return
	}
	if q.form.get("img") == "1" {
		writePixel(w, code)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprint(w, status)
}

func write(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

// mixpanelItems are the objects that a request carries: one or an array, as
// the body, as the form's data, or as data of the query; JSON or its base64.
func (q *request) mixpanelItems() ([][]byte, error) {
	q.form.query = q.r.URL.Query()
	data := q.body
	if len(data) == 0 || data[0] != '{' && data[0] != '[' {
		var err error
		if q.form.body, err = url.ParseQuery(string(data)); err != nil {
			return nil, fmt.Errorf("reading the form: %w", err)
		}
		if data, err = unwrapped(q.form.get("data")); err != nil {
			return nil, err
		}
		if len(data) > q.c.cfg.MaxBatchBytes {
			return nil, errTooLong
		}
	}
	switch {
	case len(data) == 0:
		return nil, errors.New("there is no data")
	case data[0] == '[':
		return q.list(data)
	case data[0] != '{':
		return nil, errors.New("the data is neither a JSON object nor an array")
	}
	// An object, or one a line.
	var items [][]byte
	for i := 0; i < len(data); i = space(data, i) {
		end, _ := valueEnd(data, i)
		if end <= i || data[i] != '{' {
			return nil, errors.New("the data is not JSON")
		}
		if items = append(items, data[i:end]); len(items) > q.c.cfg.MaxBatchEvents {
			return nil, &refusal{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("more than %d events in a batch", q.c.cfg.MaxBatchEvents)}
		}
		i = end
	}
	return items, q.sender.pay(len(items))
}

// unwrapped is the JSON in a form's data.
func unwrapped(data string) ([]byte, error) {
	b := trimmed([]byte(data))
	if len(b) == 0 || b[0] == '{' || b[0] == '[' {
		return b, nil
	}
	// Forms turn + into a space; some clients use the URL's alphabet.
	clean := strings.NewReplacer(" ", "+", "-", "+", "_", "/", "\n", "", "\r", "").Replace(string(b))
	out, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(clean, "="))
	if err != nil {
		return nil, errors.New("the data is neither JSON nor base64")
	}
	return trimmed(out), nil
}

func (q *request) mixpanelTrack() error  { return q.mixpanel(mixpanelEvent) }
func (q *request) mixpanelEngage() error { return q.mixpanel(mixpanelProfile) }

// mixpanelGroups acknowledges the profiles of groups, which nothing reads.
func (q *request) mixpanelGroups() error {
	items, err := q.mixpanelItems()
	if err != nil {
		return err
	}
	for range items {
		q.c.metrics.event("group", "ignored")
	}
	return nil
}

// mixpanel adds what each item becomes. An item with an unknown token is not
// written; a request with nothing else is refused.
func (q *request) mixpanel(translate func(item []byte) (token string, call map[string]any, err error)) error {
	items, err := q.mixpanelItems()
	if err != nil {
		return err
	}
	denied := error(nil)
	added := 0
	for _, item := range items {
		token, call, err := "", map[string]any(nil), q.bounded(item)
		if err == nil {
			token, call, err = translate(item)
		}
		// The header has a secret of Mixpanel's own, if anything.
		if no := q.known(cmp.Or(token, q.form.get("api_key"), basicKey(q.r), q.r.URL.Query().Get("writeKey"))); no != nil {
			q.c.metrics.event("other", "unauthorized")
			denied = no
			continue
		}
		added++
		var raw []byte
		if err == nil {
			raw, err = json.Marshal(call)
		}
		q.add(item, raw, "", err)
	}
	if added == 0 {
		return denied
	}
	return nil
}
