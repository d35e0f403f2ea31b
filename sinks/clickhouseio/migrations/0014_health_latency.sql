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
    FROM progress_now GROUP BY site
) AS p
LEFT JOIN
(
    SELECT site, count() AS dead FROM dead_letters_once
    WHERE appended > now64(3) - INTERVAL 10 MINUTE AND replayed NOT IN ('good', 'duplicate') GROUP BY site
) AS d ON p.site = d.site
LEFT JOIN
(
    SELECT site, sum(count) AS decided FROM latency_once
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
    FROM activation_now WHERE position(path, '/') = 0
    GROUP BY site
) AS r ON p.site = r.site
LEFT JOIN (SELECT site, count() AS raised FROM alerts_now GROUP BY site) AS a ON p.site = a.site
COMMENT 'What health checks look at, a row a site: data_clock (event time), silence_s (since the job last wrote), watermark_lag_s (NULL: no event yet) and sink_lag_s (s), partitions_held (with events of which no time has passed yet), refresh_ms (mean of the last 10 minutes, ms, without what was in the log before the job began), signal_weight, stale_share and dead_share (of what was appended in the last 10 minutes; 0 to 1, NULL: undefined), alerts_raised (count)';
