package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/clients/kafka"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/embedded/kafkalog"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/sources/replay"
	"github.com/spf13/cobra"
)

func pipelineCommand(cfg *string) *cobra.Command {
	var brokers, dsn, topic, site, runner, public, admin string
	var options []string
	var rebuild bool
	c := &cobra.Command{
		Use:   "pipeline",
		Short: "Run the job alone against a given log and ClickHouse",
		Long: `pipeline gives the job to a Beam runner. With --runner local (the default) it runs
in this process until Ctrl-C, on a runner of our own; with --runner prism on Beam's,
which is slower. With --runner flink it goes to the Beam job
service at --endpoint, with the options that the job needs there (streaming,
checkpoints, 20 ms bundles; --runner-option changes and adds to them). Beam's own
flags (--endpoint, --environment_type, --job_name, --parallelism, ...) are accepted.`,
		Example: "  microseg pipeline --brokers kafka:9092 --dsn clickhouse://ch:9000/microseg --admin-http 10.0.0.5:9090\n" +
			"  microseg pipeline --brokers kafka:9092 --dsn clickhouse://ch:9000/microseg --runner flink --endpoint jobserver:8099 \\\n      --environment_type LOOPBACK --parallelism 4 --async",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.Load(*cfg)
			if err != nil {
				return err
			}
			if brokers == "" || dsn == "" {
				return errors.New("the job needs --brokers and --dsn; `microseg up` brings its own")
			}
			if site == "" {
				site = conf.Site
			}
			j, err := newJob(c.Context(), conf, cli.Split(brokers), topic, site, dsn)
			if err != nil {
				return err
			}
			switch runner {
			case pipelines.LocalRunner, pipelines.PrismRunner:
				j.Runner = runner
			case "flink", "universal", "portable":
				return j.submit(c.Context(), options)
			default:
				return j.other(c.Context(), runner)
			}
			if err := j.start(c.Context(), rebuild); err != nil {
				return err
			}
			warnTrust(j.Config, false)
			j.lock = watchLock(c.Context(), "job", j.Source.Brokers, j.topics())
			registry := newRegistry(j)
			j.watch(c.Context(), *cfg, registry, nil)
			m, err := startMonitor(j, registry, public, admin)
			if err != nil {
				return err
			}
			defer m.close()
			fmt.Fprintf(os.Stderr, "health and metrics: http://%s/health, /metrics\n", m.admin.addr)
			return j.serve(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&brokers, "brokers", "", "brokers of the log, host:port[,host:port]")
	f.StringVar(&dsn, "dsn", "", "ClickHouse, clickhouse://user:password@host:9000/database")
	f.StringVar(&topic, "topic", "events", "topic to read")
	f.StringVar(&site, "site", "", "site id of the rows (default: the configuration's)")
	f.StringVar(&public, "http", "", "serve /livez and /readyz here, without details, e.g. :8080 (in this process)")
	f.StringVar(&admin, "admin-http", localAdmin, "serve /health, /metrics, and /livez and /readyz with details here (in this process)")
	f.BoolVar(&rebuild, "rebuild", false, "make the state anew from the log, instead of going on from the changelog (in this process)")
	f.StringVar(&runner, "runner", pipelines.LocalRunner, "Beam runner: local or prism (in this process), flink (a job service at --endpoint), dataflow (built with -tags dataflow)")
	f.StringArrayVar(&options, "runner-option", nil, "option for the runner, name=value, e.g. checkpointing_interval=5000; may be repeated")
	beamFlags := flag.NewFlagSet("beam", flag.ContinueOnError)
	flag.CommandLine.VisitAll(func(g *flag.Flag) {
		if f.Lookup(g.Name) == nil && c.PersistentFlags().Lookup(g.Name) == nil {
			beamFlags.Var(g.Value, g.Name, g.Usage)
		}
	})
	f.AddGoFlagSet(beamFlags)
	return c
}

// submit sends the job to a job service, with the options that Flink needs and
// those given on the command line.
func (j *job) submit(ctx context.Context, given []string) error {
	options := maps.Clone(pipelines.FlinkOptions)
	for _, o := range given {
		k, v, ok := strings.Cut(o, "=")
		if !ok {
			return fmt.Errorf("--runner-option %s: write name=value", o)
		}
		var parsed any = v
		if json.Unmarshal([]byte(v), &parsed) != nil {
			parsed = v // a word
		}
		options[k] = parsed
	}
	return j.Submit(ctx, options)
}

// other runs the job on a runner that is only in some builds.
func (j *job) other(ctx context.Context, runner string) error {
	if runner == "dataflow" && !pipelines.WithDataflow {
		return errors.New("this binary was built without Dataflow; build one with `go build -tags dataflow ./cmd/microseg`")
	}
	return j.Run(ctx, runner)
}

func replayCommand(cfg *string) *cobra.Command {
	var brokers, topic string
	var o replay.Options
	var full bool
	var partitions int32
	var where folder
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Send recorded Segment-spec events to the log (a file, - for standard input)",
		Long: `replay sends each event of FILE as one record, keyed by its device, and keeps the
recorded event times. FILE has JSON lines, a JSON array, or bodies of batches, in
UTF-8 or UTF-16, also packed with gzip, zstd or bzip2. What is no event is named,
counted, and becomes a dead letter; the exit code is 1 when nothing was an event.
Without --brokers it uses the stack that "microseg up" runs.`,
		Example: "  microseg replay events.jsonl.gz --speed 60\n  microseg replay events.jsonl --rate 1000\n  microseg replay events.jsonl --sort --max",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if full && (o.Rate > 0 || o.Speed > 0) || o.Rate > 0 && o.Speed > 0 {
				return errors.New("choose one of --rate, --speed and --max")
			}
			conf, err := config.Load(*cfg)
			if err != nil {
				return err
			}
			o.Path, o.Progress, o.Event = cli.Given(args[0]), os.Stderr, conf.EventConfig()
			if err := replay.Check(o.Path); err != nil {
				return err
			}
			if o.Brokers, o.Topic, err = where.log(brokers, topic); err != nil {
				return err
			}
			if partitions > 0 {
				if err := kafkalog.CreateTopic(c.Context(), o.Brokers, o.Topic, partitions); err != nil {
					return err
				}
			}
			r, err := replay.Run(c.Context(), o)
			if err == nil {
				fmt.Fprintf(os.Stderr, "%d events sent to %s\n", r.Records, o.Topic)
			}
			return named(c.Context(), "replay", o.Brokers, topicsOfJob{o.Topic, o.Topic}, err)
		},
	}
	f := c.Flags()
	f.StringVar(&brokers, "brokers", "", "brokers of the log (default: the running stack's)")
	f.StringVar(&topic, "topic", "", "topic (default: the running stack's, else events)")
	where.flag(c)
	f.Int32Var(&partitions, "create", 0, "make the topic with so many partitions, if it is missing")
	f.Float64Var(&o.Rate, "rate", 0, "events per second")
	f.Float64Var(&o.Speed, "speed", 0, "multiple of the recorded pace, e.g. 60; gaps of more than a day are not waited for")
	f.BoolVar(&full, "max", false, "as fast as the log takes them (the default)")
	f.BoolVar(&o.Sort, "sort", false, "order the events by their time first")
	return c
}

