package collect

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/klauspost/compress/gzip"
)

// readBody fills q.body, unpacked, and takes its room of MaxInFlight, which
// release gives back. What is gzip is told by its first bytes: libraries and
// proxies get the header wrong both ways.
func (q *request) readBody(w http.ResponseWriter) (release func(), err error) {
	limit := int64(q.c.cfg.MaxBatchBytes)
	var held int64
	release = func() { q.c.inFlight.Add(-held) }
	if q.r.ContentLength > limit {
		return release, errTooLong
	}
	// A body whose length is not known, or that may unpack, may become as long
	// as any; what it did not need is given back below.
	need := limit
	if q.r.ContentLength >= 0 && q.r.Header.Get("Content-Encoding") == "" {
		need = q.r.ContentLength
	}
	if !q.c.take(need) {
		return release, errBusy
	}
	held = need
	sent, err := io.ReadAll(http.MaxBytesReader(w, q.r.Body, limit))
	if err != nil {
		return release, unread(err)
	}
	q.c.metrics.bytes("sent", len(sent))
	if !isGzip(sent) {
		q.body = trimmed(sent)
	} else if q.body, err = unpack(sent, limit); err != nil {
		return release, err
	}
	q.c.metrics.bytes("unpacked", len(q.body))
	now := int64(len(q.body))
	q.c.inFlight.Add(now - held)
	held = now
	return release, nil
}

// take reserves n bytes of MaxInFlight.
func (c *Collector) take(n int64) bool {
	if c.inFlight.Add(n) > c.cfg.MaxInFlight {
		c.inFlight.Add(-n)
		return false
	}
	return true
}

func isGzip(b []byte) bool { return len(b) > 2 && b[0] == 0x1f && b[1] == 0x8b }

// unpack stops at the limit: what a bomb would become is never held.
func unpack(sent []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(sent))
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, message: "unpacking the gzip body: " + err.Error()}
	}
	defer z.Close()
	out, err := io.ReadAll(io.LimitReader(z, limit+1))
	switch {
	case int64(len(out)) > limit:
		return nil, errTooLong
	case err != nil:
		return nil, &refusal{status: http.StatusBadRequest, message: "unpacking the gzip body: " + err.Error()}
	}
	return trimmed(out), nil
}

func unread(err error) error {
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return errTooLong
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{status: http.StatusRequestTimeout, message: "the body did not arrive in time"}
	}
	return &refusal{status: http.StatusBadRequest, message: "reading the body: " + err.Error()}
}
