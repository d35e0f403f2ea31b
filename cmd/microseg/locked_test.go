package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/rows"
	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/changelogio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"github.com/microseg/microseg/sinks/spillio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/testing/harness/certs"
	broker "github.com/microseg/microseg/testing/harness/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lockedLog is a real Kafka with TLS, logins and ACLs, and who may make all of it.
type lockedLog struct {
	*broker.Locked
	t     *testing.T
	admin *kgo.Client
}

func startLocked(t *testing.T, users ...string) *lockedLog {
	t.Helper()
	l, err := broker.StartLocked(t.Context(), t.TempDir(), users...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Kill)
	admin, err := kgo.NewClient(kgo.SeedBrokers(l.Open))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	return &lockedLog{l, t, admin}
}

// resources and operations by the names that rights have.
var (
	resources  = map[string]kmsg.ACLResourceType{kafka.Topic: kmsg.ACLResourceTypeTopic, kafka.Group: kmsg.ACLResourceTypeGroup, kafka.TransactionalID: kmsg.ACLResourceTypeTransactionalId}
	operations = map[string]kmsg.ACLOperation{"Read": kmsg.ACLOperationRead, "Write": kmsg.ACLOperationWrite, "Create": kmsg.ACLOperationCreate, "Delete": kmsg.ACLOperationDelete,
		"Alter": kmsg.ACLOperationAlter, "Describe": kmsg.ACLOperationDescribe, "DescribeConfigs": kmsg.ACLOperationDescribeConfigs}
)

// allow gives a user rights.
func (l *lockedLog) allow(user string, rights []kafka.Right) {
	l.t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, r := range rights {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = resources[r.Resource], r.Name, kmsg.ACLResourcePatternTypeLiteral
		c.Principal, c.Host, c.Operation, c.PermissionType = "User:"+user, "*", operations[r.Operation], kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, c)
	}
	res, err := req.RequestWith(l.t.Context(), l.admin)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range res.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			l.t.Fatal(err)
		}
	}
}

// deny takes one away.
func (l *lockedLog) deny(user string, r kafka.Right) {
	l.t.Helper()
	req := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourceName, f.ResourcePatternType = resources[r.Resource], kmsg.StringPtr(r.Name), kmsg.ACLResourcePatternTypeLiteral
	f.Principal, f.Operation, f.PermissionType = kmsg.StringPtr("User:"+user), operations[r.Operation], kmsg.ACLPermissionTypeAllow
	req.Filters = append(req.Filters, f)
	res, err := req.RequestWith(l.t.Context(), l.admin)
	if err != nil || len(res.Results) != 1 || len(res.Results[0].MatchingACLs) != 1 {
		l.t.Fatalf("%v: %v %+v", r, err, res)
	}
}

// onePage is an event of the device "a".
const onePage = `{"type":"page","anonymousId":"a","messageId":"1","timestamp":"2026-01-02T03:04:05Z"}`

