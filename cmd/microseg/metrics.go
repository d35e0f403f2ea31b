package main

import (
	"strconv"
	"time"

	"github.com/microseg/microseg/identity"
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
	descStrays   = desc("stray_records_total", "Records in another partition than their device: dead letters; see source.rekey.")
	descPoison   = desc("poison_records_total", "Records that are left out because a stage of this program cannot take them: dead letters.")
	descCopied   = desc("rekey_records_total", "Records that were copied by device.")
	descCopyLag  = desc("rekey_lag_records", "Records that are not yet copied by device.")
	descDevices  = desc("devices", "Devices in state.")
	descLimit    = desc("devices_limit", "Devices that there may be in state (state.max_devices).")
	descEvicted  = desc("evicted_total", "Devices that were let go, as there is no room for more (state.max_devices), or of one event and silent (state.single_event_retention).", "class")
	descPersons  = desc("persons", "Persons in state.")
	descMoves    = desc("path_changes_total", "Changes of a person's path in the segment tree.")
	descWarnings = desc("event_warnings_total", "Details of records that could not be read and were left out; table event_warnings says which.")
	descClaims   = desc("identity_claims_total", "Times that a device named a user without a proof, for the first time or after another one: what it does is its own.")
	descProven   = desc("identity_claims_proven_total", "Claims of which a proof came later: what was done is the user's since then.")
	descExcess   = desc("identity_limit_alerts_total", "Persons with one device more, and devices with one person more, than are merged; once a day each.")
	descHealed   = desc("log_gaps_healed_total", "Gaps in the log that were read again.")
	descReloads  = desc("state_loads_total", "Loads of a shard's state, the first of each included.")
	descLag      = desc("source_lag_records", "Records in the log that are not decided yet: not fetched, fetched, or under way.", "shard")
	descBuffered = desc("source_buffered_bytes", "Fetched records that wait.", "shard")
	descFetch    = desc("source_errors_total", "Fetches that failed.", "shard")
	descPending  = desc("sink_pending_rows", "Rows that wait for ClickHouse.")
	descBytes    = desc("sink_pending_bytes", "The same in bytes, rows on their way included.")
	descInserted = desc("sink_inserted_rows_total", "Rows that ClickHouse has confirmed.")
	descRetries  = desc("sink_retries_total", "Inserts that were tried again.")
	descSpilled  = desc("sink_spilled_rows", "Rows that wait in the log for ClickHouse.")
	descSpillB   = desc("sink_spilled_bytes", "The same in bytes, unpacked.")
	descSpillAge = desc("sink_spill_age_seconds", "Since the oldest of them was spilled; 0: none waits.")
	descSpills   = desc("sink_spills_total", "Flushes that went to the log.")
	descBlocked  = desc("sink_blocked", "1 while neither ClickHouse nor the log takes rows; decisions then wait.")
	descFailed   = desc("sink_failed", "1 when the sink has given up; the job then ends.")
	descLatency  = desc("latency_ms", "Latency per stage: ingest, queue, compute, refresh (log to decided).", "stage")
	descEntries  = desc("changelog_entries_total", "Batches that were written to the changelog before anybody saw what comes of them.")
	descRounds   = desc("changelog_snapshots_total", "Complete sets of snapshots.")
	descSnapshot = desc("changelog_snapshot_bytes", "Size of the last one.")
	descSnapAge  = desc("changelog_snapshot_age_seconds", "Since the last one: a restart applies again what came since.")
)

