package clickhouseio

import "time"

// WriteOptionFn changes the configuration of Write.
type WriteOptionFn func(*Config)

// WithLinger collects the rows of many bundles for d before they are inserted.
// 0, the default, inserts when each bundle ends.
func WithLinger(d time.Duration) WriteOptionFn { return func(c *Config) { c.Linger = d } }

// WithMaxRows inserts before the linger is over when n rows are pending.
func WithMaxRows(n int) WriteOptionFn { return func(c *Config) { c.MaxRows = n } }

// WithMaxPendingBytes blocks the bundles when n bytes are pending.
func WithMaxPendingBytes(n int) WriteOptionFn { return func(c *Config) { c.MaxPendingBytes = n } }

// WithSite measures the record latency of a site's decisions.
func WithSite(site string) WriteOptionFn { return func(c *Config) { c.Site = site } }
