-- What analysts read. Each view says a row once, however often it was written:
-- LIMIT 1 BY the key in the order of the primary key, which ClickHouse streams
-- and through which it pushes a filter on the site. FINAL is never needed.

CREATE VIEW IF NOT EXISTS sessions_now AS
SELECT * FROM
(
    SELECT * FROM sessions
    ORDER BY site, device, epoch, start, version DESC
    LIMIT 1 BY site, device, epoch, start
)
WHERE deleted = 0
COMMENT 'Sessions: the newest version of each, without tombstones';

CREATE VIEW IF NOT EXISTS persons_now AS
SELECT * FROM
(
    SELECT * FROM segment_state
    ORDER BY site, person, version DESC
    LIMIT 1 BY site, person
)
WHERE deleted = 0
COMMENT 'Persons: the newest state of each, without tombstones';

CREATE VIEW IF NOT EXISTS segment_events_once AS
SELECT * FROM segment_events
ORDER BY site, person, at, offset, transition, node, action, version DESC
LIMIT 1 BY site, person, at, offset, transition, node, action
COMMENT 'Membership events, each once';

CREATE VIEW IF NOT EXISTS audience_once AS
SELECT * FROM audience
ORDER BY site, path, minute, version DESC
LIMIT 1 BY site, path, minute
COMMENT 'Audience per node and minute, each once';

CREATE VIEW IF NOT EXISTS latency_once AS
SELECT * FROM latency
ORDER BY site, stage, minute, job, shard, bucket, version DESC
LIMIT 1 BY site, stage, minute, job, shard, bucket
COMMENT 'Latency bucket counts, each once';

CREATE VIEW IF NOT EXISTS dead_letters_once AS
SELECT * FROM dead_letters
ORDER BY site, partition, offset, version DESC
LIMIT 1 BY site, partition, offset
COMMENT 'Dead letters, each once';

CREATE VIEW IF NOT EXISTS progress_now AS
SELECT * FROM progress
ORDER BY site, stage, partition, version DESC
LIMIT 1 BY site, stage, partition
COMMENT 'How far the effects of each partition are recorded';

CREATE VIEW IF NOT EXISTS alerts_now AS
SELECT * FROM
(
    SELECT * FROM alerts
    ORDER BY site, kind, subject, at DESC, state, version DESC
    LIMIT 1 BY site, kind, subject
)
WHERE state = 'raised'
COMMENT 'Alerts that are raised and not cleared; of one moment, cleared wins';

CREATE VIEW IF NOT EXISTS activation_now AS
SELECT site, path, minute, members, total, share, active, stale_share, signal_weight, stale
FROM audience_once
ORDER BY site, path, minute DESC
LIMIT 1 BY site, path
COMMENT 'The newest audience row of each node: its share and whether it is served';

