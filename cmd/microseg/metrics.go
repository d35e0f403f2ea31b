package main

import (
	"strconv"

	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/microseg/microseg/sources/kafkaio"
	"github.com/microseg/microseg/transforms"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry holds a job's metrics and the process's.
func newRegistry(j *job) *prometheus.Registry {
	r := processRegistry()
	r.MustRegister(&jobCollector{j})
	return r
}

// processRegistry holds the process's metrics.
func processRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// jobCollector reads the job's own counts when it is scraped.
type jobCollector struct{ job *job }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("microseg_"+name, help, labels, nil)
}

var (
	descEvents   = desc("events_total", "Records read, by verdict: good, duplicate or dead.", "verdict")
	descDevices  = desc("devices", "Devices in state.")
	descPersons  = desc("persons", "Persons in state.")
	descMoves    = desc("path_changes_total", "Changes of a person's path in the segment tree.")
	descExcess   = desc("identity_limit_alerts_total", "Persons with one device more, and devices with one person more, than are merged; once a day each.")
	descHealed   = desc("log_gaps_healed_total", "Gaps in the log that were read again.")
	descReloads  = desc("state_loads_total", "Loads of a shard's state, the first of each included.")
	descLag      = desc("source_lag_records", "Records in the log behind the last one taken.", "shard")
	descBuffered = desc("source_buffered_bytes", "Fetched records that wait.", "shard")
	descFetch    = desc("source_errors_total", "Fetches that failed.", "shard")
	descPending  = desc("sink_pending_rows", "Rows that wait for ClickHouse.")
	descBytes    = desc("sink_pending_bytes", "The same in bytes, rows on their way included.")
	descInserted = desc("sink_inserted_rows_total", "Rows that ClickHouse has confirmed.")
	descRetries  = desc("sink_retries_total", "Inserts that were tried again.")
	descFailed   = desc("sink_failed", "1 when the sink has given up; the job then ends.")
	descLatency  = desc("latency_ms", "Latency per stage: ingest, queue, compute, refresh (log to decided).", "stage")
)

// Describe implements prometheus.Collector.
func (c *jobCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descEvents, descDevices, descPersons, descMoves, descExcess, descHealed, descReloads, descLag, descBuffered, descFetch,
		descPending, descBytes, descInserted, descRetries, descFailed, descLatency} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *jobCollector) Collect(ch chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	s := transforms.StatsOf(c.job.Spec.Job)
	for verdict, n := range map[string]uint64{"good": s.Good, "duplicate": s.Duplicate, "dead": s.Dead} {
		put(descEvents, prometheus.CounterValue, float64(n), verdict)
	}
	put(descDevices, prometheus.GaugeValue, float64(s.Devices))
	put(descPersons, prometheus.GaugeValue, float64(s.Persons))
	put(descMoves, prometheus.CounterValue, float64(s.Moves))
	put(descExcess, prometheus.CounterValue, float64(s.Excess))
	put(descHealed, prometheus.CounterValue, float64(s.Healed))
	put(descReloads, prometheus.CounterValue, float64(s.Reloads))
	for _, r := range kafkaio.StatsOf(c.job.Spec.Job) {
		shard := strconv.Itoa(r.Shard)
		put(descLag, prometheus.GaugeValue, float64(r.Lag), shard)
		put(descBuffered, prometheus.GaugeValue, float64(r.Bytes), shard)
		put(descFetch, prometheus.CounterValue, float64(r.Errors), shard)
	}
	if w, ok, err := clickhouseio.StatsOf(c.job.Sink); ok {
		put(descPending, prometheus.GaugeValue, float64(w.PendingRows))
		put(descBytes, prometheus.GaugeValue, float64(w.PendingBytes))
		put(descInserted, prometheus.CounterValue, float64(w.Inserted))
		put(descRetries, prometheus.CounterValue, float64(w.Retries))
		failed := 0.0
		if err != nil {
			failed = 1
		}
		put(descFailed, prometheus.GaugeValue, failed)
	}
	for stage, h := range transforms.Latencies(c.job.Spec.Job) {
		if h.Count() > 0 {
			ch <- prometheus.MustNewConstSummary(descLatency, h.Count(), h.Mean()*float64(h.Count()),
				map[float64]float64{0.5: h.Quantile(0.5), 0.95: h.Quantile(0.95), 0.99: h.Quantile(0.99)}, stage)
		}
	}
}
