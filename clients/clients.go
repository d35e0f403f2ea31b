// Package clients knows how this process connects to the services around it:
// with TLS or not, and with which login. Its rooms kafka, redis and clickhouse
// are the only places that make clients of them (testing/lint).
//
// All of it comes from the environment and from files that the environment
// names, so that no configuration, fingerprint or pipeline that is sent to a
// runner holds a secret; a worker on another machine has an environment of its
// own. Files are read at each connection: what was rotated is taken then.
package clients

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Service says which variables are meant: MICROSEG_<service>_*.
type Service string

// The services that microseg connects to.
const (
	Kafka      Service = "KAFKA"
	Redis      Service = "REDIS"
	ClickHouse Service = "CLICKHOUSE"
)

// Variable is the name of one of the service's variables.
func (s Service) Variable(name string) string { return "MICROSEG_" + string(s) + "_" + name }

func (s Service) get(name string) string {
	if _, ok := ours.Load(s); ok {
		return ""
	}
	return os.Getenv(s.Variable(name))
}

// ours are the services that the process's stack has brought itself.
var ours sync.Map

// Ours says that the service of this process is one that microseg has brought itself, with a
// login of its own or none: the environment is about another one, and is not looked at. It
// returns the variables that would have been.
func (s Service) Ours() (ignored []string) {
	for _, name := range []string{"TLS", "CA_FILE", "CERT_FILE", "KEY_FILE", "SERVER_NAME", "USER", "USER_FILE", "PASSWORD", "PASSWORD_FILE", "SASL", "TOKEN", "TOKEN_FILE"} {
		if s.get(name) != "" {
			ignored = append(ignored, s.Variable(name))
		}
	}
	ours.Store(s, true)
	return ignored
}

// Value is what a variable says, and for a secret what the file of <name>_FILE
// holds. Errors name the variable and the file, never the secret.
func (s Service) Value(name string) (string, error) {
	file := s.get(name + "_FILE")
	if file == "" {
		return s.get(name), nil
	}
	if s.get(name) != "" {
		return "", fmt.Errorf("%s and %s_FILE are both set; keep one", s.Variable(name), s.Variable(name))
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", s.Variable(name), err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// Encrypted reports whether TLS is asked for: by TLS=true, or by a CA or a
// certificate.
func (s Service) Encrypted() (bool, error) {
	if v := s.get("TLS"); v != "" {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return false, fmt.Errorf("%s: %q is neither true nor false", s.Variable("TLS"), v)
		}
		if !on && (s.get("CA_FILE") != "" || s.get("CERT_FILE") != "") {
			return false, fmt.Errorf("%s is false, but there is a CA or a certificate; remove one of them", s.Variable("TLS"))
		}
		return on, nil
	}
	return s.get("CA_FILE") != "" || s.get("CERT_FILE") != "", nil
}

// TLS is how to encrypt connections, with the files as they are now; nil: plain.
func (s Service) TLS() (*tls.Config, error) {
	on, err := s.Encrypted()
	if err != nil || !on {
		return nil, err
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.get("SERVER_NAME")}
	if ca := s.get("CA_FILE"); ca != "" {
		b, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Variable("CA_FILE"), err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s: %s holds no certificate in PEM form", s.Variable("CA_FILE"), ca)
		}
	}
	cert, key := s.get("CERT_FILE"), s.get("KEY_FILE")
	if (cert == "") != (key == "") {
		return nil, fmt.Errorf("set both %s and %s, or neither", s.Variable("CERT_FILE"), s.Variable("KEY_FILE"))
	}
	if cert != "" {
		pair, err := Pair(cert, key, time.Now())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Variable("CERT_FILE"), err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// Pair reads a certificate with its key and refuses one that is not valid now.
func Pair(cert, key string, now time.Time) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("the certificate %s with the key %s: %w", cert, key, err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return pair, fmt.Errorf("the certificate %s: %w", cert, err)
	}
	if now.Before(leaf.NotBefore) {
		return pair, fmt.Errorf("the certificate %s is valid from %v only; look at this machine's clock", cert, leaf.NotBefore)
	}
	if now.After(leaf.NotAfter) {
		return pair, fmt.Errorf("the certificate %s has expired on %v; put a new one in its place", cert, leaf.NotAfter)
	}
	return pair, nil
}

// Check says what is wrong with the service's variables, and notes a password
// that would travel in the clear.
func (s Service) Check() (note string, err error) {
	conf, err := s.TLS()
	if err != nil {
		return "", err
	}
	if _, err := s.Value("USER"); err != nil {
		return "", err
	}
	password, err := s.Value("PASSWORD")
	if err == nil && password != "" && conf == nil {
		note = fmt.Sprintf("%s goes over the network in the clear, or can be guessed from what does; set %s=true", s.Variable("PASSWORD"), s.Variable("TLS"))
	}
	return note, err
}