// Describe implements prometheus.Collector.
func (c *jobCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descEvents, descStrays, descPoison, descCopied, descCopyLag, descDevices, descLimit, descEvicted, descPersons, descMoves, descExcess, descClaims, descProven, descWarnings, descHealed, descReloads, descLag, descBuffered, descFetch,
		descPending, descBytes, descInserted, descRetries, descSpilled, descSpillB, descSpillAge, descSpills, descBlocked, descFailed, descLatency,
		descEntries, descRounds, descSnapshot, descSnapAge} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *jobCollector) Collect(ch chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	e := c.job.Engine()
	s := transforms.StatsOf(e)
	put(descStrays, prometheus.CounterValue, float64(s.Stray))
	put(descPoison, prometheus.CounterValue, float64(c.job.Poisoned()))
	if k := c.job.Rekeyer; k != nil {
		n := k.Stats()
		put(descCopied, prometheus.CounterValue, float64(n.Copied))
		put(descCopyLag, prometheus.GaugeValue, float64(n.Lag))
	}
	for verdict, n := range map[string]uint64{"good": s.Good, "duplicate": s.Duplicate, "dead": s.Dead} {
		put(descEvents, prometheus.CounterValue, float64(n), verdict)
	}
	put(descDevices, prometheus.GaugeValue, float64(s.Devices))
	put(descLimit, prometheus.GaugeValue, float64(c.job.Spec.MaxState))
	for class, n := range s.LetGo {
		put(descEvicted, prometheus.CounterValue, float64(n), identity.Classes[class])
	}
	put(descPersons, prometheus.GaugeValue, float64(s.Persons))
	put(descMoves, prometheus.CounterValue, float64(s.Moves))
	put(descExcess, prometheus.CounterValue, float64(s.Excess))
	put(descClaims, prometheus.CounterValue, float64(s.Claims))
	put(descProven, prometheus.CounterValue, float64(s.Proven))
	put(descWarnings, prometheus.CounterValue, float64(s.Warnings))
	put(descHealed, prometheus.CounterValue, float64(s.Healed))
	put(descReloads, prometheus.CounterValue, float64(s.Reloads))
	for _, r := range kafkaio.StatsOf(e) {
		shard := strconv.Itoa(r.Shard)
		put(descLag, prometheus.GaugeValue, float64(r.Lag), shard)
		put(descBuffered, prometheus.GaugeValue, float64(r.Bytes), shard)
		put(descFetch, prometheus.CounterValue, float64(r.Errors), shard)
	}
	if w, ok, err := clickhouseio.StatsOf(e, c.job.Sink); ok {
		put(descPending, prometheus.GaugeValue, float64(w.PendingRows))
		put(descBytes, prometheus.GaugeValue, float64(w.PendingBytes))
		put(descInserted, prometheus.CounterValue, float64(w.Inserted))
		put(descRetries, prometheus.CounterValue, float64(w.Retries))
		collectSpill(put, &w)
		failed := 0.0
		if err != nil {
			failed = 1
		}
		put(descFailed, prometheus.GaugeValue, failed)
	}
	log, _ := c.job.Changelog()
	put(descEntries, prometheus.CounterValue, float64(log.Entries))
	put(descRounds, prometheus.CounterValue, float64(log.Rounds))
	put(descSnapshot, prometheus.GaugeValue, float64(log.SnapshotBytes))
	if !log.Last.IsZero() {
		put(descSnapAge, prometheus.GaugeValue, time.Since(log.Last).Seconds())
	}
	for stage, h := range transforms.Latencies(e) {
		if h.Count() > 0 {
			ch <- prometheus.MustNewConstSummary(descLatency, h.Count(), h.Mean()*float64(h.Count()),
				map[float64]float64{0.5: h.Quantile(0.5), 0.95: h.Quantile(0.95), 0.99: h.Quantile(0.99)}, stage)
		}
	}
}

// collectSpill tells of the rows that wait in the log.
func collectSpill(put func(*prometheus.Desc, prometheus.ValueType, float64, ...string), w *clickhouseio.Stats) {
	age, blocked := 0.0, 0.0
	if !w.Spill.Oldest.IsZero() {
		age = time.Since(w.Spill.Oldest).Seconds()
	}
	if w.Spill.Blocked != "" {
		blocked = 1
	}
	put(descSpilled, prometheus.GaugeValue, float64(w.Spill.Rows))
	put(descSpillB, prometheus.GaugeValue, float64(w.Spill.Bytes))
	put(descSpillAge, prometheus.GaugeValue, age)
	put(descSpills, prometheus.CounterValue, float64(w.Spills))
	put(descBlocked, prometheus.GaugeValue, blocked)
}
