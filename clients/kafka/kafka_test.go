package kafka

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/testing/harness/certs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const wait = time.Minute

func set(t *testing.T, name, value string) { t.Setenv(clients.Kafka.Variable(name), value) }

func pair(t *testing.T, name string) certs.Pair {
	t.Helper()
	p, err := certs.New(t.TempDir(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// broker is a log behind TLS, with a user for each mechanism that it has.
func broker(t *testing.T, p certs.Pair) []string {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "ann", "sesame"), kfake.Superuser("SCRAM-SHA-256", "ben", "sesame"), kfake.Superuser("SCRAM-SHA-512", "eve", "sesame"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func ping(t *testing.T, brokers []string) error {
	t.Helper()
	cl, err := New(brokers, kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	return cl.Ping(ctx)
}

// TestLogins: each mechanism gets through TLS, with its password from a file
// that is read again; a wrong password and an unknown authority are told.
func TestLogins(t *testing.T) {
	p := pair(t, "localhost")
	brokers := broker(t, p)
	secret := filepath.Join(t.TempDir(), "password")
	write := func(s string) {
		if err := os.WriteFile(secret, []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(t, "CA_FILE", p.Cert)
	set(t, "PASSWORD_FILE", secret)
	for mechanism, user := range map[string]string{"PLAIN": "ann", "SCRAM-SHA-256": "ben", "scram-sha-512": "eve"} {
		set(t, "SASL", mechanism)
		set(t, "USER", user)
		write("wrong-secret")
		if err := ping(t, brokers); err == nil || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s with a wrong password: %v", mechanism, err)
		}
		write("sesame")
		if err := ping(t, brokers); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
	set(t, "CA_FILE", pair(t, "localhost").Cert)
	if err := ping(t, brokers); err == nil || !strings.Contains(err.Error(), "MICROSEG_KAFKA_CA_FILE") {
		t.Errorf("an authority that is not trusted: %v", err)
	}
	set(t, "CA_FILE", p.Cert)
	set(t, "SERVER_NAME", "elsewhere")
	if err := ping(t, brokers); err == nil || !strings.Contains(err.Error(), "MICROSEG_KAFKA_SERVER_NAME") {
		t.Errorf("another name: %v", err)
	}
}

// TestTLSToAPlainPort: a port that hangs up on a handshake, as Kafka's without
// TLS does, is told as such.
func TestTLSToAPlainPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	set(t, "TLS", "true")
	if err := ping(t, []string{l.Addr().String()}); err == nil || !strings.Contains(err.Error(), "did not finish the TLS handshake") {
		t.Error(err)
	}
}

// TestCreateTopic: a topic is made as it was asked for, once; one that exists stays as it is,
// and an error names the topic and the log.
func TestCreateTopic(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cl, err := New(c.ListenAddrs(), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i, want := range []bool{true, false} {
		made, err := CreateTopic(t.Context(), cl, "events", int32(3+i), map[string]string{"retention.ms": "60000"})
		if err != nil || made != want {
			t.Errorf("try %d: made %v, %v", i, made, err)
		}
	}
	topics, err := Admin(cl).ListTopics(t.Context(), "events")
	if err != nil || len(topics["events"].Partitions) != 3 {
		t.Errorf("%v, %v", topics, err)
	}
	configs, err := Admin(cl).DescribeTopicConfigs(t.Context(), "events")
	if err != nil || len(configs) != 1 || !slices.ContainsFunc(configs[0].Configs, func(c kadm.Config) bool { return c.Key == "retention.ms" && c.MaybeValue() == "60000" }) {
		t.Errorf("%v, %v", configs, err)
	}
	_, err = CreateTopic(t.Context(), cl, "none", 0, nil)
	if err == nil || !strings.Contains(err.Error(), `"none"`) || !strings.Contains(err.Error(), c.ListenAddrs()[0]) {
		t.Errorf("a topic without partitions: %v", err)
	}
}

// TestMechanisms: what a login lacks is told before the first connection.
func TestMechanisms(t *testing.T) {
	for name, want := range map[string]string{"KERBEROS": "choose PLAIN, SCRAM-SHA-256", "PLAIN": "MICROSEG_KAFKA_USER", "OAUTHBEARER": "MICROSEG_KAFKA_TOKEN", "AWS_MSK_IAM": "AWS_ACCESS_KEY_ID"} {
		set(t, "SASL", name)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		if _, err := mechanism(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "never-sent")
	set(t, "SASL", "AWS_MSK_IAM")
	m, err := mechanism()
	if err != nil || m.Name() != "AWS_MSK_IAM" {
		t.Fatalf("%v, %v", m, err)
	}
	_, first, err := m.Authenticate(t.Context(), "b-1.example.kafka.eu-west-1.amazonaws.com:9098")
	if err != nil || !strings.Contains(string(first), "AKIDEXAMPLE") || strings.Contains(string(first), "never-sent") {
		t.Errorf("%s, %v", first, err)
	}
	set(t, "TOKEN", "abc.def.")
	set(t, "SASL", "OAUTHBEARER")
	m, err = mechanism()
	if err != nil || m.Name() != "OAUTHBEARER" {
		t.Errorf("%v, %v", m, err)
	}
}
