-- Receipts of deleted persons: they say nothing of whom. Any node answers from them.
CREATE TABLE IF NOT EXISTS erasures
(
    `site`         LowCardinality(String) COMMENT 'site id',
    `receipt`      String COMMENT 'id of the deletion, random',
    `subject`      String COMMENT 'hash of the id that was asked for: the first 12 bytes of its SHA-256, base64url',
    `requested_at` DateTime64(3, 'UTC') COMMENT 'when it was asked for; wall clock, ms, UTC',
    `completed_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'when the last store was done, NULL: under way; wall clock, ms, UTC',
    `document`     String COMMENT 'the receipt: JSON, what was done in each store and when',
    `version`      UInt64 COMMENT 'wall clock of the writing; µs since the epoch'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `receipt`)
COMMENT 'Deletions of persons with their receipts; the highest version counts';

ALTER TABLE segment_events COMMENT COLUMN `cause` 'event, time, link, unlink, stale, retention or erased';
