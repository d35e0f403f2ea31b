-- Views are named after what they give: what is current, and what is stored once however often
-- it was written. The old names stay for one version, and read the new ones.

CREATE OR REPLACE VIEW segment_events_dedup AS
SELECT * FROM segment_events
ORDER BY site, person, at, offset, transition, node, action, version DESC
LIMIT 1 BY site, person, at, offset, transition, node, action
COMMENT 'Membership events, each once';

CREATE OR REPLACE VIEW latency_dedup AS
SELECT * FROM latency
ORDER BY site, stage, minute, job, shard, bucket, version DESC
LIMIT 1 BY site, stage, minute, job, shard, bucket
COMMENT 'Latency bucket counts, each once';

CREATE OR REPLACE VIEW progress_current AS
SELECT * FROM progress
ORDER BY site, stage, partition, version DESC
LIMIT 1 BY site, stage, partition
COMMENT 'How far the effects of each partition are recorded';

CREATE OR REPLACE VIEW memberships AS
SELECT site, person, node, entered_at, left_at, cause, left_cause, transition FROM
(
    SELECT site, person, node, action, at AS entered_at, cause, transition,
        leadInFrame(toNullable(at)) OVER w AS left_at,
        leadInFrame(cause) OVER w AS left_cause
    FROM segment_events_dedup
    WINDOW w AS (PARTITION BY site, person, node ORDER BY at ASC, transition ASC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
WHERE action = 'entered'
COMMENT 'Stays of persons in nodes, from entering to leaving (NULL: still there); event time';

CREATE OR REPLACE VIEW path_changes AS
SELECT site, person, transition, at AS since,
    any(from_path) AS left_path,
    any(to_path) AS path,
    any(cause) AS why
FROM segment_events_dedup
GROUP BY site, person, at, offset, transition
COMMENT 'Changes of path: the membership events of one transition as one row';

CREATE OR REPLACE VIEW latency_quantiles AS
SELECT site, stage, sum(count) AS events, sum(sum_ms) / sum(count) AS mean_ms,
    quantilesExactWeighted(0.5, 0.95, 0.99)(mid_ms, count) AS q,
    q[1] AS p50_ms, q[2] AS p95_ms, q[3] AS p99_ms
FROM latency_dedup AS l
INNER JOIN latency_buckets AS b ON l.bucket = b.bucket
GROUP BY site, stage
COMMENT 'Latency per stage over everything recorded; ms, within 1/32 (mean_ms: exact)';

CREATE OR REPLACE VIEW latency_minutes AS
SELECT site, stage, minute, sum(count) AS events, sum(sum_ms) AS sum_ms_total, sum_ms_total / events AS mean_ms,
    quantilesExactWeighted(0.5, 0.95, 0.99)(mid_ms, count) AS q,
    q[1] AS p50_ms, q[2] AS p95_ms, q[3] AS p99_ms
FROM latency_dedup AS l
INNER JOIN latency_buckets AS b ON l.bucket = b.bucket
GROUP BY site, stage, minute
COMMENT 'Latency per stage and wall clock minute; ms, within 1/32 (mean_ms: exact)';

CREATE OR REPLACE VIEW events_summary AS
SELECT site, sum(read) AS read_events, sum(good) AS good_events, sum(duplicate) AS duplicate_events, sum(dead) AS dead_events
FROM progress_current
WHERE stage = 'device'
GROUP BY site
COMMENT 'Records read and what became of them: read = good + duplicate + dead';

CREATE OR REPLACE VIEW dead_letter_replays_dedup AS
SELECT * FROM dead_letter_replays
ORDER BY site, partition, offset, version DESC
LIMIT 1 BY site, partition, offset
COMMENT 'What the last replay made of each dead letter';

CREATE OR REPLACE VIEW dead_letters_dedup AS
SELECT d.*, r.outcome AS replayed
FROM
(
    SELECT * FROM dead_letters
    ORDER BY site, partition, offset, version DESC
    LIMIT 1 BY site, partition, offset
) AS d
LEFT JOIN dead_letter_replays_dedup AS r ON r.site = d.site AND r.partition = d.partition AND r.offset = d.offset
COMMENT 'Dead letters, each once; replayed is what the last replay made of it, empty: none did (good and duplicate: it is in its place now)';

-- Records of a device in two partitions, and records that a stage cannot take, are raised once an
-- hour in which there are any, and nothing clears them: they are of the past.
CREATE OR REPLACE VIEW alerts_current AS
SELECT * FROM
(
    SELECT * FROM alerts
    WHERE kind NOT IN ('person_devices', 'device_persons')
    ORDER BY site, kind, subject, at DESC, state, version DESC
    LIMIT 1 BY site, kind, subject
)
WHERE state = 'raised' AND (kind NOT IN ('stray', 'poison') OR at > now64() - INTERVAL 1 DAY)
COMMENT 'Alerts that are raised and not cleared, of strays and poison those of the last day; of one moment, cleared wins';

-- A view has the columns that its table had when it was made.
CREATE OR REPLACE VIEW audience_dedup AS
SELECT * FROM audience
ORDER BY site, path, minute, version DESC
LIMIT 1 BY site, path, minute
COMMENT 'Audience per node and minute, each once';

CREATE OR REPLACE VIEW segment_nodes_current AS
SELECT DISTINCT * FROM segment_nodes
WHERE (site, version) IN (SELECT site, max(version) FROM segment_nodes GROUP BY site)
COMMENT 'The segment tree of each site, as the newest job has it';

CREATE OR REPLACE VIEW activation_current AS
SELECT site, path, minute, members, total, share, active, exempt, why, stale_share, signal_weight, stale
FROM audience_dedup
ORDER BY site, path, minute DESC
LIMIT 1 BY site, path
COMMENT 'The newest audience row of each node: its share, whether it is served, and why';

CREATE OR REPLACE VIEW verdicts_current AS
SELECT site, path, active, exempt, why FROM
(
    SELECT site, path, active, exempt, why, 1 AS weight FROM activation_current
    UNION ALL
    -- What the configuration says holds before a minute was decided, and an exemption always.
    SELECT site, path, exempt AS active, exempt, why, if(exempt = 1, 2, 0) AS weight FROM segment_nodes_current
)
ORDER BY site, path, weight DESC
LIMIT 1 BY site, path
COMMENT 'Each node: active (1: served), exempt (1: whatever its audience) and why, in words';

CREATE OR REPLACE VIEW activation_changes AS
SELECT site, path, minute AS at, active FROM
(
    SELECT site, path, minute, active,
        lagInFrame(active, 1, exempt) OVER (PARTITION BY site, path ORDER BY minute ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM audience_dedup
)
WHERE active != before
COMMENT 'When nodes became active (1) or inactive (0); a node begins inactive, an exempt one active';

CREATE OR REPLACE VIEW active_at_first AS
SELECT site, path FROM
(
    SELECT site, path, argMin(exempt, minute) AS exempt FROM audience_dedup GROUP BY site, path
)
WHERE exempt = 1
UNION ALL
SELECT site, path FROM segment_nodes_current WHERE exempt = 1 AND (site, path) NOT IN (SELECT site, path FROM audience)
COMMENT 'Nodes that were served before anything was decided of an audience';

-- A view has the columns that its table had when it was made.
CREATE OR REPLACE VIEW persons_current AS
SELECT * FROM
(
    SELECT * FROM segment_state
    ORDER BY site, person, version DESC
    LIMIT 1 BY site, person
)
WHERE deleted = 0
COMMENT 'Persons: the newest state of each, without tombstones';

CREATE OR REPLACE VIEW segments_current AS
SELECT p.*,
    if(empty(arrayLast(n -> has(a.active, n), p.nodes)), p.nodes[1], arrayLast(n -> has(a.active, n), p.nodes)) AS served,
    arrayFirst(w -> w.1 = p.path, a.why).2 AS verdict,
    multiIf(served = p.path, '', p.bot = 1, 'bot: in no audience', verdict = '', 'no audience decided yet', verdict) AS not_served
FROM
(
    SELECT *, arrayMap(i -> arrayStringConcat(arraySlice(splitByChar('/', path), 1, i), '/'), arrayEnumerate(splitByChar('/', path))) AS nodes
    FROM persons_current
) AS p
LEFT JOIN
(
    SELECT site, groupArrayIf(path, active = 1) AS active, groupArray(tuple(path, why)) AS why FROM verdicts_current GROUP BY site
) AS a ON p.site = a.site
COMMENT 'Persons with their path, its nodes from the root, the served segment (the deepest active node on the path, at least the root), the verdict on the end of the path, and in not_served why that is not served (empty: it is)';

CREATE OR REPLACE VIEW reevaluations_dedup AS
SELECT * FROM reevaluations
ORDER BY site, path, minute, version DESC
LIMIT 1 BY site, path, minute
COMMENT 'Re-evaluations of the members of flagged segments, each once';

-- The last five minutes that had data could be of last week: one bad quarter of an hour before a quiet night kept health failing until the morning.
CREATE OR REPLACE VIEW health AS
SELECT p.site AS site, p.data_clock AS data_clock, p.watermark_lag_s AS watermark_lag_s, p.partitions_held AS partitions_held, p.silence_s AS silence_s,
    if(d.dead + n.decided = 0, NULL, d.dead / (d.dead + n.decided)) AS dead_share,
    l.refresh_ms AS refresh_ms, l.sink_lag_s AS sink_lag_s,
    r.signal_weight AS signal_weight, r.stale_share AS stale_share,
    a.raised AS alerts_raised
FROM
(
    SELECT site, max(clock) AS data_clock,
        greatest(0, dateDiff('millisecond', max(recorded_at), now64(3))) / 1000 AS silence_s,
        -- A partition without an event has neither clock nor lag. One with events of whose
        -- shard no time has passed yet is held back by one that was not read yet.
        countIf(toUnixTimestamp64Milli(clock) > 0 AND toUnixTimestamp64Milli(watermark) <= 0) AS partitions_held,
        if(countIf(toUnixTimestamp64Milli(clock) > 0 AND toUnixTimestamp64Milli(watermark) > 0) = 0, NULL,
            greatest(0, dateDiff('millisecond', minIf(watermark, toUnixTimestamp64Milli(clock) > 0 AND toUnixTimestamp64Milli(watermark) > 0), max(clock))) / 1000) AS watermark_lag_s
    FROM progress_current GROUP BY site
) AS p
LEFT JOIN
(
    SELECT site, count() AS dead FROM dead_letters_dedup
    WHERE appended > now64(3) - INTERVAL 10 MINUTE AND replayed NOT IN ('good', 'duplicate') GROUP BY site
) AS d ON p.site = d.site
LEFT JOIN
(
    SELECT site, sum(count) AS decided FROM latency_dedup
    WHERE stage = 'compute' AND minute > now() - INTERVAL 10 MINUTE GROUP BY site
) AS n ON p.site = n.site
LEFT JOIN
(
    SELECT site,
        if(sumIf(events, stage = 'refresh') = 0, NULL, sumIf(sum_ms_total, stage = 'refresh') / sumIf(events, stage = 'refresh')) AS refresh_ms,
        if(sumIf(events, stage = 'record') = 0, NULL, maxIf(p99_ms, stage = 'record') / 1000) AS sink_lag_s
    FROM
    (
        SELECT * FROM latency_minutes WHERE stage IN ('refresh', 'record') AND minute > now() - INTERVAL 10 MINUTE
    )
    GROUP BY site
) AS l ON p.site = l.site
LEFT JOIN
(
    SELECT site, argMin(tuple(signal_weight), length(path)).1 AS signal_weight, argMin(tuple(stale_share), length(path)).1 AS stale_share
    FROM activation_current WHERE position(path, '/') = 0
    GROUP BY site
) AS r ON p.site = r.site
LEFT JOIN (SELECT site, count() AS raised FROM alerts_current GROUP BY site) AS a ON p.site = a.site
COMMENT 'What health checks look at, a row a site: data_clock (event time), silence_s (since the job last wrote), watermark_lag_s (NULL: no event yet) and sink_lag_s (s), partitions_held (with events of which no time has passed yet), refresh_ms (mean of the last 10 minutes, ms, without what was in the log before the job began), signal_weight, stale_share and dead_share (of what was appended in the last 10 minutes; 0 to 1, NULL: undefined), alerts_raised (count)';

-- A view has the columns that its table had when it was made.
CREATE OR REPLACE VIEW sessions_current AS
SELECT * FROM
(
    SELECT * FROM sessions
    ORDER BY site, device, epoch, start, version DESC
    LIMIT 1 BY site, device, epoch, start
)
WHERE deleted = 0
COMMENT 'Sessions: the newest version of each, without tombstones';

-- The old names.
CREATE OR REPLACE VIEW segment_events_once AS SELECT * FROM segment_events_dedup COMMENT 'Old name of segment_events_dedup; it goes with the next version';
CREATE OR REPLACE VIEW latency_once AS SELECT * FROM latency_dedup COMMENT 'Old name of latency_dedup; it goes with the next version';
CREATE OR REPLACE VIEW progress_now AS SELECT * FROM progress_current COMMENT 'Old name of progress_current; it goes with the next version';
CREATE OR REPLACE VIEW dead_letter_replays_once AS SELECT * FROM dead_letter_replays_dedup COMMENT 'Old name of dead_letter_replays_dedup; it goes with the next version';
CREATE OR REPLACE VIEW dead_letters_once AS SELECT * FROM dead_letters_dedup COMMENT 'Old name of dead_letters_dedup; it goes with the next version';
CREATE OR REPLACE VIEW alerts_now AS SELECT * FROM alerts_current COMMENT 'Old name of alerts_current; it goes with the next version';
CREATE OR REPLACE VIEW audience_once AS SELECT * FROM audience_dedup COMMENT 'Old name of audience_dedup; it goes with the next version';
CREATE OR REPLACE VIEW segment_nodes_now AS SELECT * FROM segment_nodes_current COMMENT 'Old name of segment_nodes_current; it goes with the next version';
CREATE OR REPLACE VIEW activation_now AS SELECT * FROM activation_current COMMENT 'Old name of activation_current; it goes with the next version';
CREATE OR REPLACE VIEW verdicts_now AS SELECT * FROM verdicts_current COMMENT 'Old name of verdicts_current; it goes with the next version';
CREATE OR REPLACE VIEW persons_now AS SELECT * FROM persons_current COMMENT 'Old name of persons_current; it goes with the next version';
CREATE OR REPLACE VIEW segments_now AS SELECT * FROM segments_current COMMENT 'Old name of segments_current; it goes with the next version';
CREATE OR REPLACE VIEW reevaluations_once AS SELECT * FROM reevaluations_dedup COMMENT 'Old name of reevaluations_dedup; it goes with the next version';
CREATE OR REPLACE VIEW sessions_now AS SELECT * FROM sessions_current COMMENT 'Old name of sessions_current; it goes with the next version';
