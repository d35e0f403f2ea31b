-- The tables of the record. ReplacingMergeTree keeps the highest version of a
-- row; until a merge has done so the views of 0002 do. The deduplication window
-- (inserts) outlasts an outage: at one insert a second per table about 3 hours.
-- No TTL counts from event time: a replay of an old day must not vanish.

CREATE TABLE IF NOT EXISTS sessions
(
    `site`                LowCardinality(String) COMMENT 'site id',
    `device`              String COMMENT 'anonymousId of the device',
    `epoch`               Int64 COMMENT 'offset of the record that opened the identity epoch; 0: the first',
    `start`               DateTime64(3, 'UTC') COMMENT 'first event of the session; event time, ms, UTC',
    `end`                 DateTime64(3, 'UTC') COMMENT 'last event of the session; event time, ms, UTC',
    `person`              String COMMENT 'u:<userId> or d:<device>',
    `open`                UInt8 COMMENT '1: the session had not ended when the row was written',
    `deleted`             UInt8 COMMENT '1: tombstone of a session that a late event joined to another one',
    `events`              UInt32 COMMENT 'events; count',
    `page_views`          UInt32 COMMENT 'page views (click depth); count',
    `clicks`              UInt32 COMMENT 'clicks; count',
    `path`                String COMMENT 'page types in the order of the visits, joined by >',
    `duration_s`          Float64 COMMENT 'last minus first event; s',
    `dwell_s`             Float64 COMMENT 'time spent on pages; s',
    `dwell_list_s`        Float64 COMMENT 'time spent on list pages; s',
    `dwell_product_s`     Float64 COMMENT 'time spent on product pages; s',
    `dwell_comparison_s`  Float64 COMMENT 'time spent on comparison pages; s',
    `dwell_cart_s`        Float64 COMMENT 'time spent on cart pages; s',
    `dwell_checkout_s`    Float64 COMMENT 'time spent on checkout pages; s',
    `dwell_high_ticket_s` Float64 COMMENT 'time spent on high-ticket products; s',
    `max_scroll`          Float64 COMMENT 'deepest scroll of any page; share of the page, 0 to 1',
    `scroll_velocity`     Float64 COMMENT 'last scroll velocity, 0: none seen; px/s',
    `half_scroll_s`       Float64 COMMENT 'time to half scroll of the last page, 0: not reached; s',
    `hover_s`             Float64 COMMENT 'time hovering over elements; s',
    `focus_s`             Float64 COMMENT 'time focusing elements; s',
    `video_starts`        UInt32 COMMENT 'videos started; count',
    `video_dropoffs`      UInt32 COMMENT 'videos started and not completed; count',
    `form_starts`         UInt32 COMMENT 'forms started; count',
    `form_submits`        UInt32 COMMENT 'forms submitted; count',
    `cart_items`          UInt32 COMMENT 'items in the cart at the end; count',
    `cart_value`          Float64 COMMENT 'value of the cart at the end; currency of the site',
    `orders`              UInt32 COMMENT 'orders; count',
    `revenue`             Float64 COMMENT 'value of the orders; currency of the site',
    `device_type`         LowCardinality(String) COMMENT 'form of the device',
    `os`                  LowCardinality(String) COMMENT 'operating system',
    `network`             LowCardinality(String) COMMENT 'speed class of the network',
    `version`             UInt64 COMMENT 'rises with every change of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `device`, `epoch`, `start`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Sessions of devices: one living row per (site, device, epoch, start), the highest version counts (view sessions_now)';

CREATE TABLE IF NOT EXISTS segment_state
(
    `site`            LowCardinality(String) COMMENT 'site id',
    `person`          String COMMENT 'u:<userId> or d:<device>',
    `path`            String COMMENT 'decided path in the segment tree, root first, joined by /',
    `since`           DateTime64(3, 'UTC') COMMENT 'when the path was entered; event time, ms, UTC',
    `evaluated_at`    DateTime64(3, 'UTC') COMMENT 'last evaluation; event time, ms, UTC',
    `next_evaluation` DateTime64(3, 'UTC') COMMENT 'next wake-up, 1970: none; event time, ms, UTC',
    `last_event`      DateTime64(3, 'UTC') COMMENT 'newest event of the person; event time, ms, UTC',
    `intent`          Float64 COMMENT 'intent score; 0 to 1',
    `signal_weight`   Float64 COMMENT 'signal weight; 0 to 1',
    `live`            Float64 COMMENT 'decayed sum with the live half-life at evaluated_at; weight',
    `long`            Float64 COMMENT 'decayed sum with the long half-life at evaluated_at; weight',
    `cart_value`      Float64 COMMENT 'value of the cart; currency of the site',
    `devices`         UInt16 COMMENT 'devices that make up the person; count',
    `transitions`     UInt32 COMMENT 'paths entered so far; count',
    `deleted`         UInt8 COMMENT '1: tombstone, the person was linked elsewhere or dropped by retention',
    `version`         UInt64 COMMENT 'rises with every change of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `person`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What is known of each person: one living row per (site, person), the highest version counts (view segments_now)';

CREATE TABLE IF NOT EXISTS segment_events
(
    `site`       LowCardinality(String) COMMENT 'site id',
    `person`     String COMMENT 'u:<userId> or d:<device>',
    `transition` UInt32 COMMENT 'number of the change among those of the person, from 1; who returns after leaving everything begins anew',
    `node`       String COMMENT 'path of the node entered or left',
    `action`     LowCardinality(String) COMMENT 'entered or left',
    `from_path`  String COMMENT 'path before the change, empty: none',
    `to_path`    String COMMENT 'path after the change, empty: none',
    `cause`      LowCardinality(String) COMMENT 'event, time, stale, link, unlink or retention',
    `at`         DateTime64(3, 'UTC') COMMENT 'when the change happened; event time, ms, UTC',
    `decided_at` DateTime64(3, 'UTC') COMMENT 'when it was decided; wall clock, ms, UTC',
    `partition`  Int32 COMMENT 'partition of the record that caused it, -1: time did',
    `offset`     Int64 COMMENT 'offset of the record that caused it, -1: time did',
    `version`    UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `person`, `at`, `offset`, `transition`, `node`, `action`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Membership events: one row for each node of the tree that a person entered or left';

CREATE TABLE IF NOT EXISTS audience
(
    `site`          LowCardinality(String) COMMENT 'site id',
    `minute`        DateTime('UTC') COMMENT 'the minute; event time, s, UTC',
    `path`          String COMMENT 'node of the segment tree',
    `members`       UInt32 COMMENT 'active persons in the subtree of the node; count',
    `total`         UInt32 COMMENT 'active persons of the site; count',
    `share`         Float64 COMMENT 'members / total; 0 to 1',
    `active`        UInt8 COMMENT '1: the node is served',
    `flipped`       Int8 COMMENT '+1: activated in this minute, -1: deactivated, 0: neither',
    `stale_share`   Nullable(Float64) COMMENT '1 - signal weight of the subtree, NULL: undefined; 0 to 1',
    `signal_weight` Nullable(Float64) COMMENT 'signal weight of the subtree, NULL: undefined; 0 to 1',
    `stale`         UInt8 COMMENT '1: flagged for re-evaluation, its stale share is above the threshold',
    `version`       UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `path`, `minute`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Audience of each node of the tree per minute of event time, absolute over all shards';

CREATE TABLE IF NOT EXISTS latency
(
    `site`    LowCardinality(String) COMMENT 'site id',
    `job`     UInt64 COMMENT 'id of the run of the job',
    `shard`   UInt16 COMMENT 'shard of the job',
    `minute`  DateTime('UTC') COMMENT 'the minute; wall clock, s, UTC',
    `stage`   LowCardinality(String) COMMENT 'ingest (client to log), queue (log to source), compute (source to decided), refresh (log to decided) or record (decided to confirmed in ClickHouse)',
    `bucket`  UInt16 COMMENT 'index of the log-linear bucket',
    `count`   UInt64 COMMENT 'latencies in the bucket; count',
    `sum_ms`  Float64 COMMENT 'sum of the latencies in the bucket; ms',
    `version` UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `stage`, `minute`, `job`, `shard`, `bucket`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Latencies in log-linear buckets (view latency_buckets has their bounds), absolute per job, shard, stage and minute';

CREATE TABLE IF NOT EXISTS dead_letters
(
    `site`       LowCardinality(String) COMMENT 'site id',
    `partition`  Int32 COMMENT 'partition of the record',
    `offset`     Int64 COMMENT 'offset of the record',
    `reason`     LowCardinality(String) COMMENT 'malformed, oversized, future or late',
    `detail`     String COMMENT 'what exactly is wrong',
    `event_time` Nullable(DateTime64(3, 'UTC')) COMMENT 'event time of the record, NULL: unknown; ms, UTC',
    `appended`   DateTime64(3, 'UTC') COMMENT 'append to the log; wall clock, ms, UTC',
    `device`     String COMMENT 'anonymousId or key of the record, empty: unknown',
    `payload`    String COMMENT 'the record as received, truncated; bytes',
    `version`    UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `partition`, `offset`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Records that were read and not accepted';

CREATE TABLE IF NOT EXISTS alerts
(
    `site`      LowCardinality(String) COMMENT 'site id',
    `kind`      LowCardinality(String) COMMENT 'stale_segment, signal_weight, refresh_latency, watermark_lag, sink_lag or dead_letters',
    `subject`   String COMMENT 'what it is about: a segment path, a shard; empty: the site',
    `at`        DateTime64(3, 'UTC') COMMENT 'when; event time for behaviour, wall clock for the job; ms, UTC',
    `state`     LowCardinality(String) COMMENT 'raised or cleared',
    `value`     Float64 COMMENT 'measured value; ms for latencies, s for lags, share 0 to 1 otherwise',
    `threshold` Float64 COMMENT 'threshold, in the unit of value',
    `message`   String COMMENT 'the alert for people',
    `version`   UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `kind`, `subject`, `at`, `state`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Alerts raised and cleared';

CREATE TABLE IF NOT EXISTS progress
(
    `site`      LowCardinality(String) COMMENT 'site id',
    `stage`     LowCardinality(String) COMMENT 'device or person',
    `partition` Int32 COMMENT 'partition of the log',
    `shard`     UInt16 COMMENT 'shard that owns the partition',
    `offset`    Int64 COMMENT 'last offset whose effects are recorded',
    `clock`     DateTime64(3, 'UTC') COMMENT 'data clock: newest accepted event; event time, ms, UTC',
    `watermark` DateTime64(3, 'UTC') COMMENT 'watermark; event time, ms, UTC',
    `read`      UInt64 COMMENT 'records read; cumulative count',
    `good`      UInt64 COMMENT 'events accepted; cumulative count',
    `duplicate` UInt64 COMMENT 'events dropped by messageId; cumulative count',
    `dead`      UInt64 COMMENT 'dead letters; cumulative count',
    `recorded_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when the row arrived; wall clock of the server, ms, UTC',
    `version`   UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `stage`, `partition`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'How far the effects of each partition are recorded; written after every row that it covers';
