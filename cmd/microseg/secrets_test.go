package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/spf13/cobra"
)

const canary = "canary-7f3a"

// secretEnv has a canary wherever a secret may be.
func secretEnv(t *testing.T) {
	t.Helper()
	for _, name := range []string{"MICROSEG_CLICKHOUSE_PASSWORD", "MICROSEG_KAFKA_PASSWORD", "MICROSEG_KAFKA_TOKEN", "MICROSEG_REDIS_PASSWORD",
		"MICROSEG_ADMIN_KEY", "MICROSEG_SERVER_KEYS", "MICROSEG_IDENTITY_KEYS", "MICROSEG_TOKEN_KEYS", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, canary+"-0123456789-0123456789-0123456789")
	}
	t.Setenv(clickhouse.DSNEnv, "clickhouse://ann:"+canary+"@127.0.0.1:1/microseg")
}

// TestHelpShowsNoSecret: the help of commands printed the DSN of the environment with
// its password, and the admin key, as the defaults of flags.
func TestHelpShowsNoSecret(t *testing.T) {
	secretEnv(t)
	var visit func(c *cobra.Command)
	n := 0
	visit = func(c *cobra.Command) {
		n++
		if text := c.UsageString() + c.Long; strings.Contains(text, canary) {
			t.Errorf("%s --help shows a secret:\n%s", c.CommandPath(), text)
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root())
	if n < 20 {
		t.Errorf("%d commands", n)
	}
}

// TestNoSecretIsTold: whatever is wrong with a DSN or with its server, nothing that is
// said has the password.
func TestNoSecretIsTold(t *testing.T) {
	t.Setenv(clickhouse.DSNEnv, "")
	log, err := kafkalog.Start(kafkalog.Options{Topics: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	job := []string{"pipeline", "--brokers", log.Brokers()[0], "--topic", "events"}
	for dsn, want := range map[string]string{
		"clickhouse://microseg:" + canary + "/x@127.0.0.1:1/microseg":  "the DSN cannot be read",
		"clickhouse://microseg:" + canary + "%zz@127.0.0.1:1/microseg": "the DSN cannot be read",
		canary: "DSN",
	} {
		for _, args := range [][]string{{"report", "--site", "x"}, job} {
			out, code := says(t, append(args, "--dsn", dsn)...)
			if code == 0 || strings.Contains(out, canary) || !strings.Contains(out, want) {
				t.Errorf("%v: code %d, want %q:\n%s", args, code, want, strings.ReplaceAll(out, canary, "THE SECRET"))
			}
		}
	}
	// A server that does not answer: the job waits for it, and says so.
	c := program(t, append(job, "--dsn", "clickhouse://ann:"+canary+"@127.0.0.1:1/microseg")...)
	said := &output{}
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "that it waits", func() bool { return strings.Contains(said.String(), "waits for") })
	_ = c.Process.Signal(os.Interrupt)
	time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	_ = c.Wait()
	if strings.Contains(said.String(), canary) {
		t.Errorf("it shows the password:\n%s", said)
	}
}