// topic makes a topic of events with a record, as the admin.
func (l *lockedLog) topic(names ...string) {
	l.t.Helper()
	rs, err := kadm.NewClient(l.admin).CreateTopics(l.t.Context(), 2, 1, nil, names...)
	if err == nil {
		err = rs.Error()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	for _, name := range names {
		if err := l.admin.ProduceSync(l.t.Context(), &kgo.Record{Topic: name, Key: []byte(event.Key("a")), Value: []byte(onePage)}).FirstErr(); err != nil {
			l.t.Fatal(err)
		}
	}
}

// login is the environment of a user with a mechanism at the TLS port.
func (l *lockedLog) login(mechanism, user, password string) map[string]string {
	v := clients.Kafka.Variable
	return map[string]string{v("CA_FILE"): l.CA.Cert, v("SASL"): mechanism, v("USER"): user, v("PASSWORD"): password, v("TOKEN"): "", v("TLS"): "", v("CERT_FILE"): "", v("KEY_FILE"): "",
		v("SERVER_NAME"): ""}
}

func setAll(t *testing.T, env map[string]string) {
	t.Helper()
	for k, v := range env {
		t.Setenv(k, v)
	}
}

// jobWork is what a job does with the log, with all the functions that do it.
func jobWork(ctx context.Context, brokers []string, events, rekey string) error {
	if _, _, err := changelogio.Covered(ctx, brokers, changelogio.Topic(events)); err != nil {
		return err
	}
	if _, _, err := kafkaio.OpenSource(ctx, brokers, events, rekey, 2, config.Demo().EventConfig()); err != nil {
		return err
	}
	if _, err := kafkaio.Erasures(ctx, brokers, events); err != nil {
		return err
	}
	return errors.Join(segmentsWork(ctx, brokers, events), spillWork(ctx, brokers, events), changelogWork(ctx, brokers, events),
		readWork(ctx, brokers, events, errors.New("nothing was read")))
}

func readWork(ctx context.Context, brokers []string, events string, none error) error {
	starts, ends, err := kafkaio.Bounds(ctx, brokers, events)
	if err != nil {
		return err
	}
	for p, end := range ends {
		if end > starts[p] {
			none = nil
			err = errors.Join(err, kafkaio.Log{Brokers: brokers, Topic: events}.ReadRange(ctx, p, starts[p], end-1, func(identity.Record) error { return nil }))
		}
	}
	return errors.Join(err, none)
}

func segmentsWork(ctx context.Context, brokers []string, events string) error {
	topic := segmentsio.Topic(events)
	if err := segmentsio.CreateTopic(ctx, brokers, topic, 2); err != nil {
		return err
	}
	cfg := segmentsio.Config{Brokers: brokers, Topic: topic, Job: events, Fence: segmentsio.Fence(topic)}
	e := engine.New(events)
	if err := segmentsio.Claim(ctx, e, cfg); err != nil {
		return err
	}
	var batch codec.Writer
	segment.AppendKeyed(&batch, "a", []byte("x"))
	return errors.Join(segmentsio.Of(e).Publish(ctx, batch.B), e.Close())
}

func spillWork(ctx context.Context, brokers []string, events string) error {
	topic := spillio.Topic(events)
	if err := spillio.CreateTopic(ctx, brokers, topic); err != nil {
		return err
	}
	l, err := spillio.Open(spillio.Config{Brokers: strings.Join(brokers, ","), Topic: topic})
	if err != nil {
		return err
	}
	defer l.Close()
	b := rows.NewProgressBuilder()
	b.Append(&rows.Progress{Site: "site", Stage: rows.StageDevice, Offset: 3})
	batch, err := b.Batch(0)
	if err != nil {
		return err
	}
	end, err := l.Append(ctx, []rows.Batch{batch})
	if err != nil {
		return err
	}
	r, err := l.Range(ctx)
	if err != nil {
		return err
	}
	read, err := l.Read(ctx, r.From, r.End, spillio.Limit{Rows: 10, Bytes: 1 << 20})
	if err == nil && len(read) == 0 {
		err = errors.New("nothing was read")
	}
	return errors.Join(err, l.Done(ctx, end))
}

// changelogWork is a job's, and that of one with more shards after it.
func changelogWork(ctx context.Context, brokers []string, events string) error {
	for machines := 1; machines <= 2; machines++ {
		log, _, err := changelogio.Open(ctx, changelogio.Config{Brokers: brokers, Topic: changelogio.Topic(events), Machines: machines, Run: 1, Partitions: 2})
		if err != nil {
			return err
		}
		err = log.Append(0, []byte("entry"))(ctx)
		if err == nil {
			err = log.Begin(ctx, 0).Close()
		}
		if err == nil {
			err = log.Commit(ctx, nil, time.Now())
		}
		log.Close()
		if err != nil {
			return err
		}
	}
	_, err := changelogio.Inspect(ctx, brokers, changelogio.Topic(events), false)
	return err
}

// closedDoor is a door of the log that does not open, with what must be said then.
type closedDoor struct {
	addr string
	env  map[string]string // beside a good login
	want string
}

func (l *lockedLog) doors(t *testing.T) map[string]closedDoor {
	v := clients.Kafka.Variable
	other, err := certs.New(t.TempDir(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "stranger")
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]string{v("SASL"): "", v("CERT_FILE"): other.Cert, v("KEY_FILE"): other.Key}
	return map[string]closedDoor{
		"a wrong password":        {l.SASL, map[string]string{v("PASSWORD"): canary}, v("PASSWORD")},
		"a wrong password, 512":   {l.SASL, map[string]string{v("PASSWORD"): canary, v("SASL"): "SCRAM-SHA-512"}, `"job" not in`},
		"a wrong password, plain": {l.SASL, map[string]string{v("PASSWORD"): canary, v("SASL"): "PLAIN"}, `"job" not in`},
		"no such user":            {l.SASL, map[string]string{v("USER"): "nobody"}, `"nobody" not in`},
		"a wrong token":           {l.SASL, map[string]string{v("SASL"): "OAUTHBEARER", v("TOKEN"): canary}, v("TOKEN")},
		"another authority":       {l.SASL, map[string]string{v("CA_FILE"): other.Cert}, v("CA_FILE")},
		"an expired certificate":  {l.Expired, map[string]string{v("CA_FILE"): l.Over.Cert}, "has expired"},
		"another name":            {l.Elsewhere, map[string]string{v("CA_FILE"): l.Other.Cert}, v("SERVER_NAME")},
		"TLS to a plain port":     {l.Open, nil, "port without TLS"},
		"plain to a TLS port":     {l.SASL, map[string]string{v("CA_FILE"): ""}, v("TLS") + "=true"},
		"no login":                {l.SASL, map[string]string{v("SASL"): ""}, v("SASL")},
		"no client certificate":   {l.Mutual, map[string]string{v("SASL"): ""}, v("CERT_FILE")},
		"a stranger's":            {l.Mutual, own, "refuses the certificate"},
	}
}

// unsigned is one of OAuth's that is signed by nobody, which the test's broker takes.
func unsigned(user string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	now := time.Now().Unix()
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, user, now-60, now+3600)) + "."
}

