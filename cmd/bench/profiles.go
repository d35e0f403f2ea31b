package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/identity"
	"github.com/microseg/microseg/measure/usage"
	"github.com/microseg/microseg/pipelines"
	"github.com/microseg/microseg/transforms"
	"github.com/spf13/cobra"
)

// profilesResult is what bench profiles prints.
type profilesResult struct {
	Profiles         int     `json:"profiles"`
	HeapBytes        float64 `json:"heap_bytes_per_idle_profile"` // both stages together
	SnapshotBytes    float64 `json:"snapshot_bytes_per_idle_profile"`
	SnapshotSeconds  float64 `json:"snapshot_s"`
	RSSMB            float64 `json:"rss_mb"`
	EventsPerProfile int     `json:"events_per_profile"`
}

func profilesCommand(cfg *string) *cobra.Command {
	var n, events int
	c := &cobra.Command{
		Use:   "profiles",
		Short: "Measure the memory of idle profiles; prints JSON",
		Long: `profiles fills one decoded shard with visitors (36-byte ids, as Segment's
libraries make them) whose sessions are over, and measures the heap that device
and person take together.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := config.LoadDemo(*cfg)
			if err != nil {
				return err
			}
			r, err := benchProfiles(c.Context(), conf, n, events)
			if err != nil {
				return err
			}
			return cli.PrintJSON(os.Stdout, r)
		},
	}
	c.Flags().IntVar(&n, "count", 1_000_000, "visitors")
	c.Flags().IntVar(&events, "events", 5, "events of each")
	return c
}

func benchProfiles(ctx context.Context, cfg *config.Config, n, events int) (*profilesResult, error) {
	cfg.Source.Shards = 1
	spec, err := pipelines.SpecOf(cfg, "bench", 1)
	if err != nil {
		return nil, err
	}
	b, err := spec.Build()
	if err != nil {
		return nil, err
	}
	decoder, err := transforms.NewBatchDecoder(&spec)
	if err != nil {
		return nil, err
	}
	stage, err := transforms.NewDeviceStage(b, nil)
	if err != nil {
		return nil, err
	}
	s := transforms.NewDeviceState(b, nil)
	f := feeder{decoder: decoder, stage: stage, state: s}
	before := heap()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const batch = 10_000
	for done := 0; done < n; done += batch {
		if err := f.visit(ctx, min(batch, n-done), events, start.Add(time.Duration(done)*time.Millisecond/10)); err != nil {
			return nil, err
		}
	}
	// Two hours later every session is over; the one who says so is not counted.
	for i := range 3 {
		if err := f.visit(ctx, 1, 1, start.Add(time.Duration(n)*time.Millisecond/10+time.Duration(i+1)*40*time.Minute)); err != nil {
			return nil, err
		}
	}
	r := &profilesResult{Profiles: n, EventsPerProfile: events, HeapBytes: float64(heap()-before) / float64(n), RSSMB: usage.MB(os.Getpid())}
	t := time.Now()
	r.SnapshotBytes = float64(s.SnapshotSize()) / float64(n)
	r.SnapshotSeconds = time.Since(t).Seconds()
	runtime.KeepAlive(s)
	return r, nil
}

// feeder gives a device stage the events of visitors.
type feeder struct {
	decoder *transforms.BatchDecoder
	stage   *transforms.DeviceStage
	state   *transforms.DeviceState
	offset  int64
	batch   int64
}

// visit lets so many new visitors each make some events, a second apart.
func (f *feeder) visit(ctx context.Context, visitors, events int, at time.Time) error {
	r := identity.Range{Prev: f.offset - 1, First: f.offset}
	var records []identity.Record
	for range visitors {
		id := uuid.New()
		for e := range events {
			value := fmt.Sprintf(`{"type":"page","anonymousId":"%s","messageId":"%d","timestamp":"%s","properties":{"path":"/product/%d"},"context":{"device":{"type":"desktop"},"screen":{"width":1920,"height":1080}}}`,
				id, f.offset, at.Add(time.Duration(e)*time.Second).Format("2006-01-02T15:04:05.000Z"), e)
			records = append(records, identity.Record{Offset: f.offset, Value: []byte(value)})
			f.offset++
		}
	}
	r.Last = f.offset - 1
	f.batch++
	raw := identity.RawBatch{ID: f.batch, Emitted: f.batch, Due: f.batch, Ranges: []identity.Range{r}, Chunks: [][]identity.Record{records}}
	h, b := f.decoder.Decode(&raw)
	_, err := f.stage.Fold(ctx, f.state, &h, b, transforms.Outputs{})
	return err
}

// heap is what lives on the heap after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
