package pipelines

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"time"

	"github.com/apache/beam/sdks/v2/go/container/tools"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/graphx"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/util/hooks"
	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/extworker"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/runnerlib"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
	"github.com/microseg/microseg/engine"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sinks/segmentsio"
	"google.golang.org/protobuf/types/known/structpb"
)

// FlinkOptions are the options that the job needs on Flink. Its defaults hold
// results back until a bundle of 1,000 elements or a second is full, and never
// checkpoint; a bundle time near the checkpoint interval starves the job.
var FlinkOptions = map[string]any{
	"streaming":                                       true,
	"checkpointing_interval":                          1000, // ms
	"max_bundle_time_mills":                           20,
	"max_bundle_size":                                 100,
	"externalized_checkpoints_enabled":                true,
	"retain_externalized_checkpoints_on_cancellation": true,
	"finish_bundle_before_checkpointing":              true,
}

// Submit sends the job to the job service that Beam's flags name (--endpoint,
// --environment_type, --job_name, --parallelism, --async ...), with options for
// the runner, and waits for its end. Beam's own submission keeps the options to
// itself: the runner would never hear of them.
func (j *Job) Submit(ctx context.Context, options map[string]any) error {
	readyOnce.Do(initBeam)
	if *jobopts.Parallelism <= 0 {
		*jobopts.Parallelism = j.Spec.Shards
	}
	endpoint, err := jobopts.GetEndpoint()
	if err != nil {
		return fmt.Errorf("finding the job service (give --endpoint host:port): %w", err)
	}
	end, err := j.loopback()
	if err != nil {
		return err
	}
	defer end()
	p, err := j.portable()
	if err != nil {
		return err
	}
	edges, _, err := p.Build()
	if err != nil {
		return fmt.Errorf("building the pipeline: %w", err)
	}
	environment := jobopts.GetEnvironmentConfig
	if jobopts.IsLoopback() {
		srv, err := extworker.StartLoopback(ctx, 0)
		if err != nil {
			return fmt.Errorf("starting the loopback worker: %w", err)
		}
		defer srv.Stop(ctx)
		environment = srv.EnvironmentConfig
	}
	env, err := graphx.CreateEnvironment(ctx, jobopts.GetEnvironmentUrn(ctx), environment)
	if err != nil {
		return fmt.Errorf("describing the workers' environment: %w", err)
	}
	graph, err := graphx.Marshal(edges, &graphx.Options{Environment: env, PipelineResourceHints: jobopts.GetPipelineResourceHints()})
	if err != nil {
		return fmt.Errorf("encoding the pipeline: %w", err)
	}
	return submit(ctx, endpoint, graph, options)
}

// portable is the pipeline for runners that have durability and back-pressure
// of their own, and bundles that close often.
func (j *Job) portable() (*beam.Pipeline, error) {
	source := j.Source
	source.Lanes, source.MaxInFlight = 1, 0 // the runner bounds what is under way
	p, s := beam.NewPipelineWithRoot()
	out, err := Live(s, j.Spec, source)
	if err != nil {
		return nil, err
	}
	for _, rows := range out.Rows {
		clickhouseio.WriteKeyed(s, j.Sink, rows)
	}
	segments := j.Segments
	segments.Wait = true
	for _, records := range out.Records {
		segmentsio.Write(s, segments, records)
	}
	return p, nil
}

// Work makes this process a worker of jobs that were built elsewhere, as a runner's boot
// program asks for with --worker, and does not return then. Flags must be parsed.
func Work() {
	engine.Worker()
	beam.Init()
}

// loopback readies this process for the job's DoFns, in case its runner has them work here;
// end is for when the job has ended, or goes on without this process.
func (j *Job) loopback() (end func(), err error) {
	e, err := j.Open()
	if err != nil {
		return nil, err
	}
	return func() {
		if err := e.Close(); err != nil {
			slog.Warn("ending the job in this process", "err", err)
		}
	}, nil
}

