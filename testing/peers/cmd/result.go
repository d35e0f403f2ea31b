package main

import (
	"os"
	"runtime"
	"slices"
	"strings"
)

// result is what the benchmark prints.
type result struct {
	Throughput map[string]*throughput `json:"throughput,omitempty"` // by who the visitors are
	Latency    *latencies             `json:"latency,omitempty"`
	Machine    machine                `json:"machine"`
	Settings   options                `json:"settings"`
}

// throughput is of a topic that is read as fast as it goes.
type throughput struct {
	Visitors string `json:"visitors"`
	// Medians over the rounds of what one round gives: its three runs had the same
	// neighbours.
	Ratios map[string]float64 `json:"ratios"`
	Loop   medians            `json:"plain_loop"`
	Flink  medians            `json:"flink"`
	Ours   medians            `json:"microseg"`
}

// medians are of the runs, which follow.
type medians struct {
	EventsPerS    float64 `json:"events_per_s"`
	WarmHalf      float64 `json:"warm_half_events_per_s,omitempty"` // of the second half of the events
	CPUPerMillion float64 `json:"cpu_s_per_million_events"`         // of the process, from its first event to its last
	CHPerMillion  float64 `json:"clickhouse_cpu_s_per_million_events,omitempty"`
	PeakRSSMB     float64 `json:"peak_rss_mb"`
	Runs          []run   `json:"runs,omitempty"`
}

type run struct {
	EventsPerS    float64         `json:"events_per_s"`
	WarmHalf      float64         `json:"warm_half_events_per_s,omitempty"`
	CPUPerMillion float64         `json:"cpu_s_per_million_events"`
	CHPerMillion  float64         `json:"clickhouse_cpu_s_per_million_events,omitempty"`
	PeakRSSMB     float64         `json:"peak_rss_mb"`
	Began         map[int32]int64 `json:"began_at_offset,omitempty"`
	OthersCores   float64         `json:"others_cores"` // that the machine's other work had meanwhile
}

func (t *throughput) finish() {
	for _, m := range []*medians{&t.Loop, &t.Flink, &t.Ours} {
		of := func(f func(run) float64) float64 { return median(m.Runs, f) }
		m.EventsPerS, m.WarmHalf = of(func(r run) float64 { return r.EventsPerS }), of(func(r run) float64 { return r.WarmHalf })
		m.CPUPerMillion, m.CHPerMillion = of(func(r run) float64 { return r.CPUPerMillion }), of(func(r run) float64 { return r.CHPerMillion })
		m.PeakRSSMB = of(func(r run) float64 { return r.PeakRSSMB })
	}
	t.Ratios = ratios(len(t.Ours.Runs), map[string]func(i int) float64{
		"microseg_to_flink":           func(i int) float64 { return t.Ours.Runs[i].EventsPerS / t.Flink.Runs[i].EventsPerS },
		"microseg_to_flink_warm_half": func(i int) float64 { return t.Ours.Runs[i].EventsPerS / t.Flink.Runs[i].WarmHalf },
		"microseg_to_plain_loop":      func(i int) float64 { return t.Ours.Runs[i].EventsPerS / t.Loop.Runs[i].EventsPerS },
		"flink_to_plain_loop":         func(i int) float64 { return t.Flink.Runs[i].EventsPerS / t.Loop.Runs[i].EventsPerS },
		"cpu_microseg_to_flink":       func(i int) float64 { return t.Ours.Runs[i].CPUPerMillion / t.Flink.Runs[i].CPUPerMillion },
	})
}

func median[T any](of []T, f func(T) float64) float64 {
	var v []float64
	for _, x := range of {
		v = append(v, f(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// latencies are at a rate that all keep up with: from an event's making to the update
// that it caused at a reader of the topic of updates. Medians as above.
type latencies struct {
	Ratios map[string]float64 `json:"ratios"`
	Loop   offered            `json:"plain_loop"`
	Flink  offered            `json:"flink"`
	Ours   offered            `json:"microseg"`
}

// offered are medians of the runs, which follow.
type offered struct {
	latency
	Runs []latency `json:"runs"`
}

type latency struct {
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	Cores      float64 `json:"cores"` // of the process
	ClickHouse float64 `json:"clickhouse_cores,omitempty"`
	IdlePct    float64 `json:"idle_cpu_percent"` // of a core, while nothing comes
	Updates    int     `json:"updates"`
	Others     float64 `json:"others_cores"` // that the machine's other work had meanwhile
}

func (l *latencies) finish() {
	for _, o := range []*offered{&l.Loop, &l.Flink, &l.Ours} {
		of := func(f func(latency) float64) float64 { return median(o.Runs, f) }
		o.latency = latency{P50: of(func(r latency) float64 { return r.P50 }), P99: of(func(r latency) float64 { return r.P99 }),
			Cores: of(func(r latency) float64 { return r.Cores }), ClickHouse: of(func(r latency) float64 { return r.ClickHouse }),
			IdlePct: of(func(r latency) float64 { return r.IdlePct }), Updates: int(of(func(r latency) float64 { return float64(r.Updates) })),
			Others: of(func(r latency) float64 { return r.Others })}
	}
	l.Ratios = ratios(len(l.Ours.Runs), map[string]func(i int) float64{
		"p50_microseg_to_flink":      func(i int) float64 { return l.Ours.Runs[i].P50 / l.Flink.Runs[i].P50 },
		"p99_microseg_to_flink":      func(i int) float64 { return l.Ours.Runs[i].P99 / l.Flink.Runs[i].P99 },
		"cores_microseg_to_flink":    func(i int) float64 { return l.Ours.Runs[i].Cores / l.Flink.Runs[i].Cores },
		"p50_microseg_to_plain_loop": func(i int) float64 { return l.Ours.Runs[i].P50 / l.Loop.Runs[i].P50 },
		"p99_microseg_to_plain_loop": func(i int) float64 { return l.Ours.Runs[i].P99 / l.Loop.Runs[i].P99 },
	})
}

// ratios are medians over the rounds.
func ratios(rounds int, by map[string]func(round int) float64) map[string]float64 {
	out := map[string]float64{}
	for name, f := range by {
		var of []float64
		for i := range rounds {
			of = append(of, f(i))
		}
		out[name] = median(of, func(x float64) float64 { return x })
	}
	return out
}

// machine is where the figures are from. A load beyond what runs here says that they
// have to be taken again.
type machine struct {
	Cores int    `json:"cores"`
	CPU   string `json:"cpu,omitempty"`
	Load  string `json:"load_average_before"`
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU()}
	info, _ := os.ReadFile("/proc/cpuinfo") // empty where there is none
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	m.Load = strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " ")
	return m
}
