package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/microseg/microseg/clients"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// Explain says what to do about an error of the log's that is about a login or a right.
// Others, and one that is explained, stay as they are.
func Explain(err error) error {
	var refused *clients.RefusedError
	var denied *DeniedError
	if err == nil || errors.As(err, &refused) || errors.As(err, &denied) {
		return err
	}
	v := clients.Kafka.Variable
	say := func(temporary bool, text string, args ...any) error {
		return &clients.RefusedError{Service: clients.Kafka, Do: fmt.Sprintf(text, args...), Err: err, Temporary: temporary}
	}
	var eof *kgo.ErrFirstReadEOF
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return say(false, "%s", refusedLogin())
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return say(false, "the log does not take the mechanism of %s at this port; choose another one of %s", v("SASL"), mechanisms)
	case errors.Is(err, kerr.IllegalSaslState):
		return say(false, "the log asks for no login at this port, or for another one; look at %s and at the port", v("SASL"))
	case Refuses(err):
		return say(false, "the log refuses %s a right; `microseg check --brokers` says which, and docs/operations.md has all", who())
	case errors.As(err, &eof):
		return say(true, "the log hangs up before it answers: does this port want TLS (%s), or a login (%s)?", v("TLS"), v("SASL"))
	}
	return err
}

// Stays reports whether the log and this client do not let each other in, which waiting
// does not mend.
func Stays(err error) bool { return clients.Stays(Explain(err)) }

// Refuses reports whether the log says that somebody may not do what they asked for.
func Refuses(err error) bool {
	for _, code := range []error{kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

func refusedLogin() string {
	v := clients.Kafka.Variable
	switch name, _ := clients.Kafka.Value("SASL"); strings.ToUpper(name) {
	case "OAUTHBEARER":
		return fmt.Sprintf("the log refuses the token of %s; get a new one, and look at its audience and at this machine's clock", v("TOKEN"))
	case "AWS_MSK_IAM":
		return "the log refuses the credentials of AWS; look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
	default:
		return fmt.Sprintf("the log lets %s not in: the user or the password is another there; look at %s and %s (or its _FILE), and at %s", who(), v("USER"), v("PASSWORD"), v("SASL"))
	}
}

// who is this process to the log, as far as it knows.
func who() string {
	if user, err := clients.Kafka.Value("USER"); err == nil && user != "" {
		return fmt.Sprintf("the user %q", user)
	}
	return "this client"
}

// told is a mechanism whose refusals are explained: some come as a part of the talk.
type told struct{ sasl.Mechanism }

func (t told) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	s, first, err := t.Mechanism.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	return talk{s}, first, nil
}

type talk struct{ sasl.Session }

func (t talk) Challenge(b []byte) (bool, []byte, error) {
	done, next, err := t.Session.Challenge(b)
	if err != nil {
		err = &clients.RefusedError{Service: clients.Kafka, Do: refusedLogin(), Err: err}
	}
	return done, next, err
}
