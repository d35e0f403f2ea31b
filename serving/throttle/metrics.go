package throttle

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// NewRefusals counts what is refused, by limit; nil registers nothing. All who ask
// with one registry count in the same metric. Addresses and ids are no labels: there
// are as many as an attacker likes.
func NewRefusals(to prometheus.Registerer) (*prometheus.CounterVec, error) {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "microseg_throttled_total",
		Help: "What was refused since one client did too much of it, by limit (docs/operations.md)."}, []string{"limit"})
	if to == nil {
		return m, nil
	}
	err := to.Register(m)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if old, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
			return old, nil
		}
	}
	return m, err
}
