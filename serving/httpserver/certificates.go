package httpserver

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/microseg/microseg/clients"
)

// HTTP names the variables of listeners: MICROSEG_HTTP_CERT_FILE and _KEY_FILE.
const HTTP clients.Service = "HTTP"

// lookEvery is how often the files of a certificate are looked at, when somebody connects.
const lookEvery = time.Second

// Certificates are a certificate and its key in files, read again when they change.
// Connections that are there stay; a pair that is no good leaves the one before.
type Certificates struct {
	cert, key string

	mu      sync.Mutex
	pair    *tls.Certificate
	looked  time.Time
	seen    string // of the files
	trouble error
}

// ReadCertificates reads the pair that the environment names; nil: none, and no TLS.
func ReadCertificates() (*Certificates, error) {
	cert, key := os.Getenv(HTTP.Variable("CERT_FILE")), os.Getenv(HTTP.Variable("KEY_FILE"))
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, fmt.Errorf("set both %s and %s, or neither", HTTP.Variable("CERT_FILE"), HTTP.Variable("KEY_FILE"))
	}
	c := &Certificates{cert: cert, key: key}
	c.look(time.Now())
	if c.trouble != nil {
		return nil, fmt.Errorf("%s: %w", HTTP.Variable("CERT_FILE"), c.trouble)
	}
	return c, nil
}

// look reads the files if they are others than before.
func (c *Certificates) look(now time.Time) {
	c.looked = now
	seen := stamp(c.cert) + stamp(c.key)
	if seen == c.seen {
		return
	}
	c.seen = seen
	pair, err := clients.Pair(c.cert, c.key, now)
	if err != nil {
		c.trouble = err
		if c.pair != nil {
			slog.Error("the certificate was changed and is not taken; the one before is served", "err", err)
		}
		return
	}
	if c.pair != nil {
		slog.Warn("the certificate was changed and is taken", "file", c.cert)
	}
	c.pair, c.trouble = &pair, nil
}

// stamp changes when a file does.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "none;"
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size(), ";")
}

func (c *Certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.look(now)
	}
	return c.pair, nil
}

// Trouble says what is wrong with the files as they are now; empty: nothing.
func (c *Certificates) Trouble() string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.look(now)
	}
	if c.trouble == nil {
		return ""
	}
	return fmt.Sprintf("degraded: the certificate of HTTPS was changed and is not taken: %v", c.trouble)
}

// Listen gives the listener TLS of at least 1.2; nil Certificates: as it is.
func (c *Certificates) Listen(ln net.Listener) net.Listener {
	if c == nil {
		return ln
	}
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.get})
}
