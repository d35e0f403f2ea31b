package runner

import (
	"context"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/metrics"
)

// totals add up what the DoFns have counted.
type totals struct {
	mu            sync.Mutex
	counters      map[metrics.StepKey]int64
	distributions map[metrics.StepKey]metrics.DistributionValue
	gauges        map[metrics.StepKey]metrics.GaugeValue
}

// add takes in what a bundle has counted, when it has ended.
func (t *totals) add(ctx context.Context) {
	key := func(l metrics.Labels) metrics.StepKey {
		return metrics.StepKey{Step: l.Transform(), Name: l.Name(), Namespace: l.Namespace()}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	err := metrics.Extractor{
		SumInt64: func(l metrics.Labels, v int64) { set(&t.counters, key(l), t.counters[key(l)]+v) },
		DistributionInt64: func(l metrics.Labels, n, sum, least, most int64) {
			v, was := metrics.DistributionValue{Count: n, Sum: sum, Min: least, Max: most}, t.distributions[key(l)]
			if was.Count > 0 {
				v = metrics.DistributionValue{Count: n + was.Count, Sum: sum + was.Sum, Min: min(least, was.Min), Max: max(most, was.Max)}
			}
			set(&t.distributions, key(l), v)
		},
		GaugeInt64: func(l metrics.Labels, v int64, at time.Time) {
			if !at.Before(t.gauges[key(l)].Timestamp) {
				set(&t.gauges, key(l), metrics.GaugeValue{Value: v, Timestamp: at})
			}
		},
	}.ExtractFrom(metrics.GetStore(ctx))
	if err != nil {
		panic(err) // the extractor has fields, which is all that it asks for
	}
}

func set[V any](m *map[metrics.StepKey]V, k metrics.StepKey, v V) {
	if *m == nil {
		*m = map[metrics.StepKey]V{}
	}
	(*m)[k] = v
}

func (t *totals) results() metrics.Results {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *metrics.NewResults(metrics.MergeCounters(t.counters, t.counters), metrics.MergeDistributions(t.distributions, t.distributions),
		metrics.MergeGauges(t.gauges, t.gauges), nil, nil)
}
