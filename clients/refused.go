package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// RefusedError says that a service and this process do not let each other in, and
// what to do about it.
type RefusedError struct {
	Service   Service
	Do        string // what is wrong, and what to do
	Err       error  // nil: Do says all
	Temporary bool   // a server that starts or goes away looks the same
}

func (e *RefusedError) Error() string {
	if e.Err == nil {
		return e.Do
	}
	return e.Do + ": " + e.Err.Error()
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Stays reports whether an error is a refusal that waiting does not mend.
func Stays(err error) bool {
	var r *RefusedError
	return errors.As(err, &r) && !r.Temporary
}

// Explain says what to do about an error of a TLS connection to addr. One that it does
// not know, and one that is explained, stay as they are.
func (s Service) Explain(addr string, err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var refused *RefusedError
	var op *net.OpError
	errors.As(err, &op)
	say := func(wrapped error, temporary bool, text string, args ...any) error {
		return &RefusedError{Service: s, Do: fmt.Sprintf(text, args...), Err: wrapped, Temporary: temporary}
	}
	switch {
	case err == nil, errors.As(err, &refused):
		return err
	case errors.As(err, &authority):
		return say(err, false, "%s has a certificate of an authority that is not trusted; name its CA in %s", addr, s.Variable("CA_FILE"))
	case errors.As(err, &host):
		return say(err, false, "%s has a certificate for another name; connect by that name, or state it in %s", addr, s.Variable("SERVER_NAME"))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return say(err, false, "%s has a certificate that has expired, or is not valid yet; renew it there, and look at this machine's clock", addr)
	case errors.As(err, &invalid):
		return say(err, false, "%s has a certificate that is no good for a server; make another one there", addr)
	case errors.As(err, &plain):
		return say(err, false, "%s does not speak TLS; use its TLS port, or remove %s", addr, s.Variable("TLS"))
	case op != nil && op.Op == "remote error" && s.get("CERT_FILE") == "":
		return say(err, false, "%s ends the TLS handshake: it wants a certificate of the client; name one in %s and %s", addr, s.Variable("CERT_FILE"), s.Variable("KEY_FILE"))
	case op != nil && op.Op == "remote error":
		return say(err, false, "%s refuses the certificate in %s; it must be of an authority that is trusted there, and be valid", addr, s.Variable("CERT_FILE"))
	case op != nil && op.Op == "dial":
		return err
	case errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ECONNRESET):
		// Not wrapped: Kafka's client would put its own guess in the place of an EOF.
		return say(nil, true, "%s did not finish the TLS handshake; is this its port without TLS, or does it want a certificate (%s)? %v", addr, s.Variable("CERT_FILE"), err)
	}
	return err
}

// Dial connects to addr, with TLS where the environment asks for it, with the files as
// they are now. What goes wrong with TLS is explained, also what a server says of this
// client's certificate, which comes with the first answer.
func (s Service) Dial(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
	conf, err := s.TLS()
	if err != nil {
		return nil, err
	}
	if conf == nil {
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &watched{Conn: conn, service: s, addr: addr}, nil
	}
	conn, err := (&tls.Dialer{NetDialer: d, Config: conf}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, s.Explain(addr, err)
	}
	return &watched{Conn: conn, service: s, addr: addr, encrypted: true}, nil
}

// watched is a connection whose first answer may be a refusal.
type watched struct {
	net.Conn
	service   Service
	addr      string
	encrypted bool
	answered  atomic.Bool
	refused   atomic.Pointer[RefusedError] // what each further Read says: the first may be made for nothing that is told
}

// alert is the first byte of what a server with TLS says to one without; version the next.
const (
	alert   = 0x15
	version = 0x03
)

func (w *watched) Read(b []byte) (int, error) {
	if r := w.refused.Load(); r != nil {
		return 0, r
	}
	n, err := w.Conn.Read(b)
	if w.answered.Load() {
		return n, err
	}
	if n > 0 {
		w.answered.Store(true)
	}
	var op *net.OpError
	switch {
	case w.encrypted && n == 0 && errors.As(err, &op) && op.Op == "remote error":
		return n, w.service.Explain(w.addr, err)
	case !w.encrypted && n > 0 && b[0] == alert && (n == 1 || b[1] == version):
		return 0, w.refuses(&RefusedError{Service: w.service, Do: fmt.Sprintf("%s speaks TLS; set %s=true, or use its port without TLS", w.addr, w.service.Variable("TLS"))})
	case !w.encrypted && n == 0 && w.service != Kafka && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)): // Kafka's client looks for the bare error
		refused := &RefusedError{Service: w.service, Err: err, Temporary: true,
			Do: fmt.Sprintf("%s ended the connection without an answer; if that is its port with TLS, set %s=true", w.addr, w.service.Variable("TLS"))}
		if w.service == Redis { // whose client would tell what is wrapped, and nothing more
			refused.Err = nil
		}
		return 0, w.refuses(refused)
	}
	return n, err
}

func (w *watched) refuses(r *RefusedError) error {
	w.refused.Store(r)
	return r
}