// doorsOpen: each login that docs name gets in, and has the rights of its user.
func (l *lockedLog) doorsOpen(t *testing.T) {
	v := clients.Kafka.Variable
	for mechanism, addr := range map[string]string{"PLAIN": l.SASL, "SCRAM-SHA-256": l.SASL, "SCRAM-SHA-512": l.SASL, "OAUTHBEARER": l.SASL, "": l.Mutual} {
		env := l.login(mechanism, "job", broker.Password)
		env[v("TOKEN")] = unsigned("job")
		if mechanism == "" { // its common name is its user
			env[v("CERT_FILE")], env[v("KEY_FILE")] = l.CA.Cert, l.CA.Key
		}
		setAll(t, env)
		missing, err := kafka.Missing(t.Context(), []string{addr}, []kafka.Right{{Operation: "Read", Resource: kafka.Topic, Name: "job-0-whole"}})
		if want := mechanism == ""; err != nil || (len(missing) > 0) != want {
			t.Errorf("%s: %v, %v", mechanism, missing, err)
		}
	}
}

// doorsClosed: what does not fit is told within seconds, in words that say what to do, by the
// library and by the program, which ends; no secret is in them.
func (l *lockedLog) doorsClosed(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for name, d := range l.doors(t) {
		env := l.login("SCRAM-SHA-256", "job", broker.Password)
		maps.Copy(env, d.env)
		setAll(t, env)
		start := time.Now()
		_, err := kafka.Missing(t.Context(), []string{d.addr}, rightsOf("job", topicsOfJob{"events", "events"}))
		if err == nil || !strings.Contains(err.Error(), d.want) || strings.Contains(err.Error(), canary) || time.Since(start) > 20*time.Second {
			t.Errorf("%s: %v after %v; want %q", name, err, time.Since(start), d.want)
		}
		if name != "a wrong password" && name != "another authority" && name != "plain to a TLS port" {
			continue
		}
		for _, args := range [][]string{{"check"}, {"pipeline", "--dsn", "clickhouse://127.0.0.1:1/microseg"}, {"serve"}} {
			c := program(t, append(args, "--brokers", d.addr)...)
			c.Env = append(c.Env, node.EnvTokenKeys+"=k1:"+strings.Repeat("ab", 32))
			wg.Go(func() {
				out, err := c.CombinedOutput()
				if !isExit(err) || !strings.Contains(string(out), d.want) || strings.Contains(string(out), canary) {
					t.Errorf("%s of %s: %v, want %q:\n%s", args[0], name, err, d.want, out)
				}
			})
		}
	}
}

// taken: a right that is taken away while a process runs is in its health.
func (l *lockedLog) taken(t *testing.T) {
	setAll(t, l.login("SCRAM-SHA-256", "job", broker.Password))
	at := topicsOfJob{"job-0-whole", "job-0-whole"}
	w := &locked{}
	w.look(t.Context(), "job", []string{l.SASL}, at)
	if note := w.note(); note != "" || !w.check().OK {
		t.Errorf("with all rights: %s", note)
	}
	l.deny("job", kafka.Right{Operation: "Write", Resource: kafka.Topic, Name: spillio.Topic(at.source)})
	await(t, "that it is told", func() bool {
		w.look(t.Context(), "job", []string{l.SASL}, at)
		return strings.HasPrefix(w.note(), "degraded: ") && strings.Contains(w.note(), `lacks rights in the log: Write on the topic "job-0-whole-spill"`) && !w.check().OK
	})
	t.Setenv(clients.Kafka.Variable("PASSWORD"), canary)
	w.look(t.Context(), "job", []string{l.SASL}, at)
	if note := w.note(); !strings.Contains(note, clients.Kafka.Variable("PASSWORD")) || strings.Contains(note, canary) {
		t.Errorf("a wrong password: %s", note)
	}
}
