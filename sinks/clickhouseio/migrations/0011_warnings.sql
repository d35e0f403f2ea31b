CREATE TABLE IF NOT EXISTS event_warnings
(
    `site`      LowCardinality(String) COMMENT 'site id',
    `partition` Int32 COMMENT 'partition of the record',
    `offset`    Int64 COMMENT 'offset of the record',
    `property`  LowCardinality(String) COMMENT 'what could not be read and was left out; of a closed list (docs/collector.md)',
    `reason`    LowCardinality(String) COMMENT 'unreadable, ambiguous, negative, out_of_range, empty or wrong_type',
    `example`   String COMMENT 'what was there, at most 40 bytes; of what is no short amount or date the shape alone',
    `appended`  DateTime64(3, 'UTC') COMMENT 'append to the log; wall clock, ms, UTC',
    `version`   UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `partition`, `offset`, `property`, `reason`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Details of accepted records that could not be read and were left out, a row each';

CREATE OR REPLACE VIEW event_warnings_daily AS
SELECT site, toDate(appended) AS day, property, reason, count() AS records, argMax(example, (appended, offset)) AS last_example, max(appended) AS last
FROM (SELECT * FROM event_warnings ORDER BY site, partition, offset, property, reason, version DESC LIMIT 1 BY site, partition, offset, property, reason)
GROUP BY site, day, property, reason
COMMENT 'Warnings about records by day of their append (UTC), property and reason: how many records, and an example of the last one';
