-- What `microseg deadletters replay` made of dead letters. It names nobody: deletions need not
-- look at it.
CREATE TABLE IF NOT EXISTS dead_letter_replays
(
    `site`      LowCardinality(String) COMMENT 'site id',
    `partition` Int32 COMMENT 'partition of the dead letter',
    `offset`    Int64 COMMENT 'offset of the dead letter',
    `receipt`   String COMMENT 'names the replay',
    `outcome`   LowCardinality(String) COMMENT 'good or duplicate: it is in its place; a reason: it stays a dead letter; history: nothing was done, the device remembers what the log no longer holds',
    `at`        DateTime64(3, 'UTC') COMMENT 'when the device was rebuilt; wall clock, ms, UTC',
    `version`   UInt64 COMMENT 'rises with every writing of the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `partition`, `offset`)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What replays made of dead letters';

CREATE VIEW IF NOT EXISTS dead_letter_replays_once AS
SELECT * FROM dead_letter_replays
ORDER BY site, partition, offset, version DESC
LIMIT 1 BY site, partition, offset
COMMENT 'What the last replay made of each dead letter';

CREATE OR REPLACE VIEW dead_letters_once AS
SELECT d.*, r.outcome AS replayed
FROM
(
    SELECT * FROM dead_letters
    ORDER BY site, partition, offset, version DESC
    LIMIT 1 BY site, partition, offset
) AS d
LEFT JOIN dead_letter_replays_once AS r ON r.site = d.site AND r.partition = d.partition AND r.offset = d.offset
COMMENT 'Dead letters, each once; replayed is what the last replay made of it, empty: none did (good and duplicate: it is in its place now)';

ALTER TABLE segment_events COMMENT COLUMN `cause` 'event, time, link, unlink, stale, retention, erased or replay';
