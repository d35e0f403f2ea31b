package collect

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
)

// readBody fills q.body, unpacked, in the memory of bodies, which release gives back.
// What is gzip is told by its first bytes: libraries and proxies get the header wrong
// both ways.
func (q *request) readBody(w http.ResponseWriter) (release func(), err error) {
	limit := int64(q.c.cfg.MaxBatchBytes)
	if q.r.ContentLength > limit {
		return func() {}, errTooLong
	}
	most := limit + 1
	if q.r.ContentLength >= 0 {
		most = q.r.ContentLength + 1
	}
	conn := http.NewResponseController(w)
	b := q.c.memory.begin(q.sender.addr, q.server, func() {
		_ = conn.SetReadDeadline(time.Now()) // one that has no deadlines is none of a network
	})
	sent, err := b.readAll(http.MaxBytesReader(w, q.r.Body, limit), most)
	if err != nil {
		return b.release, q.unread(b, err)
	}
	b.whole()
	if b.wasCut() { // between its last byte and here
		return b.release, q.unread(b, errNoMemory)
	}
	q.c.metrics.bytes("sent", len(sent))
	if !isGzip(sent) {
		q.body = trimmed(sent)
	} else if q.body, err = unpack(b, sent, limit); err != nil {
		return b.release, q.unread(b, err)
	}
	q.c.metrics.bytes("unpacked", len(q.body))
	b.keep(int64(len(q.body)))
	return b.release, nil
}

func isGzip(b []byte) bool { return len(b) > 2 && b[0] == 0x1f && b[1] == 0x8b }

// unpack stops at the limit: what a bomb would become is never held.
func unpack(b *body, sent []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(sent))
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, message: "unpacking the gzip body: " + err.Error()}
	}
	defer z.Close()
	out, err := b.readAll(io.LimitReader(z, limit+1), limit+1)
	switch {
	case int64(len(out)) > limit:
		return nil, errTooLong
	case errors.Is(err, errNoMemory):
		return nil, err
	case err != nil:
		return nil, &refusal{status: http.StatusBadRequest, message: "unpacking the gzip body: " + err.Error()}
	}
	return trimmed(out), nil
}

// unread is why a body could not be read.
func (q *request) unread(b *body, err error) error {
	var long *http.MaxBytesError
	var told *refusal
	switch {
	case errors.Is(err, errNoMemory) || b.wasCut():
		q.c.senders.refused.WithLabelValues("bodies").Inc()
		return errBusy
	case errors.As(err, &told):
		return told
	case errors.As(err, &long):
		return errTooLong
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{status: http.StatusRequestTimeout, message: "the body did not arrive in time"}
	}
	return &refusal{status: http.StatusBadRequest, message: "reading the body: " + err.Error()}
}
