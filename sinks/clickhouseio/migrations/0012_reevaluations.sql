-- What came of a flag: that members were evaluated again left no trace where nobody moved.
CREATE TABLE IF NOT EXISTS reevaluations
(
    `site`        LowCardinality(String) COMMENT 'site id',
    `minute`      DateTime('UTC') COMMENT 'the refresh tick; event time, s, UTC',
    `path`        String COMMENT 'flagged node of the segment tree',
    `members`     UInt32 COMMENT 'persons in its subtree, active or not, who were evaluated at the tick (or by an event right behind it); count',
    `moved`       UInt32 COMMENT 'of them, who moved: rows of segment_events with cause stale; count',
    `stale_share` Nullable(Float64) COMMENT '1 - signal weight of the subtree then, over the whole site, NULL: undefined; 0 to 1',
    `version`     UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `path`, `minute`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Re-evaluations of the members of flagged segments, absolute over all shards';

CREATE VIEW IF NOT EXISTS reevaluations_once AS
SELECT * FROM reevaluations
ORDER BY site, path, minute, version DESC
LIMIT 1 BY site, path, minute
COMMENT 'Re-evaluations of the members of flagged segments, each once';