CREATE VIEW IF NOT EXISTS activation_changes AS
SELECT site, path, minute AS at, active FROM
(
    SELECT site, path, minute, active,
        lagInFrame(active, 1, 0) OVER (PARTITION BY site, path ORDER BY minute ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM audience_once
)
WHERE active != before
COMMENT 'When nodes became active (1) or inactive (0); a node begins inactive';

CREATE VIEW IF NOT EXISTS segments_now AS
SELECT p.*,
    if(empty(arrayLast(n -> has(a.active, n), p.nodes)), p.nodes[1], arrayLast(n -> has(a.active, n), p.nodes)) AS served
FROM
(
    SELECT *, arrayMap(i -> arrayStringConcat(arraySlice(splitByChar('/', path), 1, i), '/'), arrayEnumerate(splitByChar('/', path))) AS nodes
    FROM persons_now
) AS p
LEFT JOIN
(
    SELECT site, groupArrayIf(path, active = 1) AS active FROM activation_now GROUP BY site
) AS a ON p.site = a.site
COMMENT 'Persons with their path, its nodes from the root, and the served segment: the deepest active node on the path, at least the root';

CREATE VIEW IF NOT EXISTS memberships AS
SELECT site, person, node, entered_at, left_at, cause, left_cause, transition FROM
(
    SELECT site, person, node, action, at AS entered_at, cause, transition,
        leadInFrame(toNullable(at)) OVER w AS left_at,
        leadInFrame(cause) OVER w AS left_cause
    FROM segment_events_once
    WINDOW w AS (PARTITION BY site, person, node ORDER BY at ASC, transition ASC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
WHERE action = 'entered'
COMMENT 'Stays of persons in nodes, from entering to leaving (NULL: still there); event time';

CREATE VIEW IF NOT EXISTS path_changes AS
SELECT site, person, transition, at AS since,
    any(from_path) AS left_path,
    any(to_path) AS path,
    any(cause) AS why
FROM segment_events_once
GROUP BY site, person, at, offset, transition
COMMENT 'Changes of path: the membership events of one transition as one row';

CREATE VIEW IF NOT EXISTS path_intervals AS
SELECT site, person, path, since,
    leadInFrame(toNullable(since)) OVER (PARTITION BY site, person ORDER BY since ASC, transition ASC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
FROM path_changes
COMMENT 'Which path a person had from when until when (NULL: until now); event time';

CREATE VIEW IF NOT EXISTS served_changes AS
SELECT site, person, at, kind, cause, from_path, to_path, from_served, to_served FROM
(
    SELECT m.site AS site, m.person AS person, m.at AS at, m.kind AS kind, m.cause AS cause, m.from_path AS from_path, m.to_path AS to_path,
        arrayMap(i -> arrayStringConcat(arraySlice(splitByChar('/', m.from_path), 1, i), '/'), arrayEnumerate(splitByChar('/', m.from_path))) AS from_nodes,
        arrayMap(i -> arrayStringConcat(arraySlice(splitByChar('/', m.to_path), 1, i), '/'), arrayEnumerate(splitByChar('/', m.to_path))) AS to_nodes,
        arrayFilter(c -> c.1 < m.at OR (m.kind = 'membership' AND c.1 = m.at), a.changes) AS changes_before,
        arrayFilter(c -> c.1 <= m.at, a.changes) AS changes_after,
        arrayLast(n -> arrayLast(c -> c.2 = n, changes_before).3 = 1, from_nodes) AS from_deepest,
        arrayLast(n -> arrayLast(c -> c.2 = n, changes_after).3 = 1, to_nodes) AS to_deepest,
        if(empty(from_deepest), from_nodes[1], from_deepest) AS from_served,
        if(empty(to_deepest), to_nodes[1], to_deepest) AS to_served
    FROM
    (
        SELECT site, person, since AS at, 'membership' AS kind, why AS cause, left_path AS from_path, path AS to_path
        FROM path_changes
        UNION ALL
        SELECT p.site AS site, p.person AS person, toDateTime64(f.at, 3, 'UTC') AS at, 'activation' AS kind, 'activation' AS cause, p.path AS from_path, p.path AS to_path
        FROM path_intervals AS p
        INNER JOIN (SELECT DISTINCT site, at FROM activation_changes) AS f ON p.site = f.site
        WHERE p.since < f.at AND (p.until IS NULL OR p.until >= f.at)
    ) AS m
    LEFT JOIN
    (
        SELECT site, arraySort(groupArray((toDateTime64(at, 3, 'UTC'), path, active))) AS changes
        FROM activation_changes GROUP BY site
    ) AS a ON m.site = a.site
)
WHERE from_served != to_served
COMMENT 'Served before and after: every change of the served segment, by a change of path (kind membership) or of a node''s activation (kind activation)';

CREATE VIEW IF NOT EXISTS latency_buckets AS
SELECT toUInt16(number) AS bucket,
    if(number < 16, toFloat64(number), (16 + number % 16) * exp2(toFloat64(intDiv(number, 16)) - 1)) / 1000 AS lower_ms,
    if(number < 15, toFloat64(number + 1), (16 + (number + 1) % 16) * exp2(toFloat64(intDiv(number + 1, 16)) - 1)) / 1000 AS upper_ms,
    (lower_ms + upper_ms) / 2 AS mid_ms
FROM numbers(608)
COMMENT 'Bounds of the latency buckets: 16 per power of two of microseconds (package transforms/latency)';

CREATE VIEW IF NOT EXISTS latency_quantiles AS
SELECT site, stage, sum(count) AS events, sum(sum_ms) / sum(count) AS mean_ms,
    quantilesExactWeighted(0.5, 0.95, 0.99)(mid_ms, count) AS q,
    q[1] AS p50_ms, q[2] AS p95_ms, q[3] AS p99_ms
FROM latency_once AS l
INNER JOIN latency_buckets AS b ON l.bucket = b.bucket
GROUP BY site, stage
COMMENT 'Latency per stage over everything recorded; ms, within 1/32 (mean_ms: exact)';

CREATE VIEW IF NOT EXISTS latency_minutes AS
SELECT site, stage, minute, sum(count) AS events, sum(sum_ms) AS sum_ms_total, sum_ms_total / events AS mean_ms,
    quantilesExactWeighted(0.5, 0.95, 0.99)(mid_ms, count) AS q,
    q[1] AS p50_ms, q[2] AS p95_ms, q[3] AS p99_ms
FROM latency_once AS l
INNER JOIN latency_buckets AS b ON l.bucket = b.bucket
GROUP BY site, stage, minute
COMMENT 'Latency per stage and wall clock minute; ms, within 1/32 (mean_ms: exact)';

CREATE VIEW IF NOT EXISTS events_summary AS
SELECT site, sum(read) AS read_events, sum(good) AS good_events, sum(duplicate) AS duplicate_events, sum(dead) AS dead_events
FROM progress_now
WHERE stage = 'device'
GROUP BY site
COMMENT 'Records read and what became of them: read = good + duplicate + dead';

CREATE VIEW IF NOT EXISTS health AS
SELECT p.site AS site, p.data_clock AS data_clock, p.watermark_lag_s AS watermark_lag_s, p.silence_s AS silence_s,
    if(e.read_events = 0, NULL, e.dead_events / e.read_events) AS dead_share,
    l.refresh_ms AS refresh_ms, l.sink_lag_s AS sink_lag_s,
    r.signal_weight AS signal_weight, r.stale_share AS stale_share,
    a.raised AS alerts_raised
FROM
(
    SELECT site, max(clock) AS data_clock,
        greatest(0, dateDiff('millisecond', max(recorded_at), now64(3))) / 1000 AS silence_s,
        -- A partition that has seen no event yet has neither clock nor lag.
        greatest(0, dateDiff('millisecond', minIf(watermark, toUnixTimestamp64Milli(clock) > 0), max(clock))) / 1000 AS watermark_lag_s
    FROM progress_now GROUP BY site
) AS p
LEFT JOIN events_summary AS e ON p.site = e.site
LEFT JOIN
(
    SELECT site,
        if(sumIf(events, stage = 'refresh') = 0, NULL, sumIf(sum_ms_total, stage = 'refresh') / sumIf(events, stage = 'refresh')) AS refresh_ms,
        if(sumIf(events, stage = 'record') = 0, NULL, maxIf(p99_ms, stage = 'record') / 1000) AS sink_lag_s
    FROM
    (
        SELECT * FROM latency_minutes WHERE stage IN ('refresh', 'record')
        ORDER BY site, stage, minute DESC
        LIMIT 5 BY site, stage
    )
    GROUP BY site
) AS l ON p.site = l.site
LEFT JOIN
(
    SELECT site, argMin(tuple(signal_weight), length(path)).1 AS signal_weight, argMin(tuple(stale_share), length(path)).1 AS stale_share
    FROM activation_now WHERE position(path, '/') = 0
    GROUP BY site
) AS r ON p.site = r.site
LEFT JOIN (SELECT site, count() AS raised FROM alerts_now GROUP BY site) AS a ON p.site = a.site
COMMENT 'What health checks look at, a row a site: data_clock (event time), silence_s (since the job last wrote), watermark_lag_s and sink_lag_s (s), refresh_ms (mean of the last 5 minutes that have data, ms), signal_weight, stale_share and dead_share (0 to 1, NULL: undefined), alerts_raised (count)';
