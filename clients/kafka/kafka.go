// Package kafka makes the clients of the log, and its topics.
package kafka

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	dialTimeout = 10 * time.Second
	mechanisms  = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM"
)

// New is kgo.NewClient with the TLS and the login of this process. It connects when it is used.
func New(brokers []string, opts ...kgo.Opt) (*kgo.Client, error) {
	more, err := secure()
	if err != nil {
		return nil, fmt.Errorf("connecting to the log at %v: %w", brokers, err)
	}
	cl, err := kgo.NewClient(append(append(more, kgo.SeedBrokers(brokers...)), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the log at %v: %w", brokers, err)
	}
	return cl, nil
}

// secure are the options that the environment asks for.
func secure() (out []kgo.Opt, err error) {
	if _, err := clients.Kafka.TLS(); err != nil { // what is wrong is told before the first connection
		return nil, err
	}
	out = append(out, kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		return clients.Kafka.Dial(ctx, &net.Dialer{Timeout: dialTimeout}, network, addr)
	}))
	m, err := mechanism()
	if err != nil {
		return nil, err
	}
	if m != nil {
		out = append(out, kgo.SASL(told{m}))
	}
	return out, nil
}

// Check says what is wrong with the login that the environment asks for.
func Check() error {
	_, err := secure()
	return err
}

// mechanism is the login; nil: none. Secrets are read at each login.
func mechanism() (sasl.Mechanism, error) {
	name, err := clients.Kafka.Value("SASL")
	if err != nil {
		return nil, err
	}
	var out sasl.Mechanism
	var first error // what is missing is told at once
	switch strings.ToUpper(name) {
	case "":
		return nil, nil
	case "PLAIN":
		out = plain.Plain(func(context.Context) (a plain.Auth, err error) {
			a.User, a.Pass, err = login()
			return a, err
		})
		_, _, first = login()
	case "SCRAM-SHA-256":
		out = scram.Sha256(scramAuth)
		_, _, first = login()
	case "SCRAM-SHA-512":
		out = scram.Sha512(scramAuth)
		_, _, first = login()
	case "OAUTHBEARER":
		out = oauth.Oauth(func(context.Context) (a oauth.Auth, err error) {
			a.Token, err = needed("TOKEN")
			return a, err
		})
		_, first = needed("TOKEN")
	case "AWS_MSK_IAM":
		out = aws.ManagedStreamingIAM(iam)
		_, first = iam(context.Background())
	default:
		return nil, fmt.Errorf("%s: %q is not a mechanism that is known; choose %s", clients.Kafka.Variable("SASL"), name, mechanisms)
	}
	if first != nil {
		return nil, first
	}
	return out, nil
}

func scramAuth(context.Context) (a scram.Auth, err error) {
	a.User, a.Pass, err = login()
	return a, err
}

func login() (user, password string, err error) {
	if user, err = needed("USER"); err != nil {
		return "", "", err
	}
	password, err = needed("PASSWORD")
	return user, password, err
}

func needed(name string) (string, error) {
	v, err := clients.Kafka.Value(name)
	if err == nil && v == "" {
		v := clients.Kafka.Variable(name)
		return "", fmt.Errorf("the login needs %s, or a file named in %s_FILE", v, v)
	}
	return v, err
}

// iam are the credentials in the variables that AWS's own tools read.
func iam(context.Context) (aws.Auth, error) {
	a := aws.Auth{
		AccessKey:    os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretKey:    os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	if a.AccessKey == "" || a.SecretKey == "" {
		return a, fmt.Errorf("AWS_MSK_IAM needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	return a, nil
}
