package pipelines

import (
	"github.com/microseg/microseg/config"
)

// Reload makes a running job of this process publish what other rules read at
// once, and judge the site's signal weight by another limit. Nothing that it
// decides changes; config.Unfit says what may differ.
func (j *Job) Reload(cfg *config.Config) error {
	b, err := j.Spec.Build()
	if err != nil {
		return err
	}
	rules, err := cfg.RuleSet(b.Segment.Tree)
	if err != nil {
		return err
	}
	b.Reload(rules, cfg.Health.SignalWeight)
	j.reloaded.Store(cfg)
	return nil
}
