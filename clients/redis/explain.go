package redis

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/microseg/microseg/clients"
	"github.com/redis/go-redis/v9"
)

// Rights are the least that a user of Redis's needs here, as ACL SETUSER takes them, for the
// keys of a prefix (docs/operations.md).
func Rights(prefix string) []string {
	return []string{"~" + prefix + ":*", "+evalsha", "+script|load", "+get", "+set", "+del"}
}

// explained is a hook that makes what Redis refuses say what to do about it.
type explained struct{ addr, prefix string }

func (e explained) DialHook(next redis.DialHook) redis.DialHook { return next }

func (e explained) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if told := e.explain(err); told != err {
			cmd.SetErr(told)
			return told
		}
		return err
	}
}

func (e explained) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if told := e.explain(cmd.Err()); told != cmd.Err() {
				cmd.SetErr(told)
			}
		}
		return e.explain(err)
	}
}

// command is what an ACL of Redis's names in its refusal.
var command = regexp.MustCompile(`run the '([^']*)' command`)

// explain says what to do about an error that is about a login or a right. Others, and one
// that is explained, stay as they are.
func (e explained) explain(err error) error {
	var refused *clients.RefusedError
	if err == nil || errors.As(err, &refused) {
		return err
	}
	v := clients.Redis.Variable
	say := func(wrapped error, text string, args ...any) error {
		return &clients.RefusedError{Service: clients.Redis, Do: fmt.Sprintf(text, args...), Err: wrapped}
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "NOAUTH"):
		return say(err, "Redis at %s asks for a login; set %s and %s (or its _FILE)", e.addr, v("USER"), v("PASSWORD"))
	case strings.Contains(text, "WRONGPASS"):
		return say(err, "Redis at %s lets %s not in: the user or the password is another there, or the user is off; look at %s and %s (or its _FILE)",
			e.addr, who(), v("USER"), v("PASSWORD"))
	case strings.Contains(text, "without any password configured"):
		return say(err, "Redis at %s has no password for its default user; name a user in %s, or remove %s", e.addr, v("USER"), v("PASSWORD"))
	case strings.Contains(text, "NOPERM"), strings.Contains(text, "ACL failure"), strings.Contains(text, "executing the script can't"):
		// Not wrapped: it may name a key, and so a device, whose id is its secret.
		return say(nil, "Redis at %s refuses %s %s; it needs these rights: ACL SETUSER … %s (docs/operations.md)", e.addr, who(), what(text), strings.Join(Rights(e.prefix), " "))
	case strings.HasPrefix(text, "DENIED"):
		return say(nil, "Redis at %s is in protected mode, and lets only its own machine in; give it users with passwords, and TLS", e.addr)
	case strings.HasPrefix(text, "READONLY"):
		return say(err, "Redis at %s is a replica, which takes no writes; name its primary", e.addr)
	case strings.HasPrefix(text, "MOVED "), strings.HasPrefix(text, "CROSSSLOT"), strings.HasPrefix(text, "CLUSTERDOWN"):
		return say(nil, "Redis at %s is a part of a Redis Cluster; use one server (with replicas)", e.addr)
	}
	return err
}

// what is refused, without the name of a key.
func what(text string) string {
	if m := command.FindStringSubmatch(text); len(m) == 2 {
		return fmt.Sprintf("the command %q", m[1])
	}
	if strings.Contains(text, "script") { // Redis does not say which
		return "a command that its script runs (get, set or del)"
	}
	return "a key"
}

// who is this process to Redis, as far as it knows.
func who() string {
	if user, err := clients.Redis.Value("USER"); err == nil && user != "" {
		return fmt.Sprintf("the user %q", user)
	}
	return `the user "default"`
}
