package kafka

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/microseg/microseg/testing/harness/certs"
)

// Users of a Locked broker: all of them have the same password, and Boss has every right.
const (
	Boss     = "boss"
	Password = "sesame-of-the-broker"
)

// Locked is a broker whose doors have locks. Nobody but Boss, and whoever comes to Open,
// has any right until it is given one (kadm.ACLBuilder).
type Locked struct {
	*Broker
	Open      string     // host:port without TLS and without a login, for the test itself
	SASL      string     // TLS and a login: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (unsecured tokens)
	Mutual    string     // TLS with a certificate of the client: its common name is the user
	Expired   string     // as SASL, with a certificate that has expired
	Elsewhere string     // as SASL, with a certificate for another name
	CA        certs.Pair // of SASL and Mutual
	Over      certs.Pair // of Expired
	Other     certs.Pair // of Elsewhere
}

// door is a listener.
type door struct {
	name, protocol string
	port           int
	cert           certs.Pair
}

// StartLocked starts a broker with SCRAM and PLAIN users of these names beside Boss, in dir.
func StartLocked(ctx context.Context, dir string, users ...string) (*Locked, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the broker's folder: %w", err)
	}
	l := &Locked{}
	now := time.Now()
	good, err := pairIn(dir, "good", now.Add(-time.Hour), now.Add(24*time.Hour), "localhost")
	if err != nil {
		return nil, err
	}
	over, err := pairIn(dir, "over", now.Add(-48*time.Hour), now.Add(-24*time.Hour), "localhost")
	if err != nil {
		return nil, err
	}
	other, err := pairIn(dir, "other", now.Add(-time.Hour), now.Add(24*time.Hour), "elsewhere.example")
	if err != nil {
		return nil, err
	}
	l.CA, l.Over, l.Other = good, over, other
	doors := []*door{{name: "SECURE", protocol: "SASL_SSL", cert: good}, {name: "MUTUAL", protocol: "SSL", cert: good},
		{name: "EXPIRED", protocol: "SASL_SSL", cert: over}, {name: "ELSEWHERE", protocol: "SASL_SSL", cert: other}}
	more, err := lock(doors, append([]string{Boss}, users...))
	if err != nil {
		return nil, err
	}
	if l.Broker, err = startWith(ctx, dir, &extra{doors: doors, settings: more, scram: append([]string{Boss}, users...)}); err != nil {
		return nil, err
	}
	l.Open = l.addr
	for i, at := range []*string{&l.SASL, &l.Mutual, &l.Expired, &l.Elsewhere} {
		*at = fmt.Sprintf("127.0.0.1:%d", doors[i].port)
	}
	return l, nil
}

func pairIn(dir, name string, from, to time.Time, host string) (certs.Pair, error) {
	dir = filepath.Join(dir, "certs", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return certs.Pair{}, fmt.Errorf("making a folder for certificates: %w", err)
	}
	p, err := certs.New(dir, from, to, host)
	if err != nil {
		return p, err
	}
	var both []byte
	for _, f := range []string{p.Key, p.Cert} {
		b, err := os.ReadFile(f)
		if err != nil {
			return p, err
		}
		both = append(both, b...)
	}
	return p, os.WriteFile(filepath.Join(dir, "both.pem"), both, 0o600) // a keystore, as Kafka reads it
}

// lock are the settings of the doors and of who may do what. The ports are made later.
func lock(doors []*door, users []string) (string, error) {
	var b strings.Builder
	plain := []string{`org.apache.kafka.common.security.plain.PlainLoginModule required`}
	for _, u := range users {
		plain = append(plain, fmt.Sprintf(`user_%s="%s"`, u, Password))
	}
	fmt.Fprintf(&b, "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\nsuper.users=User:ANONYMOUS;User:%s\n", Boss)
	for _, d := range doors {
		p := "listener.name." + strings.ToLower(d.name) + "."
		fmt.Fprintf(&b, "%sssl.keystore.type=PEM\n%sssl.keystore.location=%s\n", p, p, filepath.Join(filepath.Dir(d.cert.Cert), "both.pem"))
		if d.protocol == "SSL" {
			fmt.Fprintf(&b, "%sssl.truststore.type=PEM\n%sssl.truststore.location=%s\n%sssl.client.auth=required\n%sssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/\n",
				p, p, d.cert.Cert, p, p)
			continue
		}
		fmt.Fprintf(&b, "%ssasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n", p)
		fmt.Fprintf(&b, "%splain.sasl.jaas.config=%s;\n", p, strings.Join(plain, " "))
		for _, m := range []string{"scram-sha-256", "scram-sha-512"} {
			fmt.Fprintf(&b, "%s%s.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n", p, m)
		}
		fmt.Fprintf(&b, "%soauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";\n", p)
	}
	return b.String(), nil
}