// check says everything that is wrong with a configuration at once, on one stream.
func check(w io.Writer, path string) error {
	conf, problems, err := config.Examine(path)
	if err != nil {
		return err
	}
	name := "the shipped configuration"
	if path != "" {
		name = filepath.Clean(path)
	}
	for _, p := range problems {
		fmt.Fprintln(w, p.Error())
	}
	if len(problems) > 0 {
		fmt.Fprintf(w, "%s: %d to mend\n", name, len(problems))
		return exitCode(1)
	}
	for _, p := range conf.Notes() {
		fmt.Fprintln(w, "note:", p.Error())
	}
	for _, n := range trustNotes(conf, true) {
		fmt.Fprintln(w, "note:", n)
	}
	fmt.Fprintln(w, "note:", stateCost(conf, memoryLimit()))
	if err := checkClients(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s is fine\n", name)
	return nil
}

// checkClients looks at the TLS and the logins in the environment.
func checkClients(w io.Writer) error {
	errs := []error{kafka.Check()}
	for _, s := range []clients.Service{clients.Kafka, clients.Redis, clients.ClickHouse} {
		note, err := s.Check()
		if err != nil && (errs[0] == nil || s != clients.Kafka) { // Kafka's is told once
			errs = append(errs, err)
		}
		if note != "" {
			fmt.Fprintln(w, "note: environment:", note)
		}
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintf(w, "environment: %v\n", err)
		return exitCode(1)
	}
	return nil
}

func checkCommand(cfg *string) *cobra.Command {
	var brokers, topic, as string
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration: keys, types, conditions, segments nobody can reach, rules that conflict or never show",
		Long: `check says all that is wrong with a configuration, and with the TLS and the logins in
the environment. With --brokers it asks the log, too, whether it lets this login in,
and which rights each role lacks there; --as makes those that one role lacks an error.`,
		Example: "  microseg check microseg.yaml\n  microseg check --brokers kafka:9093 --as job",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := *cfg
			if len(args) == 1 {
				path = cli.Given(args[0])
			}
			if err := check(os.Stdout, path); err != nil || brokers == "" {
				return err
			}
			conf, err := config.Load(path)
			if err != nil {
				return err
			}
			return checkLog(c.Context(), os.Stdout, cli.Split(brokers), sourceOf(c.Context(), cli.Split(brokers), topic, conf.Source.Rekey), as)
		},
	}
	f := c.Flags()
	f.StringVar(&brokers, "brokers", "", "ask these brokers, too, host:port[,host:port]")
	f.StringVar(&topic, "topic", "events", "topic of events")
	f.StringVar(&as, "as", "", "what the login is for: job, copier, node, redis, replay, deadletters or state")
	return c
}
