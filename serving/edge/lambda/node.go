package lambda

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// patience is how long a node may take before the function decides by itself.
const patience = 250 * time.Millisecond

// maxBody bounds the bodies that are read, in bytes.
const maxBody = 1 << 20

// NodeFirst asks a serving node (https://host), which knows the visitor, and
// has h answer when the node cannot: it is down, late or fails. Without an
// address h answers at once.
func NodeFirst(node string, h http.Handler) (http.Handler, error) {
	if node == "" {
		return h, nil
	}
	base, err := url.Parse(node)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("MICROSEG_NODE is %q; use an address like https://node.example.com", node)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "the body is longer than 1 MiB", http.StatusRequestEntityTooLarge)
			return
		}
		if ask(w, r, base, body) {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	}), nil
}

// ask passes the node's answer on; false when there is none.
func ask(w http.ResponseWriter, r *http.Request, base *url.URL, body []byte) bool {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	at := *base
	at.Path, at.RawQuery = r.URL.Path, r.URL.RawQuery
	q, err := http.NewRequestWithContext(ctx, r.Method, at.String(), bytes.NewReader(body))
	if err != nil {
		return false
	}
	for _, name := range []string{"Authorization", "Content-Type", "Cookie", "Origin", "Sec-Fetch-Site", "User-Agent", "X-Microseg-Offer", "X-Microseg-Token"} {
		if v := r.Header.Get(name); v != "" {
			q.Header.Set(name, v)
		}
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil || answer.StatusCode >= http.StatusInternalServerError {
		return false
	}
	for _, name := range []string{"Content-Type", "Cache-Control", "Surrogate-Control", "Access-Control-Allow-Origin", "Vary", "X-Content-Type-Options"} {
		if v := answer.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(answer.StatusCode)
	w.Write(text)
	return true
}
