// Package lambda lets AWS Lambda call an http.Handler: events of an API Gateway
// HTTP API (payload format 2.0) and of function URLs become requests, answers
// become theirs.
package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// Handler is h for lambda.Start. An event that is no request is answered with
// 400; it is never an error of the invocation, which Lambda would repeat.
func Handler(h http.Handler) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return func(ctx context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		r, err := request(ctx, &e)
		if err != nil {
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusBadRequest, Headers: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, Body: err.Error()}, nil
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return answer(w.Result(), w.Body.Bytes()), nil
	}
}

// request is the request that an event tells of.
func request(ctx context.Context, e *events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, fmt.Errorf("the body is not base64: %w", err)
		}
	}
	method := e.RequestContext.HTTP.Method
	if method == "" {
		return nil, fmt.Errorf("the event has no method: only HTTP APIs (payload format 2.0) and function URLs are understood")
	}
	at := &url.URL{Scheme: "https", Host: e.RequestContext.DomainName, Path: path(e), RawQuery: e.RawQueryString}
	r, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	for name, value := range e.Headers { // several values of a name are one, with commas
		r.Header.Set(name, value)
	}
	if len(e.Cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	r.RequestURI, r.RemoteAddr = at.RequestURI(), e.RequestContext.HTTP.SourceIP
	return r, nil
}

// path is the request's path without the stage that an API puts before it.
func path(e *events.APIGatewayV2HTTPRequest) string {
	if stage := e.RequestContext.Stage; stage != "" && stage != "$default" {
		if rest, ok := strings.CutPrefix(e.RawPath, "/"+stage); ok && (rest == "" || rest[0] == '/') {
			return "/" + strings.TrimPrefix(rest, "/")
		}
	}
	return e.RawPath
}

func answer(r *http.Response, body []byte) events.APIGatewayV2HTTPResponse {
	out := events.APIGatewayV2HTTPResponse{StatusCode: r.StatusCode, Headers: map[string]string{}, Cookies: r.Header.Values("Set-Cookie")}
	for name, values := range r.Header {
		if name != "Set-Cookie" {
			out.Headers[name] = strings.Join(values, ", ")
		}
	}
	if utf8.Valid(body) && r.Header.Get("Content-Encoding") == "" {
		out.Body = string(body)
	} else {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return out
}
