package clients

import (
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/testing/harness/certs"
)

// TestWhatIsWrongIsTold: each mistake in the environment is an error that names
// the variable or the file and what to do, and none shows a secret.
func TestWhatIsWrongIsTold(t *testing.T) {
	now := time.Now()
	ca, err := certs.New(t.TempDir(), now.Add(-time.Hour), now.Add(time.Hour), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.New(t.TempDir(), now.Add(-time.Hour), now.Add(time.Hour), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	over, err := certs.New(t.TempDir(), now.Add(-2*time.Hour), now.Add(-time.Hour), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	early, err := certs.New(t.TempDir(), now.Add(time.Hour), now.Add(2*time.Hour), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no CA file":      {map[string]string{"CA_FILE": "/nowhere/ca.pem"}, "MICROSEG_KAFKA_CA_FILE: open /nowhere/ca.pem"},
		"a key as the CA": {map[string]string{"CA_FILE": ca.Key}, "holds no certificate"},
		"no key":          {map[string]string{"CERT_FILE": ca.Cert}, "set both MICROSEG_KAFKA_CERT_FILE and MICROSEG_KAFKA_KEY_FILE"},
		"another key":     {map[string]string{"CERT_FILE": ca.Cert, "KEY_FILE": other.Key}, "private key does not match"},
		"expired":         {map[string]string{"CERT_FILE": over.Cert, "KEY_FILE": over.Key}, "has expired"},
		"not yet valid":   {map[string]string{"CERT_FILE": early.Cert, "KEY_FILE": early.Key}, "valid from"},
		"neither":         {map[string]string{"TLS": "yes please"}, "neither true nor false"},
		"both":            {map[string]string{"TLS": "false", "CA_FILE": ca.Cert}, "remove one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(Kafka.Variable(k), v)
			}
			if _, err := Kafka.TLS(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	t.Run("two secrets", func(t *testing.T) {
		t.Setenv(Redis.Variable("PASSWORD"), "sesame")
		t.Setenv(Redis.Variable("PASSWORD_FILE"), ca.Key)
		if _, err := Redis.Value("PASSWORD"); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%v", err)
		}
	})
}
