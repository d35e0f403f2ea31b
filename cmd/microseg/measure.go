package main

import (
	"github.com/microseg/microseg/measure/latency"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/clickhouseio"
	"github.com/prometheus/client_golang/prometheus"
)

// measurements writes a node's latencies to ClickHouse; nil: there is none to write to.
type measurements struct{ *clickhouseio.Measurements }

func measure(n *node.Node, site, dsn string, to prometheus.Registerer) (*measurements, error) {
	if dsn == "" {
		return nil, nil
	}
	w, err := clickhouseio.Measure(dsn, site, map[string]*latency.Minutes{
		clickhouseio.StageDeliver: n.Store.Deliver(), clickhouseio.StageWhole: n.Store.Whole(), clickhouseio.StageRespond: n.Respond()})
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		name, help string
		value      func(clickhouseio.MeasurementStats) uint64
	}{
		{"rows", "Rows of the node's latencies that ClickHouse has confirmed.", func(s clickhouseio.MeasurementStats) uint64 { return s.Rows }},
		{"failures", "Attempts to write the node's latencies that failed; they are written later.", func(s clickhouseio.MeasurementStats) uint64 { return s.Failed }},
		{"lost_minutes", "Minutes of latencies that were given up after an hour without ClickHouse.", func(s clickhouseio.MeasurementStats) uint64 { return s.Lost }},
	} {
		to.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "microseg_latency_" + c.name + "_total", Help: c.help},
			func() float64 { return float64(c.value(w.Stats())) }))
	}
	return &measurements{w}, nil
}

// note is a line for /healthz; empty: the latencies are written.
func (m *measurements) note() string {
	if m == nil {
		return ""
	}
	if why := m.Trouble(); why != "" {
		return "degraded: " + why
	}
	return ""
}

func (m *measurements) close() error {
	if m == nil {
		return nil
	}
	return m.Close()
}