// Run runs the job on another runner that is linked into the program, by its
// name in Beam, such as dataflow.
func (j *Job) Run(ctx context.Context, runner string) error {
	readyOnce.Do(initBeam)
	end, err := j.loopback()
	if err != nil {
		return err
	}
	defer end()
	p, err := j.portable()
	if err != nil {
		return err
	}
	if _, err := beam.Run(ctx, runner, p); err != nil {
		return fmt.Errorf("running the job on %s: %w", runner, err)
	}
	return nil
}

// submit prepares, stages and runs the graph.
func submit(ctx context.Context, endpoint string, graph *pipepb.Pipeline, options map[string]any) error {
	binary, err := workerBinary()
	if err != nil {
		return err
	}
	if err := runnerlib.UpdateGoEnvironmentWorker(binary, graph); err != nil {
		return fmt.Errorf("naming the workers' binary: %w", err)
	}
	cc, err := grpcx.Dial(ctx, endpoint, 2*time.Minute)
	if err != nil {
		return fmt.Errorf("connecting to the job service at %s: %w", endpoint, err)
	}
	defer cc.Close()
	client := jobpb.NewJobServiceClient(cc)
	all, err := pipelineOptions(options)
	if err != nil {
		return err
	}
	prepared, err := client.Prepare(ctx, &jobpb.PrepareJobRequest{Pipeline: graph, PipelineOptions: all, JobName: jobopts.GetJobName()})
	if err != nil {
		return fmt.Errorf("preparing the job: %w", err)
	}
	token, err := runnerlib.Stage(ctx, prepared.GetPreparationId(), prepared.GetArtifactStagingEndpoint().GetUrl(), binary, prepared.GetStagingSessionToken())
	if err != nil {
		return fmt.Errorf("staging the workers' binary: %w", err)
	}
	id, err := runnerlib.Submit(ctx, client, prepared.GetPreparationId(), token)
	if err != nil {
		return fmt.Errorf("submitting the job: %w", err)
	}
	fmt.Fprintf(os.Stderr, "submitted as job %s\n", id)
	if *jobopts.Async {
		return nil
	}
	err = runnerlib.WaitForCompletion(ctx, client, id)
	if ctx.Err() != nil && jobopts.IsLoopback() {
		// This process is the worker: without it the job would only fail.
		return cancel(client, id)
	}
	if err != nil {
		return fmt.Errorf("running job %s: %w", id, err)
	}
	return nil
}

func cancel(client jobpb.JobServiceClient, id string) error {
	ctx, done := context.WithTimeout(context.Background(), time.Minute)
	defer done()
	if _, err := client.Cancel(ctx, &jobpb.CancelJobRequest{JobId: id}); err != nil {
		return fmt.Errorf("cancelling job %s: %w", id, err)
	}
	return nil
}

// workerBinary is the file that the runner's workers run: --worker_binary, or
// this program. In loopback mode it is never run, but must exist.
func workerBinary() (string, error) {
	if *jobopts.WorkerBinary != "" {
		return *jobopts.WorkerBinary, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program's file (give --worker_binary): %w", err)
	}
	return self, nil
}

// pipelineOptions are Beam's own for Go workers, and those for the runner.
func pipelineOptions(options map[string]any) (*structpb.Struct, error) {
	hooks.SerializeHooksToOptions()
	beam.PipelineOptions.LoadOptionsFromFlags(nil)
	raw, err := json.Marshal(runtime.RawOptionsWrapper{Options: beam.PipelineOptions.Export(), AppName: jobopts.GetJobName(),
		Experiments: append(jobopts.GetExperiments(), "beam_fn_api"), RetainDocker: *jobopts.RetainDockerContainers, Parallelism: *jobopts.Parallelism})
	if err != nil {
		return nil, fmt.Errorf("encoding the pipeline options: %w", err)
	}
	all := map[string]any{}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("encoding the pipeline options: %w", err)
	}
	own := map[string]any{}
	for k, v := range options {
		own["beam:option:"+k+":v1"] = v
	}
	maps.Copy(all, own)
	s, err := tools.OptionsToProto(all)
	if err != nil {
		return nil, fmt.Errorf("encoding the pipeline options: %w", err)
	}
	return s, nil
}
